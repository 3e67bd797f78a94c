#include "base/bounded_cache.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <vector>

namespace flambeau {
namespace {

TEST(BoundedCache, TheLeastRecentlyUsedGoes) {
  BoundedCache<int, int> cache(3);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(cache.add(i, 10 * i), 10 * i);
  EXPECT_EQ(cache.find(0), 0);
  cache.add(3, 30);
  EXPECT_EQ(cache.find(1), std::nullopt);
  EXPECT_EQ(cache.find(0), 0);
  EXPECT_EQ(cache.find(2), 20);
  EXPECT_EQ(cache.values(), (std::vector<int>{20, 0, 30}));
}

TEST(BoundedCache, TheFirstValueOfAKeyStays) {
  BoundedCache<int, int> cache(2);
  EXPECT_EQ(cache.add(1, 5), 5);
  EXPECT_EQ(cache.add(1, 6), 5);
  EXPECT_EQ(cache.find(1), 5);
}

TEST(BoundedCache, AValueThatGoesMayUseTheCache) {
  struct User {
    BoundedCache<int, std::shared_ptr<User>>* cache;
    ~User() { cache->find(1); }
  };
  BoundedCache<int, std::shared_ptr<User>> cache(1);
  cache.add(1, std::make_shared<User>(&cache));
  cache.add(2, nullptr);
  EXPECT_EQ(cache.find(2), nullptr);
}

TEST(BoundedCache, SeveralThreads) {
  BoundedCache<int, int> cache(50);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&cache, t] {
      for (int i = 0; i < 2000; ++i) {
        const int key = (i * 7 + t) % 100;
        EXPECT_EQ(cache.add(key, key + 1), key + 1);
        if (const auto found = cache.find(key)) EXPECT_EQ(*found, key + 1);
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(cache.values().size(), 50U);
}

}  // namespace
}  // namespace flambeau
