// Differences of neighbours and the sums that undo them: diff, the trapezoidal rule, gradient.

#include <algorithm>

#include "ops/reduce/reduce.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

/// Of Definition::fixed, where what is empty is lowered by its sizes.
uint64_t every_axis_if(bool is_empty, const Call& call, size_t tensor) {
  return is_empty ? every_axis(call, tensor) : 0;
}
/// The elements from `first`, all but `rest` of them, along `axis`.
Expr part(const Expr& x, int axis, int first, int rest) {
  return slice(x, axis, Dim(first), x.dim(axis) - rest);
}
/// x[i + 1] - x[i]; of bools whether they differ.
Expr steps(const Expr& x, int axis) {
  if (x.dim(axis).is_zero()) return x;
  const Expr later = part(x, axis, 1, 1);
  const Expr earlier = part(x, axis, 0, 1);
  return is_bool(x.dtype()) ? logical_xor(later, earlier) : later - earlier;
}

// ---- diff
const Register kDiff({
    .schema = "diff(Tensor self, int n=1, int dim=-1, Tensor? prepend=None, Tensor? append=None) "
              "-> Tensor",
    .doc = "The n-th differences of neighbours along `dim`, after prepend and append are joined to "
           "it.",
    .variants = {.out = true},
    .promotion = Promotion::Promote,
    .axes = {"dim"},
    .shape =
        [](const Call& call, ResultInfos& results) {
          const TensorInfo& self = call.tensor("self");
          check(self.dim() > 0, [&] {
            return concat(call.name(), " expects input to be at least one-dimensional");
          });
          check(call.integer("n") >= 0, [&] {
            return concat(call.name(), ": order must be non-negative but got ", call.integer("n"));
          });
          const auto axis = static_cast<size_t>(call.integer("dim"));
          Ints sizes = self.sizes;
          for (const char* name : {"prepend", "append"}) {
            const TensorInfo* t = call.optional_tensor(name);
            if (t == nullptr) continue;
            check(t->dim() == self.dim(), [&] {
              return concat(call.name(), " expects ", name,
                            " to have the same number of "
                            "dimensions as input, got ",
                            t->dim(), " and ", self.dim());
            });
            for (size_t i = 0; i < sizes.size(); ++i)
              check(i == axis || t->sizes[i] == self.sizes[i], [&] {
                return concat(call.name(),
                              " expects the shape of tensor to prepend or append to "
                              "match that of input except along the differencing dimension; got ",
                              list_text(t->sizes), " and ", list_text(self.sizes));
              });
            sizes[axis] += t->sizes[axis];
          }
          sizes[axis] = std::max<int64_t>(sizes[axis] - call.integer("n"), 0);
          results.push_back({common_dtype(call), sizes, {}});
        },
    .lower =
        [](Lowering& l) {
          const int axis = static_cast<int>(l.call().integer("dim"));
          SmallVector<Expr, 3> parts;
          for (const char* name : {"prepend", "self", "append"})
            if (l[name].valid()) parts.push_back(l[name]);
          Expr x = concatenate(parts, axis);
          for (int64_t i = 0; i < l.call().integer("n"); ++i) x = steps(x, axis);
          l.result(x);
        },
    // No order goes below no elements.
    .fixed =
        [](const Call& call, size_t tensor) {
          const auto axis = static_cast<size_t>(call.integer("dim"));
          return every_axis_if(infer(call)[0].sizes[axis] == 0, call, tensor);
        },
    .samples =
        [] {
          return SampleList{{{t({3, 4})}},
                            {{t({4, 2}), Scalar(2), Scalar(0)}},
                            {{t({3, 2}), Scalar(1), Scalar(1), t({3, 1}), t({3, 2})}},
                            {{t({3}), Scalar(5)}},
                            {{mask({2, 4})}}};
        },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{t({})}}, "RuntimeError", "at least one-dimensional"},
              {{{t({3}), Scalar(-1)}}, "RuntimeError", "order must be non-negative"}};
        },
});

