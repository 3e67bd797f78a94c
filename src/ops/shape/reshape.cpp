// The same elements in row-major order under another shape.

#include "ops/registry.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

/// `sizes` with its -1 replaced by what the other extents leave of `numel`.
Ints resolve_sizes(const Call& call, const Ints& given, int64_t numel) {
  Ints sizes = given;
  int64_t known = 1;
  std::optional<size_t> missing;
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] == -1) {
      check(!missing, [&] { return concat(call.name(), ": only one dimension can be inferred"); });
      missing = i;
    } else {
      check(sizes[i] >= 0,
            [&] { return concat(call.name(), ": invalid shape dimension ", sizes[i]); });
      known *= sizes[i];
    }
  }
  if (missing && numel == 0)
    check(known != 0, [&] {
      return concat(call.name(), ": cannot reshape tensor of 0 elements into shape ",
                    list_text(given),
                    " because the unspecified dimension size -1 can be any "
                    "value and is ambiguous");
    });
  const bool fits = missing ? known > 0 && numel % known == 0 : known == numel;
  check(fits, [&] {
    return concat(call.name(), ": shape '", list_text(given), "' is invalid for input of size ",
                  numel);
  });
  if (missing) sizes[*missing] = numel / known;
  return sizes;
}

/// The input seen under `sizes`; row-major where no strides allow that, which `view` refuses.
TensorInfo reshaped(const Call& call, const Ints& sizes, bool must_alias) {
  const TensorInfo& self = call.tensor("self");
  const std::optional<Ints> strides = view_strides(self, sizes);
  check(strides || !must_alias, [&] {
    return concat(call.name(),
                  ": view size is not compatible with input tensor's size and stride "
                  "(at least one dimension spans across two contiguous subspaces). Use "
                  ".reshape(...) instead. Sizes ",
                  list_text(self.sizes), ", strides ", list_text(self.strides), ", wanted ",
                  list_text(sizes));
  });
  return {self.dtype, sizes, strides.value_or(contiguous_strides(sizes))};
}

void resolve_shape_argument(const Call& call, Arguments& arguments) {
  arguments[1] = resolve_sizes(call, std::get<Ints>(arguments[1]), call.tensor("self").numel());
}
Shape to_shape(const std::vector<Dim>& dims) { return Shape(dims.begin(), dims.end()); }

SampleList shape_samples() {
  return {{{t({2, 6}), Ints{3, 4}}},
          {{t({2, 6}), Ints{-1}}},
          {{t({2, 3, 4}), Ints{2, -1}}},
          {{t({}), Ints{1, 1}}},
          {{t({0, 3}), Ints{3, 0}}}};
}
std::vector<ErrorSample> shape_errors() {
  return {{{{t({2, 3}), Ints{5}}}, "RuntimeError", "is invalid for input of size 6"},
          {{{t({2, 3}), Ints{-1, -1}}}, "RuntimeError", "only one dimension can be inferred"}};
}
const Register kView({
    .schema = "view(Tensor(a) self, int[] size) -> Tensor(a)",
    .doc = "The elements of self under another shape without a copy; one extent may be -1.",
    .variants = {.function = false, .copy = true},
    .returns = Returns::View,
    .canonical = resolve_shape_argument,
    .shape =
        [](const Call& call, ResultInfos& results) {
          results.push_back(reshaped(call, call.integers("size"), true));
        },
    .lower = [](Lowering& l) { l.result(reshape(l["self"], to_shape(l.integers("size")))); },
    .dynamic = {"size"},
    .samples = shape_samples,
    .errors = shape_errors,
});
const Register kReshape({
    .schema = "reshape(Tensor(a) self, int[] shape) -> Tensor(a)",
    .doc = "The elements of self under another shape: a view where its strides allow that, else a "
           "copy.",
    .returns = Returns::MaybeView,
    .canonical = resolve_shape_argument,
    .shape =
        [](const Call& call, ResultInfos& results) {
          results.push_back(reshaped(call, call.integers("shape"), false));
        },
    .lower = [](Lowering& l) { l.result(reshape(l["self"], to_shape(l.integers("shape")))); },
    .dynamic = {"shape"},
    .samples = shape_samples,
    .errors = shape_errors,
});
const Register kViewAs({
    .schema = "view_as(Tensor(a) self, Tensor other) -> Tensor(a)",
    .doc = "self seen under the shape of other.",
    .variants = {.function = false},
    .returns = Returns::View,
    .shape =
        [](const Call& call, ResultInfos& results) {
          const Ints& sizes = call.tensor("other").sizes;
          resolve_sizes(call, sizes, call.tensor("self").numel());
          results.push_back(reshaped(call, sizes, true));
        },
    .lower = [](Lowering& l) { l.result(reshape(l["self"], l["other"].shape())); },
    .samples = [] { return SampleList{{{t({2, 3}), t({6})}}}; },
});
const Register kReshapeAs({
    .schema = "reshape_as(Tensor(a) self, Tensor other) -> Tensor(a)",
    .doc = "self under the shape of other, a view where possible.",
    .variants = {.function = false},
    .returns = Returns::MaybeView,
    .shape =
        [](const Call& call, ResultInfos& results) {
          const Ints& sizes = call.tensor("other").sizes;
          resolve_sizes(call, sizes, call.tensor("self").numel());
          results.push_back(reshaped(call, sizes, false));
        },
    .lower = [](Lowering& l) { l.result(reshape(l["self"], l["other"].shape())); },
    .samples = [] { return SampleList{{{t({2, 3}), t({6})}}}; },
});

