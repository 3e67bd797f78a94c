// Views that permute, stretch, add and remove axes.

#include <algorithm>

#include "ops/functions.h"
#include "ops/registry.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

Ints identity(int64_t rank) { return all_axes(rank); }

/// `self` with its axes in this order.
TensorInfo permuted(const TensorInfo& self, const Ints& order) {
  TensorInfo result{self.dtype, {}, {}};
  for (const int64_t axis : order) {
    result.sizes.push_back(self.sizes[static_cast<size_t>(axis)]);
    result.strides.push_back(self.strides[static_cast<size_t>(axis)]);
  }
  return result;
}

/// A view that permutes axes: kOrder gives the order from the (canonical) call.
template <Ints (*kOrder)(const Call&)>
Definition permutation(std::string_view schema, std::string_view doc, Variants variants,
                       std::vector<std::string_view> axes, std::function<SampleList()> samples) {
  return {.schema = schema,
          .doc = doc,
          .variants = std::move(variants),
          .returns = Returns::View,
          .axes = std::move(axes),
          .shape = [](const Call& call,
                      ResultInfos& r) { r.push_back(permuted(call.tensor("self"), kOrder(call))); },
          .lower =
              [](Lowering& l) {
                const Expr x = l["self"];
                const Ints order = kOrder(l.call());
                l.result(order.empty() ? x : permute(x, order));
              },
          .samples = std::move(samples)};
}

Ints swapped(const Call& call, size_t a, size_t b) {
  Ints order = identity(call.tensor("self").dim());
  if (!order.empty()) std::swap(order[a], order[b]);
  return order;
}
Ints transpose_order(const Call& call) {
  return swapped(call, static_cast<size_t>(call.integer("dim0")),
                 static_cast<size_t>(call.integer("dim1")));
}
Definition transpose_definition() {
  Definition d = permutation<transpose_order>(
      "transpose.int(Tensor(a) self, int dim0, int dim1) -> Tensor(a)", "Two axes exchanged.",
      {.copy = true, .aliases = {"swapaxes", "swapdims", "Tensor.swapaxes", "Tensor.swapdims"}},
      {"dim0", "dim1"}, [] {
        return SampleList{{{t({2, 3, 4}), Scalar(0), Scalar(-1)}},
                          {{t({}), Scalar(0), Scalar(-1)}}};
      });
  d.errors = [] {
    return std::vector<ErrorSample>{
        {{{t({2, 3}), Scalar(0), Scalar(4)}}, "IndexError", "[-2, 1], but got 4"}};
  };
  return d;
}
const Register kTranspose(transpose_definition());

Ints t_order(const Call& call) {
  const int rank = call.tensor("self").dim();
  check(rank <= 2, [&] {
    return concat(call.name(), "() expects a tensor with <= 2 dimensions, but self is ", rank, "D");
  });
  return rank == 2 ? Ints{1, 0} : identity(rank);
}
const Register kT(permutation<t_order>("t(Tensor(a) self) -> Tensor(a)", "A matrix transposed.",
                                       {.copy = true}, {},
                                       [] { return SampleList{{{t({2, 3})}}, {{t({3})}}}; }));
Ints matrix_order(const Call& call) {
  const int rank = call.tensor("self").dim();
  check(rank >= 2, [&] {
    return concat(call.name(), ": needs a matrix or a batch of matrices, got ", rank, "D");
  });
  return swapped(call, static_cast<size_t>(rank - 1), static_cast<size_t>(rank - 2));
}
Definition adjoint_definition() {
  Definition d = permutation<matrix_order>("adjoint(Tensor(a) self) -> Tensor(a)",
                                           "The last two axes exchanged, and conjugated.", {}, {},
                                           [] { return SampleList{{{t({2, 3, 4})}}}; });
  d.returns = Returns::MaybeView;
  d.lower = [](Lowering& l) { l.result(conj(permute(l["self"], matrix_order(l.call())))); };
  return d;
}
const Register kAdjoint(adjoint_definition());
const Register kMT(permutation<matrix_order>("_mT(Tensor(a) self) -> Tensor(a)",
                                             "The last two axes exchanged: Tensor.mT.",
                                             {.function = false, .method = false}, {},
                                             [] { return SampleList{{{t({2, 3, 4})}}}; }));
