#pragma once
// The fixed order of sums (kReduceBlock, kContractBlock in interpreter.h), in its plainest form.
// The interpreters use these functions, and every backend is compared with them.

#include <span>
#include <vector>

#include "ir/cell_emitter.h"
#include "ir/interpreter.h"

namespace flambeau::ir {

/// The combination of `values`, containers of `dtype` (not a 16-bit float), in the order of
/// kReduceBlock. `identity` for an empty range.
Container reduce_in_order(CoreOp combine, DType dtype, Container identity,
                          std::span<const Container> values);

/// The last step of it alone: `values` are block results and combine by the binary tree.
Container reduce_tree(CoreOp combine, DType dtype, Container identity,
                      std::span<const Container> values);

/// One block (at most kReduceBlock values): lanes, then halving.
Container reduce_block(CoreOp combine, DType dtype, Container identity,
                       std::span<const Container> values);

/// `array` reduced over `axes`, which vanish; the elements of the reduced axes come in row-major
/// order whatever the order of `axes`. 16-bit floats are combined in Float32 and rounded once.
ArrayValue reduce_array(const ArrayValue& array, std::span<const int64_t> axes, CoreOp combine,
                        const Scalar& identity);

/// The running value of one row of a Scan, element by element. The first value is the first element
/// (of the last operand). With one operand, the elements of each block of kReduceBlock combine from
/// the block's first on, and what they give follows the running value before the block in one more
/// combination; with several, every element follows the value before it.
class RunningScan {
 public:
  RunningScan(const Primitive& row, DType dtype, const Attributes& attributes);
  /// The next value. `elements`: one of each operand, containers of the dtype.
  Container next(std::span<const Container> elements);
  /// Begins another row.
  void restart() { position_ = 0; }

 private:
  Container combine(Container so_far, std::span<const Container> elements);

  std::vector<Container> cells_;  // the value so far and the elements come first
  std::vector<Instruction> instructions_;
  uint32_t result_ = 0;  // cell
  int64_t position_ = 0;
  Container block_ = 0;   // of the elements of this block
  Container before_ = 0;  // the running value before this block
  Container value_ = 0;
};

/// The scan `row` of `operands` (one shape and dtype) along attributes.axes[0], backwards if
/// attributes.index is 1.
ArrayValue scan_array(const Primitive& row, std::span<const ArrayValue> operands,
                      const Attributes& attributes);

/// [batch..., m, k] x [batch..., k, n] -> [batch..., m, n] of `result`. For each element ascending
/// k in blocks of kContractBlock: each block one chain of fused multiply-adds from zero (integers:
/// wrapping), block sums added in ascending order onto the first. Accumulates in the operands'
/// dtype, 16-bit floats in Float32; converted to `result` once. Zero if k is 0.
///
/// `pairs`: the operands are Float32 or BFloat16 and hold bfloat16 values, and the chain takes k
/// two at a time, as AVX512-BF16's VDPBF16PS does: of an even k and the next, the next comes first
/// (where there is none, +0 * +0 does), and in each multiply-add denormal operands count as zeros
/// of their sign, as does a result that is below the least normal number after rounding.
ArrayValue contract_in_order(const ArrayValue& a, const ArrayValue& b, DType result,
                             bool pairs = false);

}  // namespace flambeau::ir
