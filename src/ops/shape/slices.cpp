// Windows along one axis, and lists of them.

#include <algorithm>

#include "ops/functions.h"
#include "ops/registry.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

/// Along the (canonical) axis: `length` elements from `start`, each `step` apart.
TensorInfo sliced(const TensorInfo& self, int64_t axis, int64_t length, int64_t step = 1) {
  TensorInfo result = self;
  result.sizes[static_cast<size_t>(axis)] = length;
  result.strides[static_cast<size_t>(axis)] *= step;
  return result;
}
void check_has_axes(const Call& call) {
  check(call.tensor("self").dim() > 0,
        [&] { return concat(call.name(), "() cannot be applied to a 0-dim tensor."); });
}
int64_t extent_of(const Call& call) {
  return call.tensor("self").sizes[static_cast<size_t>(call.integer("dim"))];
}
int axis_of(const Lowering& l) { return static_cast<int>(l.call().integer("dim")); }

const Register kNarrow({
    .schema = "narrow(Tensor(a) self, int dim, int start, int length) -> Tensor(a)",
    .doc = "`length` elements along `dim` from `start`.",
    .variants = {.copy = true},
    .returns = Returns::View,
    .axes = {"dim"},
    .canonical =
        [](const Call& call, Arguments& arguments) {
          check_has_axes(call);
          const int64_t extent = extent_of(call);
          const int64_t length = call.integer("length");
          int64_t start = call.integer("start");
          check(length >= 0,
                [&] { return concat(call.name(), "(): length must be non-negative."); });
          check<IndexError>(start >= -extent && start <= extent, [&] {
            return concat(call.name(), ": start out of range (expected to be in range of [",
                          -extent, ", ", extent, "], but got ", start, ")");
          });
          if (start < 0) start += extent;
          check(start + length <= extent, [&] {
            return concat(call.name(), ": start (", start, ") + length (", length,
                          ") exceeds dimension size (", extent, ").");
          });
          arguments[2] = Scalar(start);
        },
    .shape =
        [](const Call& call, ResultInfos& results) {
          results.push_back(
              sliced(call.tensor("self"), call.integer("dim"), call.integer("length")));
        },
    .lower =
        [](Lowering& l) {
          l.result(slice(l["self"], axis_of(l), l.integer("start"), l.integer("length")));
        },
    .dynamic = {"start", "length"},
    .samples =
        [] {
          return SampleList{{{t({4, 3}), Scalar(0), Scalar(1), Scalar(2)}},
                            {{t({4, 3}), Scalar(-1), Scalar(-2), Scalar(2)}},
                            {{t({4, 3}), Scalar(0), Scalar(4), Scalar(0)}}};
        },
    .errors =
        [] {
          return std::vector<ErrorSample>{{{{t({2, 3}), Scalar(0), Scalar(1), Scalar(4)}},
                                           "RuntimeError",
                                           "exceeds dimension size (2)"}};
        },
});

