// Random tensors in PyTorch's stream (base/distributions.h).

#include <numbers>

#include "base/distributions.h"
#include "ir/core_function.h"
#include "ops/functions.h"
#include "ops/registry.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

void check_sizes(const Call& call, const Ints& sizes) {
  for (const int64_t size : sizes)
    check(size >= 0, [&] {
      return concat(call.name(), ": Trying to create tensor with negative dimension ", size, ": ",
                    list_text(sizes));
    });
}
void float_shape(const Call& call, ResultInfos& results) {
  check_sizes(call, call.integers("size"));
  results.push_back({call.dtype_or("dtype", default_dtype()), call.integers("size"), {}});
}
void like_shape(const Call& call, ResultInfos& results) {
  const TensorInfo& self = call.tensor("self");
  results.push_back({call.dtype_or("dtype", self.dtype), self.sizes, {}});
}
/// Complex numbers as twice as many real ones.
HostTensor reals_of(HostTensor t) {
  if (!is_complex(t.info.dtype)) return t;
  t.info.dtype = real_dtype(t.info.dtype);
  t.info.sizes.push_back(2);
  return t;
}
/// A complex normal number's parts have half its variance each; the mean is real.
void write_normal(HostCall& host, double mean, double std) {
  const HostTensor out = host.output(0);
  const HostTensor reals = reals_of(out);
  const bool pairs = is_complex(out.info.dtype);
  fill_normal(host.random(), reals.data, reals.info.dtype, reals.info.numel(), pairs ? 0 : mean,
              pairs ? std / std::numbers::sqrt2 : std);
  if (!pairs || mean == 0) return;
  const size_t part = size_of(reals.info.dtype);
  auto* bytes = static_cast<std::byte*>(reals.data);
  for (int64_t i = 0; i < out.info.numel(); ++i, bytes += 2 * part) {
    const double re = ir::to_double(reals.info.dtype, ir::load_element(reals.info.dtype, bytes));
    ir::store_element(reals.info.dtype, bytes, ir::container_of(reals.info.dtype, re + mean));
  }
}
void uniform_kernel(HostCall& host) {
  const HostTensor out = reals_of(host.output(0));
  fill_uniform(host.random(), out.data, out.info.dtype, out.info.numel());
}
void normal_kernel(HostCall& host) { write_normal(host, 0, 1); }
/// These kernels draw from the generator's stream when they are called.
bool draws(const Call& /*call*/) { return true; }
Definition source(std::string_view schema, std::string_view doc,
                  void (*shape)(const Call&, ResultInfos&), void (*kernel)(HostCall&),
                  std::function<SampleList()> samples) {
  return {.schema = schema,
          .doc = doc,
          .variants = {.method = false},
          .shape = shape,
          .kernel = kernel,
          .complex_kernel = true,
          .differentiable = false,
          .random = draws,
          .samples = std::move(samples)};
}
SampleList size_samples() { return {{{Ints{2, 3}}}, {{Ints{}}}, {{Ints{20}}}, {{Ints{0}}}}; }
SampleList like_samples() { return {{{typed({2, 3}, DType::Float32, 0, 1)}}}; }

const Register kRand(
    source("rand(int[] size, *, Generator? generator=None, ScalarType? dtype=None) -> Tensor",
           "Uniform numbers in [0, 1).", float_shape, uniform_kernel, size_samples));
const Register kRandn(
    source("randn(int[] size, *, Generator? generator=None, ScalarType? dtype=None) -> Tensor",
           "Standard normal numbers.", float_shape, normal_kernel, size_samples));
const Register kRandLike(source(
    "rand_like(Tensor self, *, ScalarType? dtype=None, MemoryFormat? memory_format=None) -> Tensor",
    "Uniform numbers in [0, 1) in the shape of self.", like_shape, uniform_kernel, like_samples));
const Register kRandnLike(source(
    "randn_like(Tensor self, *, ScalarType? dtype=None, MemoryFormat? memory_format=None) -> "
    "Tensor",
    "Standard normal numbers in the shape of self.", like_shape, normal_kernel, like_samples));

