// Attention: softmax(query @ key^T * scale + mask) @ value.

#include <limits>

#include "ops/checks.h"
#include "ops/functions.h"
#include "ops/linear/matmul.h"
#include "ops/random/mask.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

bool has_dropout(const Call& call) { return call.real("dropout_p") > 0; }

void check_dropout(const Call& call, Arguments&) {
  const double p = call.real("dropout_p");
  check<ValueError>(p >= 0 && p <= 1, [&] {
    return concat(call.name(), ": dropout_p has to be between 0 and 1, but got ", p);
  });
}

Ints leading(const Ints& sizes) { return {sizes.begin(), sizes.end() - 2}; }

/// The leading sizes of key or value as the query's: heads of groups are repeated.
Ints repeated(const Call& call, const TensorInfo& query, const TensorInfo& other) {
  Ints sizes = leading(other.sizes);
  if (!call.boolean("enable_gqa")) return sizes;
  check(query.dim() >= 3 && other.dim() >= 3 && other.sizes[other.sizes.size() - 3] > 0 &&
            query.sizes[query.sizes.size() - 3] % other.sizes[other.sizes.size() - 3] == 0,
        [&] {
          return concat(call.name(), ": enable_gqa needs a number of query heads that the others' ",
                        "divide, got shapes ", list_text(query.sizes), " and ",
                        list_text(other.sizes));
        });
  sizes.back() = query.sizes[query.sizes.size() - 3];
  return sizes;
}

void attention_shape(const Call& call, ResultInfos& results) {
  const TensorInfo& query = call.tensor("query");
  const TensorInfo& key = call.tensor("key");
  const TensorInfo& value = call.tensor("value");
  for (const char* name : {"query", "key", "value"}) {
    const TensorInfo& t = call.tensor(name);
    check(t.dim() >= 2 && is_float(t.dtype) && t.dtype == query.dtype, [&] {
      return concat(call.name(), ": expected query, key and value of one float dtype and at least ",
                    "2 dimensions, got ", name, " of ", info(t.dtype).name, " and shape ",
                    list_text(t.sizes));
    });
  }
  const auto rows = [](const TensorInfo& t) { return t.sizes[t.sizes.size() - 2]; };
  check(query.sizes.back() == key.sizes.back() && rows(key) == rows(value), [&] {
    return concat(call.name(), ": shapes do not fit: query ", list_text(query.sizes), ", key ",
                  list_text(key.sizes), ", value ", list_text(value.sizes));
  });
  const TensorInfo* mask = call.optional_tensor("attn_mask");
  check(mask == nullptr || !call.boolean("is_causal"), [&] {
    return concat(call.name(), ": Explicit attn_mask should not be set when is_causal=True");
  });
  Ints sizes = call.broadcast(SmallVector<Ints, 2>{leading(query.sizes), repeated(call, query, key),
                                                   repeated(call, query, value)});
  if (mask != nullptr) {
    check(is_bool(mask->dtype) || mask->dtype == query.dtype, [&] {
      return concat(call.name(), ": expected attn_mask of bool or ", info(query.dtype).name,
                    ", got ", info(mask->dtype).name);
    });
    Ints scores = sizes;
    scores.push_back(rows(query));
    scores.push_back(rows(key));
    check(call.broadcast(SmallVector<Ints, 2>{scores, mask->sizes}) == scores, [&] {
      return concat(call.name(), ": attn_mask of shape ", list_text(mask->sizes),
                    " does not fit scores of shape ", list_text(scores));
    });
  }
  sizes.push_back(rows(query));
  sizes.push_back(value.sizes.back());
  results.push_back({query.dtype, sizes, {}});
}

/// Heads of `x` repeated to as many as `query` has, where the call asks for it.
Expr with_all_heads(Lowering& l, const Expr& query, const Expr& x) {
  if (!l.call().boolean("enable_gqa")) return x;
  const int head = x.rank() - 3;
  const Dim heads = query.dim(query.rank() - 3);
  Shape grouped = x.shape();
  grouped.insert(static_cast<size_t>(head) + 1, heads.floor_div(x.dim(head)));
  Shape full = x.shape();
  full[static_cast<size_t>(head)] = heads;
  return reshape(broadcast_to(unsqueeze(x, head + 1), grouped), full);
}

Expr factor(Lowering& l, const Expr& query) {
  if (!l.call().is_none("scale")) return convert(l.number("scale"), query.dtype());
  const Expr width = convert(extent(l.builder(), query.dim(query.rank() - 1)), DType::Float64);
  return convert(1.0 / sqrt(width), query.dtype());
}

/// The probabilities before dropout. A position that may see nothing gets zeros.
Expr probabilities(Lowering& l) {
  const Expr query = l["query"];
  const Expr key = with_all_heads(l, query, l["key"]);
  Expr scores = matmul(query, transpose(key, key.rank() - 2, key.rank() - 1)) * factor(l, query);
  const int last = scores.rank() - 1;
  constexpr double kHidden = -std::numeric_limits<double>::infinity();
  const Expr mask = l["attn_mask"];
  if (l.call().boolean("is_causal"))
    return softmax(select(gt(iota(l.builder(), scores.shape(), last),
                             iota(l.builder(), scores.shape(), last - 1)),
                          kHidden, scores),
                   last);
  if (!mask.valid()) return softmax(scores, last);
  scores = is_bool(mask.dtype()) ? select(broadcast_to(mask, scores.shape()), scores, kHidden)
                                 : scores + mask;
  const Ints axes{last};
  const Expr blind = eq(stop_gradient(amax(scores, axes)), kHidden);
  return select(broadcast_to(blind, scores.shape()), 0.0, softmax(scores, last));
}

