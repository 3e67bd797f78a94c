// Attention: softmax(query @ key^T * scale + mask) @ value, as a scan over blocks of keys that
// carries each query's maximum, sum of exponentials and weighted values (Milakov and Gimelshein,
// 2018; Rabe and Staats, 2021; Dao et al., 2022). No matrix of scores is kept, forward or backward.

#include <algorithm>
#include <limits>

#include "ops/checks.h"
#include "ops/functions.h"
#include "ops/random/mask.h"
#include "ops/samples.h"
#include "prim/block_scan.h"

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

constexpr double kHidden = -std::numeric_limits<double>::infinity();
constexpr int64_t kKeys = 128;  // of a block

/// The call as the scans see it: query, key and value with equal batch axes, which are
/// [leading..., heads of key] and the query heads that share one, [.., 1] without enable_gqa.
struct Heads {
  Lowering& l;
  Expr query, key, value, mask;  ///< mask: [batch..., rows, keys] or invalid
  Expr scale;                    ///< shape []
  Expr member;                   ///< Int64 of the batch axes: the number of the head, for dropout
  Shape batch;                   ///< the batch axes
  Dim rows, keys;
};

/// [.., heads, ...] as [.., heads / groups, groups, ...]: axis `head` split.
Expr split_heads(const Expr& x, int head, const Dim& key_heads) {
  Shape shape = x.shape();
  const Dim groups = shape[static_cast<size_t>(head)].floor_div(key_heads);
  shape[static_cast<size_t>(head)] = key_heads;
  shape.insert(static_cast<size_t>(head) + 1, groups);
  return reshape(x, shape);
}

Expr with_batch(const Expr& x, const Shape& batch, const Dim& width) {
  Shape shape = batch;
  shape.push_back(x.dim(-2));
  shape.push_back(width);
  return broadcast_to(x, shape);
}

Heads heads_of(Lowering& l) {
  Heads out{l, l["query"], l["key"], l["value"], l["attn_mask"], {}, {}, {}, {}, {}};
  out.rows = out.query.dim(-2);
  out.keys = out.key.dim(-2);
  const bool shared = l.call().boolean("enable_gqa");
  if (shared) {
    const Dim key_heads = out.key.dim(-3);
    if (out.mask.valid() && out.mask.rank() >= 3) {
      out.mask = out.mask.dim(-3).is_one() ? unsqueeze(out.mask, -3)
                                           : split_heads(out.mask, out.mask.rank() - 3, key_heads);
    }
    out.query = split_heads(out.query, out.query.rank() - 3, key_heads);
    out.key = unsqueeze(out.key, -3);
    out.value = unsqueeze(out.value, -3);
  }
  // The longest of the leading shapes, extents of 1 stretched.
  const int rank = std::max({out.query.rank(), out.key.rank(), out.value.rank()}) - 2;
  out.batch.resize(static_cast<size_t>(rank), Dim(1));
  for (const Expr* x : {&out.value, &out.key, &out.query})
    for (int axis = 0; axis < x->rank() - 2; ++axis)
      if (!x->dim(axis).is_one())
        out.batch[static_cast<size_t>(axis + rank - (x->rank() - 2))] = x->dim(axis);
  out.query = with_batch(out.query, out.batch, out.query.dim(-1));
  out.key = with_batch(out.key, out.batch, out.query.dim(-1));
  out.value = with_batch(out.value, out.batch, out.value.dim(-1));
  if (out.mask.valid()) {
    Shape scores = out.batch;
    scores.push_back(out.rows);
    scores.push_back(out.keys);
    out.mask = broadcast_to(out.mask, scores);
  }
  if (l.call().is_none("scale")) {
    const Expr width = convert(extent(l.builder(), out.query.dim(-1)), DType::Float64);
    out.scale = convert(1.0 / sqrt(width), out.query.dtype());
  } else {
    out.scale = convert(l.number("scale"), out.query.dtype());
  }
  out.member = linear_index(l.builder(), out.batch);
  return out;
}

