// Matrix products with something added: the product stays one node, what follows it is elementwise,
// so that the scheduler can run it as the product's epilogue.

#include "ops/checks.h"
#include "ops/linear/matmul.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

const Register kLinear({
    .schema = "linear(Tensor input, Tensor weight, Tensor? bias=None) -> Tensor",
    .doc = "input @ weight.T + bias for any leading axes of input; weight is [out, in].",
    .variants = {.function = false, .method = false, .aliases = {"nn.functional.linear"}},
    .shape =
        [](const Call& call, ResultInfos& results) {
          const TensorInfo& x = call.tensor("input");
          const TensorInfo& weight = call.tensor("weight");
          check(weight.dim() == 1 || weight.dim() == 2, [&] {
            return concat(call.name(), ": weight must be a matrix or a vector, got shape ",
                          list_text(weight.sizes));
          });
          Ints transposed = weight.sizes;
          if (weight.dim() == 2) std::swap(transposed[0], transposed[1]);
          const Ints sizes = matmul_sizes(call, x.sizes, transposed);
          check_matrix_dtypes(call, "input", "weight");
          check_same_dtype(call, {"input", "bias"});
          if (const TensorInfo* bias = call.optional_tensor("bias")) {
            const SmallVector<Ints, 2> shapes{sizes, bias->sizes};
            check(call.broadcast(shapes) == sizes, [&] {
              return concat(call.name(), ": bias of shape ", list_text(bias->sizes),
                            " does not fit a result of shape ", list_text(sizes));
            });
          }
          results.push_back({x.dtype, sizes, {}});
        },
    .lower =
        [](Lowering& l) {
          const Expr weight = l["weight"];
          const Expr y = matmul(l["input"], weight.rank() == 2 ? transpose(weight, 0, 1) : weight);
          l.result(l["bias"].valid() ? y + l["bias"] : y);
        },
    .autocast = "lower_precision",
    .samples =
        [] {
          return SampleList{{{t({2, 3}), t({4, 3}), t({4})}},
                            {{t({2, 2, 3}), t({4, 3}), t({4})}},
                            {{t({3}), t({4, 3})}}};
        },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{t({2, 3, 4}), t({5, 6})}}, "RuntimeError", "cannot be multiplied (6x4 and 6x5)"}};
        },
});

/// beta * self + alpha * product; factors of 1 change nothing and beta 0 leaves self out.
Expr combined(Lowering& l, const Expr& self, const Expr& product) {
  const Definition& d = l.call().definition();
  const auto factor = [&](const char* name, const Expr& value) {
    const Scalar number = l.call().number(name);
    return d.is_special(name, number) && number.to_double() == 1 ? value : value * l[name];
  };
  const Expr scaled = factor("alpha", product);
  if (l.call().number("beta").to_double() == 0 && d.is_special("beta", Scalar(0)))
    return broadcast_to(scaled, product.shape());
  return scaled + factor("beta", self);
}

template <int kRankA, int kRankB>
void added_shape(const Call& call, ResultInfos& results) {
  const auto& parameters = call.definition().parsed.parameters;
  const std::string& a = parameters[1].name;
  const std::string& b = parameters[2].name;
  const TensorInfo& self = call.tensor("self");
  check_rank(call, a, kRankA);
  check_rank(call, b, kRankB);
  const Ints sizes = matmul_sizes(call, call.tensor(a).sizes, call.tensor(b).sizes);
  check_matrix_dtypes(call, a, b);
  check_same_dtype(call, {"self", a});
  const SmallVector<Ints, 2> shapes{sizes, self.sizes};
  check(call.broadcast(shapes) == sizes, [&] {
    return concat(call.name(), ": The expanded size of the tensor ", list_text(self.sizes),
                  " must match the product's size ", list_text(sizes));
  });
  results.push_back({self.dtype, sizes, {}});
}
void lower_added(Lowering& l) {
  const auto& parameters = l.call().definition().parsed.parameters;
  l.result(combined(l, l["self"], matmul(l[parameters[1].name], l[parameters[2].name])));
}
Definition added(std::string_view schema, std::string_view doc,
                 void (*shape)(const Call&, ResultInfos&), std::function<SampleList()> samples) {
  return {.schema = schema,
          .doc = doc,
          .variants = {.in_place = true, .out = true},
          .accepts = Accepts::NumbersNoBool,
          .shape = shape,
          .lower = lower_added,
          .special = {{"beta", {0, 1}}, {"alpha", {1}}},
          .autocast = "lower_precision",
          .samples = std::move(samples)};
}
const Register kAddmm(added(
    "addmm(Tensor self, Tensor mat1, Tensor mat2, *, Scalar beta=1, Scalar alpha=1) -> Tensor",
    "beta * self + alpha * (mat1 @ mat2).", added_shape<2, 2>, [] {
      return SampleList{{{t({4}), t({2, 3}), t({3, 4})}},
                        {{t({2, 4}), t({2, 3}), t({3, 4})}, {{"beta", 0.5}, {"alpha", 2.0}}},
                        {{t({2, 4}), t({2, 3}), t({3, 4})}, {{"beta", Scalar(0)}}}};
    }));