/// Number of elements from start to end in steps.
int64_t step_count(int64_t start, int64_t end, int64_t step) {
  return end <= start ? 0 : (end - start + step - 1) / step;
}
const Register kSlice({
    .schema = "slice.Tensor(Tensor(a) self, int dim=0, int? start=None, int? end=None, int step=1) "
              "-> Tensor(a)",
    .doc = "Python's self[start:end:step] along `dim`.",
    .variants = {.function = false, .method = false},
    .returns = Returns::View,
    .axes = {"dim"},
    .canonical =
        [](const Call& call, Arguments& arguments) {
          check_has_axes(call);
          const int64_t extent = extent_of(call);
          check<ValueError>(call.integer("step") > 0, [&] {
            return concat(call.name(), ": step must be greater than zero");
          });
          const auto bound = [&](const char* name, int64_t otherwise) {
            int64_t value = call.is_none(name) ? otherwise : call.integer(name);
            if (value < 0) value += extent;
            return std::clamp<int64_t>(value, 0, extent);
          };
          const int64_t start = bound("start", 0);
          const int64_t end = std::max(bound("end", extent), start);
          arguments[2] = Scalar(start);
          arguments[3] = Scalar(end);
        },
    .shape =
        [](const Call& call, ResultInfos& results) {
          const int64_t step = call.integer("step");
          results.push_back(sliced(call.tensor("self"), call.integer("dim"),
                                   step_count(call.integer("start"), call.integer("end"), step),
                                   step));
        },
    .lower =
        [](Lowering& l) {
          const Dim start = l.integer("start");
          const Dim step = l.integer("step");
          const Dim length = (l.integer("end") - start).ceil_div(step);
          l.result(slice(l["self"], axis_of(l), start, length, step));
        },
    .dynamic = {"start", "end", "step"},
    .samples =
        [] {
          return SampleList{{{t({5, 3})}, {{"start", Scalar(1)}, {"end", Scalar(-1)}}},
                            {{t({5, 3})}, {{"step", Scalar(2)}}},
                            {{t({5, 3}), Scalar(1)}, {{"start", Scalar(2)}, {"end", Scalar(1)}}}};
        },
});
const Register kSelect({
    .schema = "select.int(Tensor(a) self, int dim, int index) -> Tensor(a)",
    .doc = "The elements at `index` of axis `dim`, which vanishes.",
    .variants = {.copy = true},
    .returns = Returns::View,
    .axes = {"dim"},
    .canonical =
        [](const Call& call, Arguments& arguments) {
          check<IndexError>(call.tensor("self").dim() > 0, [&] {
            return concat(call.name(), "() cannot be applied to a 0-dim tensor.");
          });
          const int64_t extent = extent_of(call);
          const int64_t index = call.integer("index");
          check<IndexError>(index >= -extent && index < extent, [&] {
            return concat(call.name(), "(): index ", index, " out of range for tensor of size ",
                          list_text(call.tensor("self").sizes), " at dimension ",
                          call.integer("dim"));
          });
          arguments[2] = Scalar(index < 0 ? index + extent : index);
        },
    .shape =
        [](const Call& call, ResultInfos& results) {
          const TensorInfo& self = call.tensor("self");
          TensorInfo result{self.dtype, {}, {}};
          for (size_t i = 0; i < self.sizes.size(); ++i)
            if (static_cast<int64_t>(i) != call.integer("dim")) {
              result.sizes.push_back(self.sizes[i]);
              result.strides.push_back(self.strides[i]);
            }
          results.push_back(result);
        },
    .lower =
        [](Lowering& l) {
          const Ints axes{l.call().integer("dim")};
          l.result(squeeze(slice(l["self"], axis_of(l), l.integer("index"), 1), axes));
        },
    .dynamic = {"index"},
    .samples =
        [] {
          return SampleList{{{t({4, 3}), Scalar(0), Scalar(2)}},
                            {{t({4, 3}), Scalar(1), Scalar(-1)}}};
        },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{t({2, 3}), Scalar(0), Scalar(5)}}, "IndexError", "index 5 out of range"}};
        },
});

// ---- lists of windows
// --------------------------------------------------------------------------------
/// The gradients of windows that lie one after the other along `dim`, side by side. `make` brings
/// that of one, or zeros, to the windows' rank.
template <class Make>
void join_gradients(VjpLowering& v, const Make& make) {
  std::vector<Expr> parts;
  for (size_t i = 0; i < v.cotangents.size(); ++i)
    parts.push_back(make(v.cotangents[i].valid() ? v.cotangents[i] : full_like(v.results[i], 0.0)));
  if (!parts.empty()) v.gradients[0] = concatenate(parts, axis_of(v.forward));
}

/// How many results there are depends on the extent of axis `dim`.
uint64_t by_extent(const Call& call, size_t) { return axis_bit(call.integer("dim")); }

