// Forward mode in C++. What PyTorch gives is compared from Python
// (tests/python/autograd/forward.py).

#include "autograd/forward.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "flambeau/flambeau.h"

namespace flambeau {
namespace {

using testing::ElementsAre;

Tensor tensor(std::initializer_list<float> numbers) {
  Tensor result = Tensor::empty({static_cast<int64_t>(numbers.size())});
  std::copy(numbers.begin(), numbers.end(), result.data<float>());
  return result;
}
std::vector<float> values(const Tensor& tensor) {
  return {tensor.data<float>(), tensor.data<float>() + tensor.numel()};
}

class ForwardTest : public testing::Test {
 public:
  ForwardTest() { enter_dual_level(); }
  ~ForwardTest() override { exit_dual_level(); }
};

TEST_F(ForwardTest, CallsCarryTangents) {
  const Tensor x = make_dual(tensor({1, 2}), tensor({1, 10}));
  EXPECT_THAT(values(tangent(mul(x, x))), ElementsAre(2, 40));
  EXPECT_THAT(values(tangent(mul(x, tensor({3, 3})))), ElementsAre(3, 30));
  EXPECT_FALSE(tangent(gt(x, 0)).defined());
  const NoTangentsGuard guard;
  EXPECT_FALSE(tangent(mul(x, x)).defined());
}

TEST_F(ForwardTest, WritesOfAViewReachItsBase) {
  const Tensor base = mul(make_dual(tensor({1, 2, 3}), tensor({1, 1, 1})), 1);
  const Tensor view = narrow(base, 0, 1, 2);
  mul_(view, 5);
  EXPECT_THAT(values(tangent(base)), ElementsAre(1, 5, 5));
  mul_(base, 2);
  EXPECT_THAT(values(tangent(view)), ElementsAre(10, 10));
}

TEST_F(ForwardTest, OneLevelAtATime) { EXPECT_THROW(enter_dual_level(), RuntimeError); }

TEST(Forward, TangentsEndWithTheirLevel) {
  enter_dual_level();
  const Tensor x = make_dual(tensor({1}), tensor({1}));
  exit_dual_level();
  EXPECT_FALSE(tangent(x).defined());
  EXPECT_THROW(make_dual(tensor({1}), tensor({1})), RuntimeError);
  enter_dual_level();
  EXPECT_FALSE(tangent(x).defined());
  exit_dual_level();
}

}  // namespace
}  // namespace flambeau
