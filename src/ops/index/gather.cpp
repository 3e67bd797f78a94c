// Reading at computed indices along one axis.

#include "ops/index/index.h"
#include "ops/registry.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

int axis_of(const Call& call) { return static_cast<int>(call.integer("dim")); }

// ---- rows of a table
// -----------------------------------------------------------------------------
void rows_shape(const Call& call, ResultInfos& results, const char* index) {
  const TensorInfo& weight = call.tensor("weight");
  check(weight.dim() == 2, [&] {
    return concat(call.name(), ": 'weight' must be 2-D, got shape ", list_text(weight.sizes));
  });
  check_index_dtype(call, index);
  Ints sizes = call.tensor(index).sizes;
  sizes.push_back(weight.sizes[1]);
  results.push_back({weight.dtype, sizes, {}});
}
void check_rows(HostCall& host, const char* index) {
  const int64_t rows = host.call().tensor("weight").sizes[0];
  const std::optional<int64_t> bad = find_outside(host, index, 0, rows);
  check<IndexError>(!bad, [&] {
    return concat(host.call().name(), ": index out of range in self: index ", *bad,
                  " for a table of ", rows, " rows");
  });
}
/// The rows of `weight`; those with index `padding` get no gradient.
Expr rows(const Expr& weight, const Expr& index, std::optional<int64_t> padding) {
  const Expr row = unsqueeze(convert(index, DType::Int64), index.rank());
  const std::vector<Expr> indices{row, iota(weight.builder(), {weight.dim(1)}, 0)};
  const Expr value = gather(weight, indices);
  if (!padding) return value;
  return select(eq(row, static_cast<double>(*padding)), stop_gradient(value), value);
}
const Register kEmbedding({
    .schema = "embedding(Tensor weight, Tensor indices, int padding_idx=-1, bool "
              "scale_grad_by_freq=False, bool sparse=False) -> Tensor",
    .doc = "result[..., :] = weight[indices[...], :]; row padding_idx gets no gradient.",
    .variants = {.method = false},
    .shape = [](const Call& call, ResultInfos& r) { rows_shape(call, r, "indices"); },
    .lower =
        [](Lowering& l) {
          const int64_t padding = l.call().integer("padding_idx");
          l.result(
              rows(l["weight"], l["indices"], padding < 0 ? std::nullopt : std::optional(padding)));
        },
    .checks = [](HostCall& host) { check_rows(host, "indices"); },
    .samples = [] { return SampleList{{{t({5, 3}), indices({2, 4}, 5)}}}; },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{t({5, 3}), typed({2}, DType::Int64, 9, 9)}}, "IndexError", "index out of range"}};
        },
});
const Register kFunctionalEmbedding({
    .schema = "_functional_embedding(Tensor input, Tensor weight, int? padding_idx=None, float? "
              "max_norm=None, float norm_type=2.0, bool scale_grad_by_freq=False, bool "
              "sparse=False) -> Tensor",
    .doc = "result[..., :] = weight[input[...], :]; row padding_idx gets no gradient.",
    .variants = {.function = false, .method = false, .aliases = {"nn.functional.embedding"}},
    .canonical =
        [](const Call& call, Arguments& arguments) {
          check(call.is_none("max_norm"), [&] {
            return concat(call.name(), ": max_norm is not supported; renormalise the table");
          });
          if (call.is_none("padding_idx")) return;
          const TensorInfo& weight = call.tensor("weight");
          const int64_t count = weight.sizes.empty() ? 0 : weight.sizes[0];
          const int64_t padding = call.integer("padding_idx");
          check<ValueError>(padding >= -count && padding < count, [&] {
            return concat(call.name(), ": Padding_idx must be within num_embeddings, got ", padding,
                          " for ", count, " rows");
          });
          arguments[2] = Scalar(padding < 0 ? padding + count : padding);
        },
    .shape = [](const Call& call, ResultInfos& r) { rows_shape(call, r, "input"); },
    .lower =
        [](Lowering& l) {
          std::optional<int64_t> padding;
          if (!l.call().is_none("padding_idx")) padding = l.call().integer("padding_idx");
          l.result(rows(l["weight"], l["input"], padding));
        },
    .checks = [](HostCall& host) { check_rows(host, "input"); },
    .samples =
        [] { return SampleList{{{indices({2, 4}, 5), t({5, 3})}}, {{indices({}, 5), t({5, 3})}}}; },
});

