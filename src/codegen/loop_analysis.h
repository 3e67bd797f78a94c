#pragma once
// What code generation must know about a loop program before it emits a loop.

#include <algorithm>
#include <optional>
#include <span>
#include <vector>

#include "ir/loop_program.h"

namespace flambeau::codegen {

/// Rows and columns of a tile of an operand that lies across the vectors: rows of four-byte
/// elements are two cache lines.
inline constexpr int64_t kTile = 32;

struct LoopAnalysis {
  std::vector<DType> dtypes;  ///< of each SSA value
  /// True for a value that differs between the lanes of the vector loop around it.
  std::vector<bool> varying;
  /// Loads of a pointwise kernel's inner loop whose elements lie side by side along the loop around
  /// it, and are apart along the vectors. They are read by tiles (loop_tile.cpp).
  std::vector<const ir::Statement*> transposed;
  /// Where `s` is among them; their number if it is none.
  size_t transposed_number(const ir::Statement& s) const {
    return static_cast<size_t>(std::find(transposed.begin(), transposed.end(), &s) -
                               transposed.begin());
  }
  bool is_transposed(const ir::Statement& s) const {
    return transposed_number(s) < transposed.size();
  }
};

LoopAnalysis analyse(const ir::LoopProgram& program);

/// The core operations that a Compute statement is made of; slow ones count as several.
int count_core_ops(const ir::Statement& compute, const LoopAnalysis& analysis);
/// Those of a loop's body and of the loops in it.
int count_core_ops(std::span<const ir::Statement> body, const LoopAnalysis& analysis);

/// The core operation that a Compute statement is; none if it is several.
std::optional<ir::CoreOp> only_core_op(const ir::Statement& compute, const LoopAnalysis& analysis);

/// True if `index` moves with the variable of `loop` or a digit of it by a coefficient other than
/// the constant 0.
bool moves_with(const ir::LoopIndex& index, const ir::Statement& loop);

/// Splits the body of a loop whose iterations are independent: `invariant` receives the statements
/// that can run once before it, `rest` the others, both in order.
void split_invariant(const ir::Statement& loop, std::vector<const ir::Statement*>& invariant,
                     std::vector<const ir::Statement*>& rest);

/// Vectors of how many lanes the body of a vector loop is worth, for registers of `register_bytes`:
/// a power of two. Short bodies get several registers at once, so that loads overlap.
unsigned choose_lanes(const ir::Statement& loop, const LoopAnalysis& analysis,
                      unsigned register_bytes);

}  // namespace flambeau::codegen
