#include <algorithm>

#include "ops/registry.h"

namespace flambeau::ops {
namespace {

bool is_channels_last(const TensorInfo& t) {
  if (t.dim() != 4) return false;
  int64_t expected = 1;
  for (const size_t axis : {1U, 3U, 2U, 0U}) {
    if (t.sizes[axis] == 1) continue;
    if (t.strides[axis] != expected) return false;
    expected *= t.sizes[axis];
  }
  return true;
}

}  // namespace

bool is_dense(const TensorInfo& t) {
  // Axes by stride; extents of 1 say nothing, and no two others may have one stride.
  SmallVector<size_t, 6> order;
  for (size_t i = 0; i < t.sizes.size(); ++i)
    if (t.sizes[i] != 1) order.push_back(i);
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return t.strides[a] < t.strides[b]; });
  int64_t expected = 1;
  for (const size_t axis : order) {
    if (t.strides[axis] != expected) return false;
    expected *= t.sizes[axis];
  }
  return true;
}

namespace {

template <class Predicate>
bool every(std::span<const TensorInfo* const> inputs, const Predicate& predicate) {
  return std::all_of(inputs.begin(), inputs.end(),
                     [&](const TensorInfo* t) { return predicate(*t); });
}

/// The axes of a result in the order of ascending stride.
class AxisOrder {
 public:
  AxisOrder(std::span<const TensorInfo* const> inputs, const Ints& sizes) : sizes_(sizes) {
    for (const TensorInfo* t : inputs) {
      Ints strides(sizes.size(), 0);
      const size_t shift = sizes.size() - t->sizes.size();
      for (size_t i = 0; i < t->sizes.size(); ++i)
        if (t->sizes[i] != 1 || sizes[shift + i] == 1) strides[shift + i] = t->strides[i];
      strides_.push_back(strides);
    }
    const size_t rank = sizes.size();
    for (size_t i = 0; i < rank; ++i) order_.push_back(rank - 1 - i);
    // Insertion, since ambiguous pairs keep their places and the comparison is no strict order.
    for (size_t i = 1; i < rank; ++i)
      for (size_t moving = i, j = i; j-- > 0;) {
        const int c = compare(order_[j], order_[moving]);
        if (c < 0) break;
        if (c > 0) {
          std::swap(order_[j], order_[moving]);
          moving = j;
        }
      }
  }
  const SmallVector<size_t, 6>& order() const { return order_; }

 private:
  int compare(size_t a, size_t b) const {
    for (const Ints& strides : strides_) {
      if (strides[a] == 0 || strides[b] == 0) continue;
      if (strides[a] != strides[b]) return strides[a] < strides[b] ? -1 : 1;
      if (sizes_[a] > sizes_[b]) return 1;
    }
    return 0;
  }
  const Ints& sizes_;
  SmallVector<Ints, 4> strides_;
  SmallVector<size_t, 6> order_;
};

}  // namespace

Ints elementwise_strides(std::span<const TensorInfo* const> inputs, const Ints& sizes,
                         bool numbers) {
  const bool same_shape = (!numbers || sizes.empty()) &&
                          every(inputs, [&](const TensorInfo& t) { return t.sizes == sizes; });
  if (sizes.size() < 2 || inputs.empty()) return contiguous_strides(sizes);
  if (same_shape) {
    if (every(inputs, [](const TensorInfo& t) { return t.is_contiguous(); }))
      return contiguous_strides(sizes);
    const bool same_strides =
        every(inputs, [&](const TensorInfo& t) { return t.strides == inputs[0]->strides; });
    if (every(inputs, is_channels_last))
      return {sizes[1] * sizes[2] * sizes[3], 1, sizes[1] * sizes[3], sizes[1]};
    if (same_strides && is_dense(*inputs[0])) return inputs[0]->strides;
  }
  const AxisOrder axes(inputs, sizes);
  bool row_major = true;
  for (size_t i = 0; i < sizes.size(); ++i)
    row_major = row_major && axes.order()[i] == sizes.size() - 1 - i;
  if (row_major) return contiguous_strides(sizes);
  Ints strides(sizes.size());
  int64_t next = 1;
  for (const size_t axis : axes.order()) {
    strides[axis] = next;
    next *= sizes[axis];
  }
  return strides;
}

std::optional<Ints> view_strides(const TensorInfo& input, const Ints& sizes) {
  if (input.numel() == 0) return input.sizes == sizes ? input.strides : contiguous_strides(sizes);
  Ints strides(sizes.size(), 1);
  if (input.sizes.empty()) return strides;
  // Chunks of axes that are contiguous among themselves, from the innermost outwards; each must be
  // filled by whole axes of the new shape.
  size_t target = sizes.size();
  int64_t base = input.strides.back();
  int64_t chunk = 1;
  int64_t covered = 1;
  for (size_t i = input.sizes.size(); i-- > 0;) {
    chunk *= input.sizes[i];
    const bool ends = i == 0 || (input.sizes[i - 1] != 1 && input.strides[i - 1] != chunk * base);
    if (!ends) continue;
    while (target > 0 && (covered < chunk || sizes[target - 1] == 1)) {
      strides[target - 1] = covered * base;
      covered *= sizes[target - 1];
      --target;
    }
    if (covered != chunk) return std::nullopt;
    if (i > 0) {
      base = input.strides[i - 1];
      chunk = 1;
      covered = 1;
    }
  }
  if (target != 0) return std::nullopt;
  return strides;
}

}  // namespace flambeau::ops
