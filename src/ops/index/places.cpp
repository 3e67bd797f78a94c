// Operations whose shape, or whose whole result, depends on values.

#include <algorithm>
#include <cstring>
#include <numeric>

#include "ops/index/rows.h"
#include "ops/registry.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

bool is_true(const HostTensor& t, int64_t position) {
  if (!is_complex(t.info.dtype)) return number_at(t, position) != 0;
  const HostTensor parts = parts_of(t);
  return number_at(parts, 2 * position) != 0 || number_at(parts, 2 * position + 1) != 0;
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
          const int64_t n = x.info.numel();
          int64_t count = 0;
          for (int64_t i = 0; i < n; ++i) count += is_true(x, i);
          const auto rank = static_cast<int64_t>(x.info.sizes.size());
          const HostTensor out = host.output(0, {DType::Int64, {count, rank}, {rank, 1}});
          auto* places = static_cast<int64_t*>(out.data);
          int64_t row = 0;
          for (int64_t i = 0; i < n; ++i) {
            if (!is_true(x, i)) continue;
            int64_t rest = i;
            for (int64_t axis = rank; axis-- > 0;) {
              const int64_t extent_here = x.info.sizes[static_cast<size_t>(axis)];
              places[row * rank + axis] = rest % extent_here;
              rest /= extent_here;
            }
            ++row;
          }
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
          const HostTensor mask = host.input("mask");
          const SmallVector<Ints, 2> shapes{x.info.sizes, mask.info.sizes};
          const Ints sizes = host.call().broadcast(shapes);
          const auto place = [&](const HostTensor& t, const Ints& index) {
            int64_t offset = 0;
            const size_t shift = index.size() - t.info.sizes.size();
            const Ints strides = contiguous_strides(t.info.sizes);
            for (size_t i = 0; i < t.info.sizes.size(); ++i)
              if (t.info.sizes[i] != 1) offset += index[shift + i] * strides[i];
            return offset;
          };
          std::vector<int64_t> found;
          int64_t total = 1;
          for (const int64_t size : sizes) total *= size;
          Ints index(sizes.size(), 0);
          for (int64_t i = 0; i < total; ++i) {
            if (is_true(mask, place(mask, index))) found.push_back(place(x, index));
            for (size_t axis = sizes.size(); axis-- > 0;) {
              if (++index[axis] < sizes[axis]) break;
              index[axis] = 0;
            }
          }
          const auto count = static_cast<int64_t>(found.size());
          const HostTensor out = host.output(0, {x.info.dtype, {count}, {1}});
          for (int64_t i = 0; i < count; ++i)
            std::memcpy(address(out, i), address(x, found[static_cast<size_t>(i)]),
                        size_of(x.info.dtype));
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
          const Ints sizes = infer(l.call())[0].sizes;
          Shape shape;
          for (const int64_t size : sizes) shape.emplace_back(size);
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
          int64_t wanted = 0;
          for (int64_t i = 0; i < mask.info.numel(); ++i) wanted += is_true(mask, i);
          if (mask.info.numel() > 0) wanted *= infer(call)[0].numel() / mask.info.numel();
          check(wanted <= call.tensor("source").numel(), [&] {
            return concat(call.name(),
                          ": expected self and source to have enough elements: the "
                          "mask has ",
                          wanted, " true, source ", call.tensor("source").numel());
          });
        },
    .by_shape = true,
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
    .by_shape = true,
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

/// For each value the number of elements of its sorted row that come before it.
void search_kernel(HostCall& host, std::string_view sorted_name, std::string_view values_name,
                   bool right) {
  const HostTensor sorted = host.input(sorted_name);
  const Argument& argument = host.call()[values_name];
  const auto* number = std::get_if<Scalar>(&argument);
  const HostTensor out = host.output(0);
  const int64_t n = sorted.info.sizes.back();
  int64_t values_in_row = out.info.numel();
  if (sorted.info.dim() > 1) values_in_row = out.info.sizes.back();
  for (int64_t i = 0; i < out.info.numel(); ++i) {
    const double value =
        number != nullptr ? number->to_double() : number_at(host.input(values_name), i);
    const int64_t row = sorted.info.dim() > 1 ? i / values_in_row : 0;
    int64_t low = 0;
    int64_t high = n;
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      const double at = number_at(sorted, row * n + middle);
      const bool before = right ? !(value < at) && value == value : !(at >= value) && at == at;
      if (before)
        low = middle + 1;
      else
        high = middle;
    }
    store(out, i, static_cast<ir::Container>(low));
  }
}
DType place_dtype(const Call& call) {
  return call.boolean("out_int32") ? DType::Int32 : DType::Int64;
}
const Register kSearchsorted({
    .schema = "searchsorted.Tensor(Tensor sorted_sequence, Tensor self, *, bool out_int32=False, "
              "bool right=False, str? side=None) -> Tensor",
    .doc = "Where the values would be inserted in the sorted rows: before equal ones, or behind "
           "them with right.",
    .variants = {.method = false},
    .numbers = {"self"},
    .shape =
        [](const Call& call, ResultInfos& results) {
          const TensorInfo& sorted = call.tensor("sorted_sequence");
          const auto* values = std::get_if<const TensorInfo*>(&call["self"]);
          check(sorted.dim() > 0,
                [&] { return concat(call.name(), ": the sequence needs at least one dimension"); });
          Ints sizes;
          if (values != nullptr) {
            sizes = (*values)->sizes;
            bool fits = sorted.dim() == 1 || sorted.dim() == (*values)->dim();
            for (int i = 0; fits && sorted.dim() > 1 && i + 1 < sorted.dim(); ++i)
              fits = sorted.sizes[static_cast<size_t>(i)] == sizes[static_cast<size_t>(i)];
            check(fits, [&] {
              return concat(call.name(),
                            ": boundaries tensor should be 1 dimension or the first "
                            "N-1 dimensions of boundaries tensor and input value tensor must "
                            "match, got ",
                            list_text(sorted.sizes), " and ", list_text(sizes));
            });
          }
          results.push_back({place_dtype(call), sizes, {}});
        },
    .kernel =
        [](HostCall& host) {
          const auto* side = std::get_if<std::string>(&host.call()["side"]);
          const bool right = side != nullptr ? *side == "right" : host.call().boolean("right");
          search_kernel(host, "sorted_sequence", "self", right);
        },
    .differentiable = false,
    .samples = [] { return SampleList{{{typed({5}, DType::Float32, 1, 1), t({2, 3})}}}; },
});
const Register kBucketize({
    .schema = "bucketize.Tensor(Tensor self, Tensor boundaries, *, bool out_int32=False, bool "
              "right=False) -> Tensor",
    .doc = "The number of the boundary interval of each value.",
    .variants = {.method = false},
    .numbers = {"self"},
    .shape =
        [](const Call& call, ResultInfos& results) {
          check(call.tensor("boundaries").dim() == 1, [&] {
            return concat(call.name(), ": boundaries tensor must be 1 dimension, but got dim(",
                          call.tensor("boundaries").dim(), ")");
          });
          const auto* values = std::get_if<const TensorInfo*>(&call["self"]);
          results.push_back({place_dtype(call), values == nullptr ? Ints{} : (*values)->sizes, {}});
        },
    .kernel =
        [](HostCall& host) {
          search_kernel(host, "boundaries", "self", host.call().boolean("right"));
        },
    .differentiable = false,
    .samples = [] { return SampleList{{{t({2, 3}), typed({5}, DType::Float32, 1, 1)}}}; },
});

}  // namespace
}  // namespace flambeau::ops
