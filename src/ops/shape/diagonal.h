#pragma once
// Where a diagonal lies in matrices, as a program knows it.

#include "ops/functions.h"
#include "ops/registry.h"

namespace flambeau::ops {

/// Its first row and column, one of which is 0.
struct DiagonalOffset {
  ir::Dim row, column;
};

/// Of the int `parameter` in `dynamic` and `signs`: positive above the main diagonal.
inline DiagonalOffset diagonal_offset(const Lowering& l, std::string_view parameter) {
  const ir::Dim offset = l.integer(parameter);
  return l.call().integer(parameter) < 0 ? DiagonalOffset{ir::Dim(0) - offset, 0}
                                         : DiagonalOffset{0, offset};
}

/// In the last two axes of `x`.
inline ir::Dim diagonal_length(const ir::Expr& x, const DiagonalOffset& offset) {
  return max(min(x.dim(-2) - offset.row, x.dim(-1) - offset.column), ir::Dim(0));
}

}  // namespace flambeau::ops
