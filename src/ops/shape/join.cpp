// Tensors joined along an axis.

#include <algorithm>

#include "ops/functions.h"
#include "ops/registry.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

const TensorRefs& list_of(const Call& call) { return std::get<TensorRefs>(call.arguments()[0]); }

void check_list(const Call& call) {
  check(!list_of(call).empty(),
        [&] { return concat(call.name(), "(): expected a non-empty list of Tensors"); });
}
/// PyTorch's old empty vectors take no part.
bool is_legacy_empty(const TensorInfo& t) { return t.dim() == 1 && t.sizes[0] == 0; }
/// The first tensor that takes part, or simply the first.
const TensorInfo& reference(const Call& call) {
  for (const TensorInfo* t : list_of(call))
    if (!is_legacy_empty(*t)) return *t;
  return *list_of(call)[0];
}

const Register kCat({
    .schema = "cat(Tensor[] tensors, int dim=0) -> Tensor",
    .doc = "The tensors one after the other along `dim`; their other extents agree.",
    .variants = {.method = false, .out = true, .aliases = {"concat", "concatenate"}},
    .promotion = Promotion::Promote,
    .canonical =
        [](const Call& call, Arguments& arguments) {
          check_list(call);
          for (size_t i = 0; i < list_of(call).size(); ++i)
            check(list_of(call)[i]->dim() > 0, [&] {
              return concat(call.name(), ": zero-dimensional tensor (at position ", i,
                            ") cannot be concatenated");
            });
          arguments[1] = Scalar(call.axis(call.integer("dim"), reference(call).dim()));
        },
    .shape =
        [](const Call& call, ResultInfos& results) {
          TensorInfo result{common_dtype(call), reference(call).sizes, {}};
          const auto axis = static_cast<size_t>(call.integer("dim"));
          int64_t total = 0;
          for (size_t i = 0; i < list_of(call).size(); ++i) {
            const TensorInfo& t = *list_of(call)[i];
            if (is_legacy_empty(t)) continue;
            check(t.sizes.size() == result.sizes.size(), [&] {
              return concat(call.name(), ": Tensors must have same number of dimensions: got ",
                            result.sizes.size(), " and ", t.dim());
            });
            for (size_t k = 0; k < t.sizes.size(); ++k)
              check(k == axis || t.sizes[k] == result.sizes[k], [&] {
                return concat(call.name(), ": Sizes of tensors must match except in dimension ",
                              axis, ". Expected size ", result.sizes[k], " but got size ",
                              t.sizes[k], " for tensor number ", i, " in the list.");
              });
            total += t.sizes[axis];
          }
          result.sizes[axis] = total;
          results.push_back(result);
        },
    .lower =
        [](Lowering& l) {
          std::vector<Expr> parts;
          const std::vector<Expr> all = l.tensors("tensors");
          for (size_t i = 0; i < all.size(); ++i)
            if (!is_legacy_empty(*list_of(l.call())[i])) parts.push_back(all[i]);
          if (parts.empty()) parts.push_back(all[0]);
          l.result(concatenate(parts, static_cast<int>(l.call().integer("dim"))));
        },
    // Which vectors are empty is part of the program.
    .fixed =
        [](const Call& call, size_t tensor) {
          const TensorRefs& list = list_of(call);
          return std::any_of(list.begin(), list.end(),
                             [](const TensorInfo* t) { return is_legacy_empty(*t); })
                     ? every_axis(call, tensor)
                     : 0;
        },
    .autocast = "promote",
    .samples =
        [] {
          return SampleList{{{std::vector{t({2, 3}), t({1, 3})}}},
                            {{std::vector{t({2, 3}), t({2, 1}), t({2, 2})}, Scalar(-1)}},
                            {{std::vector{t({0}), t({2, 3})}}},
                            {{std::vector{t({2, 3}), indices({1, 3}, 4)}}}};
        },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{std::vector{t({2, 3}), t({3, 4})}}},
               "RuntimeError",
               "Expected size 3 but got size 4"},
              {{{std::vector<SampleTensor>{}}}, "RuntimeError", "non-empty list"}};
        },
});

