// Softmax and its relatives.

#include "ops/functions.h"
#include "ops/registry.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

void same_shape(const Call& call, ResultInfos& results) {
  const TensorInfo& self = call.tensor("self");
  const DType dtype = call.dtype_or("dtype", self.dtype);
  check(is_float(dtype), [&] {
    return concat("\"", call.name(), "\" not implemented for '", info(dtype).name, "'");
  });
  results.push_back({dtype, self.sizes, {}});
}
Expr input(Lowering& l) {
  const Expr x = l["self"];
  if (l.call().is_none("dtype")) return x;
  const DType dtype = l.call().dtype_or("dtype", x.dtype());
  return convert(convert(x, dtype), compute_dtype(dtype));
}
SampleList row_samples() {
  return {{{t({2, 3}), Scalar(1)}},
          {{t({2, 3, 4}), Scalar(-2)}},
          {{t({}), Scalar(0)}},
          {{t({2, 3}, 90, 100), Scalar(-1)}},
          {{t({2, 3}), Scalar(1)}, {{"dtype", DType::Float64}}}};
}
std::vector<ErrorSample> row_errors() {
  return {{{{t({2, 3}), Scalar(5)}}, "IndexError", "[-2, 1], but got 5"},
          {{{indices({3}, 4), Scalar(0)}}, "RuntimeError", "not implemented for"}};
}
int axis_of(const Lowering& l) { return static_cast<int>(l.call().integer("dim")); }

const Register kSoftmax({
    .schema = "softmax.int(Tensor self, int dim, *, ScalarType? dtype=None) -> Tensor",
    .doc = "exp(self) / sum(exp(self)) along `dim`, computed without overflow.",
    .variants = {.out = true, .aliases = {"special.softmax", "nn.functional._softmax"}},
    .axes = {"dim"},
    .shape = same_shape,
    .lower =
        [](Lowering& l) {
          const Expr x = input(l);
          l.result(x.rank() == 0 ? exp(x - stop_gradient(x)) : softmax(x, axis_of(l)));
        },
    // From the result alone: one sum, and the input need not be kept.
    .vjp =
        [](VjpLowering& v) {
          const Expr& y = v.results[0];
          const Expr& g = v.cotangents[0];
          const Ints axes = y.rank() == 0 ? Ints{} : Ints{axis_of(v.forward)};
          v.gradients[0] = y * (g - sum(g * y, axes));
        },
    .saves_result = true,
    .samples = row_samples,
    .errors = row_errors,
});
const Register kLogSoftmax({
    .schema = "log_softmax.int(Tensor self, int dim, *, ScalarType? dtype=None) -> Tensor",
    .doc = "log(softmax(self)) along `dim`, computed without overflow.",
    .variants = {.out = true, .aliases = {"special.log_softmax", "nn.functional._log_softmax"}},
    .axes = {"dim"},
    .shape = same_shape,
    .lower =
        [](Lowering& l) {
          const Expr x = input(l);
          l.result(x.rank() == 0 ? x - stop_gradient(x) : log_softmax(x, axis_of(l)));
        },
    // From the result alone, as softmax.
    .vjp =
        [](VjpLowering& v) {
          const Expr& y = v.results[0];
          const Expr& g = v.cotangents[0];
          const Ints axes = y.rank() == 0 ? Ints{} : Ints{axis_of(v.forward)};
          v.gradients[0] = g - exp(y) * sum(g, axes);
        },
    .saves_result = true,
    .samples = row_samples,
    .errors = row_errors,
});

}  // namespace
}  // namespace flambeau::ops
