// New tensors from numbers: fills, ranges, identity.

#include <array>
#include <cmath>

#include "ops/checks.h"
#include "ops/functions.h"
#include "ops/registry.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

Variants function_only() { return {.method = false}; }

void check_sizes(const Call& call, const Ints& sizes) {
  for (const int64_t size : sizes)
    check(size >= 0, [&] {
      return concat(call.name(), ": Trying to create tensor with negative dimension ", size, ": ",
                    list_text(sizes));
    });
}
void sized_shape(const Call& call, ResultInfos& results) {
  const Ints& sizes = call.integers("size");
  check_sizes(call, sizes);
  results.push_back({call.dtype_or("dtype", default_dtype()), sizes, {}});
}
Shape sized(Lowering& l) {
  const std::vector<Dim> dims = l.integers("size");
  return Shape(dims.begin(), dims.end());
}
/// `value` everywhere, in the result's dtype.
Expr filled(DType dtype, const Shape& shape, const Expr& value) {
  return broadcast_to(convert(value, compute_dtype(dtype)), shape);
}
SampleList size_samples() {
  return {{{Ints{2, 3}}},
          {{Ints{}}},
          {{Ints{0, 2}}, {{"dtype", DType::Int64}}},
          {{Ints{2}}, {{"dtype", DType::Bool}}}};
}
std::vector<ErrorSample> size_errors() {
  return {{{{Ints{-1}}}, "RuntimeError", "negative dimension -1"}};
}
/// A tensor of `size` filled with one number.
template <int kValue>
Definition constant_definition(std::string_view schema, std::string_view doc) {
  return {.schema = schema,
          .doc = doc,
          .variants = function_only(),
          .shape = sized_shape,
          .lower =
              [](Lowering& l) {
                const DType dtype = l.call().dtype_or("dtype", default_dtype());
                l.result(filled(dtype, sized(l),
                                constant(l.builder(), compute_dtype(dtype), Scalar(kValue))));
              },
          .differentiable = false,
          .dynamic = {"size"},
          .samples = size_samples,
          .errors = size_errors};
}
const Register kZeros(constant_definition<0>(
    "zeros(int[] size, *, ScalarType? dtype=None) -> Tensor", "A tensor of zeros."));
const Register kOnes(constant_definition<1>("ones(int[] size, *, ScalarType? dtype=None) -> Tensor",
                                            "A tensor of ones."));
// Zeros, since what memory held before would differ from run to run.
const Register kEmpty(constant_definition<0>(
    "empty(int[] size, *, ScalarType? dtype=None, MemoryFormat? memory_format=None) -> Tensor",
    "A tensor whose elements mean nothing yet; they are 0."));

DType fill_dtype(const Call& call, const char* value) {
  const Scalar number = call.number(value);
  return call.dtype_or("dtype", number.is_complex() ? complex_dtype(default_dtype())
                                : number.is_float() ? default_dtype()
                                                    : number.dtype());
}
const Register kFull({
    .schema = "full(int[] size, Scalar fill_value, *, ScalarType? dtype=None) -> Tensor",
    .doc = "A tensor filled with one number, whose kind gives the dtype unless one is given.",
    .variants = function_only(),
    .shape =
        [](const Call& call, ResultInfos& results) {
          check_sizes(call, call.integers("size"));
          results.push_back({fill_dtype(call, "fill_value"), call.integers("size"), {}});
        },
    .lower =
        [](Lowering& l) {
          l.result(filled(fill_dtype(l.call(), "fill_value"), sized(l), l.number("fill_value")));
        },
    .checks =
        [](HostCall& host) {
          check_fits(host, "fill_value", fill_dtype(host.call(), "fill_value"));
        },
    .differentiable = false,
    .dynamic = {"size"},
    .samples =
        [] {
          return SampleList{{{Ints{2, 3}, 0.5}},
                            {{Ints{2}, Scalar(7)}},
                            {{Ints{2}, Scalar(true)}},
                            {{Ints{2}, Scalar(7)}, {{"dtype", DType::Float64}}}};
        },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{Ints{-1}, 0.5}}, "RuntimeError", "negative dimension -1"},
              {{{Ints{2}, 1e6}, {{"dtype", DType::Float16}}}, "RuntimeError", "without overflow"}};
        },
});
const Register kScalarTensor({
    .schema = "scalar_tensor(Scalar s, *, ScalarType? dtype=None) -> Tensor",
    .doc = "A 0-dim tensor of one number, in the default dtype unless one is given.",
    .variants = function_only(),
    .shape =
        [](const Call& call, ResultInfos& results) {
          results.push_back({call.dtype_or("dtype", default_dtype()), {}, {}});
        },
    .lower =
        [](Lowering& l) {
          l.result(
              convert(l.number("s"), compute_dtype(l.call().dtype_or("dtype", default_dtype()))));
        },
    .checks =
        [](HostCall& host) {
          check_fits(host, "s", host.call().dtype_or("dtype", default_dtype()));
        },
    .differentiable = false,
    .samples = [] { return SampleList{{{0.5}}, {{Scalar(3)}, {{"dtype", DType::Int64}}}}; },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{Scalar(300)}, {{"dtype", DType::Int8}}}, "RuntimeError", "without overflow"}};
        },
});