// ---- the trapezoidal rule
/// The dtype of a product of the operands: integers stay integers until a float scales them.
DType rule_dtype(const Call& call, const char* scale) {
  const DType common = common_dtype(call);
  const auto* number = std::get_if<Scalar>(&call[scale]);
  const bool floats = is_inexact(common) || number == nullptr || number->is_float();
  return floats && !is_inexact(common) ? default_dtype() : common;
}
/// Mean heights of neighbours times the distances between them, along the axis.
Expr areas(Lowering& l, int axis, const char* scale, DType dtype) {
  const Expr y = convert(l["y"], compute_dtype(dtype));
  const Expr heights = part(y, axis, 1, 1) + part(y, axis, 0, 1);
  if (std::string_view(scale) == "dx") return heights * convert(l.number("dx"), y.dtype()) / 2.0;
  Expr x = convert(l["x"], compute_dtype(dtype));
  // A vector of places lies along the axis; others broadcast from the right.
  if (x.rank() == 1) {
    Expr gaps = part(x, 0, 1, 1) - part(x, 0, 0, 1);
    for (int i = axis + 1; i < y.rank(); ++i) gaps = unsqueeze(gaps, gaps.rank());
    return gaps * heights / 2.0;
  }
  const int own = axis - y.rank() + x.rank();
  return (part(x, own, 1, 1) - part(x, own, 0, 1)) * heights / 2.0;
}
void check_places(const Call& call, int64_t axis) {
  const TensorInfo& y = call.tensor("y");
  const auto* x = std::get_if<const TensorInfo*>(&call["x"]);
  if (x == nullptr) return;
  const Ints& sizes = (*x)->sizes;
  const bool vector = sizes.size() == 1;
  check(!sizes.empty(),
        [&] { return concat(call.name(), ": The provided `x` must have at least one dimension"); });
  check(!vector || sizes[0] == y.sizes[static_cast<size_t>(axis)], [&] {
    return concat(call.name(), ": There must be one `x` value for each sample point, got ",
                  sizes[0], " and ", y.sizes[static_cast<size_t>(axis)]);
  });
}
template <bool kRunning, bool kPlaces>
void rule_shape(const Call& call, ResultInfos& results) {
  const TensorInfo& y = call.tensor("y");
  const char* scale = kPlaces ? "x" : "dx";
  const DType common = kPlaces ? common_dtype(call) : rule_dtype(call, scale);
  const DType dtype = is_inexact(common) ? common : default_dtype();
  if (y.dim() == 0) {
    check(!kRunning, [&] { return concat(call.name(), ": y must have at least one dimension"); });
    results.push_back({dtype, {}, {}});
    return;
  }
  const int64_t axis = call.integer("dim");
  Ints sizes = y.sizes;
  if (kPlaces) {
    check_places(call, axis);
    const TensorInfo& x = call.tensor("x");
    if (x.dim() > 1) sizes = call.broadcast(SmallVector<Ints, 2>{x.sizes, y.sizes});
  }
  auto& extent_here = sizes[sizes.size() - y.sizes.size() + static_cast<size_t>(axis)];
  if (kRunning)
    extent_here = std::max<int64_t>(extent_here - 1, 0);
  else
    sizes =
        reduced_sizes(sizes, {static_cast<int64_t>(sizes.size() - y.sizes.size()) + axis}, false);
  results.push_back({dtype, sizes, {}});
}
template <bool kRunning, bool kPlaces>
void lower_rule(Lowering& l) {
  const Expr y = l["y"];
  const TensorInfo result = infer(l.call())[0];
  const DType dtype = result.dtype;
  if (y.rank() == 0) return l.result(convert(full_like(y, 0.0), compute_dtype(dtype)));
  const int axis = static_cast<int>(l.call().integer("dim"));
  if (y.dim(axis).is_zero()) {
    Shape shape;
    for (const int64_t size : result.sizes) shape.emplace_back(size);
    return l.result(broadcast_to(constant(y, compute_dtype(dtype), Scalar(0)), shape));
  }
  const Expr pieces = areas(l, axis, kPlaces ? "x" : "dx", dtype);
  const int own = pieces.rank() - y.rank() + axis;
  l.result(kRunning ? running_sum(pieces, own) : sum(pieces, Ints{own}, false));
}
template <bool kRunning, bool kPlaces>
Definition rule(std::string_view schema, std::string_view doc) {
  return {.schema = schema,
          .doc = doc,
          .variants = {.method = false},
          .promotion = Promotion::Promote,
          .canonical =
              [](const Call& call, Arguments& arguments) {
                const size_t place = arguments.size() - 1;
                const TensorInfo& y = call.tensor("y");
                arguments[place] = Scalar(call.axis(call.integer("dim"), y.dim()));
              },
          .shape = rule_shape<kRunning, kPlaces>,
          .lower = lower_rule<kRunning, kPlaces>,
          .fixed =
              [](const Call& call, size_t tensor) {
                const Ints& sizes = call.tensor("y").sizes;
                const bool is_empty = std::find(sizes.begin(), sizes.end(), 0) != sizes.end();
                return every_axis_if(is_empty, call, tensor);
              },
          .samples =
              [] {
                if (kPlaces)
                  return SampleList{{{t({3, 4}), t({4})}},
                                    {{t({3, 4}), t({3})}, {{"dim", Scalar(0)}}},
                                    {{t({2, 3}), t({2, 3})}}};
                return SampleList{{{t({3, 4})}, {{"dx", 0.5}}},
                                  {{t({3, 4})}, {{"dim", Scalar(0)}}},
                                  {{t({1})}},
                                  {{t({2, 0})}}};
              }};
}
constexpr const char* kRuleDoc =
    "The integral along `dim` by the trapezoidal rule: samples y at places x, or dx apart.";