const Register kFlatten({
    .schema = "flatten.using_ints(Tensor(a) self, int start_dim=0, int end_dim=-1) -> Tensor(a)",
    .doc = "The axes start_dim to end_dim as one; a 0-dim tensor gets one axis.",
    .returns = Returns::MaybeView,
    .axes = {"start_dim", "end_dim"},
    .canonical =
        [](const Call& call, Arguments&) {
          check(call.integer("start_dim") <= call.integer("end_dim"), [&] {
            return concat(call.name(), "() has invalid args: start_dim cannot come after end_dim");
          });
        },
    .shape =
        [](const Call& call, ResultInfos& results) {
          const TensorInfo& self = call.tensor("self");
          Ints sizes;
          int64_t merged = 1;
          for (int64_t i = 0; i < self.dim(); ++i) {
            const int64_t extent = self.sizes[static_cast<size_t>(i)];
            const bool inside = i >= call.integer("start_dim") && i <= call.integer("end_dim");
            merged = inside ? merged * extent : extent;
            if (!inside || i == call.integer("end_dim")) sizes.push_back(merged);
            if (!inside) merged = 1;
          }
          if (self.dim() == 0) sizes.push_back(1);
          results.push_back(reshaped(call, sizes, false));
        },
    .lower =
        [](Lowering& l) {
          const Expr x = l["self"];
          Shape shape;
          Dim merged = 1;
          for (int i = 0; i < x.rank(); ++i) {
            const bool inside =
                i >= l.call().integer("start_dim") && i <= l.call().integer("end_dim");
            if (!inside) {
              shape.push_back(x.dim(i));
              continue;
            }
            merged = merged * x.dim(i);
            if (i == l.call().integer("end_dim")) shape.push_back(merged);
          }
          if (x.rank() == 0) shape.push_back(Dim(1));
          l.result(reshape(x, shape));
        },
    .samples =
        [] {
          return SampleList{{{t({2, 3, 4})}},
                            {{t({2, 3, 4}), Scalar(1)}},
                            {{t({2, 3, 4}), Scalar(0), Scalar(1)}},
                            {{t({})}}};
        },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{t({2, 3}), Scalar(1), Scalar(0)}}, "RuntimeError", "cannot come after end_dim"}};
        },
});
const Register kRavel({
    .schema = "ravel(Tensor(a) self) -> Tensor(a)",
    .doc = "All elements in one axis, a view where possible.",
    .returns = Returns::MaybeView,
    .shape =
        [](const Call& call, ResultInfos& results) {
          results.push_back(reshaped(call, {call.tensor("self").numel()}, false));
        },
    .lower =
        [](Lowering& l) {
          const Expr x = l["self"];
          l.result(reshape(x, {element_count(x.shape())}));
        },
    .samples = [] { return SampleList{{{t({2, 3})}}, {{t({})}}}; },
});
const Register kUnflatten({
    .schema = "unflatten.int(Tensor(a) self, int dim, int[] sizes) -> Tensor(a)",
    .doc = "Axis `dim` split into axes of these sizes, of which one may be -1.",
    .variants = {.aliases = {}},
    .returns = Returns::View,
    .axes = {"dim"},
    .canonical =
        [](const Call& call, Arguments& arguments) {
          const TensorInfo& self = call.tensor("self");
          const Ints& sizes = call.integers("sizes");
          check(!sizes.empty(), [&] { return concat(call.name(), ": sizes must be non-empty"); });
          check<IndexError>(self.dim() > 0, [&] {
            return concat(call.name(), ": self must have at least one dimension");
          });
          const int64_t extent = self.sizes[static_cast<size_t>(call.integer("dim"))];
          arguments[2] = resolve_sizes(call, sizes, extent);
        },
    .shape =
        [](const Call& call, ResultInfos& results) {
          const TensorInfo& self = call.tensor("self");
          const auto at = static_cast<size_t>(call.integer("dim"));
          Ints sizes(self.sizes.begin(), self.sizes.begin() + at);
          const Ints& inner = call.integers("sizes");
          sizes.append(inner.begin(), inner.end());
          sizes.append(self.sizes.begin() + at + 1, self.sizes.end());
          results.push_back(reshaped(call, sizes, true));
        },
    .lower =
        [](Lowering& l) {
          const Expr x = l["self"];
          Shape shape;
          for (int i = 0; i < x.rank(); ++i) {
            if (i != l.call().integer("dim")) {
              shape.push_back(x.dim(i));
            } else {
              for (const Dim& d : l.integers("sizes")) shape.push_back(d);
            }
          }
          l.result(reshape(x, shape));
        },
    .dynamic = {"sizes"},
    .samples =
        [] {
          return SampleList{{{t({2, 6}), Scalar(1), Ints{2, 3}}},
                            {{t({6, 2}), Scalar(0), Ints{-1, 3}}}};
        },
});

}  // namespace
}  // namespace flambeau::ops
