#pragma once
// The descriptor of a batched matrix product [batch..., m, k] x [batch..., k, n] -> [batch..., m,
// n] with an epilogue, as a kernel: it holds what changes code (dtypes, the epilogue's body), while
// extents and strides are run-time integers (runtime/cpu/contraction_driver.h).
//
//   contraction(f32, f32) {          // operand dtypes; sums are f32
//     buffers b0: f32 out, b1: f32
//     %1 = load b1[v1 * 1] : f32     // a bias along n: v0 is the row m, v1 the column n
//     %2 = add %0, %1 : f32          // %0 is the sum
//     store b0[v0 * i0 + v1 * 1], %2
//   }

#include <string>
#include <vector>

#include "ir/loop_program.h"

namespace flambeau::ir {

struct Contraction {
  DType a = DType::Float32;
  DType b = DType::Float32;
  /// The operands hold bfloat16 values: sums take pairs where the CPU has products of them.
  bool of_bfloat16 = false;
  /// Buffer 0 is the output.
  std::vector<BufferInfo> buffers;
  /// What happens to a sum: Constant, Slot, Index, Compute, Load and Store statements. Value 0 is
  /// the sum in compute_dtype(a), loop variable 0 the row, 1 the column.
  std::vector<Statement> epilogue;
  int slot_count = 0;   ///< slots that the epilogue uses
  int value_count = 1;  ///< SSA values of the epilogue, the sum included
  /// Nothing but a conversion to the output's dtype: whoever runs it fills the slots.
  bool is_plain = false;

  std::string text() const;
  /// Hash of all fields.
  Hash128 hash() const;
};

/// The product alone, converted to `out`: its slots 0 and 1 are the output's strides
/// along m and n.
Contraction plain_contraction(DType a, DType b, DType out);

/// The dtype in which products of operands of `dtype` are summed: float32 for the 16-bit floats,
/// Int32 for narrower integers (their low bits are the same), else the dtype itself.
DType accumulator_dtype(DType dtype);

/// The epilogue as a kernel over a tile of sums: rows parallel, columns inner (with `transposed`
/// the other way round). The sums are the last buffer; the last slot is the stride of its rows (of
/// its columns), the other one is 1. `unit_output` says of a plain contraction that the output's
/// stride along the inner loop is 1, which makes faster code.
LoopProgram epilogue_program(const Contraction& contraction, bool transposed,
                             bool unit_output = false);

}  // namespace flambeau::ir
