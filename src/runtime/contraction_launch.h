#pragma once
// Running a planned contraction on concrete memory: strides of its operands, and the kernel of its
// epilogue for the layouts at hand.

#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/fork.h"
#include "lower/plan.h"
#include "runtime/cpu/contraction_driver.h"
#include "runtime/launch.h"

namespace flambeau {

/// A contraction step with the kernels compiled for it so far. Thread safe.
class ContractionTemplate {
 public:
  /// `step` must outlive it; `a`, `b` and `result` are the dtypes in memory.
  ContractionTemplate(const lower::ContractStep& step, DType a, DType b, DType result);

  /// Runs it. `epilogue` has one entry per buffer of the step's epilogue.
  void launch(const LaunchBuffer& a, const LaunchBuffer& b, const LaunchBuffer& result,
              std::span<const LaunchBuffer> epilogue, const ir::DimBindings& bindings,
              std::span<const Scalar> numbers) const;

 private:
  using StrideClasses = SmallVector<lower::StrideClass, 6>;
  struct Variant {
    StrideClasses columns;
    lower::ContractionEpilogue epilogue;
    std::unique_ptr<ContractionKernel> kernel;
  };
  const Variant& variant(const StrideClasses& columns) const;

  const lower::ContractStep& step_;
  DType a_, b_, result_;
  mutable ForkSafe<std::mutex> mutex_;
  mutable std::vector<std::unique_ptr<const Variant>> variants_;
};

}  // namespace flambeau
