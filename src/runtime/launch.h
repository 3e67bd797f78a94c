#pragma once
// Running a kernel template on concrete memory: sorts and merges loops, picks the class of layouts
// and its compiled kernel, splits the work into chunks fixed by the shape, and hands them to the
// pool.

#include <atomic>
#include <memory>
#include <span>

#include "base/scalar.h"
#include "lower/kernel_template.h"

namespace flambeau {

/// One buffer of a template: address of element [0, ..., 0] and strides in elements.
struct LaunchBuffer {
  void* data = nullptr;
  const int64_t* strides = nullptr;
};

/// A template with the kernels compiled for it so far. Thread safe.
class LaunchTemplate {
 public:
  explicit LaunchTemplate(std::shared_ptr<const lower::KernelTemplate> kernel);
  ~LaunchTemplate();
  LaunchTemplate(const LaunchTemplate&) = delete;
  LaunchTemplate& operator=(const LaunchTemplate&) = delete;

  const lower::KernelTemplate& kernel() const { return *kernel_; }

  /// Runs it once over all its loops. `buffers` as in kernel().buffers, `numbers` those of the
  /// call.
  void launch(std::span<const LaunchBuffer> buffers, const ir::DimBindings& bindings,
              std::span<const Scalar> numbers) const;

 private:
  struct Variant;
  struct Bound;
  const Variant& variant(const lower::LayoutClass& layout) const;
  void run(const Bound& bound, std::span<const Scalar> numbers,
           const ir::DimBindings& bindings) const;

  std::shared_ptr<const lower::KernelTemplate> kernel_;
  mutable std::atomic<Variant*> variants_{nullptr};  // a list that only grows
};

}  // namespace flambeau