constexpr const char* kRunningDoc =
    "The integral up to each sample but the first along `dim`, by the trapezoidal rule.";
const Register kTrapezoidX(
    rule<false, true>("trapezoid.x(Tensor y, Tensor x, *, int dim=-1) -> Tensor", kRuleDoc));
const Register kTrapezoidDx(
    rule<false, false>("trapezoid.dx(Tensor y, *, Scalar dx=1, int dim=-1) -> Tensor", kRuleDoc));
const Register kTrapzX(rule<false, true>("trapz.x(Tensor y, Tensor x, *, int dim=-1) -> Tensor",
                                         kRuleDoc));
const Register kTrapzDx(
    rule<false, false>("trapz.dx(Tensor y, *, Scalar dx=1, int dim=-1) -> Tensor", kRuleDoc));
const Register kCumulativeX(rule<true, true>(
    "cumulative_trapezoid.x(Tensor y, Tensor x, *, int dim=-1) -> Tensor", kRunningDoc));
const Register kCumulativeDx(rule<true, false>(
    "cumulative_trapezoid.dx(Tensor y, *, Scalar dx=1, int dim=-1) -> Tensor", kRunningDoc));

// ---- gradient
/// The derivative along `axis` of samples at `gap(first, count)` apart: second order inside, of
/// `edge_order` at the ends.
Expr derivative(const Expr& x, int axis, const Expr& gaps, int64_t edge_order) {
  const Dim n = x.dim(axis);
  const auto at = [&](const Expr& e, const Dim& first, const Dim& count) {
    return slice(e, axis, first, count);
  };
  const Expr rise = steps(x, axis);
  const Expr slope = rise / gaps;
  const Expr before = at(gaps, 0, n - 2);
  const Expr after = at(gaps, 1, n - 2);
  const Expr inside =
      (at(slope, 0, n - 2) * after + at(slope, 1, n - 2) * before) / (before + after);
  Expr first = at(slope, 0, 1);
  Expr last = at(slope, n - 2, 1);
  if (edge_order == 2) {
    const Expr a = at(gaps, 0, 1);
    const Expr b = at(gaps, 1, 1);
    first = first + (first - at(slope, 1, 1)) * a / (a + b);
    const Expr c = at(gaps, n - 2, 1);
    const Expr d = at(gaps, n - 3, 1);
    last = last + (last - at(slope, n - 3, 1)) * c / (c + d);
  }
  const SmallVector<Expr, 3> parts{first, inside, last};
  return concatenate(parts, axis);
}
Ints gradient_axes(const Call& call) {
  const int64_t rank = call.tensor("self").dim();
  const Argument& dim = call["dim"];
  if (const auto* one = std::get_if<Scalar>(&dim)) return {call.axis(one->to_int(), rank)};
  if (const auto* list = std::get_if<Ints>(&dim)) return call.axes(*list, rank, false);
  return all_axes(rank);
}
void gradient_shape(const Call& call, ResultInfos& results) {
  const TensorInfo& self = call.tensor("self");
  const Ints axes = gradient_axes(call);
  const int64_t order = call.integer("edge_order");
  check(order == 1 || order == 2, [&] {
    return concat(call.name(), " only supports edge_order=1 and edge_order=2, got ", order);
  });
  size_t given = axes.size();
  const Argument& spacing = call["spacing"];
  if (const auto* list = std::get_if<std::vector<double>>(&spacing)) given = list->size();
  if (const auto* list = std::get_if<TensorRefs>(&spacing)) given = list->size();
  check(given == axes.size(), [&] {
    return concat(call.name(),
                  " expected spacing to be unspecified, a scalar, or a list with one "
                  "entry an axis: got ",
                  given, " for ", axes.size(), " axes");
  });
  if (const auto* list = std::get_if<TensorRefs>(&spacing))
    for (size_t i = 0; i < axes.size(); ++i) {
      const TensorInfo& places = *(*list)[i];
      const int64_t extent = self.sizes[static_cast<size_t>(axes[i])];
      check(places.dim() == 1 && places.sizes[0] == extent, [&] {
        return concat(call.name(), " expected the places along an axis of ", extent,
                      " elements to be a vector of as many, got shape ", list_text(places.sizes));
      });
    }
  for (const int64_t axis : axes)
    check(self.sizes[static_cast<size_t>(axis)] > order, [&] {
      return concat(call.name(), " expected each dimension size to be at least edge_order+1, got ",
                    list_text(self.sizes));
    });
  const DType dtype = is_inexact(self.dtype) ? self.dtype : default_dtype();
  for (size_t i = 0; i < axes.size(); ++i) results.push_back({dtype, self.sizes, {}});
}
void lower_gradient(Lowering& l) {
  const Call& call = l.call();
  const Expr given = l["self"];
  const Expr x = is_inexact(given.dtype()) ? given : convert(given, default_dtype());
  const Ints axes = gradient_axes(call);
  const Argument& spacing = call["spacing"];
  const auto* list = std::get_if<std::vector<double>>(&spacing);
  const bool places = std::holds_alternative<TensorRefs>(spacing);
  for (size_t i = 0; i < axes.size(); ++i) {
    const int axis = static_cast<int>(axes[i]);
    Shape shape = x.shape();
    shape[static_cast<size_t>(axis)] = x.dim(axis) - 1;
    Expr gaps;
    if (places) {
      const std::vector<Expr> all = l.tensors("spacing");
      gaps = convert(steps(all[i], 0), x.dtype());
      for (int k = axis + 1; k < x.rank(); ++k) gaps = unsqueeze(gaps, gaps.rank());
    } else {
      double gap = 1;
      if (list != nullptr) gap = (*list)[i];
      gaps = std::holds_alternative<Scalar>(spacing) ? convert(l.number("spacing"), x.dtype())
                                                     : constant(x, x.dtype(), Scalar(gap));
    }
    l.result(derivative(x, axis, broadcast_to(gaps, shape), call.integer("edge_order")));
  }
}
Definition gradient_definition(std::string_view schema, std::function<SampleList()> samples,
                               std::function<std::vector<ErrorSample>()> errors = nullptr) {
  return {.schema = schema,
          .doc =
              "The derivative along each axis of `dim` (all by default) of samples `spacing` "
              "apart (or at the places of its vectors), by differences of second order.",
          .variants = {.method = false},
          .shape = gradient_shape,
          .lower = lower_gradient,
          .samples = std::move(samples),
          .errors = std::move(errors)};
}
const Register kGradientInt(gradient_definition(
    "gradient.scalarint(Tensor self, *, Scalar? spacing=None, int? dim=None, int edge_order=1) -> "
    "Tensor[]",
    [] {
      return SampleList{
          {{t({3, 4})}},
          {{t({3, 4})}, {{"spacing", 0.5}, {"dim", Scalar(1)}, {"edge_order", Scalar(2)}}}};
    }));
