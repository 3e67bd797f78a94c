// Saved values that give their memory back: nobody can tell.

#include "autograd/recompute.h"

#include <gtest/gtest.h>

#include <cstring>
#include <thread>

#include "autograd/engine.h"
#include "autograd/grad_mode.h"
#include "flambeau/flambeau.h"
#include "runtime/allocator.h"

namespace flambeau {
namespace {

constexpr int64_t kSide = 512;  // of matrices of 1 MiB

Tensor leaf(double shift = 0) {
  Tensor tensor = add(div(reshape(arange(kSide * kSide), {kSide, kSide}), 1e5), shift);
  tensor->requires_grad = true;
  return tensor;
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.sizes() == b.sizes() &&
         std::memcmp(a.readable_data_ptr(), b.readable_data_ptr(), a->storage->bytes()) == 0;
}

Tensor gradient(const Tensor& output, const Tensor& input) {
  const Tensor one = ones_like(output);
  return run_backward({&output, 1}, {&one, 1},
                      {.retain_graph = true, .inputs = {input}, .accumulate = false})[0];
}

/// gelu(x) * w, of which the tape alone holds gelu(x), whose storage is `hidden`.
struct Network {
  Tensor x = leaf(-1);
  Tensor w = leaf();
  Tensor input = mul(x, 1.5);
  Ref<Storage> hidden;
  Tensor output;

  Network() {
    {
      const Tensor h = gelu(input);
      output = mul(h, w);
      // Held: nobody knows of this reference.
      hidden = h->storage;
    }
  }
};

/// Calls after which values that were saved before are looked at again.
void look_again() {
  const Tensor other = leaf();
  static_cast<void>(mul(gelu(other), other));
}

/// Lets go of the hidden value's storage and has it looked at; it is still there as long as the
/// output is.
const Storage* let_go(Network& network) {
  const Storage* const storage = network.hidden.get();
  network.hidden = {};
  look_again();
  EXPECT_TRUE(!storage->is_derived() || storage->has_given_up_memory());
  return storage;
}

TEST(Recompute, OnlyTheTapeHoldsIt) {
  Network network;
  look_again();
  EXPECT_FALSE(network.hidden->has_given_up_memory());
  const size_t before = memory_stats().allocated_bytes;
  const Storage* const hidden = let_go(network);
  EXPECT_TRUE(hidden->has_given_up_memory());
  EXPECT_LT(memory_stats().allocated_bytes, before);
}

TEST(Recompute, TheSameBits) {
  Network held;
  Network network;
  let_go(network);
  EXPECT_TRUE(same_bits(gradient(network.output, network.w), gradient(held.output, held.w)));
  EXPECT_TRUE(same_bits(gradient(network.output, network.x), gradient(held.output, held.x)));
}

TEST(Recompute, WritesOfWhatItIsComputedFromComeAfter) {
  Network held;
  const Tensor expected = gradient(held.output, held.w);
  Network network;
  const Storage* const hidden = let_go(network);
  {
    const GradModeGuard no_grad(false);
    mul_(network.input, 2);
  }
  EXPECT_FALSE(hidden->has_given_up_memory());
  EXPECT_TRUE(same_bits(gradient(network.output, network.w), expected));
  EXPECT_THROW(gradient(network.output, network.x), RuntimeError);
  look_again();
  EXPECT_FALSE(hidden->is_derived());
}

TEST(Recompute, WritesThatNobodyCountsComeAfter) {
  Network held;
  const Tensor expected = gradient(held.output, held.w);
  Network network;
  let_go(network);
  *network.input.variable_data().data<float>() = 100;
  EXPECT_TRUE(same_bits(gradient(network.output, network.w), expected));
}

TEST(Recompute, AWrittenValueIsNotComputedAgain) {
  Network network;
  *static_cast<float*>(network.hidden->data()) = 100;
  const Storage* const hidden = let_go(network);
  EXPECT_FALSE(hidden->has_given_up_memory());
  EXPECT_EQ(*gradient(network.output, network.w).data<float>(), 100);
}

TEST(Recompute, OutlivesTheGraphBehindIt) {
  Network held;
  const Tensor expected = gradient(held.output, held.w);
  Network network;
  let_go(network);
  network.x = Tensor();
  network.input = Tensor();
  EXPECT_TRUE(same_bits(gradient(network.output, network.w), expected));
}

TEST(Recompute, ChainsAreComputedFromTheirBeginning) {
  const Tensor x = leaf(-1);
  const Tensor w = leaf();
  const auto product = [&](bool keep) {
    const Tensor h = gelu(mul(x, 2));
    const Tensor square = mul(h, h);
    const Tensor result = matmul(square, w);
    return std::pair(result, keep ? TensorList{h, square} : TensorList{});
  };
  const auto held = product(true);
  const auto given_up = product(false);
  look_again();
  const size_t before = memory_stats().allocated_bytes;
  const Tensor expected = gradient(held.first, w);
  EXPECT_TRUE(same_bits(gradient(given_up.first, w), expected));
  EXPECT_GE(memory_stats().allocated_bytes, before + (2U << 20));
  EXPECT_TRUE(same_bits(gradient(given_up.first, x), gradient(held.first, x)));
}

TEST(Recompute, NormsToo) {
  const Tensor x = leaf();
  const Tensor weight = ones({kSide});
  const Tensor bias = full({kSide}, 0.5);
  weight->requires_grad = true;
  const Tensor w = leaf();
  const auto output = [&] { return mul(layer_norm(mul(x, 2), {kSide}, weight, bias), w); };
  const Tensor kept = output();
  const Tensor expected = gradient(kept, w);
  const Tensor given_up = output();
  look_again();
  fill_(bias, 3);  // is not saved by the norm
  EXPECT_TRUE(same_bits(gradient(given_up, w), expected));
}

TEST(Recompute, ProductsAndSmallValuesKeepTheirMemory) {
  const Tensor x = leaf();
  const Tensor product = matmul(x, x);
  EXPECT_FALSE(product->storage->is_derived());
  const Tensor small = gelu(narrow(x, 0, 0, 1));
  EXPECT_FALSE(small->storage->is_derived());
  EXPECT_TRUE(gelu(x)->storage->is_derived());
}

TEST(Recompute, ThreadsShareParameters) {
  const Tensor bias = full({kSide}, 0.5);
  const Tensor weight = ones({kSide});
  weight->requires_grad = true;
  Network held;
  const Tensor expected = gradient(held.output, held.w);
  const auto work = [&] {
    for (int i = 0; i < 5; ++i) {
      Network network;
      const Tensor normed = mul(layer_norm(network.input, {kSide}, weight, bias), network.w);
      let_go(network);
      EXPECT_TRUE(same_bits(gradient(network.output, network.w), expected));
      gradient(normed, network.w);
    }
  };
  std::thread other(work);
  work();
  other.join();
}

}  // namespace
}  // namespace flambeau
