#include "ops/linear/matmul.h"

#include <algorithm>

#include "ops/registry.h"
#include "ops/samples.h"

namespace flambeau::ops {

using namespace prim;

namespace {

/// The batch axes of matrices a and b broadcast: per axis the first extent that is not 1.
Shape batch_shape(const Expr& a, const Expr& b) {
  const int rank = std::max(a.rank(), b.rank()) - 2;
  Shape batch(static_cast<size_t>(rank), Dim(1));
  for (const Expr& x : {a, b})
    for (int i = 0; i < x.rank() - 2; ++i) {
      Dim& out = batch[static_cast<size_t>(rank - (x.rank() - 2) + i)];
      if (out.is_one()) out = x.dim(i);
    }
  return batch;
}
Expr stretched(const Expr& x, const Shape& batch) {
  Shape shape = batch;
  shape.push_back(x.dim(-2));
  shape.push_back(x.dim(-1));
  return broadcast_to(x, shape);
}

}  // namespace

Ints matmul_sizes(const Call& call, const Ints& a, const Ints& b) {
  check(!a.empty() && !b.empty(), [&] {
    return concat(call.name(), ": both arguments to matmul need to be at least 1D, but they are ",
                  a.size(), "D and ", b.size(), "D");
  });
  const int64_t k = a.back();
  const int64_t k_other = b.size() == 1 ? b[0] : b[b.size() - 2];
  check(k == k_other, [&] {
    const auto text = [](const Ints& s, bool left) {
      int64_t rows = 1;
      for (size_t i = 0; i + 1 < s.size(); ++i) rows *= s[i];
      if (s.size() == 1) return left ? concat("1x", s[0]) : concat(s[0], "x1");
      return left ? concat(rows, "x", s.back()) : concat(s[s.size() - 2], "x", s.back());
    };
    return concat(call.name(), ": mat1 and mat2 shapes cannot be multiplied (", text(a, true),
                  " and ", text(b, false), ")");
  });
  Ints batch_a;
  Ints batch_b;
  for (size_t i = 0; i + 2 < a.size(); ++i) batch_a.push_back(a[i]);
  for (size_t i = 0; i + 2 < b.size(); ++i) batch_b.push_back(b[i]);
  const SmallVector<Ints, 2> batches{batch_a, batch_b};
  Ints sizes = call.broadcast(batches);
  if (a.size() > 1) sizes.push_back(a[a.size() - 2]);
  if (b.size() > 1) sizes.push_back(b.back());
  return sizes;
}

Expr matmul(const Expr& a, const Expr& b) {
  if (a.rank() == 1) {
    const Expr product = matmul(unsqueeze(a, 0), b);
    const Ints row{product.rank() - (b.rank() == 1 ? 1 : 2)};
    return squeeze(product, row);
  }
  if (b.rank() == 1) {
    const Expr product = matmul(a, unsqueeze(b, 1));
    const Ints column{product.rank() - 1};
    return squeeze(product, column);
  }
  if (b.rank() == 2 && a.rank() > 2) {
    // One product with all rows of the batch, in which b is packed once.
    Dim rows = 1;
    Shape shape;
    for (int i = 0; i + 1 < a.rank(); ++i) {
      rows = rows * a.dim(i);
      shape.push_back(a.dim(i));
    }
    shape.push_back(b.dim(1));
    return reshape(contract(reshape(a, {rows, a.dim(-1)}), b), shape);
  }
  const Shape batch = batch_shape(a, b);
  return contract(stretched(a, batch), stretched(b, batch));
}

void check_matrix_dtypes(const Call& call, std::string_view a, std::string_view b) {
  const DType x = call.tensor(a).dtype;
  const DType y = call.tensor(b).dtype;
  check(x == y, [&] {
    return concat(call.name(),
                  ": expected m1 and m2 to have the same dtype, but got: ", info(x).name,
                  " != ", info(y).name);
  });
  check(!is_bool(x), [&] { return concat('"', call.name(), "\" not implemented for 'Bool'"); });
}

namespace {

/// A product of two matrices or vectors of fixed ranks (0: any).
template <int kRankA, int kRankB>
void product_shape(const Call& call, ResultInfos& results) {
  const auto& parameters = call.definition().parsed.parameters;
  const std::string& a = parameters[0].name;
  const std::string& b = parameters[1].name;
  const TensorInfo& x = call.tensor(a);
  const TensorInfo& y = call.tensor(b);
  check((kRankA == 0 || x.dim() == kRankA) && (kRankB == 0 || y.dim() == kRankB), [&] {
    return concat(call.name(), ": expected ", kRankA, "D and ", kRankB, "D tensors, but got ",
                  x.dim(), "D of shape ", list_text(x.sizes), " and ", y.dim(), "D of shape ",
                  list_text(y.sizes));
  });
  check(kRankA != 3 || kRankB != 3 || x.sizes[0] == y.sizes[0], [&] {
    return concat(call.name(), ": Expected size for first two dimensions of batch2 tensor to be: [",
                  x.sizes[0], ", ", x.sizes[2], "] but got: [", y.sizes[0], ", ", y.sizes[1], "].");
  });
  const Ints sizes = matmul_sizes(call, x.sizes, y.sizes);
  check_matrix_dtypes(call, a, b);
  results.push_back({x.dtype, sizes, {}});
}
void lower_product(Lowering& l) {
  const auto& parameters = l.call().definition().parsed.parameters;
  l.result(matmul(l[parameters[0].name], l[parameters[1].name]));
}
template <int kRankA, int kRankB>
Definition product(std::string_view schema, std::string_view doc, Variants variants,
                   std::function<SampleList()> samples) {
  return {
      .schema = schema,
      .doc = doc,
      .variants = std::move(variants),
      .shape = product_shape<kRankA, kRankB>,
      .lower = lower_product,
      .autocast = kRankB == 1 ? "" : "lower_precision",
      .samples = std::move(samples),
      .errors = [] {
        return std::vector<ErrorSample>{{{{t({2, 3, 5, 7, 2}), t({2, 3, 5, 4, 7})}},
                                         "RuntimeError",
                                         kRankA == 0 ? "cannot be multiplied" : "tensors, but"}};
      }};
}
const Register kMatmul(product<0, 0>(
    "matmul(Tensor self, Tensor other) -> Tensor",
    "The matrix product; vectors are rows on the left and columns on the right, leading axes "
    "broadcast.",
    {.out = true, .aliases = {"Tensor.__matmul__", "linalg.matmul"}}, [] {
      return SampleList{
          {{t({2, 3}), t({3, 4})}}, {{t({3}), t({3})}},          {{t({2, 3}), t({3})}},
          {{t({3}), t({3, 4})}},    {{t({2, 2, 3}), t({3, 4})}}, {{t({2, 1, 2, 3}), t({3, 3, 4})}},
          {{t({3}), t({2, 3, 4})}}, {{t({2, 0}), t({0, 3})}},    {{t({2, 300}), t({300, 3})}}};
    }));
const Register kRmatmul({
    .schema = "__rmatmul__(Tensor self, Tensor other) -> Tensor",
    .doc = "matmul(other, self).",
    .variants = {.function = false},
    .shape =
        [](const Call& call, ResultInfos& results) {
          check_matrix_dtypes(call, "other", "self");
          results.push_back(
              {call.tensor("self").dtype,
               matmul_sizes(call, call.tensor("other").sizes, call.tensor("self").sizes),
               {}});
        },
    .lower = [](Lowering& l) { l.result(matmul(l["other"], l["self"])); },
    .autocast = "lower_precision",
    .samples = [] { return SampleList{{{t({3, 4}), t({2, 3})}}}; },
});
const Register kMm(product<2, 2>("mm(Tensor self, Tensor mat2) -> Tensor",
                                 "The product of two matrices.", {.out = true},
                                 [] { return SampleList{{{t({2, 3}), t({3, 4})}}}; }));
const Register kBmm(product<3, 3>("bmm(Tensor self, Tensor mat2) -> Tensor",
                                  "The product of two batches of matrices.", {.out = true},
                                  [] { return SampleList{{{t({2, 2, 3}), t({2, 3, 4})}}}; }));
const Register kMv(product<2, 1>("mv(Tensor self, Tensor vec) -> Tensor",
                                 "The product of a matrix and a vector.", {.out = true},
                                 [] { return SampleList{{{t({2, 3}), t({3})}}}; }));
const Register kDot(product<1, 1>("dot(Tensor self, Tensor tensor) -> Tensor",
                                  "The sum of products of two vectors.", {.out = true},
                                  [] { return SampleList{{{t({3}), t({3})}}}; }));
Definition vdot_definition() {
  Definition d = product<1, 1>("vdot(Tensor self, Tensor other) -> Tensor",
                               "The sum of products of the conjugate of self and other.",
                               {.out = true}, [] { return SampleList{{{t({3}), t({3})}}}; });
  d.lower = [](Lowering& l) { l.result(matmul(conj(l["self"]), l["other"])); };
  return d;
}
const Register kVdot(vdot_definition());

const Register kOuter({
    .schema = "outer(Tensor self, Tensor vec2) -> Tensor",
    .doc = "result[i, j] = self[i] * vec2[j].",
    .variants = {.out = true, .aliases = {"ger", "Tensor.ger"}},
    .promotion = Promotion::Promote,
    .shape =
        [](const Call& call, ResultInfos& results) {
          const TensorInfo& a = call.tensor("self");
          const TensorInfo& b = call.tensor("vec2");
          check(a.dim() == 1 && b.dim() == 1, [&] {
            return concat(call.name(), ": Expected 1-D arguments, but got ", a.dim(), "-D and ",
                          b.dim(), "-D");
          });
          results.push_back({common_dtype(call), {a.sizes[0], b.sizes[0]}, {}});
        },
    .lower = [](Lowering& l) { l.result(unsqueeze(l["self"], 1) * unsqueeze(l["vec2"], 0)); },
    .samples = [] { return SampleList{{{t({2}), t({3})}}}; },
});
/// The shape with ones in front, so that it has `rank` axes.
Shape with_ones(const Shape& shape, size_t rank) {
  Shape padded(rank - shape.size(), Dim(1));
  padded.append(shape.begin(), shape.end());
  return padded;
}
const Register kKron({
    .schema = "kron(Tensor self, Tensor other) -> Tensor",
    .doc = "The Kronecker product: other times each element of self, in the place of that element.",
    .variants = {.out = true},
    .promotion = Promotion::Promote,
    .shape =
        [](const Call& call, ResultInfos& results) {
          Ints sizes;
          const Ints& a = call.tensor("self").sizes;
          const Ints& b = call.tensor("other").sizes;
          const size_t rank = std::max(a.size(), b.size());
          for (size_t axis = 0; axis < rank; ++axis) {
            const auto size_in = [&](const Ints& s) {
              return axis + s.size() < rank ? int64_t{1} : s[axis + s.size() - rank];
            };
            sizes.push_back(size_in(a) * size_in(b));
          }
          results.push_back({common_dtype(call), sizes, {}});
        },
    .lower =
        [](Lowering& l) {
          const Expr a = l["self"];
          const Expr b = l["other"];
          const auto rank = static_cast<size_t>(std::max(a.rank(), b.rank()));
          const Shape outer = with_ones(a.shape(), rank);
          const Shape inner = with_ones(b.shape(), rank);
          Shape spread;
          Shape repeated;
          Shape whole;
          for (size_t axis = 0; axis < rank; ++axis) {
            spread.push_back(outer[axis]);
            spread.push_back(Dim(1));
            repeated.push_back(Dim(1));
            repeated.push_back(inner[axis]);
            whole.push_back(outer[axis] * inner[axis]);
          }
          l.result(reshape(reshape(a, spread) * reshape(b, repeated), whole));
        },
    .samples =
        [] {
          return SampleList{{{t({2, 3}), t({3, 2})}}, {{t({2}), t({2, 1, 2})}}, {{t({}), t({3})}}};
        },
});
const Register kInner({
    .schema = "inner(Tensor self, Tensor other) -> Tensor",
    .doc = "Sums of products over the last axis of both: every row of self with every row of "
           "other.",
    .variants = {.out = true},
    .shape =
        [](const Call& call, ResultInfos& results) {
          check_matrix_dtypes(call, "self", "other");
          const Ints& a = call.tensor("self").sizes;
          const Ints& b = call.tensor("other").sizes;
          TensorInfo result{call.tensor("self").dtype, {}, {}};
          if (a.empty() || b.empty()) {
            result.sizes = a.empty() ? b : a;
          } else {
            check(a.back() == b.back(), [&] {
              return concat(call.name(),
                            "() the last dimension must match on both input tensors "
                            "but got shapes ",
                            list_text(a), " and ", list_text(b));
            });
            result.sizes.append(a.begin(), a.end() - 1);
            result.sizes.append(b.begin(), b.end() - 1);
          }
          results.push_back(result);
        },
    .lower =
        [](Lowering& l) {
          const Expr a = l["self"];
          const Expr b = l["other"];
          if (a.rank() == 0 || b.rank() == 0) return l.result(a * b);
          Dim rows_a = 1;
          Dim rows_b = 1;
          Shape shape;
          for (int i = 0; i + 1 < a.rank(); ++i) {
            rows_a = rows_a * a.dim(i);
            shape.push_back(a.dim(i));
          }
          for (int i = 0; i + 1 < b.rank(); ++i) {
            rows_b = rows_b * b.dim(i);
            shape.push_back(b.dim(i));
          }
          const Expr columns = transpose(reshape(b, {rows_b, b.dim(-1)}), 0, 1);
          l.result(reshape(contract(reshape(a, {rows_a, a.dim(-1)}), columns), shape));
        },
    .autocast = "lower_precision",
    .samples =
        [] { return SampleList{{{t({2, 3}), t({4, 3})}}, {{t({3}), t({3})}}, {{t({}), t({3})}}}; },
});

}  // namespace
}  // namespace flambeau::ops
