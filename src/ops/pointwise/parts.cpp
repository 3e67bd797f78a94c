// A float as a fraction and a power of two.

#include "ops/functions.h"
#include "ops/registry.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

/// 2^n for whole n, also where it is no normal number: of two factors.
Expr scaled_by_power(const Expr& x, const Expr& n) {
  const Expr half = floor(n / 2.0);
  return x * exp2(half) * exp2(n - half);
}

const Register kFrexp({
    .schema = "frexp.Tensor(Tensor self) -> (Tensor mantissa, Tensor exponent)",
    .doc = "self = mantissa * 2^exponent with |mantissa| in [0.5, 1), exponent int32; 0, infinite "
           "and NaN elements are their own mantissa, with exponent 0.",
    .variants = {.out = true},
    .accepts = Accepts::Floats,
    .shape =
        [](const Call& call, ResultInfos& results) {
          const TensorInfo& self = call.tensor("self");
          results.push_back({self.dtype, self.sizes, {}});
          results.push_back({DType::Int32, self.sizes, {}});
        },
    .lower =
        [](Lowering& l) {
          const Expr x = l["self"];
          const bool single = x.dtype() == DType::Float32;
          const DType bits_dtype = single ? DType::Int32 : DType::Int64;
          const double mantissa_bits = single ? 23 : 52;
          const double bias = single ? 126 : 1022;
          const double exponent_mask = single ? 255 : 2047;
          // Numbers below the normal ones are brought among them first.
          const double lift = single ? 32 : 64;
          const Expr magnitude = abs(stop_gradient(x));
          const Expr small = lt(magnitude, single ? 0x1p-126 : 0x1p-1022);
          const Expr normal =
              select(small, scaled_by_power(magnitude, full_like(x, lift)), magnitude);
          const Expr bits = bitcast(normal, bits_dtype);
          const Expr field = logical_and(shift_right(bits, full_like(bits, mantissa_bits)),
                                         full_like(bits, exponent_mask));
          const Expr exponent =
              convert(field, x.dtype()) - bias - select(small, lift, full_like(x, 0.0));
          const Expr none = logical_or(eq(magnitude, 0.0), eq(field, exponent_mask));
          const Expr power = select(none, 0.0, exponent);
          l.result(scaled_by_power(x, -power));
          l.result(convert(power, DType::Int32));
        },
    .samples =
        [] {
          return SampleList{{{t({2, 3}, 0.6, 0.9)}}, {{special_values({17})}}, {{t({}, 1.1, 1.9)}}};
        },
});

}  // namespace
}  // namespace flambeau::ops
