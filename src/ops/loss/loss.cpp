#include "ops/loss/loss.h"

#include "ops/samples.h"

namespace flambeau::ops {

using namespace prim;

void resolve_reduction(const Call& call, Arguments& arguments) {
  const auto& parameters = call.definition().parsed.parameters;
  bool legacy = false;
  bool average = true;
  bool reduce = true;
  size_t place = 0;
  for (size_t i = 0; i < parameters.size(); ++i) {
    const auto* value = std::get_if<Scalar>(&arguments[i]);
    if (parameters[i].name == "reduction") place = i;
    if (parameters[i].name == "size_average" && value != nullptr) {
      legacy = true;
      average = value->to_bool();
    }
    if (parameters[i].name == "reduce" && value != nullptr) {
      legacy = true;
      reduce = value->to_bool();
    }
  }
  if (legacy) arguments[place] = std::string(!reduce ? "none" : average ? "mean" : "sum");
  const std::string& reduction = std::get<std::string>(arguments[place]);
  check<ValueError>(
      reduction == "none" || reduction == "mean" || reduction == "sum" || reduction == "batchmean",
      [&] { return concat(call.name(), ": ", reduction, " is not a valid value for reduction"); });
}

void loss_result(const Call& call, ResultInfos& results, DType dtype, const Ints& sizes) {
  results.push_back({dtype, call.string("reduction") == "none" ? sizes : Ints{}, {}});
}

void pairwise_loss_shape(const Call& call, ResultInfos& results) {
  const DType own = common_dtype(call);
  const DType common = call.definition().real_result ? real_dtype(own) : own;
  SmallVector<Ints, 3> shapes;
  for (const Argument& argument : call.arguments())
    if (const auto* t = std::get_if<const TensorInfo*>(&argument)) shapes.push_back((*t)->sizes);
  loss_result(call, results, common, call.broadcast(shapes));
}

Expr reduced(Lowering& l, const Expr& loss) {
  const std::string& reduction = l.call().string("reduction");
  if (reduction == "none") return loss;
  const Ints axes = all_axes(loss.rank());
  const Expr total = sum(loss, axes, false);
  if (reduction == "sum") return total;
  if (reduction == "batchmean") {
    const Ints first = loss.rank() == 0 ? Ints{} : Ints{0};
    return total / count(loss, first, loss.dtype());
  }
  return total / count(loss, axes, loss.dtype());
}

Definition pairwise_loss(std::string_view schema, std::string_view doc, void (*lower)(Lowering&),
                         std::string alias, const std::function<SampleList()>& samples) {
  return {
      .schema = schema,
      .doc = doc,
      .variants = {.function = false, .method = false, .aliases = {std::move(alias)}},
      .promotion = Promotion::Promote,
      .accepts = Accepts::Inexact,
      .canonical = resolve_reduction,
      .shape = pairwise_loss_shape,
      .lower = lower,
      .autocast = "float32",
      .samples = samples,
      .errors = [samples] {
        const Sample good = samples().front();
        return std::vector<ErrorSample>{{{good.positional, {{"reduction", std::string("most")}}},
                                         "ValueError",
                                         "most is not a valid value for reduction"}};
      }};
}

SampleList pair_samples() {
  return {{{t({2, 3}), t({2, 3})}},
          {{t({2, 3}), t({2, 3})}, {{"reduction", std::string("none")}}},
          {{t({2, 3}), t({2, 3})}, {{"reduction", std::string("sum")}}}};
}

}  // namespace flambeau::ops
