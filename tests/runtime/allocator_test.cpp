#include "runtime/allocator.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "runtime/size_class.h"

namespace flambeau {
namespace {

TEST(SizeClass, EveryClassHoldsItsSizesAndWastesLittle) {
  int last = -1;
  for (size_t bytes = 1; bytes <= kMaxClassBytes; bytes += bytes < 5000 ? 1 : 61) {
    const int c = class_of(bytes);
    ASSERT_GE(c, last);
    ASSERT_LT(c, kClassCount);
    ASSERT_GE(class_bytes(c), bytes);
    if (bytes > 512) ASSERT_LE(class_bytes(c), bytes + bytes / 4);
    if (c > 0) ASSERT_LT(class_bytes(c - 1), bytes);
    ASSERT_EQ(class_bytes(c) % 64, 0U);
    last = c;
  }
  EXPECT_EQ(class_of(kMaxClassBytes), kClassCount - 1);
  EXPECT_EQ(class_bytes(kClassCount - 1), kMaxClassBytes);
}

TEST(Allocator, NothingForZeroBytes) {
  EXPECT_EQ(allocate(0), nullptr);
  deallocate(nullptr, 0);
}

/// Blocks with a pattern of their own, so that any overlap shows.
class Blocks {
 public:
  ~Blocks() {
    while (!blocks_.empty()) remove(0);
  }
  void add(size_t bytes, uint8_t mark) {
    auto* block = static_cast<uint8_t*>(allocate(bytes));
    ASSERT_EQ(reinterpret_cast<uintptr_t>(block) % kAllocationAlignment, 0U);
    std::memset(block, mark, bytes);
    blocks_.push_back({block, bytes, mark});
  }
  void remove(size_t index) {
    const Block b = blocks_[index];
    for (size_t i = 0; i < b.bytes; i += i < 256 ? 1 : 997) ASSERT_EQ(b.data[i], b.mark);
    ASSERT_EQ(b.data[b.bytes - 1], b.mark);
    deallocate(b.data, b.bytes);
    blocks_[index] = blocks_.back();
    blocks_.pop_back();
  }
  size_t size() const { return blocks_.size(); }