// ---- like another tensor -----------------------------------------------------------------------
void like_shape(const Call& call, ResultInfos& results) {
  const TensorInfo& self = call.tensor("self");
  results.push_back({call.dtype_or("dtype", self.dtype), self.sizes, {}});
}
void like_strides(const Call& call, ResultInfos& results) {
  const std::array<const TensorInfo*, 1> inputs{&call.tensor("self")};
  results[0].strides = elementwise_strides(inputs, results[0].sizes, false);
}
void check_fill_value(HostCall& host) {
  const Call& call = host.call();
  check_fits(host, "fill_value", call.dtype_or("dtype", call.tensor("self").dtype));
}
template <int kValue>
Definition like_definition(std::string_view schema, std::string_view doc) {
  return {.schema = schema,
          .doc = doc,
          .variants = function_only(),
          .shape = like_shape,
          .strides = like_strides,
          .lower =
              [](Lowering& l) {
                const Expr x = l["self"];
                const DType dtype = compute_dtype(l.call().dtype_or("dtype", x.dtype()));
                l.result(filled(dtype, x.shape(), constant(x, dtype, Scalar(kValue))));
              },
          .differentiable = false,
          .samples =
              [] { return SampleList{{{t({2, 3})}}, {{t({2, 3})}, {{"dtype", DType::Int64}}}}; }};
}
const Register kZerosLike(
    like_definition<0>("zeros_like(Tensor self, *, ScalarType? dtype=None, MemoryFormat? "
                       "memory_format=None) -> Tensor",
                       "Zeros in the shape, dtype and layout of self."));
const Register kOnesLike(like_definition<1>(
    "ones_like(Tensor self, *, ScalarType? dtype=None, MemoryFormat? memory_format=None) -> Tensor",
    "Ones in the shape, dtype and layout of self."));
const Register kEmptyLike(
    like_definition<0>("empty_like(Tensor self, *, ScalarType? dtype=None, MemoryFormat? "
                       "memory_format=None) -> Tensor",
                       "A tensor like self whose elements mean nothing yet; they are 0."));
const Register kFullLike({
    .schema = "full_like(Tensor self, Scalar fill_value, *, ScalarType? dtype=None, MemoryFormat? "
              "memory_format=None) -> Tensor",
    .doc = "A tensor like self filled with one number.",
    .variants = function_only(),
    .shape = like_shape,
    .strides = like_strides,
    .lower =
        [](Lowering& l) {
          const Expr x = l["self"];
          l.result(
              filled(l.call().dtype_or("dtype", x.dtype()), x.shape(), l.number("fill_value")));
        },
    .checks = check_fill_value,
    .differentiable = false,
    .samples = [] { return SampleList{{{t({2, 3}), 0.5}}}; },
});