Ints reversed_order(const Call& call) {
  Ints order = identity(call.tensor("self").dim());
  std::reverse(order.begin(), order.end());
  return order;
}
const Register kNumpyT(permutation<reversed_order>("numpy_T(Tensor(a) self) -> Tensor(a)",
                                                   "The axes in reverse: Tensor.T.",
                                                   {.function = false, .method = false}, {},
                                                   [] { return SampleList{{{t({2, 3, 4})}}}; }));

Ints permute_order(const Call& call) {
  const Ints& dims = call.integers("dims");
  const int rank = call.tensor("self").dim();
  check(static_cast<int>(dims.size()) == rank, [&] {
    return concat(call.name(),
                  ": number of dimensions in the tensor input does not match the "
                  "length of the desired ordering of dimensions i.e. input.dim() = ",
                  rank, " is not equal to len(dims) = ", dims.size());
  });
  return dims;
}
Definition permute_definition() {
  Definition d = permutation<permute_order>(
      "permute(Tensor(a) self, int[] dims) -> Tensor(a)",
      "Axis i of the result is axis dims[i] of self.", {.copy = true}, {"dims"},
      [] { return SampleList{{{t({2, 3, 4}), Ints{2, 0, -2}}}, {{t({}), Ints{}}}}; });
  d.errors = [] {
    return std::vector<ErrorSample>{
        {{{t({2, 3}), Ints{0}}}, "RuntimeError", "is not equal to len(dims) = 1"},
        {{{t({2, 3}), Ints{0, 0}}}, "RuntimeError", "multiple times"}};
  };
  return d;
}
const Register kPermute(permute_definition());

/// The order that brings source[i] to destination[i] and keeps the rest in sequence.
Ints moved_order(const Call& call, const Ints& source, const Ints& destination) {
  const int64_t rank = call.tensor("self").dim();
  check(source.size() == destination.size(), [&] {
    return concat(call.name(), ": Invalid source or destination dims: source (", list_text(source),
                  ") should contain the same number of dims as destination (",
                  list_text(destination), ")");
  });
  Ints order(static_cast<size_t>(rank), -1);
  for (size_t i = 0; i < source.size(); ++i)
    if (rank > 0) order[static_cast<size_t>(destination[i])] = source[i];
  int64_t next = 0;
  for (int64_t& axis : order) {
    if (axis >= 0) continue;
    while (std::find(source.begin(), source.end(), next) != source.end()) ++next;
    axis = next++;
  }
  return order;
}
Ints movedim_order(const Call& call) {
  return moved_order(call, call.integers("source"), call.integers("destination"));
}
const Register kMovedim(permutation<movedim_order>(
    "movedim.intlist(Tensor(a) self, int[1] source, int[1] destination) -> Tensor(a)",
    "The axes `source` moved to the places `destination`.",
    {.aliases = {"moveaxis", "Tensor.moveaxis"}}, {"source", "destination"}, [] {
      return SampleList{{{t({2, 3, 4}), Ints{0}, Ints{-1}}},
                        {{t({2, 3, 4}), Ints{0, 1}, Ints{2, 0}}}};
    }));

