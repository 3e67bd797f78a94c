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

/// A launch that is one call of a kernel: all that extents and strides decide, ready for any memory
/// and numbers.
struct DirectLaunch {
  struct Pointer {
    int buffer;
    int64_t offset;  ///< in bytes
  };
  struct Number {
    size_t slot;
    int number;
  };
  ir::KernelFunction function = nullptr;
  SmallVector<Pointer, 8> pointers;
  SmallVector<int64_t, 16> slots;
  SmallVector<Number, 2> numbers;  ///< the slots that numbers of the call go to
  int64_t rows = 1;
  int64_t columns = 1;

  void run(std::span<void* const> buffers, std::span<const Scalar> call_numbers) const;
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
  /// call. Where that is one call of a kernel, `direct` (if given) becomes this launch; its
  /// function stays null otherwise.
  void launch(std::span<const LaunchBuffer> buffers, const ir::DimBindings& bindings,
              std::span<const Scalar> numbers, DirectLaunch* direct = nullptr) const;

 private:
  struct Variant;
  struct Bound;
  const Variant& variant(const lower::LayoutClass& layout) const;
  void run(const Bound& bound, std::span<const Scalar> numbers, const ir::DimBindings& bindings,
           DirectLaunch* direct) const;

  std::shared_ptr<const lower::KernelTemplate> kernel_;
  mutable std::atomic<Variant*> variants_{nullptr};  // a list that only grows
};

}  // namespace flambeau
