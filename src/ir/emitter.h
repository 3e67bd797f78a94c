#pragma once
// The scalar machine. A primitive says what it computes by emitting a few core operations; the
// interpreter runs them (ir/array_emitter.h), code generation turns them into vector instructions.
// The same emission serves both, so there is one meaning, to the bit.

#include <cstdint>
#include <initializer_list>
#include <span>

#include "base/dtype.h"

namespace flambeau::ir {

/// The operations of the machine. Operands of one operation have one dtype (exceptions below); no
/// core operation is defined on Float16 and BFloat16 but Convert and Bitcast: halves are converted
/// to float32 on load. IEEE 754 throughout: round to nearest even, denormals kept, no contraction.
enum class CoreOp : uint8_t {
  Add,
  Sub,
  Mul,  // integers wrap; on Bool: or, xor, and
  Div,  // floats; integers truncate, and x/0 = 0, min/-1 = min
  Rem,  // C's remainder with the dividend's sign; integers: x%0 = 0
  Neg,
  Abs,
  Fma,  // floats: a*b+c, rounded once
  Sqrt,
  Floor,
  Ceil,
  Trunc,
  RoundEven,
  Min,
  Max,  // NaN if either operand is NaN; of zeros, -0 < +0
  And,
  Or,
  Xor,
  Not,  // integers bitwise, Bool logical
  Shl,
  ShiftRight,
  ShiftRightLogical,  // amount taken modulo the width
  Eq,
  Ne,
  Lt,
  Le,
  Gt,
  Ge,       // -> Bool; false on NaN but for Ne
  Select,   // (Bool, a, b)
  Convert,  // value-preserving where possible; float -> integer truncates, what int32 (int64 for
            // Int64, UInt8) does not hold is its lowest number, narrower ones are its low bits;
            // anything -> Bool is != 0; narrowing integers wrap; to halves: nearest even
  Bitcast,  // the same bits in a dtype of the same size
  MulHigh,  // the high half of the unsigned product of two Int32 or Int64 taken as unsigned
  Scale,    // floats; a * 2^b rounded once, for |a| in [2^-10, 2^10] and an integral b of at most
            // 3/2 of the largest exponent; NaN if a is, for any b
};

/// A value of the machine: one scalar to the primitive, an array or a vector to the backend.
struct Operand {
  uint32_t id = 0;
  DType dtype = DType::Float32;
};

/// What a backend implements. `dtype` is the result's; Convert and Bitcast change dtype, the
/// comparisons give Bool, everything else has the dtype of its operands.
class Emitter {
 public:
  virtual ~Emitter() = default;
  /// The constant `value`, rounded to `dtype`.
  virtual Operand constant(DType dtype, double value) = 0;
  /// The integer constant `value` (also Bool), or a float with exactly these bits.
  virtual Operand constant_bits(DType dtype, uint64_t bits) = 0;
  virtual Operand core(CoreOp op, DType dtype, std::span<const Operand> arguments) = 0;

  // Spellings for the authors of primitives.
  Operand op(CoreOp o, Operand a) { return core(o, a.dtype, std::initializer_list<Operand>{a}); }
  Operand op(CoreOp o, Operand a, Operand b) {
    return core(o, result_dtype(o, a.dtype), std::initializer_list<Operand>{a, b});
  }
  Operand fma(Operand a, Operand b, Operand c) {
    return core(CoreOp::Fma, a.dtype, std::initializer_list<Operand>{a, b, c});
  }
  Operand select(Operand condition, Operand a, Operand b) {
    return core(CoreOp::Select, a.dtype, std::initializer_list<Operand>{condition, a, b});
  }
  Operand convert(DType dtype, Operand a) {
    return a.dtype == dtype ? a : core(CoreOp::Convert, dtype, std::initializer_list<Operand>{a});
  }
  Operand bitcast(DType dtype, Operand a) {
    return core(CoreOp::Bitcast, dtype, std::initializer_list<Operand>{a});
  }
  /// The dtype of `op` applied to operands of `dtype`.
  static DType result_dtype(CoreOp op, DType dtype) {
    return op >= CoreOp::Eq && op <= CoreOp::Ge ? DType::Bool : dtype;
  }

 private:
  Operand core(CoreOp o, DType dtype, std::initializer_list<Operand> arguments) {
    return core(o, dtype, std::span<const Operand>(arguments.begin(), arguments.size()));
  }
};

/// "fma", "shift_right": the name in messages and dumps.
const char* name_of(CoreOp op);

}  // namespace flambeau::ir
