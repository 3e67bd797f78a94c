// Kernels through the front door: the library that compiles is opened, and what it made is kept.

#include "runtime/compiler.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <thread>
#include <vector>

#include "codegen/codegen.h"
#include "runtime/kernel_cache.h"

namespace flambeau {
namespace {

ir::LoopProgram doubling(int64_t times) {
  std::string body = "      %0 = load b0[v0 * 1] : f32\n";
  int64_t last = 0;
  for (; last < times; ++last)
    body += "      %" + std::to_string(last + 1) + " = add %" + std::to_string(last) + ", %" +
            std::to_string(last) + " : f32\n";
  return ir::parse_loop_program("kernel(b0: f32 in, b1: f32 out) {\n  parallel_inner v0 {\n" +
                                body + "      store b1[v0 * 1], %" + std::to_string(last) +
                                "\n  }\n}\n");
}

TEST(Compiler, GivesWorkingKernelsAndKeepsThem) {
  const auto kernel = get_kernel(doubling(3));
  std::vector<float> in(45, 1.5F), out(45);
  void* const buffers[] = {in.data(), out.data()};
  kernel.function(buffers, nullptr, 0, 1, 0, 45);
  EXPECT_EQ(out, std::vector<float>(45, 12.0F));
  const int64_t compiled = KernelCache::global().stats().compiled;
  EXPECT_EQ(get_kernel(doubling(3)).function, kernel.function);
  EXPECT_EQ(KernelCache::global().stats().compiled, compiled);
}

TEST(Compiler, ServesThreadsAtOnce) {
  std::vector<std::thread> threads;
  std::vector<LoadedKernel> kernels(16);
  for (size_t i = 0; i < kernels.size(); ++i)
    threads.emplace_back(
        [&, i] { kernels[i] = get_kernel(doubling(static_cast<int64_t>(4 + i % 4))); });
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < kernels.size(); ++i) {
    EXPECT_EQ(kernels[i].function, kernels[i % 4].function);
    std::vector<float> in(3, 1.0F), out(3);
    void* const buffers[] = {in.data(), out.data()};
    kernels[i].function(buffers, nullptr, 0, 1, 0, 3);
    EXPECT_EQ(out[2], static_cast<float>(1 << (4 + i % 4)));
  }
}

TEST(Compiler, AFailureIsThrownAndTriedAgain) {
  const Hash128 content = hash_bytes("failing", 7);
  int tries = 0;
  const auto failing = [&](Isa isa) {
    return CodeRequest{content, isa, [&](const codegen::Api&, Isa) -> codegen::KernelImage {
                         ++tries;
                         throw std::runtime_error("no");
                       }};
  };
  EXPECT_THROW(get_code(failing), std::runtime_error);
  EXPECT_THROW(get_code(failing), std::runtime_error);
  EXPECT_EQ(tries, 2);
}

/// What LLVM makes when it compiles for the first time must outlive a compilation that goes on
/// while the process exits.
TEST(Compiler, AProcessMayEndWhileItsFirstKernelCompiles) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // a new process, in which nothing was compiled
  for (int wait = 0; wait < 16; ++wait)
    EXPECT_EXIT(
        {
          setenv("FLAMBEAU_CACHE_DIR", "/dev/null/none", 1);  // it is not known from disk
          try {
            const CompileLater on_a_spare_thread;
            get_kernel(doubling(200));
          } catch (const KernelMissing&) {
            std::this_thread::sleep_for(std::chrono::milliseconds(2 * wait));
            std::exit(17);
          }
        },
        testing::ExitedWithCode(17), "");
}

/// Loaded code is never missing, whoever else looks at it.
TEST(Compiler, ThreadsThatDoNotWaitFindWhatIsThere) {
  const ir::LoopProgram program = doubling(4);
  get_kernel(program);
  std::atomic<int> missing = 0;
  const auto look = [&] {
    for (int i = 0; i < 20000; ++i) try {
        const CompileLater on_a_spare_thread;
        get_kernel(program);
      } catch (const KernelMissing&) {
        ++missing;
      }
  };
  std::thread first(look);
  std::thread second(look);
  for (int i = 0; i < 20000; ++i) get_kernel(program);
  first.join();
  second.join();
  EXPECT_EQ(missing, 0);
}

}  // namespace
}  // namespace flambeau
