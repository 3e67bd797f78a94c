// Prints nanoseconds an operation, medians of programs of 500: to run them one by one from C++, to
// record them, to find their program again, to find and run it, and what a program costs more that
// was never seen but has known kernels.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <random>
#include <vector>

#include "compile/execute.h"
#include "compile/recorder.h"
#include "flambeau/functions.h"
#include "runtime/compiler.h"

namespace {

using flambeau::Tensor;
using Clock = std::chrono::steady_clock;

constexpr int kOps = 500;
constexpr int kRounds = 400;

double nanoseconds(Clock::time_point since) {
  return std::chrono::duration<double, std::nano>(Clock::now() - since).count();
}
double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<long>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

Tensor chain(const Tensor& x) {
  Tensor y = x;
  for (int i = 0; i < kOps / 2; ++i) y = flambeau::add(flambeau::mul(y, 0.5), 1.0);
  return y;
}

/// Products with one of three pointwise tails each, as `order` says: 6 operations a layer.
Tensor layers(const Tensor& x, const Tensor& w, const std::vector<int>& order) {
  using namespace flambeau;  // NOLINT(google-build-using-namespace): operations
  Tensor y = x;
  for (const int kind : order) {
    y = matmul(y, w);
    if (kind == 0)
      y = tanh(add(mul(sigmoid(mul(y, 0.5)), y), 1.0));
    else if (kind == 1)
      y = add(relu(mul(sub(y, 0.25), 2.0)), x);
    else
      y = mul(sqrt(add(mul(y, y), 1.0)), 0.5);
    if (kind != 1) y = sub(y, x);
  }
  return y;
}

constexpr int kLayers = 84;

/// Runs `order` recorded; the seconds that running it took.
double run_recorded(const Tensor& x, const Tensor& w, const std::vector<int>& order) {
  auto& recorder = flambeau::compiler::Recorder::of_thread();
  recorder.enter();
  const Tensor y = layers(x, w, order);
  recorder.leave();
  const auto start = Clock::now();
  recorder.flush();
  return nanoseconds(start);
}

double unseen_cost(const Tensor& x, const Tensor& w) {
  std::mt19937 random(0);
  std::vector<double> more;
  for (int round = 0; round < 40; ++round) {
    std::vector<int> order(kLayers);
    for (int& kind : order) kind = static_cast<int>(random() % 3);
    // Op by op the first time, a program the second.
    const double first = run_recorded(x, w, order);
    flambeau::wait_for_compiler();
    const double second = run_recorded(x, w, order);
    flambeau::wait_for_compiler();
    more.push_back((first + second - 2 * run_recorded(x, w, order)) / (kLayers * 6));
  }
  return median({more.begin() + 20, more.end()});
}

}  // namespace

int main() {
  const Tensor x = flambeau::randn({4});
  std::vector<double> eager, recorded, found, run;
  for (int round = 0; round < kRounds; ++round) {
    auto start = Clock::now();
    chain(x);
    eager.push_back(nanoseconds(start) / kOps);

    auto& recorder = flambeau::compiler::Recorder::of_thread();
    recorder.enter();
    start = Clock::now();
    const Tensor y = chain(x);
    recorded.push_back(nanoseconds(start) / kOps);
    recorder.leave();
    recorder.look_at_recording([&](const flambeau::compiler::Recording& recording) {
      start = Clock::now();
      program_of(recording, false)->find_bound(geometry_of(recording));
      found.push_back(nanoseconds(start) / kOps);
    });
    start = Clock::now();
    recorder.flush();
    run.push_back(nanoseconds(start) / kOps);
  }
  const double unseen = unseen_cost(flambeau::randn({4, 4}), flambeau::randn({4, 4}));
  printf("%.1f %.1f %.1f %.1f %.1f\n", median(eager), median(recorded), median(found), median(run),
         unseen);
}
