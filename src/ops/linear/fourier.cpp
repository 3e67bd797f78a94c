// Discrete Fourier transforms, as products with small matrices of roots of unity: a length is split
// by its divisors (Cooley and Tukey, 1965), and each step is one matrix product and one pointwise
// product; lengths with large prime divisors are convolutions (Bluestein, 1970). Lengths are
// constants of the program.

#include <cmath>
#include <limits>
#include <numbers>

#include "ops/functions.h"
#include "ops/registry.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

/// Divisors up to this are one matrix product.
constexpr int64_t kLargestStep = 64;
/// So is a whole length without such a divisor up to this; beyond it is a convolution.
constexpr int64_t kLargestProduct = 256;

/// The divisor that n is split by: of as few steps as there may be, all about as large.
int64_t step_of(int64_t n) {
  if (n <= kLargestStep) return n;
  int steps = 1;
  for (int64_t most = kLargestStep; most < n; most *= kLargestStep) ++steps;
  const double wanted = std::pow(static_cast<double>(n), 1.0 / steps);
  int64_t best = n;
  double least = std::numeric_limits<double>::infinity();
  for (int64_t d = 2; d <= kLargestStep; ++d) {
    const double distance = std::abs(std::log(static_cast<double>(d) / wanted));
    if (n % d == 0 && distance < least) {
      best = d;
      least = distance;
    }
  }
  return best;
}

/// exp(sign 2 pi i a b / n) for a < rows, b < columns.
Expr roots(const Expr& like, int64_t rows, int64_t columns, int64_t n, int sign) {
  ir::Builder& builder = like.builder();
  const Shape shape{Dim(rows), Dim(columns)};
  const Expr product = iota(builder, shape, 0) * iota(builder, shape, 1);
  const Expr turns =
      convert(remainder(product, full_like(product, static_cast<double>(n))), DType::Float64);
  const Expr angle = turns * (sign * 2 * std::numbers::pi / static_cast<double>(n));
  return convert(complex(cos(angle), sin(angle)), like.dtype());
}

Expr transform_rows(const Expr& x, int64_t rows, int64_t n, int sign);

/// exp(sign pi i j^2 / n).
Expr chirp(const Expr& like, const Expr& j, int64_t n, int sign) {
  const Expr turns = remainder(j * j, full_like(j, 2 * static_cast<double>(n)));
  const Expr angle =
      convert(turns, DType::Float64) * (sign * std::numbers::pi / static_cast<double>(n));
  return convert(complex(cos(angle), sin(angle)), like.dtype());
}

/// transform_rows by a circular convolution of a length that is a power of 2.
Expr convolve_rows(const Expr& x, int64_t rows, int64_t n, int sign) {
  int64_t m = 1;
  while (m < 2 * n - 1) m *= 2;
  const Expr j = iota(x.builder(), {Dim(1), Dim(n)}, 1);
  const Expr weight = chirp(x, j, n, sign);
  const Expr zeros = broadcast_to(constant(x, x.dtype(), Scalar(0.0)), {Dim(rows), Dim(m - n)});
  const Expr parts[] = {x * weight, zeros};
  const Expr around = iota(x.builder(), {Dim(1), Dim(m)}, 1);
  const Expr distance = minimum(around, full_like(around, static_cast<double>(m)) - around);
  const Expr kernel =
      select(lt(distance, static_cast<double>(n)), conj(chirp(x, distance, n, sign)), 0.0);
  const Expr product =
      transform_rows(concatenate(parts, 1), rows, m, -1) * transform_rows(kernel, 1, m, -1);
  const Expr sums = transform_rows(product, rows, m, 1) * (1 / static_cast<double>(m));
  return slice(sums, 1, 0, Dim(n)) * weight;
}

/// Each row of [rows, n] transformed, without a factor.
Expr transform_rows(const Expr& x, int64_t rows, int64_t n, int sign) {
  if (n <= 1) return x;
  const int64_t first = step_of(n);
  if (first == n && n > kLargestProduct) return convolve_rows(x, rows, n, sign);
  if (first == n) return contract(x, roots(x, n, n, n, sign));
  const int64_t rest = n / first;
  const Dim all(rows * rest);
  // Position j1 * rest + j2 of the input, k2 * first + k1 of the result.
  const Expr by_rest = transpose(reshape(x, {Dim(rows), Dim(first), Dim(rest)}), 1, 2);
  const Expr inner =
      contract(reshape(by_rest, {all, Dim(first)}), roots(x, first, first, first, sign));
  const Expr turned =
      reshape(inner, {Dim(rows), Dim(rest), Dim(first)}) * roots(x, rest, first, n, sign);
  const Expr by_first = reshape(transpose(turned, 1, 2), {Dim(rows * first), Dim(rest)});
  const Expr outer = transform_rows(by_first, rows * first, rest, sign);
  return reshape(transpose(reshape(outer, {Dim(rows), Dim(first), Dim(rest)}), 1, 2),
                 {Dim(rows), Dim(n)});
}

