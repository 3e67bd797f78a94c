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

/// A contraction whose extents and strides are known, on any memory and with any numbers.
struct BoundContraction {
  /// So many bytes into a buffer of the run.
  struct Place {
    int buffer;
    int64_t offset;
  };
  std::shared_ptr<const ContractionGeometry> geometry;
  Place a, b, out;
  SmallVector<Place, 3> operands;  ///< of the epilogue
  Ints slots;                      ///< of the epilogue
  SmallVector<BoundLaunch::Number, 2> numbers;

  void run(void* const* buffers, std::span<const Scalar> call_numbers) const;
  /// Loads the code that run() needs; KernelMissing after all of it was asked for.
  void load() const;
};

/// A contraction step with the kernels compiled for it so far. Thread safe.
class ContractionTemplate {
 public:
  /// `step` must outlive it; `a`, `b` and `result` are the dtypes in memory.
  ContractionTemplate(const lower::ContractStep& step, DType a, DType b, DType result);

  /// The step on memory of these strides (in elements). Its buffers are a, b, the result, then
  /// those of the step's epilogue, of which `epilogue` has an entry each.
  BoundContraction bind(const int64_t* a, const int64_t* b, const int64_t* result,
                        std::span<const int64_t* const> epilogue,
                        const ir::DimBindings& bindings) const;

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