const Register kBagStarts({
    .schema = "_embedding_bag_starts(Tensor offsets, int count, bool include_last_offset=False) -> "
              "Tensor",
    .doc = "Where the bags of so many indices begin: ascending offsets from 0, without the last if "
           "that is where they end.",
    .variants = {.function = false,
                 .method = false,
                 .aliases = {"nn.functional._embedding_bag_starts"}},
    .shape =
        [](const Call& call, ResultInfos& results) {
          check_index_dtype(call, "offsets");
          const TensorInfo& offsets = call.tensor("offsets");
          check(offsets.dim() == 1, [&] {
            return concat(call.name(), ": offsets must be one-dimensional, got ",
                          list_text(offsets.sizes));
          });
          const int64_t n = offsets.numel();
          const bool last = call.boolean("include_last_offset");
          check(n > 0 || !last, [&] {
            return concat(call.name(), ": include_last_offset: there must be an offset at least");
          });
          results.push_back({DType::Int64, {n - (last ? 1 : 0)}, {}});
        },
    .lower =
        [](Lowering& l) {
          const Expr offsets = convert(l["offsets"], DType::Int64);
          const bool last = l.call().boolean("include_last_offset");
          l.result(last ? slice(offsets, 0, 0, offsets.dim(0) - 1) : offsets);
        },
    .checks =
        [](HostCall& host) {
          const HostTensor offsets = host.input("offsets");
          const int64_t n = offsets.info.numel();
          const int64_t count = host.call().integer("count");
          for (int64_t i = 0; i < n; ++i) {
            const int64_t offset = integer_at(offsets, i);
            check(i > 0 || offset == 0, [&] {
              return concat(
                  "embedding_bag: offsets[0] has to be 0, i.e., the first sequence in the "
                  "mini-batch has to start from position 0. However, got ",
                  offset);
            });
            check(i < n - 1 || offset <= count, [&] {
              return concat("embedding_bag: offsets[-1] can not be greater than input's length ",
                            count, " but got offsets[-1] of ", offset);
            });
            check(i == 0 || integer_at(offsets, i - 1) <= offset, [&] {
              return concat("embedding_bag: offsets must not decrease, but offsets[", i, "] is ",
                            offset, " after ", integer_at(offsets, i - 1));
            });
          }
        },
    .differentiable = false,
    .dynamic = {"count"},
    .samples =
        [] {
          const SampleTensor offsets = typed({3}, DType::Int64, 0, 0);
          return SampleList{{{offsets, Scalar(4)}}, {{offsets, Scalar(4), Scalar(true)}}};
        },
    .errors =
        [] {
          const SampleTensor ones = typed({2}, DType::Int64, 1, 1);
          return std::vector<ErrorSample>{{{{ones, Scalar(4)}}, "RuntimeError", "has to be 0"}};
        },
});

const Register kSumOfBags({
    .schema = "_sum_of_bags(Tensor weight, Tensor indices, Tensor bags, Tensor offsets, Tensor? "
              "factor) -> Tensor",
    .doc = "result[b, :] = the sum of factor[i] * weight[indices[i], :] over all i with bags[i] == "
           "b, for as many bags as there are offsets.",
    .variants = {.function = false, .method = false, .aliases = {"nn.functional._sum_of_bags"}},
    .shape =
        [](const Call& call, ResultInfos& r) {
          rows_shape(call, r, "indices");
          r[0].sizes = {call.tensor("offsets").sizes[0], call.tensor("weight").sizes[1]};
        },
    .lower =
        [](Lowering& l) {
          const Expr weight = l["weight"];
          const DType dtype = compute_dtype(weight.dtype());
          Expr value = convert(rows(weight, l["indices"], std::nullopt), dtype);
          const auto along_rows = [&](const Expr& e) {
            return broadcast_to(unsqueeze(e, 1), value.shape());
          };
          const std::vector<Expr> places{along_rows(l["bags"]),
                                         iota(weight.builder(), value.shape(), 1)};
          if (l["factor"].valid()) value = value * along_rows(convert(l["factor"], dtype));
          const Expr zeros = broadcast_to(constant(weight, dtype, Scalar(0.0)),
                                          {l["offsets"].dim(0), weight.dim(1)});
          l.result(convert(scatter_add(zeros, places, value), weight.dtype()));
        },
    .checks = [](HostCall& host) { check_rows(host, "indices"); },
    .samples =
        [] {
          return SampleList{
              {{t({5, 3}), indices({4}, 5), indices({4}, 2), indices({2}, 4), t({4})}},
              {{t({5, 3}), indices({4}, 5), indices({4}, 2), indices({2}, 4), std::monostate()}}};
        },
});

