#include "tensor/overlap.h"

#include <algorithm>

namespace flambeau {
namespace {

/// True if the elements fill a block of memory, each place once, in any order of axes.
bool fills_block(const TensorInfo& info) {
  if (info.is_contiguous()) return true;
  SmallVector<std::pair<int64_t, int64_t>, 5> axes;  // stride, extent
  for (size_t axis = 0; axis < info.sizes.size(); ++axis)
    if (info.sizes[axis] != 1) axes.emplace_back(info.strides[axis], info.sizes[axis]);
  std::sort(axes.begin(), axes.end());
  int64_t next = 1;
  for (const auto& [stride, extent] : axes) {
    if (stride != next) return false;
    next *= extent;
  }
  return true;
}

}  // namespace

bool has_equal_places(const TensorInfo& info) {
  for (size_t axis = 0; axis < info.sizes.size(); ++axis)
    if (info.sizes[axis] > 1 && info.strides[axis] == 0) return true;
  return false;
}

Overlap overlap_of(const TensorImpl& a, const TensorImpl& b) {
  if (&a == &b) return Overlap::Same;
  if (a.storage != b.storage || a.numel() == 0 || b.numel() == 0) return Overlap::None;
  if (!fills_block(a) || !fills_block(b)) return Overlap::Unknown;
  const auto begin = [](const TensorImpl& t) {
    return t.offset * static_cast<int64_t>(size_of(t.dtype));
  };
  const auto end = [&](const TensorImpl& t) {
    return begin(t) + t.numel() * static_cast<int64_t>(size_of(t.dtype));
  };
  if (begin(a) == begin(b) && end(a) == end(b))
    return a.strides == b.strides ? Overlap::Same : Overlap::Partial;
  return begin(a) < end(b) && begin(b) < end(a) ? Overlap::Partial : Overlap::None;
}

bool share_memory(const Storage& a, const Storage& b) {
  if (!a.is_exported() || !b.is_exported()) return false;
  const auto* const of_a = static_cast<const char*>(a.memory());
  const auto* const of_b = static_cast<const char*>(b.memory());
  return of_a < of_b + b.bytes() && of_b < of_a + a.bytes();
}

}  // namespace flambeau
