#pragma once
// Binding a kernel template to extents and strides: sorts and merges loops, picks the class of
// layouts and its compiled kernel, and splits the work into chunks fixed by the shape.

#include <atomic>
#include <memory>
#include <span>

#include "lower/kernel_template.h"
#include "runtime/bound_launch.h"

namespace flambeau {

/// One buffer of a template: address of element [0, ..., 0] and strides in elements.
struct LaunchBuffer {
  void* data = nullptr;
  const int64_t* strides = nullptr;
};

/// What a launch of a template becomes once extents and strides are known: launches to be run one
/// after the other. Without elements there are none.
struct BoundLaunches {
  SmallVector<BoundLaunch, 1> launches;
  /// Of memory that they need as a buffer after those of the template.
  size_t scratch_bytes = 0;
};

/// While one lives, what this thread launches comes again with other sizes. So a template gets one
/// kernel for rows of one short length, and then one for rows of any length, which strides of 2 may
/// have, too.
class SizesVary {
 public:
  explicit SizesVary(bool vary = true) : before_(innermost) { innermost |= vary; }
  ~SizesVary() { innermost = before_; }
  SizesVary(const SizesVary&) = delete;
  SizesVary& operator=(const SizesVary&) = delete;
  static bool is_on() { return innermost; }

 private:
  bool before_;
  static thread_local constinit bool innermost;
};

/// A template with the kernels compiled for it so far. Thread safe.
class LaunchTemplate {
 public:
  explicit LaunchTemplate(std::shared_ptr<const lower::KernelTemplate> kernel);
  ~LaunchTemplate();
  LaunchTemplate(const LaunchTemplate&) = delete;
  LaunchTemplate& operator=(const LaunchTemplate&) = delete;

  const lower::KernelTemplate& kernel() const { return *kernel_; }

  /// Sorts, merges and cuts its loops for these strides, given per buffer of kernel().buffers.
  BoundLaunches bind(std::span<const int64_t* const> strides,
                     const ir::DimBindings& bindings) const;
  /// Runs it once over all its loops. `buffers` as in kernel().buffers, `numbers` those of the
  /// call.
  void launch(std::span<const LaunchBuffer> buffers, const ir::DimBindings& bindings,
              std::span<const Scalar> numbers) const;

 private:
  struct Variant;
  struct Bound;
  const Variant* find(const lower::LayoutClass& layout) const;
  const Variant& variant(const lower::LayoutClass& layout) const;
  /// `layout` is for rows of any length, `of_length` for those of one; `preferred` is one of them.
  /// The one to be used.
  lower::LayoutClass choose(const lower::LayoutClass& layout, const lower::LayoutClass& of_length,
                            const lower::LayoutClass& preferred) const;
  BoundLaunches cut(const Bound& bound, const ir::DimBindings& bindings) const;

  std::shared_ptr<const lower::KernelTemplate> kernel_;
  mutable std::atomic<Variant*> variants_{nullptr};  // a list that only grows
};

}  // namespace flambeau
