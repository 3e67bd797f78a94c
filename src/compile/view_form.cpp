#include "compile/view_form.h"

#include <algorithm>

namespace flambeau::compiler {
namespace {

/// Axes of several elements, those of the greatest strides first; nullopt if they overlap.
std::optional<SmallVector<size_t, 6>> nested_axes(const TensorInfo& info) {
  SmallVector<size_t, 6> axes;
  for (size_t axis = 0; axis < info.sizes.size(); ++axis)
    if (info.sizes[axis] > 1) axes.push_back(axis);
  std::sort(axes.begin(), axes.end(),
            [&](size_t a, size_t b) { return info.strides[a] > info.strides[b]; });
  int64_t inside = 1;
  for (size_t i = axes.size(); i-- > 0;) {
    if (info.strides[axes[i]] < inside) return std::nullopt;
    inside = info.strides[axes[i]] * info.sizes[axes[i]];
  }
  return axes;
}

}  // namespace

bool overlaps_itself(const TensorInfo& info) {
  return !info.is_contiguous() && info.numel() > 0 && !nested_axes(info);
}

std::optional<ViewForm> view_form(const Window& base, const Window& view) {
  if (base.info.dtype != view.info.dtype || view.info.numel() == 0 || base.info.numel() == 0)
    return std::nullopt;
  const auto nested = nested_axes(base.info);
  if (!nested) return std::nullopt;
  int64_t rest = view.offset - base.offset;
  if (rest < 0) return std::nullopt;
  Ints first(base.info.sizes.size(), 0);  // per axis of the base: where the view begins
  for (const size_t axis : *nested) {
    first[axis] = rest / base.info.strides[axis];
    rest -= first[axis] * base.info.strides[axis];
    if (first[axis] >= base.info.sizes[axis]) return std::nullopt;
  }
  if (rest != 0) return std::nullopt;

  ViewForm form;
  form.digit_of.resize(view.info.sizes.size(), -1);
  size_t walked = 0;
  for (size_t axis = 0; axis < base.info.sizes.size(); ++axis) {
    const int64_t extent = base.info.sizes[axis];
    const int64_t stride = base.info.strides[axis];
    if (extent == 1) continue;
    SmallVector<size_t, 6> over;  // axes of the view that walk over it, the outermost first
    for (size_t v = 0; v < view.info.sizes.size(); ++v) {
      const int64_t step = view.info.strides[v];
      if (view.info.sizes[v] > 1 && step >= stride && step < stride * extent) {
        if (step % stride != 0) return std::nullopt;
        over.push_back(v);
      }
    }
    std::sort(over.begin(), over.end(),
              [&](size_t a, size_t b) { return view.info.strides[a] > view.info.strides[b]; });
    walked += over.size();
    int64_t outside = extent;
    const auto add = [&](int64_t unit, int64_t view_axis) {
      if (outside % unit != 0 || outside == unit) return false;
      ViewForm::Digit digit{outside / unit, first[axis] / unit % (outside / unit), 1,
                            static_cast<int32_t>(axis), view_axis >= 0};
      if (view_axis >= 0) {
        digit.length = view.info.sizes[static_cast<size_t>(view_axis)];
        form.digit_of[static_cast<size_t>(view_axis)] = static_cast<int32_t>(form.digits.size());
      }
      if (digit.start + digit.length > digit.extent) return false;
      form.digits.push_back(digit);
      outside = unit;
      return true;
    };
    for (const size_t v : over)
      if (!add(view.info.strides[v] / stride, static_cast<int64_t>(v))) return std::nullopt;
    if (outside > 1 && !add(1, -1)) return std::nullopt;
  }
  // Axes that walk over something else than one axis of the base.
  for (size_t v = 0; v < view.info.sizes.size(); ++v)
    if (view.info.sizes[v] > 1 && view.info.strides[v] != 0) {
      if (walked == 0 || form.digit_of[v] < 0) return std::nullopt;
      --walked;
    }
  return walked == 0 ? std::optional(std::move(form)) : std::nullopt;
}

bool ViewForm::is_like(const ViewForm& other) const {
  return digit_of == other.digit_of && digits.size() == other.digits.size() &&
         std::equal(digits.begin(), digits.end(), other.digits.begin(),
                    [](const Digit& a, const Digit& b) {
                      return a.axis == b.axis && a.is_walked == b.is_walked &&
                             a.is_cut() == b.is_cut();
                    });
}

void ViewForm::hash_into(Hasher& hasher) const {
  hasher.add(digits.size()).add(digit_of.size());
  for (const Digit& digit : digits) hasher.add(digit.axis).add(digit.is_walked).add(digit.is_cut());
  for (const int32_t digit : digit_of) hasher.add(digit);
}

}  // namespace flambeau::compiler