/// The inputs that a block's scores are made of; what a scan needs beside them comes behind.
std::vector<Scanned> score_inputs(const Heads& heads) {
  std::vector<Scanned> inputs{{heads.query, {.rows = 0}},
                              {heads.key, {.scanned = 0, .step = kKeys}},
                              {broadcast_to(heads.scale, heads.batch)}};
  if (heads.mask.valid()) inputs.push_back({heads.mask, {.rows = 0, .scanned = 1, .step = kKeys}});
  if (has_dropout(heads.l.call())) {
    inputs.push_back({heads.member});
    inputs.push_back({broadcast_to(extent(heads.l.builder(), heads.rows), heads.batch)});
    inputs.push_back({broadcast_to(extent(heads.l.builder(), heads.keys), heads.batch)});
    inputs.push_back({broadcast_to(heads.l.random_key(), heads.batch)});
    const Expr p = convert(heads.l.number("dropout_p"), DType::Float64);
    inputs.push_back({broadcast_to(p, heads.batch)});
  }
  return inputs;
}

/// What a body reads of score_inputs().
struct Block {
  Expr query, key, value, scores;
  Expr dropped;  ///< what probabilities are multiplied with; invalid without dropout
  size_t next;   ///< the first input behind them
};

Block block_of(const Heads& heads, const BlockScanBody& b) {
  Block out{b.inputs[0], b.inputs[1], {}, {}, {}, 3};
  out.scores = contract(out.query, transpose(out.key, 0, 1)) * b.inputs[2];
  const Shape shape = out.scores.shape();
  const Expr row = iota(b.builder, shape, 0) + b.first_row;
  const Expr column = iota(b.builder, shape, 1) + b.block_start;
  if (heads.l.call().boolean("is_causal"))
    out.scores = select(gt(column, row), kHidden, out.scores);
  if (heads.mask.valid()) {
    const Expr& mask = b.inputs[out.next++];
    out.scores = is_bool(mask.dtype()) ? select(mask, out.scores, kHidden) : out.scores + mask;
  }
  if (has_dropout(heads.l.call())) {
    // The bits of a score depend on its place among all scores, [member, row, column].
    const Expr& member = b.inputs[out.next];
    const Expr place = (member * b.inputs[out.next + 1] + row) * b.inputs[out.next + 2] + column;
    const Expr kept = kept_at(b.inputs[out.next + 3], place, b.inputs[out.next + 4]);
    const Expr scale = scale_of_kept(out.scores.dtype(), b.inputs[out.next + 4]);
    out.dropped = select(kept, broadcast_to(scale, shape), 0.0);
    out.next += 5;
  }
  return out;
}

ir::BlockScan form_of(const Heads& heads) {
  return {.batch = static_cast<int>(heads.batch.size()),
          .block = kKeys,
          .triangular = heads.l.call().boolean("is_causal")};
}

Expr filled(const Heads& heads, std::initializer_list<Dim> inner, double value) {
  Shape shape = heads.batch;
  for (const Dim& extent : inner) shape.push_back(extent);
  return broadcast_to(constant(heads.l.builder(), heads.query.dtype(), value), shape);
}

/// The result, and the logarithm of each row's sum of exponentials; of a row that may see nothing
/// it is infinite, so that its probabilities come out as zeros.
struct Attended {
  Expr result, log_sum;
};

Attended attend(const Heads& heads) {
  std::vector<Scanned> inputs = score_inputs(heads);
  inputs.push_back({heads.value, {.scanned = 0, .step = kKeys}});
  const Scanned carried[] = {{filled(heads, {heads.rows}, kHidden), {.rows = 0}},
                             {filled(heads, {heads.rows}, 0), {.rows = 0}},
                             {filled(heads, {heads.rows, heads.value.dim(-1)}, 0), {.rows = 0}}};
  const std::vector<Expr> last = block_scan(
      form_of(heads), inputs, carried, {}, [&](const BlockScanBody& b) -> std::vector<Expr> {
        const Block block = block_of(heads, b);
        const Ints columns{1};
        const Expr greatest = maximum(b.carried[0], amax(block.scores, columns, false));
        // Where all is hidden so far, the maximum is no number to subtract.
        const Expr shift = stop_gradient(select(eq(greatest, kHidden), 0.0, greatest));
        const Expr weights = exp(block.scores - unsqueeze(shift, 1));
        const Expr fade = exp(stop_gradient(b.carried[0]) - shift);
        const Expr used = block.dropped.valid() ? weights * block.dropped : weights;
        return {greatest, b.carried[1] * fade + sum(weights, columns, false),
                b.carried[2] * unsqueeze(fade, 1) + contract(used, b.inputs[block.next])};
      });
  const Expr blind = eq(last[1], 0);
  const Expr sums = select(blind, 1.0, last[1]);
  const Expr result = last[2] / unsqueeze(sums, -1);
  return {result, select(blind, -kHidden, stop_gradient(last[0]) + log(sums))};
}

