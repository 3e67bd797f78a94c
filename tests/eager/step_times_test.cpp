// Times of steps are told of the run that is asked about, whichever way it goes.

#include "eager/step_times.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "eager/bound_run.h"
#include "ir/core_function.h"
#include "lower/plan.h"
#include "prim/build.h"

namespace flambeau {
namespace {

using ir::Builder;
using ir::Dim;
using ir::Expr;

/// exp(x), divided by the sum of all of it, and that sum: kernels.
std::shared_ptr<const Executable> sum_and_quotient() {
  Builder builder;
  const Expr x = builder.parameter(DType::Float32, {Dim::size(0, 0), Dim::size(0, 1)});
  const Expr e = prim::exp(x);
  const std::array<int64_t, 2> axes{0, 1};
  const Expr total = prim::sum(e, axes, false);
  const std::array<Expr, 2> results{prim::operator/(e, total), total};
  return make_executable(builder.finish(results));
}

TEST(StepTimes, EachStepOfTheFirstRunHasItsOwn) {
  const std::shared_ptr<const Executable> executable = sum_and_quotient();
  const size_t steps = plan_of(*executable).steps.size();
  ASSERT_GT(steps, 1U) << lower::text_of(plan_of(*executable));
  std::shared_ptr<const BoundRun> bound;
  // At first in the general way.
  for (int turn = 0; turn < 3; ++turn) {
    const std::array<Tensor, 1> parameters{Tensor::empty({64, 64}, DType::Float32)};
    std::fill_n(parameters[0].data<float>(), 64 * 64, 0.5F);
    Results results(2);
    StepTimes times;
    EXPECT_TRUE(times.of(*executable).empty());
    run_into(bound, *executable, parameters, {}, {}, {results.data(), results.size()});
    const std::vector<double> first = times.of(*executable);
    ASSERT_EQ(first.size(), steps) << "turn " << turn;
    for (const double nanoseconds : first) EXPECT_GT(nanoseconds, 0) << "turn " << turn;
    run_into(bound, *executable, parameters, {}, {}, {results.data(), results.size()});
    EXPECT_EQ(times.of(*executable), first);
  }
}

TEST(StepTimes, AreThoseOfOneExecutable) {
  Builder builder;
  const Expr x = builder.parameter(DType::Float32, {Dim::size(0, 0)});
  const Expr other = prim::exp(x);
  const std::shared_ptr<const Executable> executable = make_executable(builder.finish({&other, 1}));
  const std::array<Tensor, 1> parameters{Tensor::empty({3}, DType::Float32)};
  const StepTimes times;
  static_cast<void>(run(*executable, parameters, {}, {}));
  EXPECT_EQ(times.of(*executable).size(), 1U);
  EXPECT_TRUE(times.of(*sum_and_quotient()).empty());
}

}  // namespace
}  // namespace flambeau
