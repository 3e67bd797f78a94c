// How launches are cut up.

#include "runtime/launch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/tensor_info.h"
#include "ir/text.h"
#include "lower/plan.h"
#include "runtime/bound_launch.h"
#include "runtime/cpu_topology.h"

namespace flambeau::testing {
namespace {

constexpr const char* kAddChannels = R"(program(p0: f32[s0.0, s0.1, s0.2], p1: f32[s0.1]) {
  %0 = parameter : f32[s0.0, s0.1, s0.2]
  %1 = parameter {index=1} : f32[s0.1]
  %2 = broadcast %1 {axes=[1], dims=[s0.0, s0.1, s0.2]} : f32[s0.0, s0.1, s0.2]
  %3 = add %0, %2 : f32[s0.0, s0.1, s0.2]
  return %3
}
)";

/// x + b, with b along the middle axis of x.
class AddChannels {
 public:
  /// The only launch for these sizes and strides of x.
  BoundLaunch bind(const Ints& sizes, const Ints& strides) const {
    const Ints channel = {1};
    const Ints result = {sizes[1] * sizes[2], sizes[2], 1};
    SmallVector<const int64_t*, 4> operands;
    for (const int value : launch_.kernel().buffer_values) {
      const int parameter = plan_.values[static_cast<size_t>(value)].parameter;
      operands.push_back((parameter == 0 ? strides : parameter == 1 ? channel : result).data());
    }
    const SmallVector<const int64_t*, 2> parameters = {sizes.data(), &sizes[1]};
    const ir::DimBindings bindings{.sizes = parameters.data()};
    BoundLaunches bound = launch_.bind({operands.data(), operands.size()}, bindings);
    return std::move(bound.launches[0]);
  }
  BoundLaunch bind(const Ints& sizes) const { return bind(sizes, contiguous_strides(sizes)); }

 private:
  const lower::Plan plan_ = lower::make_plan(ir::parse_program(kAddChannels));
  const LaunchTemplate launch_{std::get<lower::KernelStep>(plan_.steps.at(0)).kernel};
};

BoundLaunch add_channels(const Ints& sizes, const Ints& strides) {
  return AddChannels().bind(sizes, strides);
}

/// Elements of the largest share of so many threads, if each gets as many chunks.
int64_t largest_share(const BoundLaunch& launch, int64_t threads) {
  const int64_t chunks = (launch.chunks() + threads - 1) / threads;
  return chunks * std::min(launch.row_step, launch.rows) * launch.column_step *
         launch.walks_together;
}

TEST(Launch, ThreadsGetEqualSharesOfAFewLongWalks) {
  const BoundLaunch launch = add_channels({64, 3, 1024}, {3072, 1024, 1});
  const int64_t elements = int64_t{64} * 3 * 1024;
  EXPECT_EQ(launch.walk_count * launch.rows * launch.columns, elements);
  EXPECT_LE(largest_share(launch, 2), elements / 2 * 5 / 4);
  EXPECT_LE(largest_share(launch, 4), elements / 4 * 5 / 4);
}

TEST(Launch, WalksMemoryInOrder) {
  const BoundLaunch launch = add_channels({64, 3, 1024}, {3072, 1024, 1});
  EXPECT_EQ(launch.columns, 1024);
  EXPECT_EQ(launch.rows, 3);
  ASSERT_EQ(launch.walks.size(), 1U);
  EXPECT_EQ(launch.walks[0].extent, 64);
  // Rows that do too little for a call of the kernel each give way to the longest loop.
  EXPECT_EQ(add_channels({512, 3, 32}, {96, 32, 1}).rows, 512);
}

TEST(Launch, TransposedOperandsAreWalkedInTiles) {
  const BoundLaunch launch = add_channels({256, 64, 1024}, {65536, 1, 64});
  EXPECT_TRUE(launch.tiled);
  EXPECT_EQ(launch.rows, 64);
  EXPECT_EQ(launch.row_step % BoundLaunch::kTile, 0);
}

TEST(Launch, WhatIsLargerThanTheCachesGoesPastThem) {
  const BoundLaunch small = add_channels({64, 3, 1024}, {3072, 1024, 1});
  EXPECT_EQ(small.past_caches, -1);
  const int64_t rows = last_cache_bytes() / (1024 * 4 * 2) + 1;
  const BoundLaunch large = add_channels({rows, 1, 1024}, {1024, 1024, 1});
  ASSERT_GE(large.past_caches, 0);
  const auto past_caches = [&](std::vector<void*> places) {
    std::vector<int64_t> slots(large.slots.begin(), large.slots.end());
    large.fill_slots({}, places.data(), slots.data());
    return slots[static_cast<size_t>(large.past_caches)];
  };
  char memory[3];
  EXPECT_EQ(past_caches({memory, memory + 1, memory + 2}), 1);
  // In place: what is written has just been read.
  EXPECT_EQ(past_caches({memory, memory + 1, memory}), 0);
}

TEST(Launch, ShortRowsHaveKernelsOfTheirLength) {
  const AddChannels launch;
  const auto of_22 = launch.bind({512, 3, 22}).function;
  EXPECT_NE(of_22, launch.bind({512, 3, 17}).function);
  EXPECT_EQ(of_22, launch.bind({300, 5, 22}).function);
}

TEST(Launch, OneKernelServesRowsOfAnyLengthWhereSizesVary) {
  const AddChannels launch;
  const SizesVary here;
  const auto of_22 = launch.bind({512, 3, 22}).function;
  const auto of_all = launch.bind({512, 3, 17}).function;
  EXPECT_NE(of_22, of_all);
  EXPECT_EQ(of_22, launch.bind({512, 3, 22}).function);
  for (const int64_t length : {9, 30, 31, 1000})
    EXPECT_EQ(of_all, launch.bind({512, 3, length}).function) << length;
}

}  // namespace
}  // namespace flambeau::testing