/// Bounds of randint: [0, high) or [low, high).
int64_t low_of(const Call& call) {
  for (const Parameter& p : call.definition().parsed.parameters)
    if (p.name == "low") return call.integer("low");
  return 0;
}
void check_bounds(const Call& call) {
  check(low_of(call) < call.integer("high"), [&] {
    return concat(call.name(), ": expects 'from' to be less than 'to', but got from=", low_of(call),
                  " >= to=", call.integer("high"));
  });
}
void randint_shape(const Call& call, ResultInfos& results) {
  check_bounds(call);
  check_sizes(call, call.integers("size"));
  results.push_back({call.dtype_or("dtype", DType::Int64), call.integers("size"), {}});
}
void randint_kernel(HostCall& host) {
  const HostTensor out = host.output(0);
  fill_integers(host.random(), out.data, out.info.dtype, out.info.numel(), low_of(host.call()),
                host.call().integer("high"));
}
Definition randint_definition() {
  Definition d = source(
      "randint(int high, int[] size, *, Generator? generator=None, ScalarType? dtype=None) -> "
      "Tensor",
      "Integers in [0, high).", randint_shape, randint_kernel,
      [] { return SampleList{{{Scalar(5), Ints{2, 3}}}}; });
  d.errors = [] {
    return std::vector<ErrorSample>{
        {{{Scalar(0), Ints{2}}}, "RuntimeError", "but got from=0 >= to=0"}};
  };
  return d;
}
const Register kRandint(randint_definition());
const Register kRandintLow(
    source("randint.low(int low, int high, int[] size, *, Generator? generator=None, ScalarType? "
           "dtype=None) -> Tensor",
           "Integers in [low, high).", randint_shape, randint_kernel,
           [] { return SampleList{{{Scalar(-2), Scalar(5), Ints{2, 3}}}}; }));
const Register kRandintLike(source(
    "randint_like(Tensor self, int high, *, ScalarType? dtype=None) -> Tensor",
    "Integers in [0, high) in the shape of self.",
    [](const Call& call, ResultInfos& results) {
      check_bounds(call);
      like_shape(call, results);
    },
    randint_kernel, [] { return SampleList{{{t({2, 3}), Scalar(1)}}}; }));
const Register kRandperm(source(
    "randperm(int n, *, Generator? generator=None, ScalarType? dtype=None) -> Tensor",
    "The integers 0 to n - 1 in random order.",
    [](const Call& call, ResultInfos& results) {
      check(call.integer("n") >= 0, [&] {
        return concat(call.name(), ": n must be non-negative, got ", call.integer("n"));
      });
      results.push_back({call.dtype_or("dtype", DType::Int64), {call.integer("n")}, {}});
    },
    [](HostCall& host) {
      const HostTensor out = host.output(0);
      fill_permutation(host.random(), out.data, out.info.dtype, out.info.numel());
    },
    [] { return SampleList{{{Scalar(5)}}, {{Scalar(0)}}}; }));

// ---- in place
// ------------------------------------------------------------------------------------
Definition fill(std::string_view schema, std::string_view doc, void (*kernel)(HostCall&),
                std::function<SampleList()> samples) {
  return {.schema = schema,
          .doc = doc,
          .variants = {.function = false},
          .returns = Returns::Self,
          .shape = [](const Call&, ResultInfos&) {},
          // What is overwritten gets nothing.
          .vjp = [](VjpLowering& v) { v.gradients[0] = full_like(v.cotangents[0], 0.0); },
          .kernel = kernel,
          .complex_kernel = true,
          .random = draws,
          .samples = std::move(samples)};
}
SampleList self_samples() { return {{{typed({2, 3}, DType::Float32, 0, 1)}}}; }

const Register kUniform(fill(
    "uniform_(Tensor(a!) self, float from=0, float to=1, *, Generator? generator=None) -> "
    "Tensor(a!)",
    "Writes uniform numbers in [from, to).",
    [](HostCall& host) {
      const HostTensor out = reals_of(host.output(0));
      fill_uniform(host.random(), out.data, out.info.dtype, out.info.numel(),
                   host.call().real("from"), host.call().real("to"));
    },
    self_samples));
const Register kNormal(fill(
    "normal_(Tensor(a!) self, float mean=0, float std=1, *, Generator? generator=None) -> "
    "Tensor(a!)",
    "Writes normally distributed numbers.",
    [](HostCall& host) { write_normal(host, host.call().real("mean"), host.call().real("std")); },
    self_samples));
const Register kExponential(fill(
    "exponential_(Tensor(a!) self, float lambd=1, *, Generator? generator=None) -> Tensor(a!)",
    "Writes exponentially distributed numbers of rate lambd.",
    [](HostCall& host) {
      const HostTensor out = host.output(0);
      fill_exponential(host.random(), out.data, out.info.dtype, out.info.numel(),
                       host.call().real("lambd"));
    },
    self_samples));
const Register kBernoulliFill(fill(
    "bernoulli_.float(Tensor(a!) self, float p=0.5, *, Generator? generator=None) -> Tensor(a!)",
    "Writes 1 with probability p, else 0.",
    [](HostCall& host) {
      const HostTensor out = host.output(0);
      fill_bernoulli(host.random(), out.data, out.info.dtype, out.info.numel(),
                     host.call().real("p"));
    },
    [] { return SampleList{{{t({2, 3}), 0.5}}}; }));
const Register kRandomTo(fill(
    "random_.from(Tensor(a!) self, int from, int to, *, Generator? generator=None) -> Tensor(a!)",
    "Writes integers in [from, to).",
    [](HostCall& host) {
      const HostTensor out = host.output(0);
      fill_integers(host.random(), out.data, out.info.dtype, out.info.numel(),
                    host.call().integer("from"), host.call().integer("to"));
    },
    [] { return SampleList{{{t({2, 3}), Scalar(0), Scalar(2)}}}; }));
