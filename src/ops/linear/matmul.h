#pragma once
// Matrix products of any ranks, on shapes and on expressions.

#include "ops/definition.h"

namespace flambeau::ops {

/// The sizes of matmul(a, b); RuntimeError naming the shapes if they do not fit.
Ints matmul_sizes(const Call& call, const Ints& a, const Ints& b);
/// The product: vectors are rows on the left and columns on the right, leading axes broadcast.
ir::Expr matmul(const ir::Expr& a, const ir::Expr& b);
/// RuntimeError unless both are numbers of one dtype.
void check_matrix_dtypes(const Call& call, std::string_view a, std::string_view b);

}  // namespace flambeau::ops