/// What dropout multiplies the probabilities with; invalid without dropout.
Expr dropped(Lowering& l, const Expr& like) {
  if (!has_dropout(l.call())) return {};
  return select(kept_elements(l, like.shape(), "dropout_p"),
                broadcast_to(scale_of_kept(l, like.dtype(), "dropout_p"), like.shape()), 0.0);
}

Expr swapped(const Expr& x) { return transpose(x, x.rank() - 2, x.rank() - 1); }

/// The sum over groups of heads, the transpose of with_all_heads().
Expr to_own_heads(Lowering& l, const Expr& gradient, const Expr& x) {
  if (!l.call().boolean("enable_gqa")) return gradient;
  const int head = x.rank() - 3;
  Shape grouped = gradient.shape();
  const Dim heads = grouped[static_cast<size_t>(gradient.rank() - 3)];
  const int at = gradient.rank() - 3;
  grouped[static_cast<size_t>(at)] = x.dim(head);
  grouped.insert(static_cast<size_t>(at) + 1, heads.floor_div(x.dim(head)));
  const Ints axes{at + 1};
  return sum(reshape(gradient, grouped), axes, false);
}

const Register kAttention({
    .schema = "scaled_dot_product_attention(Tensor query, Tensor key, Tensor value, Tensor? "
              "attn_mask=None, float dropout_p=0.0, bool is_causal=False, *, float? scale=None, "
              "bool enable_gqa=False) -> Tensor",
    .doc = "softmax(query @ key^T * scale + attn_mask) @ value over the last two axes (time, "
           "width); scale is 1 / sqrt(width) unless given, a bool mask says what may be seen, and "
           "is_causal lets position t see positions up to t. enable_gqa shares heads of key and "
           "value among heads of query. Vaswani et al., 2017.",
    .variants = {.function = false,
                 .method = false,
                 .aliases = {"nn.functional.scaled_dot_product_attention"}},
    .canonical = check_dropout,
    .shape = attention_shape,
    .lower =
        [](Lowering& l) {
          const Expr weights = l.save(probabilities(l));
          const Expr drop = dropped(l, weights);
          l.result(matmul(drop.valid() ? weights * drop : weights,
                          with_all_heads(l, l["query"], l["value"])));
        },
    // From the probabilities: one sum a row, and no product is computed again.
    .vjp =
        [](VjpLowering& v) {
          Lowering& l = v.forward;
          const Expr& g = v.cotangents[0];
          if (!g.valid()) return;
          const Expr& weights = v.saved[0];
          const Expr query = l["query"];
          const Expr key = with_all_heads(l, query, l["key"]);
          const Expr value = with_all_heads(l, query, l["value"]);
          const Expr drop = dropped(l, weights);
          const Expr used = drop.valid() ? weights * drop : weights;
          Expr of_weights = matmul(g, swapped(value));
          if (drop.valid()) of_weights = of_weights * drop;
          const Ints axes{weights.rank() - 1};
          const Expr of_scores = weights * (of_weights - sum(of_weights * weights, axes));
          const Expr scale = factor(l, query);
          v.gradients[0] = matmul(of_scores, key) * scale;
          v.gradients[1] = to_own_heads(l, matmul(swapped(of_scores), query) * scale, l["key"]);
          v.gradients[2] = to_own_heads(l, matmul(swapped(used), g), l["value"]);
          if (l["attn_mask"].valid() && is_float(l["attn_mask"].dtype()))
            v.gradients[3] = of_scores;
        },
    .random = has_dropout,
    .special = {{"dropout_p", {0}}},
    .autocast = "lower_precision",
    .samples =
        [] {
          return SampleList{
              {{t({2, 3, 4}), t({2, 5, 4}), t({2, 5, 3})}},
              {{t({2, 2, 3, 4}), t({2, 2, 3, 4}), t({2, 2, 3, 4})}, {{"is_causal", Scalar(true)}}},
              {{t({2, 3, 4}), t({2, 5, 4}), t({2, 5, 3}), t({3, 5})}, {{"scale", 0.3}}},
              {{t({2, 4, 3, 2}), t({2, 2, 5, 2}), t({2, 2, 5, 2})},
               {{"enable_gqa", Scalar(true)}}}};
        },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{t({2, 3, 4}), t({2, 5, 3}), t({2, 5, 3})}}, "RuntimeError", "shapes do not fit"},
              {{{t({3, 4}), t({5, 4}), t({5, 4}), t({2, 3, 5})}},
               "RuntimeError",
               "attn_mask of shape [2, 3, 5] does not fit scores of shape [3, 5]"},
              {{{t({3, 4}), t({5, 4}), t({5, 4})}, {{"dropout_p", 2.0}}},
               "ValueError",
               "between 0 and 1, but got 2"}};
        },
});

}  // namespace
}  // namespace flambeau::ops
