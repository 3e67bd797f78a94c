// Several threads record and run backward at once: over graphs of their own, and over graphs that
// share leaves.

#include <gtest/gtest.h>

#include <barrier>
#include <cmath>
#include <thread>

#include "flambeau/flambeau.h"
#include "nn/clip_grad.h"
#include "optim/optimizer.h"

namespace flambeau {
namespace {

constexpr int kThreads = 4;

/// Runs `work(i)` on kThreads threads that begin together.
template <class Work>
void on_threads(const Work& work) {
  std::barrier start(kThreads);
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i)
    threads.emplace_back([&, i] {
      start.arrive_and_wait();
      work(i);
    });
  for (std::thread& thread : threads) thread.join();
}

/// Numbers that differ by `seed`.
Tensor wave(const Ints& sizes, int seed) {
  const Tensor result = Tensor::empty(sizes);
  for (int64_t i = 0; i < result.numel(); ++i)
    result.data<float>()[i] = 0.2F * std::sin(static_cast<float>(i * (seed + 1)));
  return result;
}

Tensor leaf(const Ints& sizes, int seed) {
  Tensor result = wave(sizes, seed);
  set_requires_grad(result, true);
  return result;
}

std::vector<float> train(int seed) {
  const Tensor w = leaf({24, 48}, seed);
  const Tensor v = leaf({48, 8}, seed + 1);
  const Tensor x = wave({16, 24}, seed + 2);
  optim::AdamW optimizer({w, v}, {.lr = 0.01});
  std::vector<float> losses;
  for (int step = 0; step < 8; ++step) {
    const Tensor y = softmax(matmul(gelu(matmul(x, w)), v), -1);
    const Tensor loss = mean(mul(y, log(y)));
    optimizer.zero_grad();
    run_backward({&loss, 1}, {});
    nn::clip_grad_norm_({w, v}, 1.0);
    optimizer.step();
    losses.push_back(loss.data<float>()[0]);
  }
  return losses;
}

TEST(AutogradThreads, TrainModelsOfTheirOwn) {
  std::vector<std::vector<float>> alone, together(kThreads);
  for (int i = 0; i < kThreads; ++i) alone.push_back(train(i));
  EXPECT_NE(alone[0], alone[1]);
  on_threads([&](int i) { together[static_cast<size_t>(i)] = train(i); });
  EXPECT_EQ(together, alone);
}

TEST(AutogradThreads, AccumulateIntoASharedLeaf) {
  constexpr int kRounds = 20;
  const Tensor shared = leaf({64}, 1);
  on_threads([&](int) {
    for (int round = 0; round < kRounds; ++round) {
      const Tensor loss = sum(mul(shared, 2.0));
      run_backward({&loss, 1}, {});
    }
  });
  const Tensor total = grad(shared);
  ASSERT_TRUE(total.defined());
  for (int64_t i = 0; i < total.numel(); ++i)
    EXPECT_EQ(total.data<float>()[i], 2.0F * kThreads * kRounds);
}

TEST(AutogradThreads, ReadOneGraphThatIsKept) {
  const Tensor x = leaf({32, 32}, 3);
  const Tensor y = sum(tanh(matmul(x, x)));
  const TensorList wanted =
      run_backward({&y, 1}, {}, {.retain_graph = true, .inputs = {x}, .accumulate = false});
  on_threads([&](int) {
    for (int round = 0; round < 10; ++round) {
      const TensorList got =
          run_backward({&y, 1}, {}, {.retain_graph = true, .inputs = {x}, .accumulate = false});
      ASSERT_TRUE(
          std::equal(got[0].data<float>(), got[0].data<float>() + 1024, wanted[0].data<float>()));
    }
  });
}

}  // namespace
}  // namespace flambeau
