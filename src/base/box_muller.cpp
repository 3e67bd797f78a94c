#include "base/box_muller.h"

#include <immintrin.h>

#include <bit>
#include <numbers>

// Functions of this file are compiled for these instructions; no other code is, so that a CPU
// without them still gets to the message that says so.
#define FLAMBEAU_FMA [[gnu::target("avx2,fma")]]
#define FLAMBEAU_FMA_INLINE [[gnu::target("avx2,fma"), gnu::always_inline]] inline

namespace flambeau {
namespace {

FLAMBEAU_FMA_INLINE float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }

/// Natural logarithm of a positive normal number.
FLAMBEAU_FMA_INLINE float log_of(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  // x = m * 2^e with m in [1/2, 1); then m in [sqrt(1/2), sqrt(2)), less 1.
  float e = static_cast<float>(static_cast<int32_t>(bits >> 23) - 126);
  const float m = std::bit_cast<float>((bits & 0x807fffffU) | 0x3f000000U);
  const bool small = m < 0.707106781186547524f;
  e = small ? e - 1.0f : e;
  const float t = small ? (m - 1.0f) + m : m - 1.0f;
  const float z = t * t;
  float y = 7.0376836292e-2f;
  y = fma(y, t, -1.1514610310e-1f);
  y = fma(y, t, 1.1676998740e-1f);
  y = fma(y, t, -1.2420140846e-1f);
  y = fma(y, t, 1.4249322787e-1f);
  y = fma(y, t, -1.6668057665e-1f);
  y = fma(y, t, 2.0000714765e-1f);
  y = fma(y, t, -2.4999993993e-1f);
  y = fma(y, t, 3.3333331174e-1f);
  y = y * t;
  // The logarithm of 2 in two parts, of which the second has few digits.
  y = fma(y, z, e * -2.12194440e-4f);
  y = y - z * 0.5f;
  return fma(e, 0.693359375f, t + y);
}

struct SineCosine {
  float sine, cosine;
};

/// For angles in [0, 8192).
FLAMBEAU_FMA_INLINE SineCosine sine_cosine(float x) {
  // The octant, rounded up to even, leaves an angle in [-pi/4, pi/4].
  const int32_t octant = (static_cast<int32_t>(x * 1.27323954473516f) + 1) & ~1;
  const auto turns = static_cast<float>(octant);
  x = fma(turns, -0.78515625f, x);
  x = fma(turns, -2.4187564849853515625e-4f, x);
  x = fma(turns, -3.77489497744594108e-8f, x);
  const float z = x * x;
  float c = 2.443315711809948e-5f;
  c = fma(c, z, -1.388731625493765e-3f);
  c = fma(c, z, 4.166664568298827e-2f);
  c = c * z;
  c = fma(c, z, -(z * 0.5f));
  c = c + 1.0f;
  float s = -1.9515295891e-4f;
  s = fma(s, z, 8.3321608736e-3f);
  s = fma(s, z, -1.6666654611e-1f);
  s = s * z;
  s = fma(s, x, x);
  const bool straight = (octant & 2) == 0;
  const uint32_t sine_sign = static_cast<uint32_t>(octant & 4) << 29;
  const uint32_t cosine_sign = static_cast<uint32_t>(~(octant - 2) & 4) << 29;
  const float sine = straight ? s : c;
  const float cosine = straight ? c : s;
  return {std::bit_cast<float>(std::bit_cast<uint32_t>(sine) ^ sine_sign),
          std::bit_cast<float>(std::bit_cast<uint32_t>(cosine) ^ cosine_sign)};
}

}  // namespace

FLAMBEAU_FMA void scale_and_shift(float* data, int64_t count, float scale, float offset) {
  for (int64_t i = 0; i < count; ++i) data[i] = __builtin_fmaf(data[i], scale, offset);
}

FLAMBEAU_FMA void scale_and_shift(double* data, int64_t count, double scale, double offset) {
  for (int64_t i = 0; i < count; ++i) data[i] = __builtin_fma(data[i], scale, offset);
}

FLAMBEAU_FMA void normal_block(float* data, float mean, float std) {
  // std::sqrt may set errno, which would keep the loop from being vectorised.
  alignas(32) float squares[8];
  for (int j = 0; j < 8; ++j) squares[j] = -2.0f * log_of(1.0f - data[j]);
  alignas(32) float radii[8];
  _mm256_store_ps(radii, _mm256_sqrt_ps(_mm256_load_ps(squares)));
  for (int j = 0; j < 8; ++j) {
    const float radius = radii[j];
    const SineCosine angle = sine_cosine(2.0f * std::numbers::pi_v<float> * data[j + 8]);
    data[j] = fma(radius * angle.cosine, std, mean);
    data[j + 8] = fma(radius * angle.sine, std, mean);
  }
}

}  // namespace flambeau
