#pragma once
// 128-bit content hashes (XXH3). Identity of programs and kernels is the hash of every field.

#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace flambeau {

struct Hash128 {
  uint64_t low = 0;
  uint64_t high = 0;
  friend bool operator==(const Hash128&, const Hash128&) = default;
  /// 32 hexadecimal digits.
  std::string text() const;
};

/// Hash of `size` bytes.
Hash128 hash_bytes(const void* data, size_t size);

/// Collects the fields of an object and hashes them together. Fields of variable length are
/// prefixed by their length, so that different field lists never collide by concatenation.
class Hasher {
 public:
  template <class T>
    requires(std::is_arithmetic_v<T> || std::is_enum_v<T>)
  Hasher& add(T value) {
    const auto* bytes = reinterpret_cast<const char*>(&value);
    bytes_.insert(bytes_.end(), bytes, bytes + sizeof value);
    return *this;
  }
  Hasher& add(std::string_view text) {
    add(text.size());
    bytes_.insert(bytes_.end(), text.begin(), text.end());
    return *this;
  }
  Hasher& add(const Hash128& hash) { return add(hash.low).add(hash.high); }
  Hash128 finish() const { return hash_bytes(bytes_.data(), bytes_.size()); }

 private:
  std::vector<char> bytes_;
};

}  // namespace flambeau

template <>
struct std::hash<flambeau::Hash128> {
  size_t operator()(const flambeau::Hash128& h) const noexcept { return h.low; }
};