/// A list of views of these lengths, one after the other, along axis `dim`.
template <Ints (*kLengths)(const Call&)>
Definition sections(std::string_view schema, std::string_view doc,
                    std::function<SampleList()> samples, std::vector<std::string> aliases = {}) {
  return {.schema = schema,
          .doc = doc,
          .variants = {.aliases = std::move(aliases)},
          .returns = Returns::View,
          .axes = {"dim"},
          .shape =
              [](const Call& call, ResultInfos& results) {
                for (const int64_t length : kLengths(call))
                  results.push_back(sliced(call.tensor("self"), call.integer("dim"), length));
              },
          .lower =
              [](Lowering& l) {
                int64_t start = 0;
                for (const int64_t length : kLengths(l.call())) {
                  l.result(slice(l["self"], axis_of(l), start, length));
                  start += length;
                }
              },
          .vjp = [](VjpLowering& v) { join_gradients(v, [](const Expr& g) { return g; }); },
          .fixed = by_extent,
          .samples = std::move(samples)};
}
Ints pieces_of(int64_t extent, int64_t piece) {
  Ints lengths;
  for (int64_t start = 0; start < extent; start += piece)
    lengths.push_back(std::min(piece, extent - start));
  return lengths;
}
Ints split_lengths(const Call& call) {
  check_has_axes(call);
  const int64_t extent = extent_of(call);
  const int64_t size = call.integer("split_size");
  check(size >= 0, [&] {
    return concat(call.name(), " expects split_size be non-negative, but got split_size=", size);
  });
  check(size > 0 || extent == 0, [&] {
    return concat(call.name(),
                  ": split_size can only be 0 if dimension size is 0, but got "
                  "dimension size of ",
                  extent);
  });
  return extent == 0 ? Ints{0} : pieces_of(extent, size);
}
Definition split_definition() {
  Definition d = sections<split_lengths>(
      "split.Tensor(Tensor(a) self, int split_size, int dim=0) -> Tensor(a)[]",
      "Views of split_size elements along `dim`; the last may be shorter.",
      [] { return SampleList{{{t({5, 3}), Scalar(2)}}, {{t({2, 4}), Scalar(2), Scalar(1)}}}; },
      {"unsafe_split", "Tensor.unsafe_split"});
  d.errors = [] {
    return std::vector<ErrorSample>{
        {{{t({2, 3}), Scalar(0)}}, "RuntimeError", "split_size can only be 0"}};
  };
  return d;
}
const Register kSplit(split_definition());
Ints chunk_lengths(const Call& call) {
  check_has_axes(call);
  const int64_t chunks = call.integer("chunks");
  check(chunks > 0, [&] {
    return concat(call.name(), " expects `chunks` to be greater than 0, got: ", chunks);
  });
  const int64_t extent = extent_of(call);
  if (extent == 0) return Ints(static_cast<size_t>(chunks), 0);
  return pieces_of(extent, (extent + chunks - 1) / chunks);
}
const Register kChunk(sections<chunk_lengths>(
    "chunk(Tensor(a) self, int chunks, int dim=0) -> Tensor(a)[]",
    "At most `chunks` views of equal length along `dim`; the last may be shorter.",
    [] { return SampleList{{{t({6, 3}), Scalar(4)}}, {{t({2, 4}), Scalar(2), Scalar(-1)}}}; },
    {"unsafe_chunk", "Tensor.unsafe_chunk"}));
Ints given_lengths(const Call& call) {
  check_has_axes(call);
  Ints lengths = call.integers("split_sizes");
  int64_t total = 0;
  for (const int64_t length : lengths) {
    check(length >= 0, [&] {
      return concat(call.name(),
                    " expects split_sizes have only non-negative entries, but got "
                    "split_sizes=",
                    list_text(lengths));
    });
    total += length;
  }
  check(total == extent_of(call), [&] {
    return concat(call.name(), " expects split_sizes to sum exactly to ", extent_of(call),
                  " (input tensor's size at dimension ", call.integer("dim"),
                  "), but got split_sizes=", list_text(lengths));
  });
  return lengths;
}
SampleList given_samples() {
  return {{{t({5, 3}), Ints{2, 0, 3}}}, {{t({2, 4}), Ints{1, 3}, Scalar(1)}}};
}
Definition split_with_sizes_definition() {
  Definition d = sections<given_lengths>(
      "split_with_sizes(Tensor(a) self, int[] split_sizes, int dim=0) -> Tensor(a)[]",
      "Views of these lengths, one after the other, along `dim`.", given_samples,
      {"unsafe_split_with_sizes", "Tensor.unsafe_split_with_sizes"});
  d.variants.copy = true;
  return d;
}
const Register kSplitWithSizes(split_with_sizes_definition());
const Register kSplitSizes(sections<given_lengths>(
    "split.sizes(Tensor(a) self, int[] split_sizes, int dim=0) -> Tensor(a)[]",
    "Views of these lengths, one after the other, along `dim`.", given_samples));
