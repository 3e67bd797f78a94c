#include "nn/functional/indexing.h"

#include <algorithm>
#include <numeric>

#include "autograd/call.h"
#include "autograd/vmap.h"
#include "base/error.h"
#include "base/scalar_range.h"

namespace flambeau::nn::functional {
namespace {

using ops::Argument;

Argument argument(const Tensor& tensor) { return static_cast<const TensorInfo*>(tensor.impl()); }

Results call_op(const ops::Definition& op, std::initializer_list<Argument> arguments,
                CallForm form = CallForm::Function) {
  return call(op, {arguments.begin(), arguments.size()}, form);
}

Tensor select(const Tensor& self, int64_t axis, int64_t index) {
  static const ops::Definition& op = ops::find_definition("select", "int");
  return call_op(op, {argument(self), Scalar(axis), Scalar(index)})[0];
}

Tensor slice(const Tensor& self, int64_t axis, const Slice& part) {
  static const ops::Definition& op = ops::find_definition("slice", "Tensor");
  const auto bound = [](const std::optional<int64_t>& value) {
    return value ? Argument(Scalar(*value)) : Argument();
  };
  return call_op(op, {argument(self), Scalar(axis), bound(part.start), bound(part.stop),
                      Scalar(part.step)})[0];
}

Tensor unsqueeze(const Tensor& self, int64_t axis) {
  static const ops::Definition& op = ops::find_definition("unsqueeze");
  return call_op(op, {argument(self), Scalar(axis)})[0];
}

Tensor expand(const Tensor& self, const Ints& sizes) {
  static const ops::Definition& op = ops::find_definition("expand");
  return call_op(op, {argument(self), sizes, Scalar(false)})[0];
}

Tensor view(const Tensor& self, const Ints& sizes) {
  static const ops::Definition& op = ops::find_definition("view");
  return call_op(op, {argument(self), sizes})[0];
}

ops::TensorRefs references(const TensorList& tensors) {
  ops::TensorRefs refs;
  for (const Tensor& tensor : tensors) refs.push_back(tensor.impl());
  return refs;
}

/// What is left when the parts that are views have been applied.
struct Applied {
  Tensor view;
  TensorList indices;  ///< per axis of `view`; undefined: all of it
};

/// Positions of the elements that are not zero: one list per axis of the mask.
TensorList positions_of(const Tensor& mask) {
  static const ops::Definition& op = ops::find_definition("nonzero");
  const Tensor positions = call_op(op, {argument(mask)})[0];
  TensorList lists;
  for (int64_t axis = 0; axis < mask.dim(); ++axis) lists.push_back(select(positions, 1, axis));
  return lists;
}

bool is_mask(const Tensor& tensor) {
  return tensor.dtype() == DType::Bool || tensor.dtype() == DType::UInt8;
}

/// Axes of the indexed tensor that an item uses up.
int64_t axes_used(const IndexItem& item) {
  if (std::holds_alternative<int64_t>(item) || std::holds_alternative<Slice>(item)) return 1;
  if (const auto* tensor = std::get_if<Tensor>(&item)) return is_mask(*tensor) ? tensor->dim() : 1;
  return 0;
}

class Indexer {
 public:
  Indexer(const Tensor& self, std::span<const IndexItem> items) : self_(self), view_(self) {
    int64_t used = 0;
    for (const IndexItem& item : items) used += axes_used(item);
    check<IndexError>(used <= self.dim() || self.dim() == 0, [&] {
      return concat("too many indices for tensor of dimension ", self.dim());
    });
    ellipsis_ = std::max<int64_t>(self.dim() - used, 0);
    for (const IndexItem& item : items) std::visit([&](const auto& part) { apply(part); }, item);
  }

  Applied finish() {
    // x[:] and x[...] are views too, not the tensor itself.
    if (view_.is_same(self_) && !advanced_) view_ = expand(view_, Ints(view_.sizes()));
    if (!advanced_) indices_.clear();
    return {view_, indices_};
  }

 private:
  void apply(int64_t index) {
    check<IndexError>(self_.dim() > 0, [] {
      return std::string(
          "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in "
          "C++ to convert a 0-dim tensor to a number");
    });
    const int64_t size = view_.sizes()[static_cast<size_t>(axis_)];
    check<IndexError>(index >= -size && index < size, [&] {
      return concat("index ", index, " is out of bounds for dimension ", real_axis_, " with size ",
                    size);
    });
    view_ = select(view_, axis_, index < 0 ? index + size : index);
    ++real_axis_;
  }
  void apply(const Slice& part) {
    check<IndexError>(axis_ < view_.dim(),
                      [] { return std::string("slice() cannot be applied to a 0-dim tensor."); });
    check<ValueError>(part.step > 0, [&] {
      return std::string(part.step == 0 ? "slice step cannot be zero"
                                        : "step must be greater than zero");
    });
    const bool all = !part.start && !part.stop && part.step == 1;
    if (!all) view_ = slice(view_, axis_, part);
    ++axis_;
    ++real_axis_;
  }
  void apply(NewAxis /*unused*/) { view_ = unsqueeze(view_, axis_++); }
  void apply(Ellipsis /*unused*/) {
    axis_ += ellipsis_;
    real_axis_ += ellipsis_;
    ellipsis_ = 0;  // A second one stands for nothing.
  }
  void apply(bool value) {
    view_ = unsqueeze(view_, axis_);
    Tensor index = Tensor::empty({value ? 1 : 0}, DType::Int64);
    if (value) *index.data<int64_t>() = 0;
    record(index);
  }
  void apply(const Tensor& index) {
    check<NotImplementedError>(find_batched(index) == nullptr || !is_mask(index), [] {
      return std::string(
          "vmap: a mask of members as an index chooses different numbers of elements for them; use "
          "torch.where");
    });
    // One number is as in Python; in vmap, members have their own.
    const bool is_number = index.dim() == 0 && find_batched(index) == nullptr;
    if (is_number && is_mask(index)) return apply(index.item().to_bool());
    check<IndexError>(!is_float(index.dtype()), [] {
      return std::string("tensors used as indices must be long, int, byte or bool tensors");
    });
    if (is_number) return apply(index.item().to_int());
    if (!is_mask(index)) {
      ++real_axis_;
      return record(index);
    }
    for (int64_t i = 0; i < index.dim(); ++i) {
      const auto place = static_cast<size_t>(axis_ + i);
      check<IndexError>(place < view_.sizes().size() &&
                            index.sizes()[static_cast<size_t>(i)] == view_.sizes()[place],
                        [&] {
                          return concat("The shape of the mask ", list_text(index.sizes()),
                                        " at index ", i,
                                        " does not match the shape of the indexed tensor ",
                                        list_text(view_.sizes()), " at index ", place);
                        });
    }
    real_axis_ += index.dim();
    for (const Tensor& positions : positions_of(index)) record(positions);
  }
  void record(const Tensor& index) {
    indices_.resize(static_cast<size_t>(axis_));
    indices_.push_back(index);
    ++axis_;
    advanced_ = true;
  }