/// The axis cut or filled with zeros to `n` elements.
Expr resized(const Expr& x, int axis, int64_t n) {
  const int64_t have = x.dim(axis).constant();
  if (have == n) return x;
  if (have > n) return slice(x, axis, 0, Dim(n));
  Shape missing = x.shape();
  missing[static_cast<size_t>(axis)] = Dim(n - have);
  const Expr parts[] = {x, broadcast_to(constant(x, x.dtype(), Scalar(0.0)), missing)};
  return concatenate(parts, axis);
}

/// A complex value transformed along `axis`.
Expr transform(const Expr& x, int axis, int sign) {
  const int last = x.rank() - 1;
  const Expr moved = transpose(x, axis, last);
  const Shape shape = moved.shape();
  const int64_t n = shape.back().constant();
  int64_t rows = 1;
  for (size_t i = 0; i + 1 < shape.size(); ++i) rows *= shape[i].constant();
  if (rows == 0) return x;
  const Expr flat = reshape(moved, {Dim(rows), Dim(n)});
  return transpose(reshape(transform_rows(flat, rows, n, sign), shape), axis, last);
}

Expr as_complex(const Expr& x) { return convert(x, complex_dtype(x.dtype())); }

// ---- arguments
// ---------------------------------------------------------------------------------------

/// What a call transforms: axes, and the lengths along them (of the real side for half spectra).
struct Plan {
  Ints axes;
  Ints lengths;
};

enum class Kind : uint8_t {
  Full,         ///< complex to complex
  HalfForward,  ///< real to the half spectrum: the last axis has n / 2 + 1
  HalfInverse,  ///< the half spectrum to real
};

int64_t default_length(Kind kind, int64_t have) {
  return kind == Kind::HalfInverse ? 2 * (have - 1) : have;
}

/// `dim` and `n` of the functions of one axis; `dim` and `s` of the others.
template <Kind kKind>
Plan plan_of(const Call& call) {
  const TensorInfo& self = call.tensor("self");
  const auto rank = static_cast<int64_t>(self.dim());
  Plan plan;
  const bool one_axis = std::holds_alternative<Scalar>(call["dim"]);
  const Argument& size = call[one_axis ? "n" : "s"];
  Ints given;
  if (const auto* n = std::get_if<Scalar>(&size)) given.push_back(n->to_int());
  if (const auto* s = std::get_if<Ints>(&size)) given = *s;
  const bool any_size = !std::holds_alternative<std::monostate>(size);
  const bool names_axes = one_axis || (!call.is_none("dim") && !call.integers("dim").empty());
  check<IndexError>(rank > 0 || !names_axes, [&] {
    return concat(call.name(), ": Dimension specified as ",
                  one_axis ? call.integer("dim") : call.integers("dim")[0],
                  " but tensor has no dimensions");
  });
  if (one_axis) {
    plan.axes.push_back(call.axis(call.integer("dim"), rank));
  } else if (!call.is_none("dim")) {
    plan.axes = call.axes(call.integers("dim"), rank, false);
  } else {
    const int64_t count = any_size ? static_cast<int64_t>(given.size()) : rank;
    check(count <= rank, [&] {
      return concat(call.name(), ": Got shape with ", count, " values but input tensor only has ",
                    rank, " dimensions.");
    });
    for (int64_t i = rank - count; i < rank; ++i) plan.axes.push_back(i);
  }
  check(!any_size || given.size() == plan.axes.size(), [&] {
    return concat(call.name(),
                  ": When given, dim and shape arguments must have the same length, got ",
                  plan.axes.size(), " and ", given.size());
  });
  check(!plan.axes.empty() || kKind == Kind::Full,
        [&] { return concat(call.name(), " must transform at least one axis"); });
  for (size_t i = 0; i < plan.axes.size(); ++i) {
    const int64_t have = self.sizes[static_cast<size_t>(plan.axes[i])];
    const bool is_last = i + 1 == plan.axes.size();
    const int64_t natural = default_length(is_last ? kKind : Kind::Full, have);
    const int64_t n = any_size && given[i] != -1 ? given[i] : natural;
    check(n >= 1, [&] {
      return concat(call.name(), ": Invalid number of data points (", n, ") specified");
    });
    plan.lengths.push_back(n);
  }
  return plan;
}