Ints even_lengths(const Call& call) {
  check_has_axes(call);
  const int64_t count = call.integer("sections");
  check(count > 0, [&] {
    return concat(call.name(), ": number of sections must be larger than 0, got ", count);
  });
  const int64_t extent = extent_of(call);
  Ints lengths;
  for (int64_t i = 0; i < count; ++i) lengths.push_back(extent / count + (i < extent % count));
  return lengths;
}
const Register kTensorSplit(sections<even_lengths>(
    "tensor_split.sections(Tensor(a) self, int sections, int dim=0) -> Tensor(a)[]",
    "`sections` views along `dim` whose lengths differ by at most 1.",
    [] { return SampleList{{{t({5, 3}), Scalar(2)}}}; }));

/// Views between these bounds, which may be negative, out of range and out of order.
Definition bounds_definition() {
  Definition d{
      .schema = "tensor_split.indices(Tensor(a) self, int[] indices, int dim=0) -> Tensor(a)[]",
      .doc = "Views along `dim` between the given indices.",
      .returns = Returns::View,
      .axes = {"dim"},
      .fixed = by_extent,
      .samples = [] { return SampleList{{{t({5, 3}), Ints{1, 3}}}}; }};
  static const auto bounds = [](const Call& call) {
    check_has_axes(call);
    const int64_t extent = extent_of(call);
    std::vector<std::pair<int64_t, int64_t>> windows;
    int64_t start = 0;
    Ints ends = call.integers("indices");
    ends.push_back(extent);
    for (int64_t end : ends) {
      if (end < 0) end += extent;
      end = std::clamp<int64_t>(end, 0, extent);
      windows.emplace_back(start, std::max(end, start) - start);
      start = end;
    }
    return windows;
  };
  d.shape = [](const Call& call, ResultInfos& results) {
    for (const auto& [start, length] : bounds(call))
      results.push_back(sliced(call.tensor("self"), call.integer("dim"), length));
  };
  d.lower = [](Lowering& l) {
    for (const auto& [start, length] : bounds(l.call()))
      l.result(slice(l["self"], axis_of(l), start, length));
  };
  return d;
}
const Register kTensorSplitIndices(bounds_definition());

