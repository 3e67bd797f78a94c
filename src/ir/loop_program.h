#pragma once
// Loop programs: one kernel each. A nest of loops whose extents and strides are run-time
// integers; bodies of scalar SSA. Only what changes the code is in the program (dtypes, which
// strides are 0, 1 or variable, which loop is the vector loop), so that one kernel serves all
// shapes of its class.
//
//   kernel(b0: f32 in, b1: f32 out) {
//     parallel v0 {                                  // range of the launch
//       %0 = reduce_max v1 in i0 vector : f32 {      // i0: integer slot 0, the row's length
//         %1 = load b0[v0 * i1 + v1 * 1] : f32
//         yield %1
//       }
//       vector v2 in i0 {
//         %2 = load b0[v0 * i1 + v2 * 1] : f32
//         %3 = sub %2, %0 : f32
//         store b1[v0 * i2 + v2 * 1], %3
//       }
//     }
//   }
//
// A loop over axes that memory does not lay end to end counts their indices, too: the digits of its
// variable (or of a value plus its variable), the last one fastest: `%0 = reduce_sum v1 in i0 as
// (v2, v3 in i4) from %5 vector : f32 {` runs v3 over [0, i4) for each v2.
//
// Other statements: `%4 = constant 0.5 : f32`, `%5 = slot i3 : f64`, `%6 = index [v0 * 4 + i2] :
// i64`, a masked `load b0[v0 * 1] if %7 : f32` or `store b1[v0 * 1], %3 if %7`, loops `serial v3 in
// %6 {` and `parallel_inner v4 {`, `%7 = scan_sum %6 over v3 : f32`, and
// `reduce_max v1 in i0 serial tree : f32 {`. Counts of slots,
// values and variables above the least are named before the first brace: `kernel(...) slots=4 {`.

#include <memory>
#include <string>
#include <vector>

#include "ir/primitive.h"

namespace flambeau::ir {

using ValueId = int32_t;  ///< SSA value of a loop program
using LoopVar = int32_t;  ///< loop variable

/// The machine-code form of a kernel.
///   buffers: base addresses, one per BufferInfo.
///   ints: the 8-byte slots: extents, strides (in elements), offsets, scalars (bits).
///   begin1, end1: range of the `parallel` loop; begin0, end0: range of the `parallel_inner` loop
///   (ignored by kernels that have none).
using KernelFunction = void (*)(void* const* buffers, const int64_t* ints, int64_t begin1,
                                int64_t end1, int64_t begin0, int64_t end0);

/// A constant or a slot of `ints`.
struct IntOperand {
  bool is_slot = false;
  int64_t value = 0;  ///< the constant, or the slot's number
  static IntOperand constant(int64_t v) { return {false, v}; }
  static IntOperand slot(int64_t s) { return {true, s}; }
  friend bool operator==(const IntOperand&, const IntOperand&) = default;
};

/// sum of variable * coefficient + sum of SSA value (Int64) * coefficient + offset, in elements.
struct LoopIndex {
  struct Term {
    LoopVar variable;
    IntOperand coefficient;
    friend bool operator==(const Term&, const Term&) = default;
  };
  struct DynamicTerm {
    ValueId value;
    IntOperand coefficient;
    friend bool operator==(const DynamicTerm&, const DynamicTerm&) = default;
  };
  SmallVector<Term, 3> terms;
  SmallVector<DynamicTerm, 2> dynamic;
  IntOperand offset;
  friend bool operator==(const LoopIndex&, const LoopIndex&) = default;
};

enum class LoopMark : uint8_t {
  Parallel,       ///< over [begin1, end1) of the launch; outermost
  ParallelInner,  ///< over [begin0, end0) of the launch, as vectors: the loop of unit strides of a
                  ///< pointwise kernel, or the kept axis along which a column reduction runs
  Serial,         ///< [0, extent), one at a time
  Vector,         ///< [0, extent), as vectors with a masked tail; iterations are independent
};

enum class StatementKind : uint8_t {
  Constant,  ///< result = attributes.value
  Slot,      ///< result = ints[slot], as Int64, Float64 or Bool by dtype
  Index,     ///< result = index, as Int64
  Compute,   ///< result = primitive(arguments), an Elementwise row
  Load,      ///< result = buffer[index]; where `mask` (Bool) is false: not read, zero
  Store,     ///< buffer[index] = arguments[0]; where `mask` is false: not written. If `slot` is
             ///< not -1 and ints[slot] not 0, what is written will not be read soon: it may go past
             ///< the caches
  Loop,      ///< body, for each value of `variable`
  Reduce,    ///< result = the combination of body's `yield` over `variable`, in the fixed order
  Scan,  ///< result = the running value of a Scan row over the iterations of `variable`, that of
         ///< the serial loop around it
};

/// How a Reduce combines. Both are the definition of ir/interpreter.h, whole or in two kernels.
enum class ReduceOrder : uint8_t {
  Blocks,  ///< blocks of 1,024 with 32 lanes, then the tree
  Tree,    ///< each element is a block's result: the tree alone
};

struct Statement {
  StatementKind kind{};
  ValueId result = -1;
  DType dtype = DType::Float32;  ///< of the result; of the buffer's element for Store
  const Primitive* primitive =
      nullptr;  ///< of Compute; of Reduce: the reduction (combine, identity)
  Attributes attributes;
  SmallVector<ValueId, 3> arguments;
  int slot = -1;  ///< of Slot and Store
  int buffer = -1;
  LoopIndex index;
  ValueId mask = -1;
  // Loop and Reduce; `variable`: Scan, too
  LoopMark mark =
      LoopMark::Serial;  ///< Reduce: Vector (lanes are elements of the reduced axis) or
                         ///< Serial (each vector lane of the enclosing loop has its own)
  LoopVar variable = -1;
  IntOperand extent;
  ValueId extent_value = -1;  ///< if set, an Int64 SSA value that is the extent
  ReduceOrder order = ReduceOrder::Blocks;
  /// Variables that are the digits of digits_from + variable, the most significant one first; it
  /// takes what the others' extents leave.
  struct Digit {
    LoopVar variable;
    IntOperand extent;
    friend bool operator==(const Digit&, const Digit&) = default;
  };
  SmallVector<Digit, 3> digits;
  ValueId digits_from = -1;  ///< Int64, or -1 for 0
  std::vector<Statement> body;
  ValueId yield = -1;  ///< of Reduce
};

struct BufferInfo {
  DType dtype = DType::Float32;
  bool is_output = false;
  friend bool operator==(const BufferInfo&, const BufferInfo&) = default;
};

struct LoopProgram {
  std::vector<BufferInfo> buffers;
  int slot_count = 0;   ///< length of `ints`
  int value_count = 0;  ///< SSA values
  int variable_count = 0;
  std::vector<Statement> body;

  std::string text() const;
  /// Hash of all fields.
  Hash128 hash() const;
};

/// Reads the text form; ValueError with line and column for anything else.
LoopProgram parse_loop_program(std::string_view text);

/// Checks scoping, dtypes, marks and ranges; InternalError quoting the statement.
void verify(const LoopProgram& program);

/// Runs the program one scalar at a time, with the KernelFunction's arguments: the definition of
/// its meaning. Loads and stores go straight to `buffers`.
void interpret(const LoopProgram& program, void* const* buffers, const int64_t* ints,
               int64_t begin1, int64_t end1, int64_t begin0, int64_t end0);

}  // namespace flambeau::ir
