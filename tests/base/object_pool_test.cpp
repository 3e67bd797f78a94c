#include "base/object_pool.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <thread>
#include <vector>

namespace flambeau {
namespace {

/// Blocks of many sizes, each filled with its number.
class Blocks {
 public:
  void take(size_t count) {
    for (size_t i = 0; i < count; ++i) {
      const size_t bytes = 1 + (i * 37) % 1500;
      void* const block = ObjectPool::take(bytes);
      std::memset(block, static_cast<int>(i % 251), bytes);
      blocks_.push_back({block, bytes});
    }
  }
  void check_and_give() {
    for (size_t i = 0; i < blocks_.size(); ++i) {
      const auto& [block, bytes] = blocks_[i];
      EXPECT_EQ(reinterpret_cast<uintptr_t>(block) % __STDCPP_DEFAULT_NEW_ALIGNMENT__, 0U);
      const auto* const begin = static_cast<const unsigned char*>(block);
      const std::vector<unsigned char> wanted(bytes, static_cast<unsigned char>(i % 251));
      EXPECT_EQ(std::memcmp(begin, wanted.data(), bytes), 0) << "block " << i;
      ObjectPool::give(block, bytes);
    }
    blocks_.clear();
  }

 private:
  struct Taken {
    void* block;
    size_t bytes;
  };
  std::vector<Taken> blocks_;
};

TEST(ObjectPool, BlocksAreApart) {
  Blocks blocks;
  for (const size_t count :
       std::vector<size_t>{1, 100, 5000, 300'000, 10}) {  // more than are kept, too
    blocks.take(count);
    blocks.check_and_give();
  }
}

TEST(ObjectPool, OtherThreadsGiveBlocksBack) {
  Blocks first;
  Blocks second;
  std::thread([&] { first.take(10'000); }).join();
  std::thread([&] {
    second.take(10'000);
    first.check_and_give();
    second.check_and_give();
    second.take(10'000);
  }).join();
  second.check_and_give();
}

/// Blocks come and go while a thread ends, before its pool is gone and behind that.
TEST(ObjectPool, ServesDestructorsOfThreads) {
  struct Late {
    Blocks blocks;
    ~Late() {
      blocks.check_and_give();
      blocks.take(1000);
      blocks.check_and_give();
    }
  };
  std::thread([] {
    static thread_local Late before;
    before.blocks.take(10);  // the pool is made behind it, and goes first
    static thread_local Late behind;
    behind.blocks.take(10);
  }).join();
}

TEST(ObjectPool, SharedPointersLieInIt) {
  std::vector<std::shared_ptr<const std::vector<int>>> lists;
  for (int i = 0; i < 100; ++i)
    lists.push_back(
        std::allocate_shared<const std::vector<int>>(PoolAllocator<std::vector<int>>(), 10, i));
  for (int i = 0; i < 100; ++i) EXPECT_EQ(lists[static_cast<size_t>(i)]->back(), i);
}

}  // namespace
}  // namespace flambeau