/// Methods that make a tensor of another size in the dtype of self.
void new_shape(const Call& call, ResultInfos& results) {
  check_sizes(call, call.integers("size"));
  results.push_back({call.dtype_or("dtype", call.tensor("self").dtype), call.integers("size"), {}});
}
template <int kValue>
Definition new_definition(std::string_view schema, std::string_view doc) {
  return {.schema = schema,
          .doc = doc,
          .variants = {.function = false},
          .shape = new_shape,
          .lower =
              [](Lowering& l) {
                const DType dtype =
                    compute_dtype(l.call().dtype_or("dtype", l.call().tensor("self").dtype));
                l.result(filled(dtype, sized(l), constant(l.builder(), dtype, Scalar(kValue))));
              },
          .differentiable = false,
          .dynamic = {"size"},
          .samples = [] { return SampleList{{{t({2}), Ints{2, 3}}}}; }};
}
const Register kNewZeros(
    new_definition<0>("new_zeros(Tensor self, int[] size, *, ScalarType? dtype=None) -> Tensor",
                      "Zeros in the dtype of self."));
const Register kNewOnes(
    new_definition<1>("new_ones(Tensor self, int[] size, *, ScalarType? dtype=None) -> Tensor",
                      "Ones in the dtype of self."));
const Register kNewEmpty(new_definition<0>(
    "new_empty(Tensor self, int[] size, *, ScalarType? dtype=None) -> Tensor",
    "A tensor in the dtype of self whose elements mean nothing yet; they are 0."));
const Register kNewFull({
    .schema = "new_full(Tensor self, int[] size, Scalar fill_value, *, ScalarType? dtype=None) -> "
              "Tensor",
    .doc = "A tensor in the dtype of self filled with one number.",
    .variants = {.function = false},
    .shape = new_shape,
    .lower =
        [](Lowering& l) {
          const DType dtype = l.call().dtype_or("dtype", l.call().tensor("self").dtype);
          l.result(filled(dtype, sized(l), l.number("fill_value")));
        },
    .checks = check_fill_value,
    .differentiable = false,
    .dynamic = {"size"},
    .samples = [] { return SampleList{{{t({2}), Ints{2, 3}, 0.5}}}; },
});

// ---- ranges
// ----------------------------------------------------------------------------------------
struct Range {
  Scalar start, end, step;
};
Range range_of(const Call& call) {
  const auto given = [&](const char* name, Scalar otherwise) {
    for (const Parameter& p : call.definition().parsed.parameters)
      if (p.name == name) return call.number(name);
    return otherwise;
  };
  return {given("start", Scalar(0)), call.number("end"), given("step", Scalar(1))};
}
void arange_shape(const Call& call, ResultInfos& results) {
  const Range r = range_of(call);
  const bool floating = r.start.is_float() || r.end.is_float() || r.step.is_float();
  const double start = r.start.to_double();
  const double end = r.end.to_double();
  const double step = r.step.to_double();
  check(step != 0, [&] { return concat(call.name(), ": step must be nonzero"); });
  check(std::isfinite(start) && std::isfinite(end),
        [&] { return concat(call.name(), ": unsupported range: ", start, " -> ", end); });
  check((step > 0 && end >= start) || (step < 0 && end <= start), [&] {
    return concat(call.name(), ": upper bound and lower bound inconsistent with step sign (start ",
                  start, ", end ", end, ", step ", step, ")");
  });
  const DType dtype = call.dtype_or("dtype", floating ? default_dtype() : DType::Int64);
  check(!is_complex(dtype) && !is_bool(dtype),
        [&] { return concat(call.name(), ": not implemented for '", info(dtype).word, "'"); });
  int64_t count = 0;
  if (floating) {
    count = static_cast<int64_t>(std::ceil((end - start) / step));
  } else {
    const int64_t d = r.step.to_int();
    const int64_t span = r.end.to_int() - r.start.to_int();
    count = (span + d - (d > 0 ? 1 : -1)) / d;
  }
  results.push_back({dtype, {count}, {}});
}
void lower_arange(Lowering& l) {
  ResultInfos infos;
  arange_shape(l.call(), infos);
  const DType dtype = is_float(infos[0].dtype) ? DType::Float64 : DType::Int64;
  const Expr index = convert(iota(l.builder(), l.result_shape(0), 0), dtype);
  const auto number = [&](const char* name, int otherwise) {
    for (const Parameter& p : l.call().definition().parsed.parameters)
      if (p.name == name) return convert(l.number(name), dtype);
    return constant(l.builder(), dtype, Scalar(otherwise));
  };
  l.result(number("start", 0) + index * number("step", 1));
}
/// The forms with and without a start; the length follows from the numbers.
Definition arange_definition(std::string_view schema, std::function<SampleList()> samples) {
  return {.schema = schema,
          .doc =
              "Numbers from start (0) up to but without end in steps of `step` (1): "
              "start + i * step.",
          .variants = function_only(),
          .shape = arange_shape,
          .lower = lower_arange,
          .differentiable = false,
          .result_sizes = true,
          .samples = std::move(samples)};
}
const Register kArange(
    arange_definition("arange(Scalar end, *, ScalarType? dtype=None) -> Tensor", [] {
      return SampleList{{{Scalar(5)}}, {{2.5}}, {{Scalar(4)}, {{"dtype", DType::Float32}}}};
    }));