// hsplit, vsplit and dsplit are tensor_split along axis 1, 0 and 2 (hsplit: 0 for a vector).
template <int kAxis>
Definition named_sections(std::string_view schema, std::string_view doc,
                          std::function<SampleList()> samples) {
  static const auto axis_for = [](const Call& call) -> size_t {
    const int rank = call.tensor("self").dim();
    check(rank >= (kAxis == 0   ? 2
                   : kAxis == 1 ? 1
                                : 3),
          [&] {
            return concat(call.name(), " requires a tensor with at least ",
                          kAxis == 0   ? 2
                          : kAxis == 1 ? 1
                                       : 3,
                          " dimension, but got a tensor with ", rank, " dimensions!");
          });
    return kAxis == 1 && rank == 1 ? 0U : static_cast<size_t>(kAxis);
  };
  static const auto windows = [](const Call& call) {
    const int64_t extent = call.tensor("self").sizes[axis_for(call)];
    std::vector<std::pair<int64_t, int64_t>> result;
    if (const auto* indices = std::get_if<Ints>(&call.arguments()[1])) {
      int64_t start = 0;
      for (size_t i = 0; i <= indices->size(); ++i) {
        int64_t end = i < indices->size() ? (*indices)[i] : extent;
        if (end < 0) end += extent;
        end = std::clamp<int64_t>(end, 0, extent);
        result.emplace_back(start, std::max(end, start) - start);
        start = end;
      }
      return result;
    }
    const int64_t count = call.integer("sections");
    check(count > 0 && extent % count == 0, [&] {
      return concat(call.name(), " attempted to split along dimension ", axis_for(call),
                    ", but the size of the dimension ", extent,
                    " is not divisible by the split_size ", count, "!");
    });
    for (int64_t i = 0; i < count; ++i) result.emplace_back(i * (extent / count), extent / count);
    return result;
  };
  return {.schema = schema,
          .doc = doc,
          .returns = Returns::View,
          .shape =
              [](const Call& call, ResultInfos& results) {
                for (const auto& [start, length] : windows(call))
                  results.push_back(
                      sliced(call.tensor("self"), static_cast<int64_t>(axis_for(call)), length));
              },
          .lower =
              [](Lowering& l) {
                for (const auto& [start, length] : windows(l.call()))
                  l.result(slice(l["self"], static_cast<int>(axis_for(l.call())), start, length));
              },
          .fixed = [](const Call& call,
                      size_t) { return axis_bit(static_cast<int64_t>(axis_for(call))); },
          .samples = std::move(samples)};
}
SampleList halves() { return {{{t({2, 4, 6}), Scalar(2)}}}; }
SampleList at_one() { return {{{t({2, 4, 6}), Ints{1}}}}; }
const Register kHsplit(named_sections<1>("hsplit.int(Tensor(a) self, int sections) -> Tensor(a)[]",
                                         "Equal views along axis 1 (0 of a vector).", halves));
const Register kHsplitArray(
    named_sections<1>("hsplit.array(Tensor(a) self, int[] indices) -> Tensor(a)[]",
                      "Views along axis 1 (0 of a vector) between the given indices.", at_one));
const Register kVsplit(named_sections<0>("vsplit.int(Tensor(a) self, int sections) -> Tensor(a)[]",
                                         "Equal views along axis 0.", halves));
const Register kVsplitArray(
    named_sections<0>("vsplit.array(Tensor(a) self, int[] indices) -> Tensor(a)[]",
                      "Views along axis 0 between the given indices.", at_one));
const Register kDsplit(named_sections<2>("dsplit.int(Tensor(a) self, int sections) -> Tensor(a)[]",
                                         "Equal views along axis 2.", halves));
const Register kDsplitArray(
    named_sections<2>("dsplit.array(Tensor(a) self, int[] indices) -> Tensor(a)[]",
                      "Views along axis 2 between the given indices.", at_one));

const Register kUnbind({
    .schema = "unbind.int(Tensor(a) self, int dim=0) -> Tensor(a)[]",
    .doc = "A view of each element along `dim`, which vanishes.",
    .variants = {.copy = true},
    .returns = Returns::View,
    .axes = {"dim"},
    .shape =
        [](const Call& call, ResultInfos& results) {
          check<IndexError>(call.tensor("self").dim() > 0, [&] {
            return concat(call.name(), ": Dimension specified as 0 but tensor has no dimensions");
          });
          const TensorInfo& self = call.tensor("self");
          TensorInfo one{self.dtype, {}, {}};
          for (size_t i = 0; i < self.sizes.size(); ++i)
            if (static_cast<int64_t>(i) != call.integer("dim")) {
              one.sizes.push_back(self.sizes[i]);
              one.strides.push_back(self.strides[i]);
            }
          for (int64_t i = 0; i < extent_of(call); ++i) results.push_back(one);
        },
    .lower =
        [](Lowering& l) {
          const Ints axes{l.call().integer("dim")};
          for (int64_t i = 0; i < extent_of(l.call()); ++i)
            l.result(squeeze(slice(l["self"], axis_of(l), i, 1), axes));
        },
    .vjp =
        [](VjpLowering& v) {
          const int axis = axis_of(v.forward);
          join_gradients(v, [&](const Expr& g) { return unsqueeze(g, axis); });
        },
    .fixed = by_extent,
    .samples = [] { return SampleList{{{t({3, 2})}}, {{t({3, 2}), Scalar(1)}}}; },
});

}  // namespace
}  // namespace flambeau::ops
