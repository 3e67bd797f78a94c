#include "base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace flambeau {

std::string Hash128::text() const {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const uint64_t word : {high, low})
    for (int shift = 60; shift >= 0; shift -= 4) out += kDigits[(word >> shift) & 15];
  return out;
}

Hash128 hash_bytes(const void* data, size_t size) {
  const XXH128_hash_t h = XXH3_128bits(data, size);
  return {h.low64, h.high64};
}

}  // namespace flambeau