// ---- stretching
// ------------------------------------------------------------------------------------
TensorInfo expanded(const Call& call, const TensorInfo& self, const Ints& sizes) {
  TensorInfo result{self.dtype, sizes, Ints(sizes.size(), 0)};
  int64_t count = 1;
  for (const int64_t size : sizes)
    check(!__builtin_mul_overflow(count, size, &count) || self.numel() == 0, [&] {
      return concat(call.name(), ": numel: integer multiplication overflow for the sizes ",
                    list_text(sizes));
    });
  const size_t shift = sizes.size() - self.sizes.size();
  for (size_t i = 0; i < self.sizes.size(); ++i) {
    const int64_t have = self.sizes[i];
    const int64_t want = sizes[shift + i];
    check(have == want || have == 1, [&] {
      return concat(call.name(), ": The expanded size of the tensor (", want,
                    ") must match the existing size (", have, ") at non-singleton dimension ",
                    shift + i, ".  Target sizes: ", list_text(sizes),
                    ".  Tensor sizes: ", list_text(self.sizes));
    });
    result.strides[shift + i] = have == want ? self.strides[i] : 0;
  }
  // New axes repeat the whole; of extent 1 they need a stride that says nothing.
  return result;
}
void resolve_expand(const Call& call, Arguments& arguments) {
  const TensorInfo& self = call.tensor("self");
  Ints sizes = call.integers("size");
  check(sizes.size() >= self.sizes.size(), [&] {
    return concat(call.name(), ": the number of sizes provided (", sizes.size(),
                  ") must be greater or equal to the number of dimensions in the tensor (",
                  self.dim(), ")");
  });
  const size_t shift = sizes.size() - self.sizes.size();
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] == -1 && i >= shift) sizes[i] = self.sizes[i - shift];
    check(sizes[i] >= 0, [&] {
      return concat(call.name(), ": The expanded size of the tensor (", sizes[i],
                    ") isn't allowed in a leading, non-existing dimension ", i);
    });
  }
  arguments[1] = sizes;
}
const Register kExpand({
    .schema = "expand(Tensor(a) self, int[] size, *, bool implicit=False) -> Tensor(a)",
    .doc = "Axes of extent 1 stretched to `size` without a copy, new axes in front; -1 keeps an "
           "extent.",
    .variants = {.function = false,
                 .copy = true,
                 .aliases = {"broadcast_to", "Tensor.broadcast_to"}},
    .returns = Returns::View,
    .canonical = resolve_expand,
    .shape =
        [](const Call& call, ResultInfos& results) {
          results.push_back(expanded(call, call.tensor("self"), call.integers("size")));
        },
    .lower =
        [](Lowering& l) {
          const Expr x = l["self"];
          const std::vector<Dim> sizes = l.integers("size");
          Shape shape(sizes.begin(), sizes.end());
          // What does not stretch keeps the symbol of the input.
          const size_t shift = shape.size() - static_cast<size_t>(x.rank());
          for (size_t i = shift; i < shape.size(); ++i) {
            const Dim own = x.dim(static_cast<int>(i - shift));
            if (!own.is_one()) shape[i] = own;
          }
          l.result(broadcast_to(x, shape));
        },
    .dynamic = {"size"},
    .samples =
        [] {
          return SampleList{
              {{t({1, 3}), Ints{2, 3}}}, {{t({3, 1}), Ints{2, -1, 4}}}, {{t({}), Ints{2}}}};
        },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{t({2, 3}), Ints{2, 4}}}, "RuntimeError", "must match the existing size (3)"},
              {{{t({2, 3}), Ints{3}}}, "RuntimeError", "the number of sizes provided (1)"},
              {{{t({1}), Ints{int64_t{1} << 40, int64_t{1} << 40}}},
               "RuntimeError",
               "integer multiplication overflow"}};
        },
});
const Register kExpandAs({
    .schema = "expand_as(Tensor(a) self, Tensor other) -> Tensor(a)",
    .doc = "self stretched to the shape of other.",
    .variants = {.function = false},
    .returns = Returns::View,
    .shape =
        [](const Call& call, ResultInfos& results) {
          const TensorInfo& self = call.tensor("self");
          const Ints& sizes = call.tensor("other").sizes;
          check(sizes.size() >= self.sizes.size(), [&] {
            return concat(call.name(), ": other has ", sizes.size(), " dimensions, self ",
                          self.dim());
          });
          results.push_back(expanded(call, self, sizes));
        },
    .lower = [](Lowering& l) { l.result(broadcast_to(l["self"], l["other"].shape())); },
    .samples = [] { return SampleList{{{t({1, 3}), t({2, 3})}}}; },
});

