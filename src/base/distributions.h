#pragma once
// Random numbers in memory, number for number as PyTorch 2.7 draws them on the CPU.
//
// Each function writes `count` elements of `dtype` in order. They throw RuntimeError for parameters
// outside the distribution's domain and NotImplementedError for a dtype that it does not have.

#include <array>
#include <cstdint>

#include "base/dtype.h"
#include "base/random_source.h"

namespace flambeau {

/// Numbers in [from, to). Float dtypes.
void fill_uniform(RandomSource& source, void* data, DType dtype, int64_t count, double from = 0,
                  double to = 1);

/// Normally distributed numbers; std >= 0. Float dtypes. PyTorch draws 16 and more numbers for
/// dense memory in blocks; for other tensors it draws one by one: then give `blocks` as false.
void fill_normal(RandomSource& source, void* data, DType dtype, int64_t count, double mean = 0,
                 double std = 1, bool blocks = true);

/// -log(1 - u) / lambda; lambda > 0. Float dtypes.
void fill_exponential(RandomSource& source, void* data, DType dtype, int64_t count,
                      double lambda = 1);

/// 1 with probability p, else 0; 0 <= p <= 1. All dtypes.
void fill_bernoulli(RandomSource& source, void* data, DType dtype, int64_t count, double p);

/// Element i is 1 with probability p[i], else 0; p has a float dtype. All dtypes.
void fill_bernoulli(RandomSource& source, void* data, DType dtype, int64_t count, const void* p,
                    DType p_dtype);

/// Integers in [from, to), as torch.randint; from and to - 1 must be values of the dtype. All
/// dtypes.
void fill_integers(RandomSource& source, void* data, DType dtype, int64_t count, int64_t from,
                   int64_t to);

/// A permutation of 0 ... count - 1. Integer and float dtypes whose range holds them.
void fill_permutation(RandomSource& source, void* data, DType dtype, int64_t count);

/// Draws `samples` categories for each row of a row-major matrix [rows, categories] of
/// probabilities (not normalised, of a float dtype); `out` is [rows, samples]. Without replacement
/// a row's categories differ, and there must be enough of them.
void draw_categories(RandomSource& source, int64_t* out, const void* probabilities, DType dtype,
                     int64_t rows, int64_t categories, int64_t samples, bool replacement);

/// Philox 4x32 with 10 rounds (Salmon et al., 2011): four words for a key and a 128-bit counter.
std::array<uint32_t, 4> philox4x32(uint64_t key, uint64_t counter_low, uint64_t counter_high);

}  // namespace flambeau
