#include "eager/copy.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <mutex>

#include "base/error.h"
#include "base/fork.h"
#include "eager/executable.h"
#include "lower/template_builder.h"
#include "runtime/launch.h"

namespace flambeau {
namespace {

/// The kernel that copies tensors of `rank` axes, none of extent 1.
const LaunchTemplate& copy_kernel(DType dtype, int rank) {
  static ForkSafe<std::mutex> mutex;
  static std::map<std::pair<DType, int>, std::unique_ptr<LaunchTemplate>> cache;
  const std::lock_guard lock(mutex);
  std::unique_ptr<LaunchTemplate>& entry = cache[{dtype, rank}];
  if (entry == nullptr) {
    ir::Builder builder;
    ir::Shape shape;
    SmallVector<lower::AxisIndex, 5> axes;
    lower::Space space;
    for (int axis = 0; axis < rank; ++axis) {
      shape.push_back(ir::Dim::size(0, axis));
      axes.push_back(lower::AxisIndex::loop(axis));
      space.kept.push_back(shape.back());
    }
    const ir::Expr from = builder.parameter(dtype, shape);
    const ir::Program program = builder.finish({&from, 1});
    const std::vector<int> values{0};
    lower::TemplateBuilder kernel(program, values, space);
    require(kernel.store_root(program.results[0], 1, false, axes, axes), "copy: no kernel");
    entry = std::make_unique<LaunchTemplate>(
        std::make_shared<const lower::KernelTemplate>(kernel.finish()));
  }
  return *entry;
}

/// Lets the sink of this thread have the copy; false if it declines.
bool copy_by_program(const Tensor& from, const Tensor& to) {
  static ForkSafe<std::mutex> mutex;
  static std::map<std::pair<DType, int>, std::shared_ptr<const Executable>> cache;
  std::shared_ptr<const Executable> program;
  {
    const std::lock_guard lock(mutex);
    std::shared_ptr<const Executable>& entry = cache[{from.dtype(), from.dim()}];
    if (entry == nullptr) {
      ir::Builder builder;
      ir::Shape shape;
      for (int axis = 0; axis < from.dim(); ++axis) shape.push_back(ir::Dim::size(0, axis));
      const ir::Expr value = builder.parameter(from.dtype(), shape);
      entry = make_executable(builder.finish({&value, 1}));
    }
    program = entry;
  }
  Tensor result = to;
  return run_sink()->take({*program, {&from, 1}, {}, {}, {&result, 1}});
}

/// A copy as its kernel sees it: sizes and strides of the axes that have several elements.
struct CopyLayout {
  CopyLayout(const Tensor& from, const Tensor& to) : dtype(from.dtype()) {
    for (size_t axis = 0; axis < from.sizes().size(); ++axis) {
      if (from.sizes()[axis] == 1) continue;
      sizes.push_back(from.sizes()[axis]);
      from_strides.push_back(from.strides()[axis]);
      to_strides.push_back(to.strides()[axis]);
    }
    // Kernels know no complex numbers; those of 16 bytes are copied as pairs.
    if (is_complex(dtype)) dtype = size_of(dtype) == 4 ? DType::Int32 : DType::Int64;
    if (size_of(from.dtype()) == 16) {
      for (int64_t& stride : from_strides) stride *= 2;
      for (int64_t& stride : to_strides) stride *= 2;
      sizes.push_back(2);
      from_strides.push_back(1);
      to_strides.push_back(1);
    }
    while (joins_pairs()) {
    }
  }
  /// Pairs that lie side by side become elements of twice the size; false if there are none.
  bool joins_pairs() {
    const auto is_even = [](int64_t stride) { return stride % 2 == 0; };
    const size_t others = sizes.empty() ? 0 : sizes.size() - 1;
    if (others == 0 || size_of(dtype) == 8 || sizes.back() != 2 || from_strides.back() != 1 ||
        to_strides.back() != 1 ||
        !std::all_of(from_strides.begin(), from_strides.begin() + others, is_even) ||
        !std::all_of(to_strides.begin(), to_strides.begin() + others, is_even))
      return false;
    dtype = size_of(dtype) == 1 ? DType::Int16 : size_of(dtype) == 2 ? DType::Int32 : DType::Int64;
    for (Ints* numbers : {&sizes, &from_strides, &to_strides}) numbers->resize(others);
    for (Ints* strides : {&from_strides, &to_strides})
      for (int64_t& stride : *strides) stride /= 2;
    return true;
  }
  const LaunchTemplate& kernel() const {
    return copy_kernel(dtype, static_cast<int>(sizes.size()));
  }

  DType dtype;
  Ints sizes, from_strides, to_strides;
};

}  // namespace

BoundLaunches bind_copy(const Tensor& from, const Tensor& to) {
  if (from.numel() == 0) return {};
  const CopyLayout layout(from, to);
  const LaunchTemplate& kernel = layout.kernel();
  const int64_t* bound_sizes[] = {layout.sizes.data()};
  SmallVector<const int64_t*, 2> strides;
  for (const int value : kernel.kernel().buffer_values)
    strides.push_back((value == 0 ? layout.from_strides : layout.to_strides).data());
  BoundLaunches bound = kernel.bind({strides.data(), strides.size()}, {bound_sizes, nullptr});
  for (BoundLaunch& launch : bound.launches)
    for (BoundLaunch::Pointer& pointer : launch.pointers)
      pointer.buffer = kernel.kernel().buffer_values[static_cast<size_t>(pointer.buffer)];
  return bound;
}

void copy_elements(const Tensor& from, const Tensor& to) {
  require(from.sizes() == to.sizes() && from.dtype() == to.dtype(), "copy: tensors differ in type");
  if (to.is_meta()) return;
  if (from.numel() == 0) return;
  if (run_sink() != nullptr && copy_by_program(from, to)) return;
  if (from.is_contiguous() && to.is_contiguous() && from.numel() < 4096) {
    std::memcpy(to.data_ptr(), from.readable_data_ptr(),
                static_cast<size_t>(from.numel()) * size_of(from.dtype()));
    return;
  }
  const CopyLayout layout(from, to);
  const LaunchTemplate& kernel = layout.kernel();
  const int64_t* bound_sizes[] = {layout.sizes.data()};
  SmallVector<LaunchBuffer, 2> buffers;
  for (const int value : kernel.kernel().buffer_values) {
    if (value == 0)
      buffers.push_back({const_cast<void*>(from.readable_data_ptr()), layout.from_strides.data()});
    else
      buffers.push_back({to.data_ptr(), layout.to_strides.data()});
  }
  kernel.launch({buffers.data(), buffers.size()}, {bound_sizes, nullptr}, {});
}

Tensor row_major(const Tensor& tensor) {
  if (tensor.is_contiguous()) return tensor;
  const WithoutMemory as_the_source(tensor.is_meta());
  Tensor copy = Tensor::empty(tensor.sizes(), tensor.dtype());
  copy_elements(tensor, copy);
  return copy;
}

}  // namespace flambeau