// ---- axes of extent 1
// ------------------------------------------------------------------------------
/// The axes of `dims` (all of them if null) that have extent 1.
Ints single_axes(const TensorInfo& self, const Ints* dims) {
  Ints axes;
  for (size_t i = 0; i < self.sizes.size(); ++i) {
    const auto axis = static_cast<int64_t>(i);
    const bool asked =
        dims == nullptr || std::find(dims->begin(), dims->end(), axis) != dims->end();
    if (asked && self.sizes[i] == 1) axes.push_back(axis);
  }
  return axes;
}
Ints squeezed_axes(const Call& call) {
  const TensorInfo& self = call.tensor("self");
  if (call.arguments().size() == 1) return single_axes(self, nullptr);
  const Argument& dim = call["dim"];
  if (const auto* one = std::get_if<Scalar>(&dim)) {
    const Ints list{one->to_int()};
    return single_axes(self, &list);
  }
  return single_axes(self, &std::get<Ints>(dim));
}
void squeeze_shape(const Call& call, ResultInfos& results) {
  const TensorInfo& self = call.tensor("self");
  const Ints axes = squeezed_axes(call);
  TensorInfo result{self.dtype, {}, {}};
  for (size_t i = 0; i < self.sizes.size(); ++i)
    if (std::find(axes.begin(), axes.end(), static_cast<int64_t>(i)) == axes.end()) {
      result.sizes.push_back(self.sizes[i]);
      result.strides.push_back(self.strides[i]);
    }
  results.push_back(result);
}
void lower_squeeze(Lowering& l) {
  const Ints axes = squeezed_axes(l.call());
  l.result(axes.empty() ? l["self"] : squeeze(l["self"], axes));
}
const Register kSqueeze({
    .schema = "squeeze(Tensor(a) self) -> Tensor(a)",
    .doc = "All axes of extent 1 removed.",
    .variants = {.copy = true},
    .returns = Returns::View,
    .shape = squeeze_shape,
    .lower = lower_squeeze,
    .samples = [] { return SampleList{{{t({1, 3, 1})}}, {{t({2, 3})}}}; },
});
const Register kSqueezeDims({
    .schema = "squeeze.dims(Tensor(a) self, int[1] dim) -> Tensor(a)",
    .doc = "Those of the axes `dim` removed that have extent 1.",
    .variants = {.copy = true},
    .returns = Returns::View,
    .axes = {"dim"},
    .shape = squeeze_shape,
    .lower = lower_squeeze,
    .samples = [] { return SampleList{{{t({1, 3, 1}), Ints{0, 1}}}}; },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{t({2, 3}), Ints{4}}}, "IndexError", "[-2, 1], but got 4"}};
        },
});
const Register kUnsqueeze({
    .schema = "unsqueeze(Tensor(a) self, int dim) -> Tensor(a)",
    .doc = "A new axis of extent 1 at `dim` of the result.",
    .variants = {.copy = true},
    .returns = Returns::View,
    .canonical =
        [](const Call& call, Arguments& arguments) {
          arguments[1] = Scalar(call.axis(call.integer("dim"), call.tensor("self").dim() + 1));
        },
    .shape =
        [](const Call& call, ResultInfos& results) {
          TensorInfo result = call.tensor("self");
          const auto at = static_cast<size_t>(call.integer("dim"));
          const int64_t stride =
              at < result.sizes.size() ? result.sizes[at] * result.strides[at] : 1;
          result.sizes.insert(at, 1);
          result.strides.insert(at, stride);
          results.push_back(result);
        },
    .lower =
        [](Lowering& l) {
          l.result(unsqueeze(l["self"], static_cast<int>(l.call().integer("dim"))));
        },
    .samples = [] { return SampleList{{{t({2, 3}), Scalar(-1)}}, {{t({2, 3}), Scalar(0)}}}; },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{t({2, 3}), Scalar(4)}}, "IndexError", "[-3, 2], but got 4"}};
        },
});

/// self itself under another name.
Definition itself(std::string_view schema, std::string_view doc, Variants variants) {
  return {.schema = schema,
          .doc = doc,
          .variants = std::move(variants),
          .returns = Returns::View,
          .shape = [](const Call& call, ResultInfos& r) { r.push_back(call.tensor("self")); },
          .lower = [](Lowering& l) { l.result(l["self"]); },
          .samples = [] { return SampleList{{{t({2, 3})}}, {{t({})}}}; }};
}
const Register kAlias(itself("alias(Tensor(a) self) -> Tensor(a)", "Another view of self.",
                             {.function = false, .method = false, .copy = true}));
const Register kResolveConj(itself("resolve_conj(Tensor(a) self) -> Tensor(a)",
                                   "self without a pending conjugation.", {}));
const Register kResolveNeg(itself("resolve_neg(Tensor(a) self) -> Tensor(a)",
                                  "self without a pending negation.", {}));