const Register kGradientInts(gradient_definition(
    "gradient.scalararray(Tensor self, *, Scalar? spacing=None, int[] dim, int edge_order=1) -> "
    "Tensor[]",
    [] { return SampleList{{{t({3, 4})}, {{"spacing", 2.0}, {"dim", Ints{0, 1}}}}}; }));
// Numbers before tensors, which a list of numbers is refused for.
const Register kGradientNumbersInt(gradient_definition(
    "gradient.scalarrayint(Tensor self, *, Scalar[] spacing, int? dim=None, int edge_order=1) -> "
    "Tensor[]",
    [] { return SampleList{{{t({3, 4})}, {{"spacing", std::vector<double>{0.5, 2}}}}}; }));
const Register kGradientNumbers(gradient_definition(
    "gradient.scalarrayarray(Tensor self, *, Scalar[] spacing, int[] dim, int edge_order=1) -> "
    "Tensor[]",
    [] {
      return SampleList{{{t({3, 4})}, {{"spacing", std::vector<double>{2}}, {"dim", Ints{1}}}}};
    },
    [] {
      return std::vector<ErrorSample>{
          {{{t({3, 4})}, {{"spacing", std::vector<double>{2}}, {"dim", Ints{1, 0}}}},
           "RuntimeError",
           "got 1 for 2 axes"}};
    }));
const Register kGradientTensorsInt(gradient_definition(
    "gradient.tensorarrayint(Tensor self, *, Tensor[] spacing, int? dim=None, int edge_order=1) -> "
    "Tensor[]",
    [] {
      return SampleList{{{t({3, 4})},
                         {{"spacing", std::vector{t({4}, 1, 2)}},
                          {"dim", Scalar(1)},
                          {"edge_order", Scalar(2)}}}};
    }));
const Register kGradientTensors(gradient_definition(
    "gradient.tensorarray(Tensor self, *, Tensor[] spacing, int[] dim, int edge_order=1) -> "
    "Tensor[]",
    [] {
      return SampleList{
          {{t({3, 4})},
           {{"spacing", std::vector{t({3}, 1, 2), t({4}, 1, 2)}}, {"dim", Ints{0, 1}}}}};
    }));

}  // namespace
}  // namespace flambeau::ops
