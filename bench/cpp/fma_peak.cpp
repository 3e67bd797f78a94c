// Prints the rate of float32 multiply-adds that THREADS cores reach, in GFLOP/s:
// fma_peak THREADS [avx2|avx512|avx512_bf16]; by default with the widest instructions there are.

#include <immintrin.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <numeric>
#include <string_view>
#include <thread>
#include <vector>

namespace {

constexpr long kRounds = 4'000'000;
constexpr int kChains = 12;  // enough to hide the latency of two units
constexpr int kTries = 5;

// Each function runs kRounds steps of kChains chains and returns the number of lanes.
#define FLAMBEAU_CHAINS(Vector, set, fma)                                            \
  Vector chains[kChains];                                                            \
  for (int i = 0; i < kChains; ++i) chains[i] = set(static_cast<float>(i));          \
  const Vector a = set(0.5f);                                                        \
  const Vector b = set(1.0f);                                                        \
  for (long round = 0; round < kRounds; ++round) {                                   \
    _Pragma("clang loop unroll(full)") for (int i = 0; i < kChains; ++i) chains[i] = \
        fma(chains[i], a, b);                                                        \
  }                                                                                  \
  for (int i = 0; i < kChains; ++i) asm volatile("" : : "x"(chains[i]));             \
  return static_cast<int>(sizeof(Vector) / sizeof(float))

__attribute__((target("avx512f"))) int run_avx512() {
  FLAMBEAU_CHAINS(__m512, _mm512_set1_ps, _mm512_fmadd_ps);
}
__attribute__((target("avx2,fma"))) int run_avx2() {
  FLAMBEAU_CHAINS(__m256, _mm256_set1_ps, _mm256_fmadd_ps);
}

double gflops(bool wide) {
  const auto start = std::chrono::steady_clock::now();
  const int lanes = wide ? run_avx512() : run_avx2();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  return 2e-9 * kRounds * kChains * lanes / seconds.count();
}

}  // namespace

int main(int argc, char** argv) {
  const int count = argc > 1 ? std::max(1, std::atoi(argv[1])) : 1;
  const bool wide =
      argc > 2 ? std::string_view(argv[2]) != "avx2" : __builtin_cpu_supports("avx512f") != 0;
  double best = 0;
  for (int attempt = 0; attempt < kTries; ++attempt) {
    std::vector<double> rates(static_cast<size_t>(count));
    std::vector<std::thread> threads;
    for (double& rate : rates) threads.emplace_back([&rate, wide] { rate = gflops(wide); });
    for (std::thread& thread : threads) thread.join();
    best = std::max(best, std::accumulate(rates.begin(), rates.end(), 0.0));
  }
  std::printf("%.1f\n", best);
}
