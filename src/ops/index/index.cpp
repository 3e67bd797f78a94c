#include "ops/index/index.h"

namespace flambeau::ops {

using namespace prim;

Expr wrap_index(const Expr& index, const Dim& n) {
  const Expr wide = convert(index, DType::Int64);
  return select(lt(wide, 0.0), wide + extent(index.builder(), n), wide);
}

std::vector<Expr> along_axis(const Expr& x, int axis, const Expr& index) {
  std::vector<Expr> indices;
  const Shape shape = index.shape();
  for (int i = 0; i < x.rank(); ++i)
    indices.push_back(i == axis ? convert(index, DType::Int64) : iota(x.builder(), shape, i));
  return indices;
}

Expr as_axis(const Expr& index, int axis, int rank) {
  Expr result = index.rank() == 0 ? unsqueeze(index, 0) : index;
  for (int i = axis + 1; i < rank; ++i) result = unsqueeze(result, result.rank());
  return result;
}

void check_index_dtype(const Call& call, std::string_view parameter) {
  const DType dtype = call.tensor(parameter).dtype;
  check(dtype == DType::Int64 || dtype == DType::Int32, [&] {
    return concat(call.name(), "(): Expected dtype int32 or int64 for ", parameter, ", got ",
                  info(dtype).name);
  });
}

namespace {

int axis_of(const Call& call) { return static_cast<int>(call.integer("dim")); }

}  // namespace

int64_t extent_along(const Call& call) {
  const TensorInfo& self = call.tensor("self");
  return self.dim() == 0 ? 1 : self.sizes[static_cast<size_t>(axis_of(call))];
}
void same_as_self(const Call& call, ResultInfos& results) {
  const TensorInfo& self = call.tensor("self");
  results.push_back({self.dtype, self.sizes, {}});
}

void check_scatter(const Call& call, const char* source) {
  const TensorInfo& self = call.tensor("self");
  const TensorInfo& index = call.tensor("index");
  check_index_dtype(call, "index");
  if (index.numel() == 0) return;
  check(std::max(self.dim(), 1) == std::max(index.dim(), 1), [&] {
    return concat(call.name(),
                  "(): Index tensor must have the same number of dimensions as self tensor, got ",
                  index.dim(), " and ", self.dim());
  });
  const TensorInfo* src = nullptr;
  if (source != nullptr) {
    src = &call.tensor(source);
    check(src->dtype == self.dtype, [&] {
      return concat(call.name(), "(): Expected self.dtype to be equal to src.dtype, got ",
                    info(self.dtype).name, " and ", info(src->dtype).name);
    });
    check(std::max(src->dim(), 1) == std::max(index.dim(), 1), [&] {
      return concat(call.name(),
                    "(): Index tensor must have the same number of dimensions as src "
                    "tensor, got ",
                    index.dim(), " and ", src->dim());
    });
  }
  for (int i = 0; i < std::min(self.dim(), index.dim()); ++i) {
    const auto k = static_cast<size_t>(i);
    const bool fits_self = i == axis_of(call) || index.sizes[k] <= self.sizes[k];
    const bool fits_source = src == nullptr || src->dim() == 0 || index.sizes[k] <= src->sizes[k];
    check(fits_self && fits_source, [&] {
      return concat(call.name(), "(): Expected index ", list_text(index.sizes),
                    " to be no larger than self ", list_text(self.sizes), " apart from dimension ",
                    axis_of(call), src == nullptr ? "" : " and to be no larger size than src ",
                    src == nullptr ? "" : list_text(src->sizes));
    });
  }
}

Expr written_at(const Expr& target, std::span<const Expr> places, const Expr& source) {
  const auto filled = [&](const Expr& like, bool value) {
    return broadcast_to(constant(like, DType::Bool, Scalar(value)), like.shape());
  };
  return scatter_set(filled(target, false), places, filled(source, true));
}

namespace {

/// The part of `src` that has an index.
Expr covered(const Expr& src, const Expr& index) {
  Expr result = src;
  for (int i = 0; i < index.rank(); ++i) result = slice(result, i, 0, index.dim(i));
  return result;
}

}  // namespace

Expr scatter_elements(Lowering& l, const Scatter& update, const Expr& given) {
  Expr x = l["self"];
  Expr index = l["index"];
  Expr src = given;
  const auto axes = [](const Expr& e) { return std::max(e.rank(), 1); };
  // Checked to be an index without elements.
  if (axes(index) != axes(x) || (src.rank() > 0 && axes(src) != axes(index))) return x;
  const bool scalar = x.rank() == 0;
  if (scalar) x = unsqueeze(x, 0);
  if (index.rank() == 0) index = unsqueeze(index, 0);
  if (src.rank() == 0) src = broadcast_to(src, index.shape());
  const std::vector<Expr> places = along_axis(x, axis_of(l.call()), index);
  const Expr part = covered(src, index);
  const Expr value = update(x, places, part);
  return scalar ? reshape(value, {}) : value;
}

void scatter_checks(HostCall& host) {
  check_bounds<RuntimeError>(host, "index", axis_of(host.call()), extent_along(host.call()), 0);
}

void check_slices(const Call& call, const char* source) {
  const TensorInfo& self = call.tensor("self");
  const TensorInfo& index = call.tensor("index");
  check<IndexError>(index.dim() <= 1, [&] {
    return concat(call.name(), "(): Index should have dimension 1 or 0 (got ", index.dim(), ")");
  });
  check_index_dtype(call, "index");
  if (source == nullptr) return;
  const TensorInfo& src = call.tensor(source);
  check(src.dtype == self.dtype, [&] {
    return concat(call.name(), "(): self and source expected to have the same dtype, but got ",
                  info(self.dtype).name, " and ", info(src.dtype).name);
  });
  Ints wanted = self.sizes;
  if (!wanted.empty()) wanted[static_cast<size_t>(axis_of(call))] = index.numel();
  check(src.sizes == wanted || (wanted.empty() && src.numel() == 1), [&] {
    return concat(call.name(), "(): source of shape ", list_text(src.sizes),
                  " does not fit; expected ", list_text(wanted));
  });
}

namespace {

Expr scatter_slices_at(Lowering& l, const Scatter& update, const Expr& given, bool wraps) {
  Expr x = l["self"];
  const bool scalar = x.rank() == 0;
  if (scalar) x = unsqueeze(x, 0);
  const int axis = axis_of(l.call());
  const Expr index =
      wraps ? wrap_index(l["index"], x.dim(axis)) : convert(l["index"], DType::Int64);
  std::vector<Expr> places;
  for (int i = 0; i < x.rank(); ++i)
    places.push_back(as_axis(i == axis ? index : iota(x.builder(), {x.dim(i)}, 0), i, x.rank()));
  Shape shape = x.shape();
  shape[static_cast<size_t>(axis)] = index.rank() == 0 ? Dim(1) : index.dim(0);
  const Expr source = given.rank() == x.rank() ? given : broadcast_to(given, shape);
  const Expr value = update(x, places, source);
  return scalar ? reshape(value, {}) : value;
}

}  // namespace

Expr scatter_slices(Lowering& l, const Scatter& update, const Expr& source) {
  return scatter_slices_at(l, update, source, false);
}
Expr scatter_wrapping_slices(Lowering& l, const Scatter& update, const Expr& source) {
  return scatter_slices_at(l, update, source, true);
}
void slice_checks(HostCall& host) {
  check_bounds<IndexError>(host, "index", axis_of(host.call()), extent_along(host.call()), 0);
}
void wrapping_slice_checks(HostCall& host) {
  const int64_t n = extent_along(host.call());
  check_bounds<IndexError>(host, "index", axis_of(host.call()), n, -n);
}

}  // namespace flambeau::ops
