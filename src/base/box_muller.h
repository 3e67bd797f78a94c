#pragma once
// Affine maps and Box-Muller pairs with the roundings of PyTorch's CPU kernels, to the bit.
// They use fused multiply-adds and AVX2, which every supported CPU has.

#include <cstdint>

namespace flambeau {

/// data[i] * scale + offset, rounded once.
void scale_and_shift(float* data, int64_t count, float scale, float offset);
void scale_and_shift(double* data, int64_t count, double scale, double offset);

/// Turns 16 uniform numbers of [0, 1) into normal ones in place: value j and value j + 8 make the
/// pair that takes their places. The logarithm, sine and cosine are the single-precision ones of
/// the Cephes library (Moshier, 1989), within 2 ulp.
void normal_block(float* data, float mean, float std);

}  // namespace flambeau
