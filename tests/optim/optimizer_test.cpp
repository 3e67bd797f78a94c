#include "optim/optimizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>

#include "autograd/node.h"
#include "base/error.h"
#include "nn/init.h"
#include "optim/lr_scheduler.h"

namespace flambeau::optim {
namespace {

using testing::FloatNear;
using testing::HasSubstr;
using testing::Pointwise;

Tensor tensor(const std::vector<float>& numbers) {
  const Tensor result = Tensor::empty({static_cast<int64_t>(numbers.size())});
  std::copy(numbers.begin(), numbers.end(), result.data<float>());
  return result;
}

/// Five steps on p = [1, -2, 3], q = [0.5] with the gradients of
/// (i + 1) / 3 * sum(p^2) + q * p[0].
std::vector<float> trajectory(
    const std::function<std::unique_ptr<Optimizer>(const TensorList&)>& make) {
  const Tensor p = tensor({1, -2, 3});
  const Tensor q = tensor({0.5});
  const std::unique_ptr<Optimizer> optimizer = make({p, q});
  for (int i = 0; i < 5; ++i) {
    const float* x = p.data<float>();
    const float factor = 2 * static_cast<float>(i + 1) / 3;
    set_grad(p, tensor({factor * x[0] + q.data<float>()[0], factor * x[1], factor * x[2]}));
    set_grad(q, tensor({x[0]}));
    optimizer->step();
  }
  std::vector<float> result(p.data<float>(), p.data<float>() + 3);
  result.push_back(q.data<float>()[0]);
  return result;
}

// The numbers are PyTorch 2.7.1's.
TEST(Optimizers, TrajectoriesArePyTorchs) {
  EXPECT_THAT(
      trajectory([](const TensorList& parameters) {
        return std::make_unique<AdamW>(
            parameters, AdamWOptions{.lr = 0.1, .beta1 = 0.8, .beta2 = 0.9, .weight_decay = 0.2});
      }),
      Pointwise(FloatNear(2e-6F), {0.42199575901031494F, -1.33397376537323F, 2.2389612197875977F,
                                   -0.01717914640903473F}));
  EXPECT_THAT(
      trajectory([](const TensorList& parameters) {
        return std::make_unique<SGD>(parameters, SGDOptions{.lr = 0.1, .weight_decay = 0.1});
      }),
      Pointwise(FloatNear(2e-6F), {0.2189425379037857F, -0.5936232805252075F, 0.8904348611831665F,
                                   0.1368235945701599F}));
  EXPECT_THAT(trajectory([](const TensorList& parameters) {
                return std::make_unique<SGD>(
                    parameters, SGDOptions{.lr = 0.1, .momentum = 0.9, .dampening = 0.1});
              }),
              Pointwise(FloatNear(2e-6F), {-0.4124237596988678F, 0.5437793731689453F,
                                           -0.8156689405441284F, -0.3757126033306122F}));
  EXPECT_THAT(trajectory([](const TensorList& parameters) {
                return std::make_unique<SGD>(
                    parameters,
                    SGDOptions{.lr = 0.1, .momentum = 0.9, .weight_decay = 0.1, .nesterov = true});
              }),
              Pointwise(FloatNear(2e-6F), {-0.23995010554790497F, 0.6072404980659485F,
                                           -0.9108607769012451F, -0.40612512826919556F}));
}

TEST(Optimizers, StateComesBackToTheBit) {
  const auto step = [](Optimizer& optimizer, const Tensor& p) {
    set_grad(p, tensor({p.data<float>()[0] * 2, 1}));
    optimizer.step();
  };
  const Tensor p = tensor({1, 2});
  AdamW optimizer({p}, {.lr = 0.1});
  for (int i = 0; i < 3; ++i) step(optimizer, p);
  const Tensor q = tensor({p.data<float>()[0], p.data<float>()[1]});
  AdamW other({q}, {.lr = 0.1});
  other.load_state_dict(optimizer.state_dict());
  step(optimizer, p);
  step(other, q);
  EXPECT_EQ(p.data<float>()[0], q.data<float>()[0]);
  EXPECT_EQ(p.data<float>()[1], q.data<float>()[1]);
  // The options come too, and another optimiser's state is refused before anything changes.
  AdamW third({tensor({1, 1})}, {.lr = 5, .beta1 = 0.1});
  third.load_state_dict(optimizer.state_dict());
  EXPECT_EQ(third.lr, 0.1);
  EXPECT_EQ(third.state_dict()["param_groups"].list()[0]["betas"].list()[0].to_double(), 0.9);
  AdamW small({tensor({1})}, {});
  EXPECT_THROW(small.load_state_dict(optimizer.state_dict()), ValueError);
  SGD plain({tensor({1, 1})}, {.momentum = 0.9});
  EXPECT_THROW(plain.load_state_dict(optimizer.state_dict()), ValueError);
  EXPECT_THROW(third.load_state_dict(nn::State::Dict{}), ValueError);
}

TEST(Optimizers, MomentumComesBack) {
  const Tensor p = tensor({1, 2});
  SGD optimizer({p}, {.lr = 0.1, .momentum = 0.9});
  EXPECT_TRUE(optimizer.state_dict()["state"].dict().empty());
  set_grad(p, tensor({1, 3}));
  optimizer.step();
  const Tensor q = tensor({p.data<float>()[0], p.data<float>()[1]});
  SGD other({q}, {});
  other.load_state_dict(optimizer.state_dict());
  set_grad(q, tensor({1, 3}));
  optimizer.step();
  other.step();
  EXPECT_EQ(p.data<float>()[1], q.data<float>()[1]);
}

TEST(Optimizers, ParametersWithoutGradientsStay) {
  const Tensor p = tensor({1});
  const Tensor q = tensor({1});
  AdamW optimizer({p, q}, {.lr = 0.1, .weight_decay = 0});
  set_grad(q, tensor({1}));
  optimizer.step();
  EXPECT_EQ(p.data<float>()[0], 1);
  EXPECT_FLOAT_EQ(q.data<float>()[0], 0.9F);
  optimizer.zero_grad();
  EXPECT_FALSE(grad(q).defined());
}

TEST(Optimizers, RefuseBadOptions) {
  EXPECT_THROW(SGD({}, {}), ValueError);
  EXPECT_THROW(SGD({tensor({1})}, {.lr = -1}), ValueError);
  EXPECT_THROW(SGD({tensor({1})}, {.nesterov = true}), ValueError);
  EXPECT_THROW(AdamW({tensor({1})}, {.beta2 = 1}), ValueError);
}

TEST(Schedules, ComeBack) {
  SGD optimizer({tensor({1})}, {.lr = 2});
  const auto factor = [](int64_t t) { return 1.0 / static_cast<double>(t + 1); };
  LambdaLR lambda(optimizer, factor);
  lambda.step();
  lambda.step();
  SGD second({tensor({1})}, {.lr = 7});
  LambdaLR other(second, factor);
  other.load_state_dict(lambda.state_dict());
  EXPECT_EQ(second.lr, optimizer.lr);
  other.step();
  EXPECT_EQ(second.lr, 0.5);
}

TEST(Schedules, ArePyTorchs) {
  SGD optimizer({tensor({1})}, {.lr = 1});
  CosineAnnealingLR cosine(optimizer, 5, 0.1);
  for (const double expected : {1.0, 0.9140576474687263, 0.6890576474687263, 0.41094235253127365,
                                0.1859423525312737, 0.1, 0.18594235253127367}) {
    EXPECT_NEAR(optimizer.lr, expected, 1e-14);
    cosine.step();
  }
  SGD other({tensor({1})}, {.lr = 2});
  LambdaLR lambda(other, [](int64_t t) { return 1.0 / static_cast<double>(t + 1); });
  EXPECT_EQ(other.lr, 2);
  lambda.step();
  EXPECT_EQ(other.lr, 1);
  lambda.set_steps(3);
  EXPECT_EQ(other.lr, 0.5);
}

}  // namespace
}  // namespace flambeau::optim
