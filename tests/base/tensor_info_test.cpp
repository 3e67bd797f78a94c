#include "base/tensor_info.h"

#include <gtest/gtest.h>

namespace flambeau {
namespace {

TensorInfo tensor(Ints sizes, Ints strides) {
  return {.dtype = DType::Float32, .sizes = std::move(sizes), .strides = std::move(strides)};
}

TEST(TensorInfo, ContiguousStridesArePyTorchs) {
  EXPECT_EQ(contiguous_strides({}), Ints{});
  EXPECT_EQ(contiguous_strides({4}), Ints{1});
  EXPECT_EQ(contiguous_strides({2, 3, 4}), (Ints{12, 4, 1}));
  EXPECT_EQ(contiguous_strides({2, 0, 4}), (Ints{4, 4, 1}));
}

TEST(TensorInfo, ContiguousIsPyTorchs) {
  EXPECT_TRUE(tensor({}, {}).is_contiguous());
  EXPECT_TRUE(tensor({2, 3}, {3, 1}).is_contiguous());
  EXPECT_FALSE(tensor({2, 3}, {1, 2}).is_contiguous());
  EXPECT_FALSE(tensor({2, 3}, {4, 1}).is_contiguous());
  EXPECT_FALSE(tensor({2, 3}, {0, 1}).is_contiguous());
  EXPECT_TRUE(tensor({1, 3}, {99, 1}).is_contiguous());
  EXPECT_TRUE(tensor({3, 1}, {1, 7}).is_contiguous());
  EXPECT_TRUE(tensor({2, 0}, {5, 5}).is_contiguous());
  EXPECT_TRUE(tensor({0, 2, 3}, {1, 1, 1}).is_contiguous());
}

TEST(TensorInfo, CountsElements) {
  EXPECT_EQ(tensor({}, {}).numel(), 1);
  EXPECT_EQ(tensor({2, 3}, {3, 1}).numel(), 6);
  EXPECT_EQ(tensor({2, 0}, {1, 1}).numel(), 0);
  EXPECT_EQ(tensor({2, 0}, {1, 1}).dim(), 2);
}

}  // namespace
}  // namespace flambeau
