// Complex numbers: made of parts, taken apart, conjugated.

#include <numbers>

#include "ops/functions.h"
#include "ops/registry.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

/// A sample tensor of complex numbers whatever the test's dtype.
SampleTensor complex_sample(std::initializer_list<int64_t> shape) {
  return typed(shape, DType::Complex128, -2, 2);
}

// ---- parts as views
// ----------------------------------------------------------------------------------

const TensorInfo& self_of(const Call& call) {
  return *std::get<const TensorInfo*>(call.arguments()[0]);
}

/// The type of a part: every second number of the parts, or the tensor itself if it is real.
TensorInfo part_info(const Call& call) {
  TensorInfo info = self_of(call);
  if (!is_complex(info.dtype)) return info;
  info.dtype = real_dtype(info.dtype);
  for (int64_t& stride : info.strides) stride *= 2;
  return info;
}
template <int kPart>
void part_alias(const Call& call, AliasInfo& alias) {
  const TensorInfo info = part_info(call);
  alias.sizes = info.sizes;
  alias.strides = info.strides;
  if (is_complex(self_of(call).dtype)) alias.offset = 2 * alias.offset + kPart;
}
void part_shape(const Call& call, ResultInfos& results) { results.push_back(part_info(call)); }
void keep_strides(const Call&, ResultInfos&) {}

const Register kReal({
    .schema = "real(Tensor(a) self) -> Tensor(a)",
    .doc = "The real part, a view; self for real dtypes.",
    .variants = {.method = false},
    .returns = Returns::View,
    .shape = part_shape,
    .strides = keep_strides,
    .lower = [](Lowering& l) { l.result(real(l["self"])); },
    .alias = part_alias<0>,
    .samples = [] { return SampleList{{{t({2, 3})}}, {{complex_sample({2, 3})}}}; },
});
const Register kImag({
    .schema = "imag(Tensor(a) self) -> Tensor(a)",
    .doc = "The imaginary part, a view; only of complex dtypes.",
    .variants = {.method = false},
    .returns = Returns::View,
    .canonical =
        [](const Call& call, Arguments&) {
          check(is_complex(self_of(call).dtype), [&] {
            return concat(call.name(), ": is not implemented for tensors with non-complex dtypes.");
          });
        },
    .shape = part_shape,
    .strides = keep_strides,
    .lower = [](Lowering& l) { l.result(imag(l["self"])); },
    .alias = part_alias<1>,
    .samples = [] { return SampleList{{{complex_sample({2, 3})}}, {{complex_sample({})}}}; },
    .errors =
        [] { return std::vector<ErrorSample>{{{{t({2})}}, "RuntimeError", "non-complex dtypes"}}; },
});

const Register kViewAsReal({
    .schema = "view_as_real(Tensor(a) self) -> Tensor(a)",
    .doc = "The parts along a last axis of 2, a view of the same memory.",
    .variants = {.method = false, .copy = true},
    .returns = Returns::View,
    .canonical =
        [](const Call& call, Arguments&) {
          check(is_complex(self_of(call).dtype), [&] {
            return concat(call.name(), " is only supported for complex tensors, got ",
                          info(self_of(call).dtype).name);
          });
        },
    .shape =
        [](const Call& call, ResultInfos& results) {
          TensorInfo info = part_info(call);
          info.sizes.push_back(2);
          info.strides.push_back(1);
          results.push_back(info);
        },
    .strides = keep_strides,
    .lower =
        [](Lowering& l) {
          const Expr x = l["self"];
          const Expr parts[] = {unsqueeze(real(x), -1), unsqueeze(imag(x), -1)};
          l.result(concatenate(parts, x.rank()));
        },
    .alias =
        [](const Call& call, AliasInfo& alias) {
          part_alias<0>(call, alias);
          alias.sizes.push_back(2);
          alias.strides.push_back(1);
        },
    .samples = [] { return SampleList{{{complex_sample({2, 3})}}, {{complex_sample({})}}}; },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{t({2})}}, "RuntimeError", "only supported for complex tensors"}};
        },
});

void check_pairs(const Call& call, Arguments&) {
  const TensorInfo& self = self_of(call);
  const auto refuse_unless = [&](bool good, const char* rule) {
    check(good, [&] {
      return concat(call.name(), ": ", rule, ", got ", info(self.dtype).name, " of shape ",
                    list_text(self.sizes), " and strides ", list_text(self.strides));
    });
  };
  refuse_unless(is_float(self.dtype) && self.dtype != DType::BFloat16,
                "is only supported for half, float and double tensors");
  refuse_unless(self.dim() > 0, "Input tensor must have one or more dimensions");
  refuse_unless(self.sizes.back() == 2, "Tensor must have a last dimension of size 2");
  refuse_unless(self.strides.back() == 1, "Tensor must have a last dimension with stride 1");
  for (size_t i = 0; i + 1 < self.strides.size(); ++i)
    refuse_unless(self.strides[i] % 2 == 0,
                  "Tensor must have a stride divisible by 2 for all but last dimension");
}
TensorInfo pair_info(const Call& call) {
  TensorInfo info = self_of(call);
  info.dtype = complex_dtype(info.dtype);
  info.sizes.pop_back();
  info.strides.pop_back();
  for (int64_t& stride : info.strides) stride /= 2;
  return info;
}
const Register kViewAsComplex({
    .schema = "view_as_complex(Tensor(a) self) -> Tensor(a)",
    .doc = "Complex numbers whose parts are along the last axis of 2, a view of the same memory.",
    .variants = {.method = false, .copy = true},
    .returns = Returns::View,
    .canonical = check_pairs,
    .shape = [](const Call& call, ResultInfos& results) { results.push_back(pair_info(call)); },
    .strides = keep_strides,
    .lower =
        [](Lowering& l) {
          const Expr x = l["self"];
          const Ints last{x.rank() - 1};
          l.result(complex(squeeze(slice(x, -1, 0, 1), last), squeeze(slice(x, -1, 1, 1), last)));
        },
    .alias =
        [](const Call& call, AliasInfo& alias) {
          const TensorInfo info = pair_info(call);
          alias.sizes = info.sizes;
          alias.strides = info.strides;
          check(alias.offset % 2 == 0, [&] {
            return concat(call.name(), ": Tensor must have a storage_offset divisible by 2, got ",
                          alias.offset);
          });
          alias.offset /= 2;
        },
    .autocast = "float32",
    .samples =
        [] {
          return SampleList{{{typed({3, 2}, DType::Float64, -2, 2)}},
                            {{typed({2}, DType::Float32, -2, 2)}}};
        },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{t({2, 3})}}, "RuntimeError", "last dimension of size 2"},
              {{{indices({2}, 3)}}, "RuntimeError", "half, float and double"}};
        },
});

