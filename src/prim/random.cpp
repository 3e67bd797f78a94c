// The row of random bits.

#include "prim/row.h"

namespace flambeau::prim {
namespace {

/// Philox 2x32-7 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC11; 7 rounds are
/// crush-resistant), on 32-bit words in Int64, where a product of two words is exact. The lower
/// word of `key` is the generator's key; the upper one chooses 2^32 of its 2^64 counters.
Value philox_value(const Value& key, const Value& counter) {
  const auto number = [&](uint64_t value) { return key.bits(DType::Int64, value); };
  const Value mask = number(0xffffffff);
  const Value word_bits = number(32);
  // What is above a word in c0 and c1 is never looked at.
  Value c0 = counter;
  Value c1 = (counter ^ key) >> word_bits;
  for (uint64_t round = 0; round < 7; ++round) {
    const Value product = (c0 & mask) * number(0xd256d193);
    c0 = (product >> word_bits) ^ (key + number(round * 0x9e3779b9)) ^ c1;
    c1 = product;
  }
  return c1 & mask;  // the second word: its last round is but a product
}

const RegisterPrimitive kPhilox{{
    .name = "philox",
    .cls = PrimitiveClass::Elementwise,
    .arity = 2,
    .doc =
        "The second 32-bit word, as an Int64 in [0, 2^32), of block `counter` (operand 1) of the "
        "Philox 2x32-7 stream of `key` (operand 0); both Int64, taken as unsigned.",
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
