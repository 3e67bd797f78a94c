#include "base/hash.h"

#include <gtest/gtest.h>

#include <string>
#include <unordered_set>

namespace flambeau {
namespace {

TEST(Hash, IsXxh3OfTheBytes) {
  // The published value for no bytes; files on disk depend on it.
  EXPECT_EQ(hash_bytes("", 0).text(), "99aa06d3014798d86001c324468d497f");
}

TEST(Hash, EveryBitCounts) {
  std::unordered_set<Hash128> seen;
  std::string bytes(64, '\0');
  seen.insert(hash_bytes(bytes.data(), bytes.size()));
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string changed = bytes;
    changed[bit / 8] = static_cast<char>(1U << (bit % 8));
    EXPECT_TRUE(seen.insert(hash_bytes(changed.data(), changed.size())).second) << bit;
  }
}

TEST(Hash, TextHasThirtyTwoDigitsHighHalfFirst) {
  EXPECT_EQ((Hash128{.low = 0xab, .high = 0x1}).text(), "000000000000000100000000000000ab");
}

TEST(Hasher, FieldsDoNotRunIntoEachOther) {
  const auto two = [](std::string_view a, std::string_view b) {
    return Hasher().add(a).add(b).finish();
  };
  EXPECT_NE(two("ab", "c"), two("a", "bc"));
  EXPECT_NE(two("", "a"), two("a", ""));
  EXPECT_NE(Hasher().finish(), Hasher().add("").finish());
  EXPECT_NE(Hasher().add(int32_t{1}).finish(), Hasher().add(int64_t{1}).finish());
}

TEST(Hasher, EqualFieldsGiveEqualHashes) {
  enum class Kind : uint8_t { A, B };
  const auto hash = [](Kind kind) {
    return Hasher().add(kind).add(1.5).add(true).add("name").add(Hash128{1, 2}).finish();
  };
  EXPECT_EQ(hash(Kind::A), hash(Kind::A));
  EXPECT_NE(hash(Kind::A), hash(Kind::B));
}

}  // namespace
}  // namespace flambeau