/// A value with the batch axes of `heads` as the call has them: heads that share a key are one
/// axis.
Expr as_called(const Heads& heads, const Expr& x, int trailing) {
  if (!heads.l.call().boolean("enable_gqa")) return x;
  Shape shape = x.shape();
  const auto groups = static_cast<size_t>(x.rank() - trailing - 1);
  shape[groups - 1] = shape[groups - 1] * shape[groups];
  shape.erase(groups);
  return reshape(x, shape);
}

/// The sum over query heads that share a head of key or value.
Expr to_own_heads(const Heads& heads, const Expr& gradient) {
  if (!heads.l.call().boolean("enable_gqa")) return gradient;
  const Ints groups{gradient.rank() - 3};
  return sum(gradient, groups, false);
}

void attention_gradients(VjpLowering& v) {
  if (!v.cotangents[0].valid()) return;
  const Heads heads = heads_of(v.forward);
  const auto with_groups = [&](const Expr& x, int trailing) {
    if (!heads.l.call().boolean("enable_gqa")) return x;
    return split_heads(x, x.rank() - trailing - 1, heads.batch[heads.batch.size() - 2]);
  };
  const Expr g = with_groups(v.cotangents[0], 2);
  const Expr result = with_groups(v.results[0], 2);
  const Ints last{g.rank() - 1};
  // The sum over keys of probability times its cotangent.
  const Expr through_sum = sum(g * result, last, false);
  const bool of_mask = heads.mask.valid() && is_float(heads.mask.dtype());

  std::vector<Scanned> inputs = score_inputs(heads);
  inputs.push_back({heads.value, {.scanned = 0, .step = kKeys}});
  inputs.push_back({g, {.rows = 0}});
  inputs.push_back({with_groups(v.saved[0], 1), {.rows = 0}});
  inputs.push_back({through_sum, {.rows = 0}});
  const Scanned carried[] = {{filled(heads, {heads.rows, heads.query.dim(-1)}, 0), {.rows = 0}}};
  std::vector<ir::BlockScan::Axes> outputs(2, {.scanned = 0, .step = kKeys});
  if (of_mask) outputs.push_back({.rows = 0, .scanned = 1, .step = kKeys});
  const std::vector<Expr> found = block_scan(
      form_of(heads), inputs, carried, outputs, [&](const BlockScanBody& b) -> std::vector<Expr> {
        const Block block = block_of(heads, b);
        const Expr& value = b.inputs[block.next];
        const Expr& of_result = b.inputs[block.next + 1];
        const Expr probabilities = exp(block.scores - unsqueeze(b.inputs[block.next + 2], 1));
        Expr of_weights = contract(of_result, transpose(value, 0, 1));
        Expr used = probabilities;
        if (block.dropped.valid()) {
          of_weights = of_weights * block.dropped;
          used = used * block.dropped;
        }
        const Expr of_scores =
            probabilities * (of_weights - unsqueeze(b.inputs[block.next + 3], 1));
        const Expr& scale = b.inputs[2];
        std::vector<Expr> out{b.carried[0] + contract(of_scores, block.key) * scale,
                              contract(transpose(of_scores, 0, 1), block.query) * scale,
                              contract(transpose(used, 0, 1), of_result)};
        if (of_mask) out.push_back(of_scores);
        return out;
      });
  v.gradients[0] = as_called(heads, found[0], 2);
  v.gradients[1] = to_own_heads(heads, found[1]);
  v.gradients[2] = to_own_heads(heads, found[2]);
  if (of_mask) v.gradients[3] = as_called(heads, found[3], 2);
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
          const Heads heads = heads_of(l);
          const Attended attended = attend(heads);
          l.save(as_called(heads, attended.log_sum, 1));
          l.result(as_called(heads, attended.result, 2));
        },
    // From the result and the sums: a derived backward would keep what each block carries.
    .vjp = attention_gradients,
    .saves_result = true,
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
