// Rows of sine, cosine and tangent.
//
// x * 2/pi modulo 4, exact enough for every finite x: the bits of 2/pi are cut into chunks whose
// products with x are exact; chunks that give multiples of 4 are skipped by choosing, in log2
// steps, the window of chunks that the exponent of x calls for (Payne and Hanek, 1983, without
// branches or tables). Float32 is reduced in Float64.

#include "prim/trigonometric.h"

#include <array>
#include <cmath>
#include <numbers>
#include <vector>

#include "prim/complex.h"
#include "prim/row.h"

namespace flambeau::prim {
namespace {

/// 2/pi in chunks of 28 bits (for the 24-bit significands of Float32) and of 48 bits.
constexpr std::array<uint64_t, 7> kChunks28{0xa2f9836, 0xe4e4415, 0x29fc275, 0x7d1f534,
                                            0xddc0db6, 0x295993c, 0x439041f};
constexpr std::array<uint64_t, 25> kChunks48{
    0xa2f9836e4e44, 0x1529fc2757d1, 0xf534ddc0db62, 0x95993c439041, 0xfe5163abdebb,
    0xc561b7246e3a, 0x424dd2e00649, 0x2eea09d1921c, 0xfe1deb1cb129, 0xa73ee88235f5,
    0x2ebb4484e99c, 0x7026b45f7e41, 0x3991d6398353, 0x39f49c845f8b, 0xbdf9283b1ff8,
    0x97ffde05980f, 0xef2f118b5a0a, 0x6d1f6d367ecf, 0x27cb09b74f46, 0x3f669e5fea2d,
    0x7527bac7ebe5, 0xf17b3d0739f7, 0x8a5292ea6bfb, 0x5fb11f8d5d08, 0x56033046fc7b};

constexpr double kHalfPiHigh = 0x1.921fb54442d18p+0;
constexpr double kHalfPiLow = 0x1.1a62633145c07p-54;

double power(int exponent) { return std::ldexp(1.0, exponent); }

/// x = (4j + n) pi/2 + r + tail, in Float64.
struct Reduced {
  Value n;        ///< an integer of small magnitude
  Value r, tail;  ///< |r| <= pi/4; no tail (zero) for x of Float32
};

/// The chunks that count for x, as fractions, and x scaled to their window.
struct Window {
  std::vector<Value> chunks;
  Value x;
};

/// `terms` chunks of `width` bits; `digits` is the precision of x. `first_step` is the greatest
/// power of two not above the largest number of chunks to skip.
Window choose_window(const Value& x, std::span<const uint64_t> bits, int width, int digits,
                     int first_step, size_t terms) {
  Window window{{}, x};
  for (const uint64_t chunk : bits)
    window.chunks.push_back(x.number(static_cast<double>(chunk) * power(-width)));
  for (int step = first_step; step >= 1; step /= 2) {
    // Skipping `step` chunks leaves out multiples of 4 exactly from this magnitude on.
    const Value skips = abs(window.x) >= power(width * step + digits + 1);
    window.x = select(skips, window.x * power(-width * step), window.x);
    const auto distance = static_cast<size_t>(step);
    std::vector<Value> chosen;
    for (size_t i = 0; i < distance - 1 + terms && i < window.chunks.size(); ++i)
      chosen.push_back(i + distance < window.chunks.size()
                           ? select(skips, window.chunks[i + distance], window.chunks[i])
                           : window.chunks[i]);
    window.chunks = chosen;
  }
  return window;
}

/// x less the multiple of 4 nearest to it; exact.
Value modulo_four(const Value& x) { return fma(round_even(x * 0.25), -4, x); }

/// The sum of two floats and what its rounding lost.
struct ExactSum {
  Value sum, lost;
};
ExactSum add_exactly(const Value& a, const Value& b) {
  const Value sum = a + b;
  const Value b_part = sum - a;
  return {sum, (a - (sum - b_part)) + (b - b_part)};
}

Reduced reduce_float(const Value& x) {
  const Value wide = x.convert(DType::Float64);
  const Window window = choose_window(wide, kChunks28, 28, 24, 2, 4);
  std::vector<Value> terms;
  for (int i = 0; i < 4; ++i)
    terms.push_back(window.x * power(-28 * i) * window.chunks[static_cast<size_t>(i)]);
  const Value t0 = modulo_four(terms[0]);
  const Value t1 = modulo_four(terms[1]);
  const Value n = round_even(t0 + t1 + terms[2]);
  const Value fraction = (((t0 - n) + t1) + terms[2]) + terms[3];
  return {n, fraction * kHalfPiHigh, n.number(0)};
}

Reduced reduce_double(const Value& x) {
  const Window window = choose_window(x, kChunks48, 48, 53, 16, 5);
  std::vector<Value> high;
  std::vector<Value> low;
  for (int i = 0; i < 5; ++i) {
    const Value scaled = window.x * power(-48 * i);
    const Value& chunk = window.chunks[static_cast<size_t>(i)];
    high.push_back(scaled * chunk);
    low.push_back(fma(scaled, chunk, -high.back()));
  }
  for (size_t i = 0; i < 3; ++i) high[i] = modulo_four(high[i]);
  low[0] = modulo_four(low[0]);
  // Both are multiples of 2^-46 below 4, or x is small and low[0] is its tail.
  const ExactSum first = add_exactly(high[0], low[0]);
  const Value n = round_even(first.sum + high[1] + low[1] + high[2]);
  Value sum = first.sum - n;
  Value lost = first.lost;
  for (const Value& term : {high[1], low[1], high[2], low[2], high[3]}) {
    const ExactSum next = add_exactly(sum, term);
    sum = next.sum;
    lost = lost + next.lost;
  }
  lost = lost + (low[3] + high[4]);
  const Value fraction = sum + lost;
  const Value fraction_tail = lost - (fraction - sum);
  const Value r = fraction * kHalfPiHigh;
  const Value tail =
      fma(fraction, kHalfPiHigh, -r) + fma(fraction, kHalfPiLow, fraction_tail * kHalfPiHigh);
  return {n, r, tail};
}

Reduced reduce(const Value& x) { return x.is_double() ? reduce_double(x) : reduce_float(x); }

/// Below this sin x, tan x round to x.
double tiny(const Value& x) { return x.is_double() ? 0x1p-40 : 0x1p-20; }

/// The quadrant n + `more` as an integer; its low two bits count.
Value quadrant_of(const Value& n, double more) { return bits_of(n + format_of(n).shifter + more); }

Value is_odd(const Value& quadrant) {
  return (quadrant & integer(quadrant, 1)) != integer(quadrant, 0);
}

/// sin(x + turns pi/2).
Value shifted_sine(const Value& x, double turns) {
  const Reduced reduced = reduce(x);
  const FloatFormat& format = format_of(x);
  const Value r = reduced.r.convert(x.dtype());
  const Value tail = reduced.tail.convert(x.dtype());
  const Value quadrant = quadrant_of(reduced.n.convert(x.dtype()), turns);
  const Value y = select(is_odd(quadrant), cos_kernel(r, tail), sin_kernel(r, tail));
  // Bit 1 of the quadrant is the sign.
  const uint64_t top = size_of(format.dtype) * 8 - 2;
  const Value sign = (quadrant << integer(quadrant, top)) & integer(quadrant, format.sign);
  return float_of(format, bits_of(y) ^ sign);
}

Value sin_value(const Value& x) { return select(abs(x) < tiny(x), x, shifted_sine(x, 0)); }

Value cos_value(const Value& x) { return shifted_sine(x, 1); }

/// In Float64: a quotient of roundings in Float32 would be off by more than two units.
Value tan_value(const Value& x) {
  const Reduced reduced = reduce(x);
  const Value sine = sin_kernel(reduced.r, reduced.tail);
  const Value cosine = cos_kernel(reduced.r, reduced.tail);
  const Value odd = is_odd(quadrant_of(reduced.n, 0));
  const Value y = select(odd, -cosine, sine) / select(odd, sine, cosine);
  return select(abs(x) < tiny(x), x, y.convert(x.dtype()));
}

const RegisterPrimitive kSin{float_row<"sin", sin_value>(
    "The sine.", [](const VjpContext& c) { return Cotangents{c.cotangent * cos(c.arguments[0])}; },
    split_unary<complex_sin>)};

const RegisterPrimitive kCos{float_row<"cos", cos_value>(
    "The cosine.",
    [](const VjpContext& c) { return Cotangents{-c.cotangent * sin(c.arguments[0])}; },
    split_unary<complex_cos>)};

const RegisterPrimitive kTan{float_row<"tan", tan_value>(
    "The tangent.",
    [](const VjpContext& c) { return Cotangents{c.cotangent * (c.result * c.result + 1)}; },
    split_unary<complex_tan>)};

}  // namespace

Value sin_kernel(const Value& r, const Value& tail) {
  const Value z = r * r;
  if (!r.is_double())
    return fma(r * z, horner(z, {-0x1.555546p-3, 0x1.110776p-7, -0x1.9952fap-13}), r);
  const Value p = horner(z, {-0x1.5555555555548p-3, 0x1.111111110f731p-7, -0x1.a01a019be95b7p-13,
                             0x1.71de355573dbap-19, -0x1.ae5e4bcf239a8p-26, 0x1.5d8b70da2fca7p-33});
  return r + fma(r * z, p, fma(z * -0.5, tail, tail));
}

Value cos_kernel(const Value& r, const Value& tail) {
  const Value z = r * r;
  const Value half = z * 0.5;
  const Value main = 1 - half;
  const Value lost = (1 - main) - half;
  if (!r.is_double()) {
    const Value p = horner(z, {0x1.55554ep-5, -0x1.6c0e2ep-10, 0x1.9a6764p-16});
    return main + fma(z * z, p, lost);
  }
  const Value p =
      horner(z, {0x1.555555555554bp-5, -0x1.6c16c16c14707p-10, 0x1.a01a019b2085ap-16,
                 -0x1.27e4f6a6a2513p-22, 0x1.1ee8dcae81057p-29, -0x1.8f17bddfafe76p-37});
  return main + (lost + fma(z * z, p, -r * tail));
}

}  // namespace flambeau::prim
