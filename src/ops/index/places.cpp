// Operations whose shape, or whose whole result, depends on values.

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>
#include <span>

#include "ir/core_carrier.h"
#include "ops/index/rows.h"
#include "ops/registry.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

/// Which elements are not 0, a byte each.
class Mask {
 public:
  explicit Mask(const HostTensor& t) : sizes_(t.info.sizes), count_(t.info.numel()) {
    if (is_bool(t.info.dtype)) {
      bytes_ = static_cast<const uint8_t*>(t.data);
      return;
    }
    own_.resize(static_cast<size_t>(count_));
    bytes_ = own_.data();
    const bool pairs = is_complex(t.info.dtype);
    ir::with_type(pairs ? real_dtype(t.info.dtype) : t.info.dtype, [&]<class T>() {
      const auto* data = static_cast<const T*>(t.data);
      const auto is_set = [](T v) {
        if constexpr (ir::kIsHalf<T>)
          return (v.bits & 0x7fff) != 0;
        else
          return v != T{};
      };
      for (size_t i = 0; i < own_.size(); ++i)
        own_[i] = pairs ? is_set(data[2 * i]) || is_set(data[2 * i + 1]) : is_set(data[i]);
    });
  }
  const Ints& sizes() const { return sizes_; }
  void flatten() { sizes_ = {count_}; }
  /// How many are set of the mask stretched to `numel` elements.
  int64_t count_in(int64_t numel) const {
    int64_t set = 0;
    for (int64_t i = 0; i < count_; ++i) set += bytes_[i] != 0;
    return count_ == 0 ? 0 : set * (numel / count_);
  }

  /// Calls body(index, places) for pieces of the mask stretched to `sizes`, in row-major order:
  /// those of [index[.., 0], index[.., n)) that are set, as places along the last axis.
  template <class Body>
  void for_places(const Ints& sizes, const Body& body) const;

 private:
  Ints sizes_;
  int64_t count_;
  const uint8_t* bytes_;
  std::vector<uint8_t> own_;
};

/// Strides of a contiguous tensor stretched to `rank` axes.
Ints stretched_strides(const Ints& from, size_t rank) {
  const Ints own = contiguous_strides(from);
  Ints strides(rank, 0);
  for (size_t i = 0; i < from.size(); ++i)
    if (from[i] != 1) strides[rank - from.size() + i] = own[i];
  return strides;
}
int64_t offset_of(const Ints& index, const Ints& strides) {
  int64_t offset = 0;
  for (size_t i = 0; i < index.size(); ++i) offset += index[i] * strides[i];
  return offset;
}

template <class Body>
void Mask::for_places(const Ints& sizes, const Body& body) const {
  constexpr int64_t kPiece = 1024;
  std::array<int64_t, kPiece> places;
  const size_t last = sizes.size() - 1;
  for (const int64_t size : sizes)
    if (size == 0) return;
  const Ints strides = stretched_strides(sizes_, sizes.size());
  for (Ints index(sizes.size(), 0); index[0] < sizes[0];) {
    const uint8_t* row = bytes_ + offset_of(index, strides);
    for (int64_t first = 0; first < sizes[last]; first += kPiece) {
      const int64_t end = std::min(first + kPiece, sizes[last]);
      // Without branches: masks may be random.
      size_t found = 0;
      for (int64_t i = first; i < end; ++i) {
        places[found] = i;
        found += row[i * strides[last]] != 0;
      }
      body(index, std::span<const int64_t>(places.data(), found));
    }
    size_t axis = last;
    index[last] = sizes[last];
    for (; axis > 0 && index[axis] >= sizes[axis]; --axis) {
      index[axis] = 0;
      ++index[axis - 1];
    }
  }
}

/// Calls fn.operator()<T>() with a type of `size` bytes.
template <class Fn>
void with_size(size_t size, const Fn& fn) {
  switch (size) {
    case 1:
      return fn.template operator()<uint8_t>();
    case 2:
      return fn.template operator()<uint16_t>();
    case 4:
      return fn.template operator()<uint32_t>();
    case 8:
      return fn.template operator()<uint64_t>();
    default:
      return fn.template operator()<std::array<uint64_t, 2>>();
  }
}