Definition arange_step_definition() {
  Definition d = arange_definition(
      "arange.start_step(Scalar start, Scalar end, Scalar step=1, *, ScalarType? dtype=None) -> "
      "Tensor",
      [] {
        return SampleList{
            {{Scalar(2), Scalar(9), Scalar(3)}}, {{1.0, 0.0, -0.25}}, {{Scalar(1), Scalar(1)}}};
      });
  d.errors = [] {
    return std::vector<ErrorSample>{
        {{{Scalar(0), Scalar(5), Scalar(-1)}}, "RuntimeError", "inconsistent with step sign"},
        {{{Scalar(0), Scalar(2)}, {{"dtype", DType::Bool}}},
         "RuntimeError",
         "not implemented for 'Bool'"}};
  };
  return d;
}
const Register kArangeStep(arange_step_definition());

/// True if an end, a number or a tensor, is complex.
bool is_complex_end(const Call& call, const char* name) {
  const auto* number = std::get_if<Scalar>(&call[name]);
  return number != nullptr ? number->is_complex() : is_complex(call.tensor(name).dtype);
}
DType linspace_dtype(const Call& call) {
  const bool complex_ends = is_complex_end(call, "start") || is_complex_end(call, "end");
  return call.dtype_or("dtype", complex_ends ? complex_dtype(default_dtype()) : default_dtype());
}
void linspace_shape(const Call& call, ResultInfos& results) {
  for (const char* name : {"start", "end"})
    if (std::holds_alternative<const TensorInfo*>(call[name]))
      check(call.tensor(name).dim() == 0, [&] {
        return concat(call.name(), ": only 0-dimensional start and end tensors are supported, but ",
                      name, " has ", call.tensor(name).dim(), " dimension(s)");
      });
  const int64_t steps = call.integer("steps");
  check(steps >= 0,
        [&] { return concat(call.name(), ": number of steps must be non-negative, got ", steps); });
  results.push_back({linspace_dtype(call), {steps}, {}});
}
/// `steps` numbers from start to end, the upper half counted back from the end.
Expr lower_linspace(Lowering& l) {
  const DType dtype = linspace_dtype(l.call());
  const DType wide = is_inexact(dtype) ? compute_dtype(dtype) : DType::Float32;
  const Dim steps = l.integer("steps");
  const Expr index = iota(l.builder(), {steps}, 0);
  const Expr n = extent(l.builder(), steps);
  const auto given = [&](const char* name) {
    const bool is_number = std::holds_alternative<Scalar>(l.call()[name]);
    return convert(is_number ? l.number(name) : l[name], wide);
  };
  const Expr start = given("start");
  const Expr end = given("end");
  const Expr last = n - 1.0;
  const Expr gap = (end - start) / convert(maximum(last, full_like(last, 1.0)), wide);
  const Expr half = floor_divide(n, full_like(n, 2.0));
  const Expr up = start + gap * convert(index, wide);
  const Expr down = end - gap * convert(last - index, wide);
  return select(logical_or(lt(index, half), eq(n, 1.0)), up, down);
}
/// The overloads for ends that are numbers, and for such that are tensors.
Definition evenly_spaced(std::string_view schema, std::string_view doc, void (*lower)(Lowering&),
                         const std::function<SampleList()>& samples) {
  return {.schema = schema,
          .doc = doc,
          .variants = function_only(),
          .shape = linspace_shape,
          .lower = lower,
          .differentiable = false,
          .dynamic = {"steps"},
          .samples = samples,
          .errors = [samples] {
            Sample bad = samples().front();
            bad.positional[2] = Scalar(-1);
            return std::vector<ErrorSample>{{bad, "RuntimeError", "must be non-negative"}};
          }};
}
void lower_logspace(Lowering& l) {
  const Expr exponents = lower_linspace(l);
  l.result(pow(convert(l.number("base"), exponents.dtype()), exponents));
}
constexpr std::string_view kLinspaceDoc =
    "`steps` evenly spaced numbers from start to end, both included.";