 private:
  struct Block {
    uint8_t* data;
    size_t bytes;
    uint8_t mark;
  };
  std::vector<Block> blocks_;
};

void random_traffic(unsigned seed, int steps) {
  std::mt19937 random(seed);
  Blocks blocks;
  for (int step = 0; step < steps; ++step) {
    if (blocks.size() < 100 && random() % 5 < 3) {
      const size_t limit = size_t{1} << (random() % 23);  // up to 4 MiB
      blocks.add(1 + random() % limit, static_cast<uint8_t>(random()));
    } else if (blocks.size() > 0) {
      blocks.remove(random() % blocks.size());
    }
    if (step % 1000 == 999) empty_cache();
  }
}

TEST(Allocator, BlocksNeverOverlap) { random_traffic(1, 5000); }

TEST(Allocator, ManyThreads) {
  const size_t before = memory_stats().allocated_bytes;
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 4; ++i) threads.emplace_back([i] { random_traffic(10 + i, 2000); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(memory_stats().allocated_bytes, before);
}

TEST(Allocator, AnotherThreadMayFree) {
  const size_t before = memory_stats().allocated_bytes;
  for (const size_t bytes : std::vector<size_t>{64, 1000, 20'000, 500'000, 3'000'000}) {
    std::vector<void*> blocks;
    for (int i = 0; i < 300 && bytes * static_cast<size_t>(i) < 30'000'000; ++i)
      blocks.push_back(allocate(bytes));
    std::thread([&] {
      for (void* block : blocks) deallocate(block, bytes);
    }).join();
  }
  EXPECT_EQ(memory_stats().allocated_bytes, before);
}

TEST(Allocator, AFreedBlockIsUsedAgain) {
  empty_cache();  // a list that other tests left full would give the block back
  for (const size_t bytes : std::vector<size_t>{1, 100, 5'000, 100'000, 2'000'000, 40'000'000}) {
    void* const first = allocate(bytes);
    deallocate(first, bytes);
    void* const second = allocate(bytes);
    EXPECT_EQ(first, second) << bytes;
    deallocate(second, bytes);
  }
}

TEST(Allocator, StatisticsCountRequestedBytes) {
  empty_cache();
  reset_peak_memory_stats();
  const MemoryStats before = memory_stats();
  EXPECT_EQ(before.peak_bytes, before.allocated_bytes);
  void* const small = allocate(1000);
  void* const large = allocate(50'000'000);
  const MemoryStats during = memory_stats();
  EXPECT_EQ(during.allocated_bytes, before.allocated_bytes + 50'001'000);
  EXPECT_GE(during.reserved_bytes, during.allocated_bytes);
  deallocate(small, 1000);
  deallocate(large, 50'000'000);
  const MemoryStats after = memory_stats();
  EXPECT_EQ(after.allocated_bytes, before.allocated_bytes);
  EXPECT_GE(after.peak_bytes, before.allocated_bytes + 50'000'000);
  EXPECT_LE(after.peak_bytes, before.allocated_bytes + 50'001'000);
}

TEST(Allocator, EmptyCacheGivesIdleMemoryBack) {
  empty_cache();
  const size_t before = memory_stats().reserved_bytes;
  std::vector<void*> blocks;
  for (int i = 0; i < 1000; ++i) blocks.push_back(allocate(10'000));
  for (int i = 0; i < 20; ++i) blocks.push_back(allocate(3'000'000));
  EXPECT_GE(memory_stats().reserved_bytes, memory_stats().allocated_bytes);
  EXPECT_GE(memory_stats().allocated_bytes, 60'000'000U);
  for (size_t i = 0; i < blocks.size(); ++i) deallocate(blocks[i], i < 1000 ? 10'000 : 3'000'000);
  empty_cache();
  EXPECT_LE(memory_stats().reserved_bytes, before);
}

TEST(Allocator, NeighboursMerge) {
  empty_cache();
  const size_t before = memory_stats().reserved_bytes;
  constexpr size_t kBytes = 1'600'000;
  for (int round = 0; round < 10; ++round) {
    std::vector<void*> blocks;
    for (int i = 0; i < 16; ++i) blocks.push_back(allocate(kBytes));
    // Every second one first, then the rest, so that both sides of a gap merge.
    for (size_t i = 0; i < 16; i += 2) deallocate(blocks[i], kBytes);
    for (size_t i = 1; i < 16; i += 2) deallocate(blocks[i], kBytes);
    void* const all = allocate(kBytes * 16);
    deallocate(all, kBytes * 16);
  }
  EXPECT_LE(memory_stats().reserved_bytes, before + (size_t{64} << 20));
}

TEST(Allocator, IdleMemoryIsBounded) {
  // Run in a child, where nothing else has been allocated at large.
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    empty_cache();
    // Each block is too large for what the ones before it left, none is touched.
    size_t bytes = size_t{64} << 20;
    for (; bytes < (size_t{192} << 20); bytes += size_t{8} << 20)
      deallocate(allocate(bytes), bytes);
    _exit(memory_stats().reserved_bytes <= bytes + bytes / 4 + (size_t{256} << 20) ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST(Allocator, AnImpossibleRequestSaysWhoAskedForHowMuch) {
  void* const block = allocate(100'000);
  try {
    allocate(size_t{1} << 50, "empty");
    FAIL() << "no exception";
  } catch (const RuntimeError& error) {
    const std::string text = error.what();
    EXPECT_EQ(text.rfind("empty: ", 0), 0U) << text;
    EXPECT_NE(text.find("1024.00 TiB"), std::string::npos) << text;
    EXPECT_NE(text.find("in use by tensors"), std::string::npos) << text;
  }
  deallocate(block, 100'000);
}

TEST(AllocatorDeathTest, ALimitOfTheSystemIsAnErrorAndCachedMemoryIsUsedFirst) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto run = [] {
    size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    const size_t bound = pages * 4096 + (size_t{1} << 30);
    const rlimit limit{bound, bound};
    setrlimit(RLIMIT_AS, &limit);
    // Fits only if what is idle is given back before the system is asked again.
    for (size_t i = 0; i < 8; ++i) {
      const size_t bytes = (size_t{400} << 20) + (i << 24);
      deallocate(allocate(bytes), bytes);
    }
    try {
      allocate(size_t{2} << 30, "zeros");
    } catch (const RuntimeError&) {
      void* const still_works = allocate(1 << 20);
      _exit(still_works != nullptr ? 0 : 2);
    }
    _exit(1);
  };
  EXPECT_EXIT(run(), testing::ExitedWithCode(0), "");
}

TEST(Allocator, ForkWhileOtherThreadsAllocate) {
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 2; ++i)
    threads.emplace_back([&, i] {
      for (unsigned seed = i; !stop.load(); seed += 2) random_traffic(seed, 200);
    });
  for (int round = 0; round < 10; ++round) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      alarm(20);
      random_traffic(99, 500);
      std::thread([] { random_traffic(98, 500); }).join();
      empty_cache();
      _exit(testing::Test::HasFailure() ? 1 : 0);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
}

struct FreesAtThreadEnd {
  void* block = nullptr;
  ~FreesAtThreadEnd() { deallocate(block, 128); }
};

TEST(Allocator, BlocksMayBeFreedWhileTheirThreadEnds) {
  const size_t before = memory_stats().allocated_bytes;
  for (int i = 0; i < 5; ++i)
    std::thread([] {
      thread_local FreesAtThreadEnd early;  // destroyed after the allocator's own
      early.block = nullptr;
      early.block = allocate(128);
    }).join();
  EXPECT_EQ(memory_stats().allocated_bytes, before);
}

}  // namespace
}  // namespace flambeau