const Register kNonzero({
    .schema = "nonzero(Tensor self) -> Tensor",
    .doc = "The indices of the elements that are not 0, one row each, in row-major order.",
    .variants = {.aliases = {"argwhere", "Tensor.argwhere"}},
    .shape =
        [](const Call& call, ResultInfos& results) {
          results.push_back({DType::Int64, {-1, call.tensor("self").dim()}, {}});
        },
    .kernel =
        [](HostCall& host) {
          const HostTensor x = host.input("self");
          const Mask mask(x);
          const int64_t count = mask.count_in(x.info.numel());
          const auto rank = static_cast<int64_t>(x.info.sizes.size());
          const HostTensor out = host.output(0, {DType::Int64, {count, rank}, {rank, 1}});
          if (rank == 0) return;
          auto* place = static_cast<int64_t*>(out.data);
          mask.for_places(x.info.sizes, [&](const Ints& index, std::span<const int64_t> places) {
            for (const int64_t last : places) {
              for (int64_t axis = 0; axis + 1 < rank; ++axis)
                place[axis] = index[static_cast<size_t>(axis)];
              place[rank - 1] = last;
              place += rank;
            }
          });
        },
    .complex_kernel = true,
    .differentiable = false,
    .samples = [] { return SampleList{{{mask({3, 4})}}, {{mask({0, 2})}}, {{t({})}}}; },
});

/// The row-major number among the true elements of a mask, for those that are true.
Expr rank_among_true(const Expr& mask) {
  if (mask.rank() == 0) return constant(mask, DType::Int64, Scalar(0));
  const Expr flat = convert(reshape(mask, {element_count(mask.shape())}), DType::Int64);
  return reshape(running_sum(flat, 0) - 1.0, mask.shape());
}
const Register kMaskedSelect({
    .schema = "masked_select(Tensor self, Tensor mask) -> Tensor",
    .doc = "The elements where the (broadcast) mask is true, in row-major order, as a vector.",
    .broadcasts = true,
    .shape =
        [](const Call& call, ResultInfos& results) {
          check(is_bool(call.tensor("mask").dtype), [&] {
            return concat(call.name(), ": expected BoolTensor for mask, got ",
                          info(call.tensor("mask").dtype).name);
          });
          const SmallVector<Ints, 2> shapes{call.tensor("self").sizes, call.tensor("mask").sizes};
          call.broadcast(shapes);
          results.push_back({call.tensor("self").dtype, {-1}, {}});
        },
    .vjp =
        [](VjpLowering& v) {
          const Expr x = v.forward["self"];
          const Expr mask = v.forward["mask"];
          const Shape shape = (logical_and(mask, eq(x, x))).shape();
          const Expr wide = broadcast_to(mask, shape);
          const std::vector<Expr> places{select(wide, rank_among_true(wide), 0.0)};
          // A vector without elements has nothing to read from.
          const Expr& g = v.cotangents[0];
          const std::vector<Dim> none{Dim(0)};
          const std::vector<Dim> one{Dim(1)};
          const Expr padded = pad(g, constant(g, g.dtype(), Scalar(0)), none, one, none);
          v.gradients[0] = select(wide, gather(padded, places), 0.0);
        },
    .kernel =
        [](HostCall& host) {
          const HostTensor x = host.input("self");
          Mask mask(host.input("mask"));
          const SmallVector<Ints, 2> shapes{x.info.sizes, mask.sizes()};
          Ints sizes = host.call().broadcast(shapes);
          int64_t total = 1;
          for (const int64_t size : sizes) total *= size;
          // One long row where nothing is stretched.
          Ints x_sizes = x.info.sizes;
          const bool plain = x_sizes == mask.sizes();
          if (plain) {
            sizes = x_sizes = {total};
            mask.flatten();
          }
          const Ints strides = stretched_strides(x_sizes, sizes.size());
          const int64_t count = mask.count_in(total);
          const HostTensor out = host.output(0, {x.info.dtype, {count}, {1}});
          with_size(size_of(x.info.dtype), [&]<class T>() {
            auto* to = static_cast<T*>(out.data);
            mask.for_places(sizes, [&](const Ints& index, std::span<const int64_t> places) {
              const T* from = static_cast<const T*>(x.data) + offset_of(index, strides);
              for (const int64_t place : places) *to++ = from[place * strides.back()];
            });
          });
        },
    .complex_kernel = true,
    .samples = [] { return SampleList{{{t({3, 4}), mask({3, 4})}}, {{t({3, 4}), mask({4})}}}; },
});