template <Kind kKind>
void transform_shape(const Call& call, ResultInfos& results) {
  const Plan plan = plan_of<kKind>(call);
  const DType common = common_dtype(call);
  check(kKind != Kind::HalfForward || !is_complex(common), [&] {
    return concat(call.name(), " expects a real input tensor, but got ", info(common).word);
  });
  TensorInfo result{complex_dtype(common), call.tensor("self").sizes, {}};
  for (size_t i = 0; i < plan.axes.size(); ++i)
    result.sizes[static_cast<size_t>(plan.axes[i])] = plan.lengths[i];
  if (kKind == Kind::HalfForward) {
    int64_t& last = result.sizes[static_cast<size_t>(plan.axes.back())];
    last = last / 2 + 1;
  }
  if (kKind == Kind::HalfInverse) result.dtype = real_dtype(result.dtype);
  results.push_back(result);
}

/// The factor of a transform of `count` points: `forward` says which direction it is named for.
double factor_of(const Call& call, const Plan& plan, bool forward) {
  double count = 1;
  for (const int64_t n : plan.lengths) count *= static_cast<double>(n);
  const std::string norm = call.is_none("norm") ? "backward" : call.string("norm");
  check(norm == "backward" || norm == "ortho" || norm == "forward",
        [&] { return concat(call.name(), ": Invalid normalization mode: \"", norm, "\""); });
  if (norm == "ortho") return 1 / std::sqrt(count);
  return (norm == "forward") == forward ? 1 / count : 1;
}

Expr scaled(const Expr& x, double factor) { return factor == 1 ? x : x * factor; }

/// Complex to complex along all axes of the plan.
Expr full_transform(const Plan& plan, Expr x, int sign) {
  x = as_complex(x);
  for (size_t i = 0; i < plan.axes.size(); ++i) {
    const int axis = static_cast<int>(plan.axes[i]);
    x = transform(resized(x, axis, plan.lengths[i]), axis, sign);
  }
  return x;
}

template <int kSign>
void lower_full(Lowering& l) {
  const Plan plan = plan_of<Kind::Full>(l.call());
  l.result(scaled(full_transform(plan, l["self"], kSign), factor_of(l.call(), plan, kSign < 0)));
}

/// The real input's spectrum up to the middle. Of the other sign: its conjugate.
template <int kSign>
void lower_half_forward(Lowering& l) {
  const Plan plan = plan_of<Kind::HalfForward>(l.call());
  const int last = static_cast<int>(plan.axes.back());
  Expr x = as_complex(resized(l["self"], last, plan.lengths.back()));
  x = slice(transform(x, last, kSign), last, 0, Dim(plan.lengths.back() / 2 + 1));
  Plan others{{plan.axes.begin(), plan.axes.end() - 1},
              {plan.lengths.begin(), plan.lengths.end() - 1}};
  l.result(scaled(full_transform(others, x, kSign), factor_of(l.call(), plan, kSign < 0)));
}

/// Real values from the spectrum up to the middle; the rest is its mirrored conjugate.
template <int kSign>
void lower_half_inverse(Lowering& l) {
  const Plan plan = plan_of<Kind::HalfInverse>(l.call());
  const int last = static_cast<int>(plan.axes.back());
  const int64_t n = plan.lengths.back();
  Plan others{{plan.axes.begin(), plan.axes.end() - 1},
              {plan.lengths.begin(), plan.lengths.end() - 1}};
  Expr x = full_transform(others, l["self"], kSign);
  x = resized(x, last, n / 2 + 1);
  const Ints axes{last};
  if (n > 2) {
    const Expr mirrored = conj(flip(slice(x, last, 1, Dim((n + 1) / 2 - 1)), axes));
    const Expr parts[] = {x, mirrored};
    x = concatenate(parts, last);
  } else {
    x = resized(x, last, n);
  }
  l.result(real(scaled(transform(x, last, kSign), factor_of(l.call(), plan, kSign < 0))));
}

// ---- definitions
// -------------------------------------------------------------------------------------

