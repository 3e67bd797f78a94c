#include "runtime/code_memory.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"

namespace flambeau {
namespace {

using Function = int32_t (*)();

/// A function that returns `value`, followed by `padding` bytes that are never run.
std::vector<std::byte> returning(int32_t value, size_t padding = 0) {
  std::vector<std::byte> image(6 + padding, std::byte{0xcc});
  image[0] = std::byte{0xb8};  // mov eax, value
  std::memcpy(&image[1], &value, sizeof value);
  image[5] = std::byte{0xc3};  // ret
  return image;
}

int32_t call(const void* code) {
  Function function = nullptr;
  std::memcpy(&function, &code, sizeof function);
  return function();
}

TEST(CodeMemory, LoadedCodeRunsAndStays) {
  std::vector<const void*> code;
  for (int32_t i = 0; i < 2000; ++i) {
    code.push_back(load_code(returning(i, static_cast<size_t>(i) * 3)));
    ASSERT_EQ(reinterpret_cast<uintptr_t>(code.back()) % 64, 0U);
  }
  for (int32_t i = 0; i < 2000; ++i) ASSERT_EQ(call(code[static_cast<size_t>(i)]), i);
}

/// Mappings of code.
int mappings() {
  std::ifstream maps("/proc/self/maps");
  int count = 0;
  for (std::string line; std::getline(maps, line);)
    if (line.find("flambeau-code") != std::string::npos) ++count;
  return count;
}

TEST(CodeMemory, WhatIsUnloadedGoesWithItsNeighbours) {
  const size_t kBig = 600 << 10;  // three in an arena
  std::vector<const void*> code;
  for (int32_t i = 0; i < 12; ++i) code.push_back(load_code(returning(i, kBig)));
  const int most = mappings();
  for (const size_t i : {0U, 1U, 2U, 4U, 5U, 6U, 7U, 8U}) unload_code(code[i]);
  EXPECT_LT(mappings(), most);
  for (const size_t i : {3U, 9U, 10U, 11U}) EXPECT_EQ(call(code[i]), static_cast<int32_t>(i));
  for (const size_t i : {3U, 9U, 10U, 11U}) unload_code(code[i]);
  for (int32_t i = 0; i < 100; ++i) {
    const void* const again = load_code(returning(i, kBig));
    EXPECT_EQ(call(again), i);
    unload_code(again);
  }
  EXPECT_LE(mappings(), most);
}

TEST(CodeMemory, AnImageLargerThanAnArena) {
  EXPECT_EQ(call(load_code(returning(7, 5 << 20))), 7);
  EXPECT_EQ(call(load_code(returning(8))), 8);
}

TEST(CodeMemory, AnEmptyImageIsRefused) { EXPECT_THROW(load_code({}), ValueError); }

TEST(CodeMemory, NoPageIsWritableAndExecutable) {
  load_code(returning(1));
  std::ifstream maps("/proc/self/maps");
  int code_mappings = 0;
  for (std::string line; std::getline(maps, line);) {
    const std::string access = line.substr(line.find(' ') + 1, 4);
    EXPECT_FALSE(access[1] == 'w' && access[2] == 'x') << line;
    if (line.find("flambeau-code") == std::string::npos) continue;
    EXPECT_EQ(access, "r-xs") << line;
    ++code_mappings;
  }
  EXPECT_GE(code_mappings, 1);
}

TEST(CodeMemoryDeathTest, WritingToCodeFaults) {
  void* const code = const_cast<void*>(load_code(returning(1)));
  EXPECT_DEATH(*static_cast<volatile char*>(code) = 0, "");
}

TEST(CodeMemory, SeveralThreads) {
  std::vector<std::thread> threads;
  for (int32_t t = 0; t < 4; ++t)
    threads.emplace_back([t] {
      for (int32_t i = 0; i < 300; ++i) {
        const int32_t value = t * 1000 + i;
        ASSERT_EQ(call(load_code(returning(value, 100))), value);
      }
    });
  for (std::thread& thread : threads) thread.join();
}

TEST(CodeMemory, ParentAndChildOfForkKeepTheirOwn) {
  const void* const before = load_code(returning(1));
  int to_child[2];
  ASSERT_EQ(pipe(to_child), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    char byte = 0;
    bool good = read(to_child[0], &byte, 1) == 1;  // the parent has loaded more
    std::vector<const void*> code;
    for (int32_t i = 0; i < 100; ++i) code.push_back(load_code(returning(5000 + i)));
    for (int32_t i = 0; i < 100; ++i) good = good && call(code[static_cast<size_t>(i)]) == 5000 + i;
    _exit(good && call(before) == 1 ? 0 : 1);
  }
  std::vector<const void*> code;
  for (int32_t i = 0; i < 100; ++i) code.push_back(load_code(returning(i)));
  ASSERT_EQ(write(to_child[1], "x", 1), 1);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  for (int32_t i = 0; i < 100; ++i) EXPECT_EQ(call(code[static_cast<size_t>(i)]), i);
  close(to_child[0]);
  close(to_child[1]);
}

TEST(CodeMemoryDeathTest, WorksWithoutFilesInMemory) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto run = [] {
    // No more files may be opened, so memfd_create fails.
    const rlimit none{0, 0};
    setrlimit(RLIMIT_NOFILE, &none);
    for (int32_t i = 0; i < 10; ++i)
      if (call(load_code(returning(i))) != i) _exit(1);
    _exit(0);
  };
  EXPECT_EXIT(run(), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace flambeau
