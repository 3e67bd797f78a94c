// The row of random bits.

#include "prim/row.h"

namespace flambeau::prim {
namespace {

/// Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC11), on 32-bit
/// words in Int64, where a product of two words is exact.
Value philox_value(const Value& key, const Value& counter) {
  const auto number = [&](uint64_t value) { return key.bits(DType::Int64, value); };
  const Value mask = number(0xffffffff);
  const Value word_bits = number(32);
  Value c0 = counter & mask;
  Value c1 = counter >> word_bits;
  Value c2 = number(0);
  Value c3 = number(0);
  Value k0 = key & mask;
  Value k1 = key >> word_bits;
  for (int round = 0; round < 10; ++round) {
    if (round > 0) {
      k0 = (k0 + number(0x9e3779b9)) & mask;
      k1 = (k1 + number(0xbb67ae85)) & mask;
    }
    const Value product0 = c0 * number(0xd2511f53);
    const Value product1 = c2 * number(0xcd9e8d57);
    c0 = (product1 >> word_bits) ^ c1 ^ k0;
    c2 = (product0 >> word_bits) ^ c3 ^ k1;
    c1 = product1 & mask;
    c3 = product0 & mask;
  }
  return c0;
}

const RegisterPrimitive kPhilox{{
    .name = "philox",
    .cls = PrimitiveClass::Elementwise,
    .arity = 2,
    .doc = "The first 32-bit word, as an Int64 in [0, 2^32), of block `counter` (operand 1) of the "
           "Philox 4x32-10 stream of `key` (operand 0); both Int64, taken as unsigned.",
    .infer =
        [](std::span<const Type> arguments, const Attributes&) {
          const Type type = common_type("philox", arguments, Operands::Integers);
          check<InternalError>(type.dtype == DType::Int64, [&] {
            return concat("philox: operands of dtype ", info(type.dtype).name, "; wanted int64");
          });
          return type;
        },
    .emit = emit_binary<philox_value>,
}};

}  // namespace
}  // namespace flambeau::prim
