#pragma once
// Size classes of the allocator: multiples of 64 bytes up to 512, then four to a doubling, so that
// rounding up wastes at most a fifth.

#include <bit>
#include <cstddef>

namespace flambeau {

inline constexpr size_t kMaxClassBytes = size_t{1} << 20;
inline constexpr int kClassCount = 8 + 11 * 4;

/// The class of a block of `bytes`, 1 to kMaxClassBytes.
constexpr int class_of(size_t bytes) {
  const size_t last = bytes - 1;
  if (bytes <= 512) return static_cast<int>(last / 64);
  const int log2 = static_cast<int>(std::bit_width(last)) - 1;
  return 8 + (log2 - 9) * 4 + static_cast<int>((last >> (log2 - 2)) & 3);
}

/// Bytes of each block of a class.
constexpr size_t class_bytes(int size_class) {
  if (size_class < 8) return static_cast<size_t>(size_class + 1) * 64;
  const int step = size_class - 8;
  const size_t base = size_t{512} << (step / 4);
  return base + static_cast<size_t>(step % 4 + 1) * (base / 4);
}

}  // namespace flambeau
