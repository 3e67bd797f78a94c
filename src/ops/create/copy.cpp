// Copies, conversions, fills.

#include <array>

#include "ops/checks.h"
#include "ops/functions.h"
#include "ops/registry.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

const std::string* memory_format(const Call& call) {
  return std::get_if<std::string>(&call["memory_format"]);
}
/// Strides of a copy: those of the input if it is dense, else those that an elementwise op gives.
void preserved_strides(const Call& call, ResultInfos& results) {
  const TensorInfo& self = *std::get<const TensorInfo*>(call.arguments()[0]);
  const std::string* format = memory_format(call);
  TensorInfo& result = results[0];
  if (format != nullptr && *format == "contiguous_format") {
    result.strides = contiguous_strides(result.sizes);
  } else if (format != nullptr && *format == "channels_last" && result.dim() == 4) {
    const Ints& n = result.sizes;
    result.strides = {n[1] * n[2] * n[3], 1, n[1] * n[3], n[1]};
  } else {
    const std::array<const TensorInfo*, 1> inputs{&self};
    result.strides = elementwise_strides(inputs, result.sizes, false);
  }
}
void same_type(const Call& call, ResultInfos& results) {
  const TensorInfo& self = *std::get<const TensorInfo*>(call.arguments()[0]);
  results.push_back({self.dtype, self.sizes, {}});
}

const Register kClone({
    .schema = "clone(Tensor self, *, MemoryFormat? memory_format=None) -> Tensor",
    .doc = "A copy with memory of its own, in the layout of self unless memory_format is given.",
    .shape = same_type,
    .strides = preserved_strides,
    .lower = [](Lowering& l) { l.result(l["self"]); },
    .samples = unary_samples,
});
const Register kContiguous({
    .schema = "contiguous(Tensor(a) self, *, MemoryFormat memory_format=contiguous_format) -> "
              "Tensor(a)",
    .doc = "self if it is dense in the order of memory_format, else a copy that is.",
    .variants = {.function = false},
    .returns = Returns::MaybeView,
    .shape = same_type,
    .strides = preserved_strides,
    .lower = [](Lowering& l) { l.result(l["self"]); },
    .samples = unary_samples,
});
void converted_shape(const Call& call, ResultInfos& results) {
  const TensorInfo& self = call.tensor("self");
  check_layout(call);
  results.push_back({call.dtype_or("dtype", self.dtype), self.sizes, {}});
}
const Register kToCopy({
    .schema = "_to_copy(Tensor self, *, ScalarType? dtype=None, Layout? layout=None, Device? "
              "device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) "
              "-> Tensor",
    .doc = "A copy as `dtype`: floats become integers towards 0, any number but 0 becomes True.",
    .variants = {.method = false},
    .shape = converted_shape,
    .strides = preserved_strides,
    .lower = [](Lowering& l) { l.result(l["self"]); },
    .samples =
        [] {
          return SampleList{{{t({2, 3})}, {{"dtype", DType::Float64}}},
                            {{t({2, 3})}, {{"dtype", DType::Int64}}},
                            {{typed({2, 3}, DType::Float32, -2, 2)}, {{"dtype", DType::BFloat16}}},
                            {{t({2, 3})}}};
        },
});
const Register kCopy({
    .schema = "copy_(Tensor(a!) self, Tensor src, bool non_blocking=False) -> Tensor(a!)",
    .doc = "Writes src, broadcast and converted, to self.",
    .variants = {.function = false},
    .returns = Returns::Self,
    .shape =
        [](const Call& call, ResultInfos&) {
          const TensorInfo& self = call.tensor("self");
          const TensorInfo& src = call.tensor("src");
          const SmallVector<Ints, 2> shapes{self.sizes, src.sizes};
          check(call.broadcast(shapes) == self.sizes, [&] {
            return concat(call.name(), ": The expanded size of the tensor ", list_text(self.sizes),
                          " must match the size of src ", list_text(src.sizes));
          });
        },
    .lower = [](Lowering& l) { l.result(broadcast_to(l["src"], l["self"].shape())); },
    .samples = [] { return SampleList{{{t({2, 3}), t({3})}}, {{t({2, 3}), indices({2, 3}, 4)}}}; },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{t({3}), t({2, 3})}}, "RuntimeError", "must match the size of src"}};
        },
});

void scalar_value(const Call& call, Arguments&) {
  const auto* value = std::get_if<const TensorInfo*>(&call["value"]);
  check(value == nullptr || (*value)->dim() == 0, [&] {
    return concat(call.name(), ": only supports 0-dimension value tensor but got tensor with ",
                  (*value)->dim(), " dimensions.");
  });
}
void lower_fill(Lowering& l) {
  const Expr x = l["self"];
  l.result(broadcast_to(convert(l.number("value"), x.dtype()), x.shape()));
}
const Register kFill({
    .schema = "fill_(Tensor(a!) self, Tensor value) -> Tensor(a!)",
    .doc = "Writes `value` to every element.",
    .returns = Returns::Self,
    .numbers = {"value"},
    .fitting = {"value"},
    .canonical = scalar_value,
    .shape = [](const Call&, ResultInfos&) {},
    .lower = lower_fill,
    .samples = [] { return SampleList{{{t({2, 3}), 0.5}}, {{t({2, 3}), t({})}}}; },
});
const Register kFillCopy({
    .schema = "fill(Tensor self, Tensor value) -> Tensor",
    .doc = "A tensor like self with `value` everywhere.",
    .variants = {.method = false},
    .numbers = {"value"},
    .fitting = {"value"},
    .canonical = scalar_value,
    .shape = same_type,
    .lower = lower_fill,
    // The old elements get a gradient of 0, not none.
    .vjp =
        [](VjpLowering& v) {
          v.gradients[0] = full_like(v.cotangents[0], 0.0);
          if (v.gradients.size() > 1)
            v.gradients[1] = sum(v.cotangents[0], all_axes(v.cotangents[0].rank()), false);
        },
    .samples = [] { return SampleList{{{t({2, 3}), 0.5}}, {{t({2, 3}), t({})}}}; },
    .errors =
        [] {
          return std::vector<ErrorSample>{{{{typed({2}, DType::Int8, 0, 9), Scalar(300)}},
                                           "RuntimeError",
                                           "cannot be converted to type int8 without overflow"}};
        },
});
const Register kZero({
    .schema = "zero_(Tensor(a!) self) -> Tensor(a!)",
    .doc = "Writes 0 to every element.",
    .returns = Returns::Self,
    .shape = [](const Call&, ResultInfos&) {},
    .lower = [](Lowering& l) { l.result(full_like(l["self"], 0.0)); },
    .samples = [] { return SampleList{{{t({2, 3})}}}; },
});

}  // namespace
}  // namespace flambeau::ops