const Register kBaddbmm(
    added("baddbmm(Tensor self, Tensor batch1, Tensor batch2, *, Scalar beta=1, Scalar alpha=1) -> "
          "Tensor",
          "beta * self + alpha * bmm(batch1, batch2).", added_shape<3, 3>, [] {
            return SampleList{{{t({2, 2, 4}), t({2, 2, 3}), t({2, 3, 4})}},
                              {{t({4}), t({2, 2, 3}), t({2, 3, 4})}, {{"beta", 0.5}}}};
          }));
Definition addmv_definition() {
  Definition d = added(
      "addmv(Tensor self, Tensor mat, Tensor vec, *, Scalar beta=1, Scalar alpha=1) -> Tensor",
      "beta * self + alpha * (mat @ vec).", added_shape<2, 1>,
      [] { return SampleList{{{t({2}), t({2, 3}), t({3})}}}; });
  d.autocast = "";
  return d;
}
const Register kAddmv(addmv_definition());

const Register kAddr({
    .schema = "addr(Tensor self, Tensor vec1, Tensor vec2, *, Scalar beta=1, Scalar alpha=1) -> "
              "Tensor",
    .doc = "beta * self + alpha * outer(vec1, vec2).",
    .variants = {.in_place = true, .out = true},
    .promotion = Promotion::Promote,
    .shape =
        [](const Call& call, ResultInfos& results) {
          check_rank(call, "vec1", 1);
          check_rank(call, "vec2", 1);
          const Ints sizes{call.tensor("vec1").sizes[0], call.tensor("vec2").sizes[0]};
          const SmallVector<Ints, 2> shapes{sizes, call.tensor("self").sizes};
          check(call.broadcast(shapes) == sizes, [&] {
            return concat(call.name(), ": self of shape ", list_text(call.tensor("self").sizes),
                          " does not fit a result of shape ", list_text(sizes));
          });
          results.push_back({common_dtype(call), sizes, {}});
        },
    .lower =
        [](Lowering& l) {
          const Expr product = unsqueeze(l["vec1"], 1) * unsqueeze(l["vec2"], 0);
          l.result(combined(l, l["self"], product));
        },
    .special = {{"beta", {0, 1}}, {"alpha", {1}}},
    .samples = [] { return SampleList{{{t({2, 3}), t({2}), t({3})}, {{"alpha", 2.0}}}}; },
});
const Register kAddbmm({
    .schema = "addbmm(Tensor self, Tensor batch1, Tensor batch2, *, Scalar beta=1, Scalar "
              "alpha=1) -> Tensor",
    .doc = "beta * self + alpha * the sum over the batch of batch1[i] @ batch2[i].",
    .variants = {.in_place = true, .out = true},
    .accepts = Accepts::NumbersNoBool,
    .shape =
        [](const Call& call, ResultInfos& results) {
          check_rank(call, "batch1", 3);
          check_rank(call, "batch2", 3);
          check_same_dtype(call, {"self", "batch1", "batch2"});
          const TensorInfo& a = call.tensor("batch1");
          const TensorInfo& b = call.tensor("batch2");
          check(a.sizes[0] == b.sizes[0], [&] {
            return concat(call.name(), ": batch1 and batch2 must have same number of batches, got ",
                          a.sizes[0], " and ", b.sizes[0]);
          });
          Ints sizes = matmul_sizes(call, a.sizes, b.sizes);
          sizes = {sizes[1], sizes[2]};
          const SmallVector<Ints, 2> shapes{sizes, call.tensor("self").sizes};
          call.broadcast(shapes);
          results.push_back({a.dtype, sizes, {}});
        },
    .lower =
        [](Lowering& l) {
          const Expr a = l["batch1"];
          const Expr b = l["batch2"];
          // One product over the batch and the inner axis together.
          const Dim inner = a.dim(0) * a.dim(2);
          const Expr left = reshape(transpose(a, 0, 1), {a.dim(1), inner});
          l.result(combined(l, l["self"], contract(left, reshape(b, {inner, b.dim(2)}))));
        },
    .special = {{"beta", {0, 1}}, {"alpha", {1}}},
    .autocast = "lower_precision",
    .samples = [] { return SampleList{{{t({2, 4}), t({3, 2, 3}), t({3, 3, 4})}}}; },
});

}  // namespace
}  // namespace flambeau::ops