const Register kMaskedScatter({
    .schema = "masked_scatter(Tensor self, Tensor mask, Tensor source) -> Tensor",
    .doc = "self with the elements of source, in row-major order, where the (broadcast) mask is "
           "true.",
    .variants = {.in_place = true, .out = true},
    .shape =
        [](const Call& call, ResultInfos& results) {
          const TensorInfo& self = call.tensor("self");
          check(is_bool(call.tensor("mask").dtype), [&] {
            return concat(call.name(), "_ only supports boolean masks, but got mask with dtype ",
                          info(call.tensor("mask").dtype).name);
          });
          check(self.dtype == call.tensor("source").dtype, [&] {
            return concat(call.name(), ": expected self and source to have same dtypes but got ",
                          info(self.dtype).name, " and ", info(call.tensor("source").dtype).name);
          });
          const SmallVector<Ints, 2> shapes{self.sizes, call.tensor("mask").sizes};
          results.push_back({self.dtype, call.broadcast(shapes), {}});
        },
    .lower =
        [](Lowering& l) {
          const Expr source = l["source"];
          const std::array<Expr, 2> operands{l["self"], l["mask"]};
          const Shape shape = broadcast_shape(l.call().name(), operands);
          const Expr wide = broadcast_to(l["mask"], shape);
          // A source without elements has nothing to read from; the mask is false then.
          const Dim n = element_count(source.shape());
          const Shape none{Dim(0)};
          const Shape one{Dim(1)};
          const Expr padded = pad(reshape(source, {n}), constant(source, source.dtype(), Scalar(0)),
                                  none, one, none);
          const std::vector<Expr> places{select(wide, rank_among_true(wide), 0.0)};
          l.result(select(wide, gather(padded, places), broadcast_to(l["self"], shape)));
        },
    .checks =
        [](HostCall& host) {
          const HostTensor mask = host.input("mask");
          const Call& call = host.call();
          const int64_t wanted = Mask(mask).count_in(infer(call)[0].numel());
          check(wanted <= call.tensor("source").numel(), [&] {
            return concat(call.name(),
                          ": expected self and source to have enough elements: the "
                          "mask has ",
                          wanted, " true, source ", call.tensor("source").numel());
          });
        },
    .samples =
        [] {
          return SampleList{{{t({3, 4}), mask({3, 4}), t({12})}},
                            {{t({3, 4}), mask({4}), t({4, 3})}},
                            {{t({4}), mask({3, 1}), t({12})}}};
        },
});

const Register kNonzeroStatic({
    .schema = "nonzero_static(Tensor self, *, int size, int fill_value=-1) -> Tensor",
    .doc = "The first `size` rows of nonzero(self); rows that are not there hold fill_value.",
    .variants = {.out = true},
    .shape =
        [](const Call& call, ResultInfos& results) {
          check(call.integer("size") >= 0, [&] {
            return concat(call.name(), ": 'size' must be an non-negative integer, got ",
                          call.integer("size"));
          });
          results.push_back({DType::Int64, {call.integer("size"), call.tensor("self").dim()}, {}});
        },
    .lower =
        [](Lowering& l) {
          const Expr x = l["self"];
          const Expr hit = ne(convert(x, DType::Bool), 0.0);
          const Dim n = element_count(x.shape());
          const Dim size(l.call().integer("size"));
          // Element i of the flattened tensor is the row of its rank; what is beyond is dropped.
          const Shape count{n};
          const Expr rank = reshape(rank_among_true(hit), count);
          const Expr kept = logical_and(reshape(hit, count), lt(rank, extent(x.builder(), size)));
          const std::vector<Expr> rows{
              select(kept, rank, broadcast_to(extent(x.builder(), size), count))};
          const Expr fill = constant(x, DType::Int64, Scalar(l.call().integer("fill_value")));
          std::vector<Expr> columns;
          for (int axis = 0; axis < x.rank(); ++axis) {
            const Expr empty = broadcast_to(fill, {size + 1});
            const Expr places = reshape(iota(x.builder(), x.shape(), axis), count);
            columns.push_back(unsqueeze(slice(scatter_set(empty, rows, places), 0, 0, size), 1));
          }
          if (columns.empty()) return l.result(broadcast_to(fill, {size, Dim(0)}));
          l.result(concatenate(columns, 1));
        },
    .differentiable = false,
    .fixed = every_axis,
    .samples =
        [] {
          return SampleList{{{mask({3, 4})}, {{"size", Scalar(5)}}},
                            {{mask({3, 4})}, {{"size", Scalar(20)}, {"fill_value", Scalar(7)}}},
                            {{mask({3})}, {{"size", Scalar(0)}}}};
        },
});