/// At least kRank axes of extent 1 around what there is.
template <int kRank>
Definition at_least(std::string_view schema, std::string_view doc) {
  static const auto new_axes = [](int rank) {
    Ints axes;  // places of unsqueezed axes, in order
    if (rank == 0) axes.push_back(0);
    if (kRank >= 2 && rank <= 1) axes.push_back(0);
    if (kRank >= 3 && rank <= 2) axes.push_back(-1);
    return axes;
  };
  return {.schema = schema,
          .doc = doc,
          .variants = {.method = false},
          .returns = Returns::View,
          .shape =
              [](const Call& call, ResultInfos& results) {
                TensorInfo result = call.tensor("self");
                for (const int64_t axis : new_axes(result.dim())) {
                  result.sizes.insert(axis == 0 ? 0 : result.sizes.size(), 1);
                  result.strides.insert(axis == 0 ? 0 : result.strides.size(), 1);
                }
                results.push_back(result);
              },
          .lower =
              [](Lowering& l) {
                Expr x = l["self"];
                for (const int64_t axis : new_axes(x.rank()))
                  x = unsqueeze(x, axis == 0 ? 0 : x.rank());
                l.result(x);
              },
          .samples = [] { return SampleList{{{t({})}}, {{t({3})}}, {{t({2, 3})}}}; }};
}
const Register kAtLeast1d(at_least<1>("atleast_1d(Tensor(a) self) -> Tensor(a)",
                                      "self with at least one axis."));
const Register kAtLeast2d(at_least<2>("atleast_2d(Tensor(a) self) -> Tensor(a)",
                                      "self with at least two axes, new ones in front."));
const Register kAtLeast3d(at_least<3>("atleast_3d(Tensor(a) self) -> Tensor(a)",
                                      "self with at least three axes, the third new one last."));

const Register kMeshgrid({
    .schema = "meshgrid(Tensor[] tensors, *, str? indexing=None) -> Tensor[]",
    .doc = "Each vector along an axis of its own, stretched to the grid of all; \"xy\" exchanges "
           "the first two axes.",
    .variants = {.method = false},
    .shape =
        [](const Call& call, ResultInfos& results) {
          Ints sizes;
          for (const TensorInfo* one : call.tensors("tensors")) {
            check(one->dim() <= 1, [&] {
              return concat(call.name(), ": Expected 0D or 1D tensor in the tensor list but got: ",
                            list_text(one->sizes));
            });
            check(one->dtype == call.tensors("tensors")[0]->dtype, [&] {
              return concat(call.name(), " expects all tensors to have the same dtype");
            });
            sizes.push_back(one->numel());
          }
          check(!sizes.empty(),
                [&] { return concat(call.name(), " expects a non-empty TensorList"); });
          const auto* indexing = std::get_if<std::string>(&call["indexing"]);
          check(indexing == nullptr || *indexing == "ij" || *indexing == "xy", [&] {
            return concat(call.name(),
                          ": indexing must be one of \"xy\" or \"ij\", but received: ", *indexing);
          });
          if (indexing != nullptr && *indexing == "xy" && sizes.size() >= 2)
            std::swap(sizes[0], sizes[1]);
          for (size_t i = 0; i < sizes.size(); ++i)
            results.push_back({call.tensors("tensors")[0]->dtype, sizes, {}});
        },
    .lower =
        [](Lowering& l) {
          const std::vector<Expr> vectors = l.tensors("tensors");
          const auto* indexing = std::get_if<std::string>(&l.call()["indexing"]);
          const bool swap = indexing != nullptr && *indexing == "xy" && vectors.size() >= 2;
          Shape shape;
          for (const Expr& v : vectors) shape.push_back(v.rank() == 0 ? Dim(1) : v.dim(0));
          if (swap) std::swap(shape[0], shape[1]);
          for (size_t i = 0; i < vectors.size(); ++i) {
            const size_t axis = swap && i < 2 ? 1 - i : i;
            const Ints axes{static_cast<int64_t>(axis)};
            const Expr v = vectors[i].rank() == 0 ? unsqueeze(vectors[i], 0) : vectors[i];
            l.result(broadcast(v, axes, shape));
          }
        },
    .samples =
        [] {
          return SampleList{{{std::vector{t({2}), t({3})}}},
                            {{std::vector{t({2}), t({3})}}, {{"indexing", std::string("xy")}}}};
        },
});

}  // namespace
}  // namespace flambeau::ops
