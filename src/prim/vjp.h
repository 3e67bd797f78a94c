#pragma once
// Reverse-mode differentiation and batching of tensor programs, by the primitive table alone.

#include <span>
#include <vector>

#include "ir/program.h"

namespace flambeau::prim {

/// Extends `builder` by the cotangents of `wanted` (expressions that `outputs` depend on), given
/// the cotangents of `outputs`. Where no output depends on one, its entry is invalid.
std::vector<ir::Expr> differentiate(ir::Builder& builder, std::span<const ir::Expr> outputs,
                                    std::span<const ir::Expr> cotangents,
                                    std::span<const ir::Expr> wanted);

/// `program` with a leading axis of extent `batch` added to the parameters that `batched` names;
/// all results carry it. Sizes in shapes refer to the unbatched parameters' axes shifted by one.
ir::Program batch(const ir::Program& program, std::span<const bool> batched);
/// The same with the extent given, which must not be a size of a parameter.
ir::Program batch(const ir::Program& program, std::span<const bool> batched, const ir::Dim& extent);

}  // namespace flambeau::prim