SampleList one_axis_samples() {
  return {{{t({2, 6})}},
          {{t({4, 2}), Scalar(5), Scalar(0)}},
          {{t({2, 7}), std::monostate(), Scalar(-1), std::string("ortho")}},
          {{t({1, 130})}},
          {{t({1, 257})}}};
}
SampleList two_axes_samples() {
  return {{{t({2, 3, 4})}}, {{t({3, 4}), Ints{4, 3}}}, {{t({4, 2}), std::monostate(), Ints{1, 0}}}};
}
std::vector<ErrorSample> length_errors() {
  return {{{{t({2, 3}), Scalar(0)}}, "RuntimeError", "Invalid number of data points (0)"},
          {{{t({2, 3}), std::monostate(), Scalar(4)}}, "IndexError", "[-2, 1], but got 4"}};
}

template <Kind kKind>
Definition transform_definition(std::string_view schema, std::string_view doc, std::string alias,
                                void (*lower)(Lowering&), bool one_axis) {
  return {
      .schema = schema,
      .doc = doc,
      .variants = {.function = false, .method = false, .out = true, .aliases = {std::move(alias)}},
      .promotion = Promotion::ToFloat,
      .shape = transform_shape<kKind>,
      .lower = lower,
      .fixed = every_axis,
      .autocast = "float32",
      .samples = one_axis ? one_axis_samples : two_axes_samples,
      .errors = one_axis ? std::function<std::vector<ErrorSample>()>(length_errors) : nullptr};
}

// The three functions of each kind: along one axis, the last two, all.
template <Kind kKind>
struct Transform {
  Transform(std::string_view one, std::string_view two, std::string_view all, std::string name,
            std::string_view doc, void (*lower)(Lowering&))
      : along_one(transform_definition<kKind>(one, doc, "fft." + name, lower, true)),
        along_two(transform_definition<kKind>(two, doc, "fft." + name + "2", lower, false)),
        along_all(transform_definition<kKind>(all, doc, "fft." + name + "n", lower, false)) {}
  Register along_one, along_two, along_all;
};

const Transform<Kind::Full> kFft(
    "fft_fft(Tensor self, int? n=None, int dim=-1, str? norm=None) -> Tensor",
    "fft_fft2(Tensor self, int[1]? s=None, int[1] dim=[-2, -1], str? norm=None) -> Tensor",
    "fft_fftn(Tensor self, int[1]? s=None, int[1]? dim=None, str? norm=None) -> Tensor", "fft",
    "X[k] = sum of x[j] exp(-2 pi i j k / n), the axes cut or filled with zeros to n.",
    lower_full<-1>);
const Transform<Kind::Full> kIfft(
    "fft_ifft(Tensor self, int? n=None, int dim=-1, str? norm=None) -> Tensor",
    "fft_ifft2(Tensor self, int[1]? s=None, int[1] dim=[-2, -1], str? norm=None) -> Tensor",
    "fft_ifftn(Tensor self, int[1]? s=None, int[1]? dim=None, str? norm=None) -> Tensor", "ifft",
    "The inverse of fft.fft: sums with exp(2 pi i j k / n), divided by n.", lower_full<1>);
const Transform<Kind::HalfForward> kRfft(
    "fft_rfft(Tensor self, int? n=None, int dim=-1, str? norm=None) -> Tensor",
    "fft_rfft2(Tensor self, int[1]? s=None, int[1] dim=[-2, -1], str? norm=None) -> Tensor",
    "fft_rfftn(Tensor self, int[1]? s=None, int[1]? dim=None, str? norm=None) -> Tensor", "rfft",
    "fft.fft of real numbers, whose spectrum is given up to the middle of the last axis.",
    lower_half_forward<-1>);
const Transform<Kind::HalfInverse> kIrfft(
    "fft_irfft(Tensor self, int? n=None, int dim=-1, str? norm=None) -> Tensor",
    "fft_irfft2(Tensor self, int[1]? s=None, int[1] dim=[-2, -1], str? norm=None) -> Tensor",
    "fft_irfftn(Tensor self, int[1]? s=None, int[1]? dim=None, str? norm=None) -> Tensor", "irfft",
    "The real numbers whose fft.rfft this is.", lower_half_inverse<1>);
const Transform<Kind::HalfInverse> kHfft(
    "fft_hfft(Tensor self, int? n=None, int dim=-1, str? norm=None) -> Tensor",
    "fft_hfft2(Tensor self, int[1]? s=None, int[1] dim=[-2, -1], str? norm=None) -> Tensor",
    "fft_hfftn(Tensor self, int[1]? s=None, int[1]? dim=None, str? norm=None) -> Tensor", "hfft",
    "fft.fft of numbers that are conjugate to their mirror image, given up to the middle.",
    lower_half_inverse<-1>);
