// Modified Bessel functions of the first kind.

#include "ops/registry.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

Definition bessel(std::string_view schema, std::string_view doc, std::vector<std::string> aliases,
                  void (*lower)(Lowering&)) {
  const bool named = aliases.size() > 1;
  return {.schema = schema,
          .doc = doc,
          .variants = {.function = named,
                       .method = named,
                       .in_place = named,
                       .out = true,
                       .aliases = std::move(aliases)},
          .promotion = Promotion::ToFloat,
          .lower = lower,
          .samples = unary_samples};
}
void lower_i0(Lowering& l) { l.result(i0e(l["self"]) * exp(abs(l["self"]))); }
void lower_i1(Lowering& l) { l.result(i1e(l["self"]) * exp(abs(l["self"]))); }

const Register kI0(bessel("i0(Tensor self) -> Tensor", "The modified Bessel function I0.",
                          {"special.i0", "Tensor.i0"}, lower_i0));
const Register kI0e(bessel("special_i0e(Tensor self) -> Tensor", "exp(-|self|) * I0(self).",
                           {"special.i0e"}, [](Lowering& l) { l.result(i0e(l["self"])); }));
const Register kI1(bessel("special_i1(Tensor self) -> Tensor", "The modified Bessel function I1.",
                          {"special.i1"}, lower_i1));
const Register kI1e(bessel("special_i1e(Tensor self) -> Tensor", "exp(-|self|) * I1(self).",
                           {"special.i1e"}, [](Lowering& l) { l.result(i1e(l["self"])); }));
const Register kModifiedI0(bessel("special_modified_bessel_i0(Tensor self) -> Tensor",
                                  "The modified Bessel function I0.",
                                  {"special.modified_bessel_i0"}, lower_i0));
const Register kModifiedI1(bessel("special_modified_bessel_i1(Tensor self) -> Tensor",
                                  "The modified Bessel function I1.",
                                  {"special.modified_bessel_i1"}, lower_i1));

}  // namespace
}  // namespace flambeau::ops