const Register kStack({
    .schema = "stack(Tensor[] tensors, int dim=0) -> Tensor",
    .doc = "Tensors of one shape along a new axis `dim`.",
    .variants = {.method = false, .out = true},
    .promotion = Promotion::Promote,
    .canonical =
        [](const Call& call, Arguments& arguments) {
          check_list(call);
          arguments[1] = Scalar(call.axis(call.integer("dim"), list_of(call)[0]->dim() + 1));
        },
    .shape =
        [](const Call& call, ResultInfos& results) {
          const TensorInfo& first = *list_of(call)[0];
          for (size_t i = 0; i < list_of(call).size(); ++i)
            check(list_of(call)[i]->sizes == first.sizes, [&] {
              return concat(call.name(), " expects each tensor to be equal size, but got ",
                            list_text(first.sizes), " at entry 0 and ",
                            list_text(list_of(call)[i]->sizes), " at entry ", i);
            });
          TensorInfo result{common_dtype(call), first.sizes, {}};
          result.sizes.insert(static_cast<size_t>(call.integer("dim")),
                              static_cast<int64_t>(list_of(call).size()));
          results.push_back(result);
        },
    .lower =
        [](Lowering& l) {
          const int axis = static_cast<int>(l.call().integer("dim"));
          std::vector<Expr> parts;
          for (const Expr& x : l.tensors("tensors")) parts.push_back(unsqueeze(x, axis));
          l.result(concatenate(parts, axis));
        },
    .autocast = "promote",
    .samples =
        [] {
          return SampleList{{{std::vector{t({2, 3}), t({2, 3})}}},
                            {{std::vector{t({2, 3}), t({2, 3})}, Scalar(-1)}},
                            {{std::vector{t({}), t({})}}}};
        },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{std::vector{t({2, 3}), t({3, 2})}}}, "RuntimeError", "[3, 2] at entry 1"}};
        },
});

// ---- the named stacks: vectors become rows or columns, then cat
// ----------------------------------
Ints lifted_sizes(const Ints& sizes, int rank, bool columns) {
  Ints result = sizes;
  if (rank >= 1 && result.empty()) result = {1};
  if (rank >= 2 && result.size() == 1) result = columns ? Ints{result[0], 1} : Ints{1, result[0]};
  if (rank >= 3 && result.size() == 2) result.push_back(1);
  return result;
}
/// A stack along axis kAxis (-1: 0 for vectors, 1 otherwise) of tensors brought to rank kRank.
template <int kRank, int kAxis, bool kColumns>
Definition named_stack(std::string_view schema, std::string_view doc,
                       std::vector<std::string> aliases = {}) {
  static const auto axis_for = [](size_t rank) -> size_t {
    return kAxis >= 0 ? static_cast<size_t>(kAxis) : (rank == 1 ? 0U : 1U);
  };
  return {.schema = schema,
          .doc = doc,
          .variants = {.method = false, .out = true, .aliases = std::move(aliases)},
          .promotion = Promotion::Promote,
          .canonical = [](const Call& call, Arguments&) { check_list(call); },
          .shape =
              [](const Call& call, ResultInfos& results) {
                TensorInfo result{
                    common_dtype(call), lifted_sizes(list_of(call)[0]->sizes, kRank, kColumns), {}};
                const size_t axis = axis_for(result.sizes.size());
                result.sizes[axis] = 0;
                for (const TensorInfo* t : list_of(call)) {
                  const Ints sizes = lifted_sizes(t->sizes, kRank, kColumns);
                  bool same = sizes.size() == result.sizes.size();
                  for (size_t i = 0; same && i < sizes.size(); ++i)
                    same = i == axis || sizes[i] == result.sizes[i];
                  check(same, [&] {
                    return concat(call.name(), ": Sizes of tensors must match except in dimension ",
                                  axis, ", got ", list_text(result.sizes), " and ",
                                  list_text(sizes));
                  });
                  result.sizes[axis] += sizes[axis];
                }
                results.push_back(result);
              },
          .lower =
              [](Lowering& l) {
                std::vector<Expr> parts;
                for (Expr x : l.tensors("tensors")) {
                  if (kRank >= 1 && x.rank() == 0) x = unsqueeze(x, 0);
                  if (kRank >= 2 && x.rank() == 1) x = unsqueeze(x, kColumns ? 1 : 0);
                  if (kRank >= 3 && x.rank() == 2) x = unsqueeze(x, 2);
                  parts.push_back(x);
                }
                const auto rank = static_cast<size_t>(parts[0].rank());
                l.result(concatenate(parts, static_cast<int>(axis_for(rank))));
              },
          .autocast = "promote",
          .samples =
              [] {
                return SampleList{{{std::vector{t({3}), t({3})}}},
                                  {{std::vector{t({2, 3}), t({2, 3})}}},
                                  {{std::vector{t({}), t({})}}}};
              }};
}
const Register kHstack(named_stack<1, -1, false>(
    "hstack(Tensor[] tensors) -> Tensor",
    "Joined along axis 1, vectors along axis 0; numbers count as vectors."));
const Register kVstack(named_stack<2, 0, false>("vstack(Tensor[] tensors) -> Tensor",
                                                "Joined along axis 0; vectors are rows.",
                                                {"row_stack"}));
const Register kDstack(named_stack<3, 2, false>(
    "dstack(Tensor[] tensors) -> Tensor", "Joined along axis 2, which is added where missing."));
const Register kColumnStack(named_stack<2, 1, true>("column_stack(Tensor[] tensors) -> Tensor",
                                                    "Joined along axis 1; vectors are columns."));

}  // namespace
}  // namespace flambeau::ops