const Register kRandomBelow(fill(
    "random_.to(Tensor(a!) self, int to, *, Generator? generator=None) -> Tensor(a!)",
    "Writes integers in [0, to).",
    [](HostCall& host) {
      const HostTensor out = host.output(0);
      fill_integers(host.random(), out.data, out.info.dtype, out.info.numel(), 0,
                    host.call().integer("to"));
    },
    [] { return SampleList{{{t({2, 3}), Scalar(2)}}}; }));
const Register kRandomAny(fill(
    "random_(Tensor(a!) self, *, Generator? generator=None) -> Tensor(a!)",
    "Writes non-negative integers of the whole range that the dtype holds exactly.",
    [](HostCall& host) {
      const HostTensor out = host.output(0);
      const DType dtype = out.info.dtype;
      RandomSource& random = host.random();
      if (dtype == DType::Int64) {
        auto* data = static_cast<int64_t*>(out.data);
        for (int64_t i = 0; i < out.info.numel(); ++i)
          data[i] = static_cast<int64_t>(random.random64() & (~uint64_t{0} >> 1));
        return;
      }
      if (dtype == DType::Int32) {  // where ranges that are given take 64 bits
        auto* data = static_cast<int32_t*>(out.data);
        for (int64_t i = 0; i < out.info.numel(); ++i)
          data[i] = static_cast<int32_t>(random.random() & (~uint32_t{0} >> 1));
        return;
      }
      const auto top = [](int bits) { return int64_t{1} << bits; };
      const int bits = static_cast<int>(8 * size_of(dtype));
      int64_t end = 2;
      if (dtype == DType::BFloat16) end = top(8) + 1;
      if (dtype == DType::Float16) end = top(11) + 1;
      if (dtype == DType::Float32) end = top(24) + 1;
      if (dtype == DType::Float64) end = top(53) + 1;
      if (is_integer(dtype)) end = top(info(dtype).is_signed ? bits - 1 : bits);
      fill_integers(random, out.data, dtype, out.info.numel(), 0, end);
    },
    self_samples));

const Register kBernoulli({
    .schema = "bernoulli(Tensor self, *, Generator? generator=None) -> Tensor",
    .doc = "1 with the probability that self says, else 0; the gradient is 0.",
    .accepts = Accepts::Floats,
    .shape =
        [](const Call& call, ResultInfos& r) {
          r.push_back({call.tensor("self").dtype, call.tensor("self").sizes, {}});
        },
    .kernel =
        [](HostCall& host) {
          const HostTensor p = host.input("self");
          const HostTensor out = host.output(0);
          fill_bernoulli(host.random(), out.data, out.info.dtype, out.info.numel(), p.data,
                         p.info.dtype);
        },
    .differentiable = false,
    .random = draws,
    .samples = [] { return SampleList{{{t({2, 3}, 0.1, 0.9)}}}; },
});
const Register kMultinomial({
    .schema = "multinomial(Tensor self, int num_samples, bool replacement=False, *, Generator? "
              "generator=None) -> Tensor",
    .doc = "num_samples categories for each row of probabilities (not normalised).",
    .accepts = Accepts::Floats,
    .shape =
        [](const Call& call, ResultInfos& results) {
          const TensorInfo& self = call.tensor("self");
          check(self.dim() == 1 || self.dim() == 2, [&] {
            return concat(call.name(), ": prob_dist must be 1 or 2 dim, got ", self.dim());
          });
          const int64_t count = call.integer("num_samples");
          check(count > 0, [&] {
            return concat(call.name(), ": cannot sample n_sample <= 0 samples, got ", count);
          });
          check(call.boolean("replacement") || count <= self.sizes.back(), [&] {
            return concat(call.name(),
                          ": cannot sample n_sample > prob_dist.size(-1) samples "
                          "without replacement: ",
                          count, " of ", self.sizes.back());
          });
          TensorInfo result{DType::Int64, self.sizes, {}};
          result.sizes.back() = count;
          results.push_back(result);
        },
    .kernel =
        [](HostCall& host) {
          const HostTensor p = host.input("self");
          const HostTensor out = host.output(0);
          const int64_t categories = p.info.sizes.back();
          if (out.info.numel() == 0) return;
          check(categories > 0, [&] {
            return concat(host.call().name(),
                          ": invalid multinomial distribution (there is no category)");
          });
          draw_categories(host.random(), static_cast<int64_t*>(out.data), p.data, p.info.dtype,
                          p.info.numel() / categories, categories,
                          host.call().integer("num_samples"), host.call().boolean("replacement"));
        },
    .differentiable = false,
    .random = draws,
    .samples =
        [] {
          return SampleList{{{t({2, 5}, 0.1, 1), Scalar(3)}},
                            {{t({5}, 0.1, 1), Scalar(7), Scalar(true)}}};
        },
});

}  // namespace
}  // namespace flambeau::ops
