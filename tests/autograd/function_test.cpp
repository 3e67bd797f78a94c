// Functions with a backward of their own, in C++; nodes; and many threads on one graph.

#include "flambeau/autograd.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "flambeau/flambeau.h"

namespace flambeau {
namespace {

using autograd::AutogradContext;
using autograd::Function;
using testing::ElementsAre;
using testing::HasSubstr;

Tensor leaf(std::initializer_list<float> numbers) {
  const Tensor result = Tensor::empty({static_cast<int64_t>(numbers.size())});
  std::copy(numbers.begin(), numbers.end(), result.data<float>());
  set_requires_grad(result, true);
  return result;
}
std::vector<float> values(const Tensor& tensor) {
  return {tensor.data<float>(), tensor.data<float>() + tensor.numel()};
}
void backward(const Tensor& root, const BackwardOptions& options = {}) {
  run_backward({&root, 1}, {}, options);
}
template <class Action>
std::string message_of(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

struct Cube : Function<Cube> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x) {
    EXPECT_FALSE(grad_enabled());
    ctx->save_for_backward({x});
    return mul(x, mul(x, x));
  }
  static TensorList backward(AutogradContext* ctx, const TensorList& gradients) {
    const Tensor x = ctx->get_saved_variables()[0];
    return {mul(gradients[0], mul(mul(x, x), 3))};
  }
};

TEST(FunctionTest, BackwardIsTheUsers) {
  const Tensor x = leaf({1, 2});
  const Tensor y = Cube::apply(x);
  EXPECT_THAT(values(y), ElementsAre(1, 8));
  EXPECT_EQ(grad_fn(y)->name(), "CubeBackward");
  backward(sum(y));
  EXPECT_THAT(values(grad(x)), ElementsAre(3, 12));
}

TEST(FunctionTest, SecondDerivativeGoesThroughBackward) {
  const Tensor x = leaf({2});
  const Tensor y = Cube::apply(x);
  const Tensor g =
      run_backward({&y, 1}, {}, {.create_graph = true, .inputs = {x}, .accumulate = false})[0];
  backward(g);
  EXPECT_THAT(values(grad(x)), ElementsAre(12));
}

TEST(FunctionTest, WithoutGradModeNothingIsRecorded) {
  const Tensor x = leaf({2});
  const GradModeGuard no_grad(false);
  EXPECT_FALSE(requires_grad(Cube::apply(x)));
}

/// Several outputs, arguments that are no tensors, and what is told of them.
struct Several : Function<Several> {
  static TensorList forward(AutogradContext* ctx, const Tensor& x, double factor,
                            const Tensor& constant) {
    EXPECT_TRUE(ctx->needs_input_grad(0));
    EXPECT_FALSE(ctx->needs_input_grad(1));
    EXPECT_FALSE(ctx->needs_input_grad(2));
    ctx->saved_data["factor"] = factor;
    const Tensor scaled = mul(x, factor);
    const Tensor sign = gt(x, 0);
    const Tensor kept = add(x, constant);
    ctx->mark_non_differentiable({kept});
    return {scaled, sign, kept};
  }
  static TensorList backward(AutogradContext* ctx, const TensorList& gradients) {
    EXPECT_EQ(gradients.size(), 3);
    EXPECT_TRUE(gradients[2].defined());  // zeros
    const double factor = std::any_cast<double>(ctx->saved_data.at("factor"));
    return {mul(gradients[0], factor), Tensor(), Tensor()};
  }
};

TEST(FunctionTest, SeveralOutputsAndOtherArguments) {
  const Tensor x = leaf({1, -1});
  const TensorList outputs = Several::apply(x, 5.0, leaf({0, 0}).detach());
  EXPECT_TRUE(requires_grad(outputs[0]));
  EXPECT_FALSE(requires_grad(outputs[1]));
  EXPECT_FALSE(requires_grad(outputs[2]));
  backward(sum(outputs[0]));
  EXPECT_THAT(values(grad(x)), ElementsAre(5, 5));
}

struct InPlace : Function<InPlace> {
  static Tensor forward(AutogradContext* ctx, Tensor x) {
    mul_(x, 3);
    ctx->mark_dirty({x});
    return x;
  }
  static TensorList backward(AutogradContext* /*ctx*/, const TensorList& gradients) {
    return {mul(gradients[0], 3)};
  }
};

TEST(FunctionTest, WritesItsInputInPlace) {
  const Tensor x = leaf({1, 2, 3});
  const Tensor base = mul(x, 1);
  const Tensor part = narrow(base, 0, 1, 2);
  const Tensor y = InPlace::apply(part);
  EXPECT_TRUE(y.is_same(part));
  backward(sum(base));
  EXPECT_THAT(values(grad(x)), ElementsAre(1, 3, 3));
  EXPECT_THAT(message_of([&] { InPlace::apply(x); }),
              HasSubstr("InPlaceBackward: a leaf Variable that requires grad"));
}

struct Wrong : Function<Wrong> {
  static Tensor forward(AutogradContext* /*ctx*/, const Tensor& x, const Tensor& y) {
    return add(x, y);
  }
  static TensorList backward(AutogradContext* /*ctx*/, const TensorList& gradients) {
    return {gradients[0]};
  }
};

TEST(FunctionTest, ErrorsNameTheFunction) {
  EXPECT_EQ(message_of([] { backward(Wrong::apply(leaf({1}), leaf({2}))); }),
            "WrongBackward: returned an incorrect number of gradients (expected 2, got 1)");
  const Tensor y = Cube::apply(leaf({1}));
  backward(y);
  EXPECT_THAT(message_of([&] { backward(y); }), HasSubstr("a second time"));
  const Tensor x = mul(leaf({1}), 1);
  const Tensor z = Cube::apply(x);
  mul_(x, 2);
  EXPECT_THAT(message_of([&] { backward(z); }), HasSubstr("modified by an inplace operation"));
}

TEST(TapeTest, LongChainsAreFreedWithoutRecursion) {
  Tensor y = leaf({1});
  for (int i = 0; i < 100000; ++i) y = i % 2 == 0 ? Cube::apply(y) : mul(y, 1);
}

TEST(TapeTest, ManyThreadsShareLeavesAndGraphs) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 50;
  const Tensor w = leaf({1, 2, 3, 4});
  const Tensor shared = sum(Cube::apply(mul(w, 2)));
  std::vector<TensorList> results(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < kRounds; ++i) {
        // A graph of its own that ends in a leaf that all share, and one that all run.
        backward(sum(mul(w, t + 1)));
        results[static_cast<size_t>(t)] = run_backward(
            {&shared, 1}, {}, {.retain_graph = true, .inputs = {w}, .accumulate = false});
        const HookHandle remove = register_hook(w, [](const Tensor&) { return Tensor(); });
        remove();
        grad(w);
      }
    });
  for (std::thread& thread : threads) thread.join();
  for (const TensorList& result : results)
    EXPECT_THAT(values(result[0]), ElementsAre(24, 96, 216, 384));
  const float sum_of_factors = kRounds * (1 + 2 + 3 + 4);
  EXPECT_THAT(values(grad(w)), testing::Each(sum_of_factors));
}

TEST(TapeTest, ThreadsMayReleaseOneGraphAtOnce) {
  for (int round = 0; round < 50; ++round) {
    const Tensor w = leaf({1, 2});
    const Tensor y = sum(exp(Cube::apply(exp(w))));
    std::atomic<int> worked = 0;
    std::atomic<int> refused = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < 2; ++t)
      threads.emplace_back([&] {
        try {
          backward(y);
          ++worked;
        } catch (const RuntimeError&) {
          ++refused;  // The other thread has released it.
        }
      });
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(worked + refused, 2);
  }
}

TEST(TapeTest, ViewsOfOneBaseAreMadeAnewByManyThreads) {
  const Tensor w = leaf({1, 2, 3, 4});
  const Tensor base = mul(w, 1);
  const Tensor view = narrow(base, 0, 0, 2);
  mul_(base, 2);
  std::vector<std::thread> threads;
  std::vector<std::shared_ptr<Node>> nodes(4);
  for (std::shared_ptr<Node>& node : nodes)
    threads.emplace_back([&view, &node] { node = grad_fn(view); });
  for (std::thread& thread : threads) thread.join();
  for (const auto& node : nodes) EXPECT_EQ(node, nodes[0]);
}

}  // namespace
}  // namespace flambeau