const Transform<Kind::HalfForward> kIhfft(
    "fft_ihfft(Tensor self, int? n=None, int dim=-1, str? norm=None) -> Tensor",
    "fft_ihfft2(Tensor self, int[1]? s=None, int[1] dim=[-2, -1], str? norm=None) -> Tensor",
    "fft_ihfftn(Tensor self, int[1]? s=None, int[1]? dim=None, str? norm=None) -> Tensor", "ihfft",
    "The inverse of fft.hfft: the half spectrum of real numbers.", lower_half_forward<1>);

/// Every listed axis (all by default) rolled so that the zero frequency is in the middle, or back.
template <bool kBack>
Definition shift_definition(std::string_view schema, std::string_view doc, std::string alias) {
  return {.schema = schema,
          .doc = doc,
          .variants = {.function = false, .method = false, .aliases = {std::move(alias)}},
          .axes = {"dim"},
          .shape =
              [](const Call& call, ResultInfos& results) {
                results.push_back({call.tensor("self").dtype, call.tensor("self").sizes, {}});
              },
          .lower =
              [](Lowering& l) {
                Expr x = l["self"];
                const Ints axes =
                    l.call().is_none("dim") ? all_axes(x.rank()) : l.call().integers("dim");
                for (const int64_t a : axes) {
                  if (x.rank() == 0) break;  // axis 0 of a number: nothing moves
                  const int axis = static_cast<int>(a);
                  const int64_t n = x.dim(axis).constant();
                  const int64_t front = kBack ? n / 2 : n - n / 2;
                  if (front == 0 || front == n) continue;
                  const Expr parts[] = {slice(x, axis, Dim(front), Dim(n - front)),
                                        slice(x, axis, Dim(0), Dim(front))};
                  x = concatenate(parts, axis);
                }
                l.result(x);
              },
          .fixed = every_axis,
          .samples = [] { return SampleList{{{t({3, 4})}}, {{t({5, 2}), Ints{0}}}}; }};
}
const Register kFftshift(shift_definition<false>(
    "fft_fftshift(Tensor self, int[1]? dim=None) -> Tensor",
    "The zero frequency moved from the front to the middle of each axis.", "fft.fftshift"));
const Register kIfftshift(
    shift_definition<true>("fft_ifftshift(Tensor self, int[1]? dim=None) -> Tensor",
                           "The inverse of fft.fftshift.", "fft.ifftshift"));

/// The frequencies of fft.fft (or, for kHalf, fft.rfft) in cycles per unit of spacing d.
template <bool kHalf>
Definition frequencies(std::string_view schema, std::string_view doc, std::string alias) {
  return {
      .schema = schema,
      .doc = doc,
      .variants = {.function = false, .method = false, .aliases = {std::move(alias)}},
      .shape =
          [](const Call& call, ResultInfos& results) {
            const int64_t n = call.integer("n");
            check(n > 0, [&] { return concat(call.name(), ": n must be positive, got ", n); });
            results.push_back(
                {call.dtype_or("dtype", default_dtype()), {kHalf ? n / 2 + 1 : n}, {}});
          },
      .lower =
          [](Lowering& l) {
            const int64_t n = l.call().integer("n");
            const int64_t count = kHalf ? n / 2 + 1 : n;
            const Expr k = iota(l.builder(), {Dim(count)}, 0);
            const int64_t half = (n + 1) / 2;
            const Expr wrapped =
                kHalf ? k : select(lt(k, static_cast<double>(half)), k, k - static_cast<double>(n));
            const DType dtype = compute_dtype(l.call().dtype_or("dtype", default_dtype()));
            l.result(convert(wrapped, dtype) * (1 / (static_cast<double>(n) * l.call().real("d"))));
          },
      .differentiable = false,
      .samples = [] { return SampleList{{{Scalar(5)}}, {{Scalar(6), 0.5}}}; }};
}
const Register kFftfreq(frequencies<false>(
    "fft_fftfreq(int n, float d=1.0, *, ScalarType? dtype=None) -> Tensor",
    "The frequencies of fft.fft: 0 and up, then the negative ones, in cycles per unit of d.",
    "fft.fftfreq"));
const Register kRfftfreq(
    frequencies<true>("fft_rfftfreq(int n, float d=1.0, *, ScalarType? dtype=None) -> Tensor",
                      "The frequencies of fft.rfft in cycles per unit of d.", "fft.rfftfreq"));

}  // namespace
}  // namespace flambeau::ops