// ---- along an axis
// ---------------------------------------------------------------------------------
void check_gather(const Call& call, const TensorInfo& index) {
  const TensorInfo& self = call.tensor("self");
  // An index without elements may be of any dtype and shape, as PyTorch looks at none of it.
  if (index.numel() == 0) return;
  check_index_dtype(call, "index");
  check(std::max(self.dim(), 1) == std::max(index.dim(), 1), [&] {
    return concat(call.name(),
                  "(): Index tensor must have the same number of dimensions as input tensor, got ",
                  index.dim(), " and ", self.dim());
  });
  for (int i = 0; i < std::min(self.dim(), index.dim()); ++i)
    check(i == axis_of(call) ||
              index.sizes[static_cast<size_t>(i)] <= self.sizes[static_cast<size_t>(i)],
          [&] {
            return concat(call.name(), "(): Size does not match at dimension ", i,
                          " expected index ", list_text(index.sizes), " to be no larger than self ",
                          list_text(self.sizes), " apart from dimension ", axis_of(call));
          });
}
const Register kGather({
    .schema = "gather(Tensor self, int dim, Tensor index, *, bool sparse_grad=False) -> Tensor",
    .doc = "result[i][j][k] = self[index[i][j][k]][j][k] for dim 0, and likewise for the others.",
    .variants = {.out = true},
    .axes = {"dim"},
    .shape =
        [](const Call& call, ResultInfos& results) {
          check_gather(call, call.tensor("index"));
          results.push_back({call.tensor("self").dtype, call.tensor("index").sizes, {}});
        },
    .lower =
        [](Lowering& l) {
          const Expr x = l["self"];
          const Expr index = l["index"];
          if (x.rank() == 0) return l.result(broadcast_to(x, index.shape()));
          // Checked to be one without elements.
          if (!is_integer(l.call().tensor("index").dtype) ||
              std::max(x.rank(), 1) != std::max(index.rank(), 1))
            return l.result(broadcast_to(constant(x, x.dtype(), Scalar(0)), index.shape()));
          const Expr places = index.rank() == 0 ? unsqueeze(index, 0) : index;
          const Expr value = gather(x, along_axis(x, axis_of(l.call()), places));
          l.result(index.rank() == 0 ? reshape(value, {}) : value);
        },
    .checks =
        [](HostCall& host) {
          check_bounds<RuntimeError>(host, "index", axis_of(host.call()), extent_along(host.call()),
                                     0);
        },
    .samples =
        [] {
          return SampleList{{{t({4, 3}), Scalar(0), indices({2, 3}, 4)}},
                            {{t({4, 3}), Scalar(-1), indices({4, 2}, 3)}},
                            {{t({}), Scalar(0), indices({}, 1)}}};
        },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{t({2, 3}), Scalar(0), typed({2, 3}, DType::Int64, 7, 7)}},
               "RuntimeError",
               "index 7 is out of bounds for dimension 0 with size 2"},
              {{{t({2, 3}), Scalar(0), indices({5, 5}, 2)}},
               "RuntimeError",
               "Size does not match"}};
        },
});
const Register kIndexSelect({
    .schema = "index_select(Tensor self, int dim, Tensor index) -> Tensor",
    .doc = "The elements at the places `index` (a vector) of axis `dim`.",
    .variants = {.out = true},
    .axes = {"dim"},
    .shape =
        [](const Call& call, ResultInfos& results) {
          const TensorInfo& self = call.tensor("self");
          const TensorInfo& index = call.tensor("index");
          check<IndexError>(index.dim() <= 1, [&] {
            return concat(call.name(), "(): Index is supposed to be a vector, got ", index.dim(),
                          " dimensions");
          });
          check_index_dtype(call, "index");
          TensorInfo result{self.dtype, self.sizes, {}};
          if (self.dim() > 0) result.sizes[static_cast<size_t>(axis_of(call))] = index.numel();
          results.push_back(result);
        },
    .lower =
        [](Lowering& l) {
          const Expr x = l["self"];
          if (x.rank() == 0) return l.result(x);
          std::vector<Expr> indices;
          for (int i = 0; i < x.rank(); ++i)
            indices.push_back(as_axis(i == axis_of(l.call()) ? convert(l["index"], DType::Int64)
                                                             : iota(x.builder(), {x.dim(i)}, 0),
                                      i, x.rank()));
          l.result(gather(x, indices));
        },
    .checks =
        [](HostCall& host) {
          check_bounds<IndexError>(host, "index", axis_of(host.call()), extent_along(host.call()),
                                   0);
        },
    .samples =
        [] {
          return SampleList{{{t({4, 3}), Scalar(0), indices({5}, 4)}},
                            {{t({4, 3}), Scalar(1), indices({}, 3)}}};
        },
    .errors =
        [] {
          return std::vector<ErrorSample>{{{{t({2, 3}), Scalar(0), typed({1}, DType::Int64, 9, 9)}},
                                           "IndexError",
                                           "index 9 is out of bounds"}};
        },
});
const Register kTake({
    .schema = "take(Tensor self, Tensor index) -> Tensor",
    .doc =
        "The elements at these places of the flattened tensor; negative ones count from its end.",
    .variants = {.out = true},
    .shape =
        [](const Call& call, ResultInfos& results) {
          check_index_dtype(call, "index");
          results.push_back({call.tensor("self").dtype, call.tensor("index").sizes, {}});
        },
    .lower =
        [](Lowering& l) {
          const Expr x = l["self"];
          const Dim n = element_count(x.shape());
          const std::vector<Expr> places{wrap_index(l["index"], n)};
          l.result(gather(reshape(x, {n}), places));
        },
    .checks =
        [](HostCall& host) {
          const int64_t n = host.call().tensor("self").numel();
          check_bounds<IndexError>(host, "index", 0, n, -n);
        },
    .samples = [] { return SampleList{{{t({2, 3}), typed({4}, DType::Int64, -6, 6)}}}; },
});
const Register kTakeAlongDim({
    .schema = "take_along_dim(Tensor self, Tensor indices, int? dim=None) -> Tensor",
    .doc = "gather with the other axes broadcast; without dim, from the flattened tensor.",
    .variants = {.out = true},
    .axes = {"dim"},
    .shape =
        [](const Call& call, ResultInfos& results) {
          const TensorInfo& self = call.tensor("self");
          const TensorInfo& index = call.tensor("indices");
          check(index.dtype == DType::Int64, [&] {
            return concat(call.name(), "(): dtype of indices should be Long but got ",
                          info(index.dtype).name);
          });
          if (call.is_none("dim")) {
            results.push_back({self.dtype, {index.numel()}, {}});
            return;
          }
          check(self.dim() == index.dim(), [&] {
            return concat(call.name(),
                          "(): input and indices should have the same number of "
                          "dimensions, but got ",
                          self.dim(), " and ", index.dim());
          });
          const auto axis = static_cast<size_t>(call.integer("dim"));
          SmallVector<Ints, 2> shapes{self.sizes, index.sizes};
          if (self.dim() > 0) shapes[0][axis] = index.sizes[axis];
          results.push_back({self.dtype, call.broadcast(shapes), {}});
        },
    .lower =
        [](Lowering& l) {
          const Expr x = l["self"];
          const Expr index = convert(l["indices"], DType::Int64);
          if (l.call().is_none("dim")) {
            const Dim n = element_count(x.shape());
            const std::vector<Expr> places{reshape(index, {element_count(index.shape())})};
            return l.result(gather(reshape(x, {n}), places));
          }
          if (x.rank() == 0) return l.result(x);
          const int axis = axis_of(l.call());
          Shape shape = index.shape();
          for (int i = 0; i < x.rank(); ++i) {
            Dim& extent_here = shape[static_cast<size_t>(i)];
            if (i != axis && extent_here.is_one()) extent_here = x.dim(i);
          }
          Shape source = x.shape();
          for (int i = 0; i < x.rank(); ++i)
            if (i != axis) source[static_cast<size_t>(i)] = shape[static_cast<size_t>(i)];
          const Expr wide = broadcast_to(x, source);
          l.result(gather(wide, along_axis(wide, axis, broadcast_to(index, shape))));
        },
    .checks =
        [](HostCall& host) {
          const Call& call = host.call();
          const bool flat = call.is_none("dim");
          check_bounds<RuntimeError>(host, "indices", flat ? 0 : axis_of(call),
                                     flat ? call.tensor("self").numel() : extent_along(call), 0);
        },
    .samples =
        [] {
          return SampleList{{{t({4, 3}), indices({2, 1}, 4), Scalar(0)}},
                            {{t({2, 3}), indices({4}, 6)}}};
        },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{t({2, 3}), typed({2, 1}, DType::Int64, 7, 7), Scalar(0)}},
               "RuntimeError",
               "index 7 is out of bounds for dimension 0 with size 2"}};
        },
});

}  // namespace
}  // namespace flambeau::ops
