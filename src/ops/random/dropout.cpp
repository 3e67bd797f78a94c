// Random masks inside programs: bits of a Philox stream at each element's position, so that the
// backward makes the same mask again instead of storing it.

#include <cmath>

#include "ops/functions.h"
#include "ops/random/mask.h"
#include "ops/registry.h"
#include "ops/samples.h"

namespace flambeau::ops {

using namespace prim;

Expr kept_at(const Expr& key, const Expr& places, const Expr& p) {
  // 2^31 numbers, two words each, from the least on, so that p = 0 keeps everything. For p = 1
  // there would be one more.
  const Expr word = philox(broadcast_to(key, places.shape()), places);
  const Expr least = floor(p * std::ldexp(1.0, 31)) * 2.0 - std::ldexp(1.0, 31);
  const Expr greatest = full_like(least, std::ldexp(1.0, 31) - 1);
  return logical_and(ge(word, convert(minimum(least, greatest), DType::Int32)),
                     broadcast_to(lt(p, 1.0), word.shape()));
}
Expr scale_of_kept(DType dtype, const Expr& p) {
  const Expr left = 1.0 - p;
  const Expr none = eq(left, 0.0);
  return convert(select(none, 0.0, 1.0 / select(none, full_like(left, 1.0), left)), dtype);
}

Expr kept_elements(Lowering& l, const Shape& shape, std::string_view name) {
  return kept_at(l.random_key(), linear_index(l.builder(), shape),
                 convert(l.number(name), DType::Float64));
}
Expr scale_of_kept(Lowering& l, DType dtype, std::string_view name) {
  return scale_of_kept(dtype, convert(l.number(name), DType::Float64));
}

namespace {

bool is_training(const Call& call) {
  for (const Parameter& p : call.definition().parsed.parameters)
    if (p.name == "train" || p.name == "training")
      return !call.is_none(p.name) && call.boolean(p.name);
  return true;
}
void check_probability(const Call& call, Arguments&) {
  const double p = call.real("p");
  check<ValueError>(p >= 0 && p <= 1, [&] {
    return concat(call.name(), ": dropout probability has to be between 0 and 1, but got ", p);
  });
}
void same_as_input(const Call& call, ResultInfos& results) {
  const TensorInfo& x = call.tensor("input");
  check(is_float(x.dtype) || !is_training(call), [&] {
    return concat(call.name(), ": result type Float can't be cast to the desired output type ",
                  info(x.dtype).name);
  });
  results.push_back({x.dtype, x.sizes, {}});
}
Definition dropout_definition(std::string_view schema, Variants variants) {
  return {.schema = schema,
          .doc =
              "In training, every element is 0 with probability p and multiplied by 1 / (1 - p) "
              "otherwise; else a copy. Srivastava et al., 2014.",
          .variants = std::move(variants),
          .canonical = check_probability,
          .shape = same_as_input,
          .lower =
              [](Lowering& l) {
                const Expr x = l["input"];
                if (!is_training(l.call())) return l.result(x);
                l.result(select(kept_elements(l, x.shape(), "p"),
                                x * scale_of_kept(l, x.dtype(), "p"), 0.0));
              },
          .random = is_training,
          .samples =
              [] {
                return SampleList{{{t({4, 5}), 0.5, Scalar(true)}},
                                  {{t({4, 5}), 0.5, Scalar(false)}},
                                  {{t({3}), 1.0, Scalar(true)}}};
              },
          .errors =
              [] {
                return std::vector<ErrorSample>{
                    {{{t({3}), 2.0, Scalar(true)}}, "ValueError", "between 0 and 1, but got 2"}};
              }};
}
const Register kDropout(dropout_definition("dropout(Tensor input, float p, bool train) -> Tensor",
                                           {.method = false, .in_place = true}));
const Register kFunctionalDropout(dropout_definition(
    "_functional_dropout(Tensor input, float p=0.5, bool training=True, bool inplace=False) -> "
    "Tensor",
    {.function = false, .method = false, .aliases = {"nn.functional.dropout"}}));

const Register kNativeDropout({
    .schema = "native_dropout(Tensor input, float p, bool? train) -> (Tensor, Tensor)",
    .doc = "dropout and the mask of the elements that are kept.",
    .variants = {.method = false},
    .canonical = check_probability,
    .shape =
        [](const Call& call, ResultInfos& results) {
          same_as_input(call, results);
          results.push_back({DType::Bool, results[0].sizes, {}});
        },
    .lower =
        [](Lowering& l) {
          const Expr x = l["input"];
          const bool training = l.call().is_none("train") || is_training(l.call());
          const Expr mask = training ? kept_elements(l, x.shape(), "p")
                                     : broadcast_to(constant(x, DType::Bool, true), x.shape());
          l.result(training ? select(mask, x * scale_of_kept(l, x.dtype(), "p"), 0.0) : x);
          l.result(mask);
        },
    .random = [](const Call& call) { return call.is_none("train") || is_training(call); },
    .samples = [] { return SampleList{{{t({4, 5}), 0.5, Scalar(true)}}}; },
});

}  // namespace
}  // namespace flambeau::ops