  const Tensor& self_;
  Tensor view_;
  TensorList indices_;
  int64_t axis_ = 0;       // of view_
  int64_t real_axis_ = 0;  // of self_, for messages
  int64_t ellipsis_ = 0;   // axes that `...` stands for
  bool advanced_ = false;
};

Tensor reshape(const Tensor& self, const Ints& sizes) {
  static const ops::Definition& op = ops::find_definition("reshape");
  return call_op(op, {argument(self), sizes})[0];
}

bool has_members(const Tensor& self, std::span<const IndexItem> items, const Tensor& value) {
  if (vmap_depth == 0) return false;
  if (find_batched(self) != nullptr || find_batched(value) != nullptr) return true;
  return std::any_of(items.begin(), items.end(), [](const IndexItem& item) {
    const auto* index = std::get_if<Tensor>(&item);
    return index != nullptr && find_batched(*index) != nullptr;
  });
}

/// In vmap, where what is written to a view does not reach its base: `self` becomes what it is with
/// `value` at the places that the items choose.
void set_index_of_members(const Tensor& self, std::span<const IndexItem> items,
                          const Tensor& value) {
  Tensor places = Tensor::empty({self.numel()}, DType::Int64);
  std::iota(places.data<int64_t>(), places.data<int64_t>() + self.numel(), int64_t{0});
  const Tensor chosen = get_index(view(places, Ints(self.sizes())), items);
  Tensor source = value;
  while (source.dim() > chosen.dim() && source.size(0) == 1)
    source = reshape(source, Ints(source.sizes().begin() + 1, source.sizes().end()));
  source = reshape(expand(source, Ints(chosen.sizes())), {-1});
  // Of a copy, so that nobody has a view of `self`.
  static const ops::Definition& clone = ops::find_definition("clone");
  const Tensor whole = call_op(clone, {argument(self), Argument()})[0];
  static const ops::Definition& put = ops::find_definition("index_put");
  const TensorList indices{reshape(chosen, {-1})};
  const Tensor flat = call_op(put, {argument(reshape(whole, {-1})), references(indices),
                                    argument(source), Scalar(false)})[0];
  static const ops::Definition& copy = ops::find_definition("copy_");
  call_op(copy, {argument(self), argument(reshape(flat, Ints(self.sizes()))), Scalar(false)},
          CallForm::InPlace);
}

}  // namespace

Tensor get_index(const Tensor& self, std::span<const IndexItem> items) {
  const Applied applied = Indexer(self, items).finish();
  if (applied.indices.empty()) return applied.view;
  static const ops::Definition& op = ops::find_definition("index", "Tensor");
  return call_op(op, {argument(applied.view), references(applied.indices)})[0];
}

void set_index(const Tensor& self, std::span<const IndexItem> items, const Tensor& value) {
  if (has_members(self, items, value)) [[unlikely]]
    return set_index_of_members(self, items, value);
  const Applied applied = Indexer(self, items).finish();
  Tensor source = value;
  // Leading axes of 1 that the target does not have are dropped.
  while (applied.indices.empty() && source.dim() > applied.view.dim() && source.size(0) == 1)
    source = view(source, Ints(source.sizes().begin() + 1, source.sizes().end()));
  if (applied.indices.empty()) {
    static const ops::Definition& copy = ops::find_definition("copy_");
    call_op(copy, {argument(applied.view), argument(source), Scalar(false)}, CallForm::InPlace);
    return;
  }
  static const ops::Definition& put = ops::find_definition("index_put");
  call_op(put,
          {argument(applied.view), references(applied.indices), argument(source), Scalar(false)},
          CallForm::InPlace);
}

void set_index(const Tensor& self, std::span<const IndexItem> items, const Scalar& value) {
  check(fits(value, self.dtype()), [&] {
    return concat("value cannot be converted to type ", info(self.dtype()).name,
                  " without overflow");
  });
  set_index(self, items, Tensor::from_scalar(value, self.dtype()));
}

TensorList unbind_first_axis(const Tensor& self) {
  check<TypeError>(self.dim() > 0, [] { return std::string("iteration over a 0-d tensor"); });
  static const ops::Definition& op = ops::find_definition("unbind", "int");
  const Results results = call_op(op, {argument(self), Scalar(0)});
  return {results.begin(), results.end()};
}

}  // namespace flambeau::nn::functional