constexpr std::string_view kLogspaceDoc =
    "`steps` numbers from base^start to base^end with evenly spaced exponents.";
const Register kLinspace(evenly_spaced(
    "linspace(Scalar start, Scalar end, int steps, *, ScalarType? dtype=None) -> Tensor",
    kLinspaceDoc, [](Lowering& l) { l.result(lower_linspace(l)); },
    [] {
      return SampleList{{{0.0, 1.0, Scalar(5)}}, {{2.0, 1.0, Scalar(1)}}, {{0.0, 1.0, Scalar(0)}}};
    }));
const Register kLinspaceTensors(evenly_spaced(
    "linspace.Tensor_Tensor(Tensor start, Tensor end, int steps, *, ScalarType? dtype=None) -> "
    "Tensor",
    kLinspaceDoc, [](Lowering& l) { l.result(lower_linspace(l)); },
    [] { return SampleList{{{t({}), t({}), Scalar(5)}}}; }));
const Register kLogspace(evenly_spaced(
    "logspace(Scalar start, Scalar end, int steps, float base=10.0, *, ScalarType? dtype=None) -> "
    "Tensor",
    kLogspaceDoc, lower_logspace,
    [] { return SampleList{{{0.0, 2.0, Scalar(5)}}, {{0.0, 1.0, Scalar(3), 2.0}}}; }));
const Register kLogspaceTensors(evenly_spaced(
    "logspace.Tensor_Tensor(Tensor start, Tensor end, int steps, float base=10.0, *, ScalarType? "
    "dtype=None) -> Tensor",
    kLogspaceDoc, lower_logspace, [] { return SampleList{{{t({}), t({}), Scalar(5)}}}; }));

// ---- identity
// ------------------------------------------------------------------------------------
void eye_shape(const Call& call, ResultInfos& results) {
  const int64_t n = call.integer("n");
  const bool square = call.definition().parsed.overload.empty();
  const int64_t m = square ? n : call.integer("m");
  check(n >= 0 && m >= 0, [&] {
    return concat(call.name(), ": n and m must be greater or equal to 0, got ", n, " and ", m);
  });
  results.push_back({call.dtype_or("dtype", default_dtype()), {n, m}, {}});
}
void lower_eye(Lowering& l) {
  const bool square = l.call().definition().parsed.overload.empty();
  const Dim n = l.integer("n");
  const Shape shape{n, square ? n : l.integer("m")};
  const DType dtype = compute_dtype(l.call().dtype_or("dtype", default_dtype()));
  l.result(convert(eq(iota(l.builder(), shape, 0), iota(l.builder(), shape, 1)), dtype));
}
const Register kEye({
    .schema = "eye(int n, *, ScalarType? dtype=None) -> Tensor",
    .doc = "The n by n identity matrix.",
    .variants = function_only(),
    .shape = eye_shape,
    .lower = lower_eye,
    .differentiable = false,
    .dynamic = {"n"},
    .samples = [] { return SampleList{{{Scalar(3)}}, {{Scalar(0)}}}; },
});
const Register kEyeM({
    .schema = "eye.m(int n, int m, *, ScalarType? dtype=None) -> Tensor",
    .doc = "The n by m matrix with ones on its diagonal.",
    .variants = function_only(),
    .shape = eye_shape,
    .lower = lower_eye,
    .differentiable = false,
    .dynamic = {"n", "m"},
    .samples = [] { return SampleList{{{Scalar(3), Scalar(2)}}}; },
});

}  // namespace
}  // namespace flambeau::ops