// ---- made of parts
// -----------------------------------------------------------------------------------

/// The two parameters have one dtype, of which complex numbers are made.
void check_parts(const Call& call, Arguments&) {
  const auto tensor = [&](size_t i) { return std::get<const TensorInfo*>(call.arguments()[i]); };
  for (const size_t i : {size_t{0}, size_t{1}})
    check(is_float(tensor(i)->dtype) && tensor(i)->dtype != DType::BFloat16, [&] {
      return concat(call.name(),
                    ": Expected both inputs to be Half, Float or Double tensors but got ",
                    info(tensor(0)->dtype).word, " and ", info(tensor(1)->dtype).word);
    });
  check(tensor(0)->dtype == tensor(1)->dtype, [&] {
    return concat(call.name(), ": Expected object of scalar type ", info(tensor(0)->dtype).word,
                  " but got scalar type ", info(tensor(1)->dtype).word, " for second argument");
  });
}
SampleList parts_samples() {
  return {{{typed({2, 3}, DType::Float64, -2, 2), typed({2, 3}, DType::Float64, -2, 2)}},
          {{typed({2, 1}, DType::Float32, -2, 2), typed({3}, DType::Float32, -2, 2)}}};
}
std::vector<ErrorSample> parts_errors() {
  return {{{{typed({2}, DType::Float32, 0, 1), typed({2}, DType::Float64, 0, 1)}},
           "RuntimeError",
           "but got scalar type Double"},
          {{{indices({2}, 3), indices({2}, 3)}}, "RuntimeError", "but got Long and Long"}};
}
Definition of_parts(std::string_view schema, std::string_view doc, void (*lower)(Lowering&)) {
  return {.schema = schema,
          .doc = doc,
          .variants = {.method = false, .out = true},
          .promotion = Promotion::Promote,
          .complex_result = true,
          .canonical = check_parts,
          .lower = lower,
          .samples = parts_samples,
          .errors = parts_errors};
}
const Register kComplex(of_parts("complex(Tensor real, Tensor imag) -> Tensor",
                                 "The complex numbers with these parts, broadcast.",
                                 [](Lowering& l) { l.result(complex(l["real"], l["imag"])); }));
Definition polar_definition() {
  Definition d =
      of_parts("polar(Tensor abs, Tensor angle) -> Tensor",
               "The complex numbers of this absolute value and angle, broadcast.", [](Lowering& l) {
                 const Expr size = l["abs"];
                 const Expr angle = l["angle"];
                 l.result(complex(size * cos(angle), size * sin(angle)));
               });
  d.autocast = "float32";
  return d;
}
const Register kPolar(polar_definition());

// ---- conjugates and angles
// ---------------------------------------------------------------------------

/// self itself where it is real.
Definition conjugate(std::string_view schema, Variants variants) {
  return {
      .schema = schema,
      .doc = "The complex conjugate; self for real dtypes.",
      .variants = std::move(variants),
      .returns = Returns::MaybeView,
      .shape = [](const Call& call, ResultInfos& r) { r.push_back(self_of(call)); },
      .strides =
          [](const Call& call, ResultInfos& results) {
            const SmallVector<const TensorInfo*, 1> inputs{&self_of(call)};
            if (is_complex(results[0].dtype))
              results[0].strides = elementwise_strides(inputs, results[0].sizes, false);
          },
      .lower = [](Lowering& l) { l.result(conj(l["self"])); },
      .samples = [] { return SampleList{{{t({2, 3})}}, {{t({})}}, {{complex_sample({2, 3})}}}; }};
}
const Register kConj(conjugate("conj(Tensor(a) self) -> Tensor(a)", {}));
const Register kConjPhysical(conjugate("conj_physical(Tensor(a) self) -> Tensor(a)",
                                       {.in_place = true, .out = true}));

const Register kAngle({
    .schema = "angle(Tensor self) -> Tensor",
    .doc = "The angle in (-pi, pi]; of real numbers 0, or pi below 0.",
    .variants = {.out = true},
    .promotion = Promotion::ToFloat,
    .real_result = true,
    .lower =
        [](Lowering& l) {
          const Expr x = l["self"];
          if (is_complex(x.dtype())) return l.result(atan2(imag(x), real(x)));
          // A step has slope 0, which is a gradient and not none.
          const Expr angle = select(lt(x, 0.0), full_like(x, std::numbers::pi), 0.0);
          const Expr never = broadcast_to(constant(x, DType::Bool, false), x.shape());
          l.result(select(never, x, select(is_nan(x), stop_gradient(x), angle)));
        },
    .samples = [] { return SampleList{{{t({2, 3})}}, {{complex_sample({2, 3})}}}; },
});

}  // namespace
}  // namespace flambeau::ops
