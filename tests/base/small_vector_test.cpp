#include "base/small_vector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace flambeau {
namespace {

using testing::ElementsAre;
using Texts = SmallVector<std::string, 2>;

// Longer than what std::string keeps inside itself, so that the sanitizers see every leak.
const std::string kLong = "a text that needs memory of its own on the heap";

/// Counts live objects; the copy that makes `budget` negative throws.
struct Counted {
  static inline int live = 0;
  static inline int budget = 1000;
  int value;
  Counted(int v) : value(v) { ++live; }
  Counted(const Counted& other) : value(other.value) {
    if (--budget < 0) throw std::runtime_error("copy");
    ++live;
  }
  Counted(Counted&& other) noexcept : value(other.value) { ++live; }
  Counted& operator=(const Counted&) = default;
  ~Counted() { --live; }
};

TEST(SmallVector, GrowsFromInlineToHeap) {
  Ints v;
  EXPECT_TRUE(v.empty());
  for (int64_t i = 0; i < 100; ++i) {
    v.push_back(i);
    ASSERT_EQ(v.size(), static_cast<size_t>(i + 1));
    for (int64_t j = 0; j <= i; ++j) ASSERT_EQ(v[static_cast<size_t>(j)], j);
  }
  EXPECT_EQ(v.front(), 0);
  EXPECT_EQ(v.back(), 99);
}

TEST(SmallVector, CopiesAreApart) {
  for (const size_t count : {size_t{0}, size_t{1}, size_t{2}, size_t{7}}) {
    Texts original(count, kLong);
    Texts copy = original;
    EXPECT_EQ(copy, original);
    Texts assigned{"x", "y", "z"};
    assigned = original;
    EXPECT_EQ(assigned, original);
    if (count == 0) continue;
    copy[0] = "changed";
    EXPECT_EQ(original[0], kLong);
    EXPECT_FALSE(copy == original);
  }
}

TEST(SmallVector, MovesLeaveAnEmptyUsableVector) {
  for (const size_t from_count : {size_t{0}, size_t{2}, size_t{5}})
    for (const size_t to_count : {size_t{0}, size_t{2}, size_t{5}}) {
      Texts from(from_count, kLong);
      Texts to(to_count, "old");
      to = std::move(from);
      EXPECT_EQ(to, Texts(from_count, kLong));
      // NOLINTNEXTLINE(bugprone-use-after-move): this is what is tested
      EXPECT_TRUE(from.empty());
      from.push_back("again");
      EXPECT_THAT(from, ElementsAre("again"));
      const Texts constructed(std::move(to));
      EXPECT_EQ(constructed, Texts(from_count, kLong));
    }
}

TEST(SmallVector, MoveOfAHeapVectorKeepsTheElementsInPlace) {
  Texts from(5, kLong);
  const std::string* const address = from.data();
  const Texts to = std::move(from);
  EXPECT_EQ(to.data(), address);
}

TEST(SmallVector, SelfAssignmentChangesNothing) {
  for (const size_t count : {size_t{2}, size_t{5}}) {
    Texts v(count, kLong);
    Texts& alias = v;
    v = alias;
    EXPECT_EQ(v, Texts(count, kLong));
    v = std::move(alias);
    EXPECT_EQ(v, Texts(count, kLong));
  }
}

TEST(SmallVector, TakesItsOwnElementsAsArguments) {
  Texts v{kLong, "b"};
  v.push_back(v[0]);  // grows
  EXPECT_THAT(v, ElementsAre(kLong, "b", kLong));
  v.insert(0, v[1]);
  EXPECT_THAT(v, ElementsAre("b", kLong, "b", kLong));
  v.resize(9, v[1]);  // grows
  EXPECT_EQ(v.back(), kLong);
}

TEST(SmallVector, InsertAndEraseAtEveryPosition) {
  for (size_t position = 0; position <= 3; ++position) {
    std::vector<std::string> expected{"a", "b", "c"};
    Texts v(expected.begin(), expected.end());
    v.insert(position, kLong);
    expected.insert(expected.begin() + static_cast<std::ptrdiff_t>(position), kLong);
    EXPECT_TRUE(std::equal(v.begin(), v.end(), expected.begin(), expected.end()));
    v.erase(position);
    EXPECT_THAT(v, ElementsAre("a", "b", "c"));
  }
}

TEST(SmallVector, ResizeFillsAndDestroys) {
  {
    SmallVector<Counted, 2> v;
    v.resize(5, Counted(7));
    EXPECT_EQ(Counted::live, 5);
    EXPECT_EQ(v.back().value, 7);
    v.resize(1, Counted(0));
    EXPECT_EQ(Counted::live, 1);
    v.clear();
    EXPECT_EQ(Counted::live, 0);
    v.push_back(3);
  }
  EXPECT_EQ(Counted::live, 0);
}

TEST(SmallVector, ThrowingCopyLeaksNothing) {
  const SmallVector<Counted, 2> original(6, Counted(1));
  const int before = Counted::live;
  Counted::budget = 4;
  using Vector = SmallVector<Counted, 2>;
  EXPECT_THROW(Vector{original}, std::runtime_error);
  EXPECT_EQ(Counted::live, before);
  Counted::budget = 1000;
}

TEST(SmallVector, HoldsTypesThatOnlyMove) {
  SmallVector<std::unique_ptr<int>, 1> v;
  for (int i = 0; i < 4; ++i) v.push_back(std::make_unique<int>(i));
  v.erase(1);
  SmallVector<std::unique_ptr<int>, 1> moved = std::move(v);
  ASSERT_EQ(moved.size(), 3U);
  EXPECT_EQ(*moved[0] * 100 + *moved[1] * 10 + *moved[2], 23);
}

TEST(SmallVector, ConvertsToASpan) {
  const Ints v{1, 2, 3};
  const std::span<const int64_t> span = v;
  EXPECT_THAT(span, ElementsAre(1, 2, 3));
  EXPECT_EQ(Ints(span.subspan(1)), (Ints{2, 3}));
}

}  // namespace
}  // namespace flambeau
