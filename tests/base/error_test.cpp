#include "base/error.h"

#include <gtest/gtest.h>

#include <vector>

namespace flambeau {
namespace {

TEST(Error, TextIsBuiltOnlyOnFailure) {
  int built = 0;
  const auto message = [&] {
    ++built;
    return std::string("add: no");
  };
  check(true, message);
  EXPECT_EQ(built, 0);
  EXPECT_THROW(check<IndexError>(false, message), IndexError);
  EXPECT_EQ(built, 1);
}

TEST(Error, KindsAreApart) {
  EXPECT_THROW(check(false, [] { return "x"; }), RuntimeError);
  EXPECT_NO_THROW(require(true, "x"));
  try {
    require(false, "the axis is sorted");
    FAIL();
  } catch (const ValueError&) {
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "internal error: the axis is sorted (this is a bug in Flambeau; please report it "
                 "with the program that shows it)");
  }
}

TEST(Error, ListText) {
  EXPECT_EQ(list_text(std::vector<int>{}), "[]");
  EXPECT_EQ(list_text(std::vector<int>{1, -2, 3}), "[1, -2, 3]");
  EXPECT_EQ(concat("sum: dim ", 3, " of ", list_text(std::vector<int>{4})), "sum: dim 3 of [4]");
}

}  // namespace
}  // namespace flambeau
