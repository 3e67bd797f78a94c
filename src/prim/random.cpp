// The row of random bits.

#include "prim/row.h"

namespace flambeau::prim {
namespace {

/// A block of the stream of `key`, its first word in the upper half: Philox 2x32-7 (Salmon et al.,
/// "Parallel random numbers: as easy as 1, 2, 3", SC11; 7 rounds are crush-resistant), on 32-bit
/// words in Int64, where a product of two words is exact. The lower word of `key` is the
/// generator's key; the upper one chooses 2^32 of its 2^64 counters.
Value philox_block(const Value& key, const Value& number_of_block) {
  const auto number = [&](uint64_t value) { return key.bits(DType::Int64, value); };
  const Value mask = number(0xffffffff);
  const Value word_bits = number(32);
  // What is above a word in c0 and c1 is never looked at.
  Value c0 = number_of_block;
  Value c1 = (number_of_block ^ key) >> word_bits;
  for (uint64_t round = 0;; ++round) {
    const Value product = (c0 & mask) * number(0xd256d193);
    const Value other = (key + number(round * 0x9e3779b9)) ^ c1;
    if (round == 6) return product ^ (other << word_bits);
    c0 = (product >> word_bits) ^ other;
    c1 = product;
  }
}

Value philox_value(const Value& key, const Value& place) {
  const auto number = [&](uint64_t value) { return key.bits(DType::Int64, value); };
  const Value block = philox_block(key, place >> number(2));
  const Value turn = (place & number(3)) << number(4);
  const Value turned = (block << turn) | (block >> (number(64) - turn));
  return (turned >> number(32)).convert(DType::Int32);
}

const RegisterPrimitive kPhilox{{
    .name = "philox",
    .cls = PrimitiveClass::Elementwise,
    .arity = 2,
    .doc =
        "32 random bits, as an Int32, at `place` (operand 1) of the Philox 2x32-7 stream of `key` "
        "(operand 0); both Int64, taken as unsigned. A block of 64 bits serves four places, each "
        "with the upper half of the block turned left by 16 bits more: the upper 16 bits are a "
        "place's own, the lower ones are its neighbour's.",
    .infer =
        [](std::span<const Type> arguments, const Attributes&) {
          const Type type = common_type("philox", arguments, Operands::Integers);
          check<InternalError>(type.dtype == DType::Int64, [&] {
            return concat("philox: operands of dtype ", info(type.dtype).name, "; wanted int64");
          });
          return Type{DType::Int32, type.shape};
        },
    .emit = emit_binary<philox_value>,
    .emit_block = emit_binary<philox_block>,
}};

}  // namespace
}  // namespace flambeau::prim
