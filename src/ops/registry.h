#pragma once
// The index of all operations: the one header of ops/ that other layers use beside the types.

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "ops/definition.h"

namespace flambeau::ops {

/// Every definition, in a stable order (by name, then order of registration): id = position.
std::span<const Definition* const> all_definitions();

/// The overloads of `name` ("add"), in order of registration; empty if there is none.
std::span<const Definition* const> find_overloads(std::string_view name);

/// The definition with this name and overload; InternalError if there is none.
const Definition& find_definition(std::string_view name, std::string_view overload = {});

/// Result types of a call: promotion and the shape rule, then the stride rule.
ResultInfos infer(const Call& call);

/// The dtype to which promotion brings the call's inputs (Promotion::None: that of the first
/// tensor). PyTorch's categories: tensors, 0-dim tensors, Python numbers.
DType common_dtype(const Call& call);

/// The composition of a call and where its results and saved values are in it.
struct LoweredCall {
  std::unique_ptr<Builder> builder;
  std::vector<Expr> parameters;   ///< one per tensor argument (lists flattened, None skipped), own dtype
  std::vector<Expr> numbers;      ///< one per dynamic number
  std::vector<Expr> results;      ///< in the results' dtypes
  std::vector<Expr> saved;
};
/// Runs `lower` on the symbolic form of `call`: extents of 1 are constants, others Dim::size; the
/// dynamic ints are Dim::integer in schema order (lists flattened).
LoweredCall lower(const Call& call);
/// The gradients of the `wanted` parameters (bit i: parameter i), from the definition's vjp or by
/// differentiating; `cotangents` are expressions of `lowered.builder`.
std::vector<Expr> gradients(const Call& call, LoweredCall& lowered,
                            std::span<const Expr> cotangents, std::span<const bool> wanted);

}  // namespace flambeau::ops
