#pragma once
// The meaning of the core operations (emitter.h) on single values. A value of any dtype lives in a
// 64-bit container: integers and Bool as the int64 of that value (so Int8 -1 is all ones), floats
// as their bits with zeros above.

#include <cstdint>
#include <span>

#include "base/scalar.h"
#include "ir/emitter.h"

namespace flambeau::ir {

using Container = uint64_t;

/// A core operation at fixed dtypes; arguments that it does not have are ignored.
using CoreFunction = Container (*)(Container a, Container b, Container c);

/// `op` giving `result` from operands of `operand` (of Select: the dtype of its branches; only
/// Convert and Bitcast have two). InternalError naming both where the operation is not defined.
CoreFunction core_function(CoreOp op, DType result, DType operand);

/// The same for the operands of a call, whose number and dtypes are checked too.
CoreFunction checked_core_function(CoreOp op, DType result, std::span<const Operand> arguments);

/// How many operands `op` takes: 1, 2 or 3.
int core_arity(CoreOp op);

/// The container of the element at `address`, and back.
Container load_element(DType dtype, const void* address);
void store_element(DType dtype, void* address, Container value);

/// `value` rounded (floats: once, to nearest even; integers: as Convert from Float64) to `dtype`.
Container container_of(DType dtype, double value);
/// A Python number as an element of `dtype`.
Container container_of(DType dtype, const Scalar& value);
/// An integer taken modulo the width of `dtype`, or a float with these bits.
Container container_of_bits(DType dtype, uint64_t bits);
/// The number that a container holds.
double to_double(DType dtype, Container value);

/// `value` as `to`: the core operation Convert.
inline Container convert_element(DType to, DType from, Container value) {
  return to == from ? value : core_function(CoreOp::Convert, to, from)(value, 0, 0);
}

}  // namespace flambeau::ir
