#pragma once
// Python's (NumPy's) indexing of tensors: x[1:, None, mask, [0, 2]], read and written.

#include <optional>
#include <span>
#include <variant>

#include "tensor/tensor.h"

namespace flambeau::nn::functional {

/// start:stop:step; the bounds are cut to the axis, negative ones count from the end.
struct Slice {
  std::optional<int64_t> start;
  std::optional<int64_t> stop;
  int64_t step = 1;
};
struct NewAxis {};   ///< None
struct Ellipsis {};  ///< ...

/// One part of an index. A tensor is a list of positions, or a mask if it is of bool or uint8.
using IndexItem = std::variant<int64_t, Slice, NewAxis, Ellipsis, bool, Tensor>;

/// self[items]: a view where no tensor and no bool is among the items, else a copy. IndexError and
/// ValueError as PyTorch's; a mask of several axes counts for that many.
Tensor get_index(const Tensor& self, std::span<const IndexItem> items);

/// self[items] = value: broadcast and converted to self's dtype.
void set_index(const Tensor& self, std::span<const IndexItem> items, const Tensor& value);
void set_index(const Tensor& self, std::span<const IndexItem> items, const Scalar& value);

/// The slices of `self` along axis 0, as views; TypeError for a 0-dim tensor.
TensorList unbind_first_axis(const Tensor& self);

}  // namespace flambeau::nn::functional
