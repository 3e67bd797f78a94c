// Prints nanoseconds an operation, medians of programs of 500: to run them one by one from C++, to
// record them, to find their program again, and to find and run it.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

#include "compile/execute.h"
#include "compile/recorder.h"
#include "flambeau/functions.h"

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
      program_of(recording)->find_bound(geometry_of(recording));
      found.push_back(nanoseconds(start) / kOps);
    });
    start = Clock::now();
    recorder.flush();
    run.push_back(nanoseconds(start) / kOps);
  }
  printf("%.1f %.1f %.1f %.1f\n", median(eager), median(recorded), median(found), median(run));
}