const Register kOneHot({
    .schema = "one_hot(Tensor self, int num_classes=-1) -> Tensor",
    .doc = "A last axis of num_classes (by default 1 + the largest index) zeros with a one at the "
           "index.",
    .variants = {.function = false, .method = false, .aliases = {"nn.functional.one_hot"}},
    .shape =
        [](const Call& call, ResultInfos& results) {
          const TensorInfo& self = call.tensor("self");
          check(self.dtype == DType::Int64, [&] {
            return concat(call.name(),
                          " is only applicable to index tensor of type LongTensor, got ",
                          info(self.dtype).name);
          });
          TensorInfo result{DType::Int64, self.sizes, {}};
          result.sizes.push_back(call.integer("num_classes"));
          check(result.sizes.back() >= -1 && (self.numel() > 0 || result.sizes.back() > 0), [&] {
            return concat(call.name(),
                          ": Can not infer total number of classes from empty tensor.");
          });
          results.push_back(result);
        },
    .kernel =
        [](HostCall& host) {
          const HostTensor x = host.input("self");
          const auto* values = static_cast<const int64_t*>(x.data);
          const int64_t n = x.info.numel();
          int64_t classes = host.call().integer("num_classes");
          if (classes < 0)
            for (int64_t i = 0; i < n; ++i) classes = std::max(classes, values[i] + 1);
          TensorInfo info{DType::Int64, x.info.sizes, {}};
          info.sizes.push_back(classes);
          info.strides = contiguous_strides(info.sizes);
          const HostTensor out = host.output(0, info);
          auto* hot = static_cast<int64_t*>(out.data);
          std::fill_n(hot, n * classes, 0);
          for (int64_t i = 0; i < n; ++i) hot[i * classes + values[i]] = 1;
        },
    .checks =
        [](HostCall& host) {
          const HostTensor x = host.input("self");
          const int64_t classes = host.call().integer("num_classes");
          for (int64_t i = 0; i < x.info.numel(); ++i) {
            const int64_t value = static_cast<const int64_t*>(x.data)[i];
            check(value >= 0, [&] {
              return concat(host.call().name(), ": Class values must be non-negative, got ", value);
            });
            check(classes < 0 || value < classes, [&] {
              return concat(host.call().name(),
                            ": Class values must be smaller than num_classes, got ", value);
            });
          }
        },
    .differentiable = false,
    .dynamic = {"num_classes"},
    .signs = {"num_classes"},  // whether the result's extent is known
    .samples = [] { return SampleList{{{indices({2, 3}, 4)}}, {{indices({3}, 4), Scalar(5)}}}; },
    .errors =
        [] {
          return std::vector<ErrorSample>{{{{typed({2}, DType::Int64, 9, 9), Scalar(2)}},
                                           "RuntimeError",
                                           "must be smaller than num_classes"}};
        },
});

const Register kBincount({
    .schema = "bincount(Tensor self, Tensor? weights=None, int minlength=0) -> Tensor",
    .doc = "How often (or with which total weight) each integer occurs.",
    .shape =
        [](const Call& call, ResultInfos& results) {
          const TensorInfo& self = call.tensor("self");
          check(self.dim() == 1 && (is_integer(self.dtype) || is_bool(self.dtype)), [&] {
            return concat(call.name(), " only supports 1-d non-negative integral inputs.");
          });
          check(call.integer("minlength") >= 0,
                [&] { return concat(call.name(), ": minlength should be >= 0"); });
          const TensorInfo* weights = call.optional_tensor("weights");
          check(weights == nullptr || weights->sizes == self.sizes, [&] {
            return concat(call.name(), ": weights should be 1-d and have the same length as input");
          });
          const DType dtype = weights == nullptr                 ? DType::Int64
                              : weights->dtype == DType::Float32 ? DType::Float32
                                                                 : DType::Float64;
          results.push_back({dtype, {-1}, {}});
        },
    .kernel =
        [](HostCall& host) {
          const HostTensor x = host.input("self");
          int64_t length = host.call().integer("minlength");
          for (int64_t i = 0; i < x.info.numel(); ++i) {
            check(integer_at(x, i) >= 0, [&] {
              return concat(host.call().name(), " only supports 1-d non-negative integral inputs.");
            });
            length = std::max(length, integer_at(x, i) + 1);
          }
          ResultInfos infos;
          host.call().definition().shape(host.call(), infos);
          const HostTensor out = host.output(0, {infos[0].dtype, {length}, {1}});
          std::vector<double> totals(static_cast<size_t>(length));
          const bool weighted = !host.call().is_none("weights");
          const HostTensor weights = weighted ? host.input("weights") : x;
          for (int64_t i = 0; i < x.info.numel(); ++i)
            totals[static_cast<size_t>(integer_at(x, i))] += weighted ? number_at(weights, i) : 1;
          for (int64_t i = 0; i < length; ++i)
            store(out, i, ir::container_of(out.info.dtype, totals[static_cast<size_t>(i)]));
        },
    .differentiable = false,
    .samples =
        [] { return SampleList{{{indices({9}, 5)}}, {{indices({9}, 5), t({9}), Scalar(8)}}}; },
});

}  // namespace
}  // namespace flambeau::ops
