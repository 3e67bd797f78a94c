#include "compile/arena.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace flambeau::compiler {
namespace {

TEST(Arena, GivesRoomAgainAndJoinsNeighbours) {
  Arena arena;
  const size_t a = arena.take(100);  // 128
  const size_t b = arena.take(64);
  const size_t c = arena.take(1);
  EXPECT_EQ(a, 0U);
  EXPECT_EQ(b, 128U);
  EXPECT_EQ(c, 192U);
  EXPECT_EQ(arena.size(), 256U);
  arena.give(a, 100);
  EXPECT_EQ(arena.take(60), 0U);  // the first half of it
  arena.give(b, 64);
  EXPECT_EQ(arena.take(128), 64U);  // the second half, and what b was
  EXPECT_EQ(arena.size(), 256U);
}

TEST(Arena, TakesTheSmallestRoomThatFits) {
  Arena arena;
  const size_t large = arena.take(640);
  arena.take(64);
  const size_t small = arena.take(128);
  arena.take(64);
  arena.give(large, 640);
  arena.give(small, 128);
  EXPECT_EQ(arena.take(128), small);
}

TEST(Arena, LastRoomGrows) {
  Arena arena;
  arena.take(64);
  const size_t last = arena.take(64);
  arena.give(last, 64);
  EXPECT_EQ(arena.take(256), last);
  EXPECT_EQ(arena.size(), 320U);
}

TEST(Arena, ValuesOfNoBytesAreApart) {
  Arena arena;
  EXPECT_NE(arena.take(0), arena.take(0));
}

TEST(Arena, WhatLivesTogetherIsApart) {
  struct Value {
    size_t offset, bytes;
  };
  std::mt19937 random(7);
  for (int round = 0; round < 50; ++round) {
    Arena arena;
    std::vector<Value> live;
    for (int step = 0; step < 300; ++step) {
      if (!live.empty() && random() % 2 == 0) {
        const size_t i = random() % live.size();
        arena.give(live[i].offset, live[i].bytes);
        live[i] = live.back();
        live.pop_back();
        continue;
      }
      const size_t bytes = random() % 1000;
      const Value fresh{arena.take(bytes), bytes};
      EXPECT_EQ(fresh.offset % 64, 0U);
      EXPECT_LE(fresh.offset + fresh.bytes, arena.size());
      for (const Value& other : live)
        EXPECT_TRUE(fresh.offset + fresh.bytes <= other.offset ||
                    other.offset + other.bytes <= fresh.offset);
      live.push_back(fresh);
    }
    for (const Value& value : live) arena.give(value.offset, value.bytes);
    const size_t size = arena.size();
    EXPECT_EQ(arena.take(size), 0U);  // it is one piece again
    EXPECT_EQ(arena.size(), size);
  }
}

}  // namespace
}  // namespace flambeau::compiler
