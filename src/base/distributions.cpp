#include "base/distributions.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numbers>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/box_muller.h"
#include "base/error.h"
#include "base/half.h"

namespace flambeau {
namespace {

// The 16-bit floats in memory; arithmetic is done in float and rounded by the constructor.
struct Float16 {
  static constexpr int kDigits = 11;
  uint16_t bits;
  Float16(float value) : bits(float_to_float16(value)) {}
  operator float() const { return float16_to_float(bits); }
};
struct BFloat16 {
  static constexpr int kDigits = 8;
  uint16_t bits;
  BFloat16(float value) : bits(float_to_bfloat16(value)) {}
  operator float() const { return bfloat16_to_float(bits); }
};

template <class T>
constexpr bool kIsHalf = std::is_same_v<T, Float16> || std::is_same_v<T, BFloat16>;

/// The type in which PyTorch computes for elements of type T.
template <class T>
using Wide = std::conditional_t<std::is_same_v<T, double>, double, float>;

template <class T>
constexpr int digits() {
  if constexpr (kIsHalf<T>) {
    return T::kDigits;
  } else {
    return std::numeric_limits<T>::digits;
  }
}

/// `value` as an element: numbers that are not exact in a float type are rounded once.
template <class T, class Value>
T element(Value value) {
  if constexpr (kIsHalf<T>) {
    return T(static_cast<float>(value));
  } else if constexpr (std::is_same_v<T, bool>) {
    return value != 0;
  } else {
    return static_cast<T>(value);
  }
}

/// Calls body(T()) with T the element type of a float dtype; for others an error begins with
/// `prefix`.
template <class Body>
void with_float_type(const char* prefix, DType dtype, Body body) {
  switch (dtype) {
    case DType::Float16:
      return body(Float16(0));
    case DType::BFloat16:
      return body(BFloat16(0));
    case DType::Float32:
      return body(float{});
    case DType::Float64:
      return body(double{});
    default:
      throw NotImplementedError(concat(prefix, "dtype ", info(dtype).name,
                                       " has no such numbers, expected a float dtype"));
  }
}

template <class Body>
void with_type(DType dtype, Body body) {
  switch (dtype) {
    case DType::Bool:
      return body(bool{});
    case DType::UInt8:
      return body(uint8_t{});
    case DType::Int8:
      return body(int8_t{});
    case DType::Int16:
      return body(int16_t{});
    case DType::Int32:
      return body(int32_t{});
    case DType::Int64:
      return body(int64_t{});
    default:
      return with_float_type("random: ", dtype, body);
  }
}

/// The lower bits of a word as a number in [0, 1): as many as T has digits.
template <class T>
Wide<T> unit(RandomSource& source) {
  constexpr uint64_t kMask = (uint64_t{1} << digits<T>()) - 1;
  constexpr Wide<T> kScale = Wide<T>(1) / static_cast<Wide<T>>(uint64_t{1} << digits<T>());
  if constexpr (std::is_same_v<T, double>) {
    return static_cast<double>(source.random64() & kMask) * kScale;
  } else {
    return static_cast<float>(source.random() & kMask) * kScale;
  }
}

/// Box-Muller by pairs; the second value waits in the source.
double one_normal(RandomSource& source) {
  std::optional<double>& spare = source.next_normal();
  if (spare) return *std::exchange(spare, std::nullopt);
  const double u1 = unit<double>(source);
  const double u2 = unit<double>(source);
  const double radius = std::sqrt(-2.0 * std::log1p(-u2));
  const double theta = 2.0 * std::numbers::pi * u1;
  spare = radius * std::sin(theta);
  return radius * std::cos(theta);
}

/// The same as normal_block(float) for the other dtypes: every operation rounds to T, but for the
/// last multiply-add in double.
template <class T>
void rounded_normal_block(T* data, T mean, T std) {
  for (int j = 0; j < 8; ++j) {
    const T u1 = element<T>(1 - data[j]);  // in (0, 1], for the logarithm
    const T u2 = data[j + 8];
    const T log_u1 = element<T>(std::log(static_cast<Wide<T>>(u1)));
    const T radius = element<T>(std::sqrt(static_cast<Wide<T>>(element<T>(-2 * log_u1))));
    const T theta = element<T>(2 * std::numbers::pi * static_cast<double>(u2));
    const T cosine = element<T>(std::cos(static_cast<Wide<T>>(theta)));
    const T sine = element<T>(std::sin(static_cast<Wide<T>>(theta)));
    data[j] = element<T>(radius * cosine);
    data[j + 8] = element<T>(radius * sine);
    if constexpr (kIsHalf<T>) {
      data[j] = element<T>(element<T>(data[j] * std) + mean);
      data[j + 8] = element<T>(element<T>(data[j + 8] * std) + mean);
    }
  }
  if constexpr (!kIsHalf<T>) scale_and_shift(data, 16, std, mean);
}

template <class T>
void normal_in_blocks(RandomSource& source, T* data, int64_t count, T mean, T std) {
  const auto block = [&](T* values) {
    if constexpr (std::is_same_v<T, float>) {
      normal_block(values, mean, std);
    } else {
      rounded_normal_block(values, mean, std);
    }
  };
  for (int64_t i = 0; i < count; ++i) data[i] = element<T>(unit<T>(source));
  for (int64_t i = 0; i + 16 <= count; i += 16) block(data + i);
  if (count % 16 == 0) return;
  // The last block overlaps the one before it, and is drawn anew.
  T* const last = data + count - 16;
  for (int j = 0; j < 16; ++j) last[j] = element<T>(unit<T>(source));
  block(last);
}

/// The greatest integer up to which a dtype reaches.
double greatest(DType dtype) {
  if (dtype == DType::Float16) return 65504;
  if (is_float(dtype)) return 0x1p127;
  if (is_bool(dtype)) return 1;
  const int bits = static_cast<int>(8 * size_of(dtype)) - (info(dtype).is_signed ? 1 : 0);
  return std::ldexp(1.0, bits) - 1;
}

double least(DType dtype) {
  if (is_float(dtype)) return -greatest(dtype);
  return info(dtype).is_signed && dtype != DType::Bool ? -greatest(dtype) - 1 : 0;
}

bool holds(DType dtype, int64_t value) {
  const auto v = static_cast<double>(value);
  return dtype == DType::Int64 || (v >= least(dtype) && v <= greatest(dtype));
}

/// A bound that a float dtype rounds outwards is moved inwards by one step of the dtype there.
template <class T>
void round_inwards(int64_t& from, int64_t& to) {
  if constexpr (!std::is_integral_v<T>) {
    const auto rounded = [](int64_t value) {
      const auto wide = static_cast<double>(static_cast<Wide<T>>(element<T>(value)));
      // 2^63 wraps around, as the conversion instruction has it.
      return wide >= 0x1p63 ? std::numeric_limits<int64_t>::min() : static_cast<int64_t>(wide);
    };
    const auto step = [](int64_t value) {
      const auto size = static_cast<uint64_t>(value < 0 ? -value : value);
      const int log2 = 63 - std::countl_zero(size | 1);
      return int64_t{1} << std::max(0, log2 - digits<T>() + 1);
    };
    if (const int64_t first = rounded(from + 1); first < from) from = first + step(from + 1);
    if (const int64_t last = rounded(to - 1); last >= to) to = last - step(to - 1);
  }
}

template <class T>
void permute(RandomSource& source, T* data, int64_t count) {
  // Up to here PyTorch draws one word for each place, beyond it two.
  constexpr int64_t kFewWords = std::numeric_limits<uint32_t>::max() / 20;
  if (count < kFewWords) {
    for (int64_t i = 0; i < count; ++i) data[i] = element<T>(i);
    for (int64_t i = 0; i < count - 1; ++i) {
      const auto z = static_cast<int64_t>(source.random() % static_cast<uint64_t>(count - i));
      std::swap(data[i], data[z + i]);
    }
    return;
  }
  for (int64_t i = 0; i < count; ++i) {
    const auto z = static_cast<int64_t>(source.random64() % static_cast<uint64_t>(i + 1));
    data[i] = data[z];
    data[z] = element<T>(i);
  }
}

/// Before anything is drawn.
template <class T>
void check_probabilities(const T* p, int64_t count) {
  const auto is_bad = [](Wide<T> value) {
    return !(value >= 0 && value < std::numeric_limits<Wide<T>>::infinity());
  };
  bool any = false;
  for (int64_t i = 0; i < count; ++i) any |= is_bad(static_cast<Wide<T>>(p[i]));
  check(!any, [&] {
    const T* bad = std::find_if(p, p + count, [&](T v) { return is_bad(static_cast<Wide<T>>(v)); });
    return concat("multinomial: probability tensor contains either `inf`, `nan` or element < 0, ",
                  "such as ", static_cast<double>(static_cast<Wide<T>>(*bad)));
  });
}

template <class T>
void categories_with_replacement(RandomSource& source, int64_t* out, const T* row,
                                 int64_t categories, int64_t samples, std::vector<Wide<T>>& sums) {
  Wide<T> sum = 0;
  for (int64_t j = 0; j < categories; ++j) {
    sum += static_cast<Wide<T>>(row[j]);
    sums[static_cast<size_t>(j)] = sum;
  }
  check(sum > 0, [] {
    return std::string("multinomial: the probabilities of a row sum to 0, expected more");
  });
  for (Wide<T>& s : sums) s /= sum;
  for (int64_t k = 0; k < samples; ++k) {
    const double u = unit<double>(source);
    const auto slot = std::lower_bound(sums.begin(), sums.end(), u);
    out[k] = slot - sums.begin();
  }
}

/// The samples are the largest p / e with e exponentially distributed.
template <class T>
void categories_by_race(int64_t* out, const T* row, const T* e, int64_t categories,
                        int64_t samples) {
  using Entry = std::pair<Wide<T>, int64_t>;
  std::vector<Entry> entries(static_cast<size_t>(categories));
  for (int64_t j = 0; j < categories; ++j)
    entries[static_cast<size_t>(j)] = {
        static_cast<Wide<T>>(element<T>(static_cast<Wide<T>>(row[j]) / static_cast<Wide<T>>(e[j]))),
        j};
  // NaN (0 / 0) counts as the largest.
  const auto before = [](const Entry& a, const Entry& b) {
    return (std::isnan(a.first) && !std::isnan(b.first)) || a.first > b.first;
  };
  if (samples == 1) {
    out[0] = std::min_element(entries.begin(), entries.end(), before)->second;
    return;
  }
  // Which of several equal entries (categories of probability 0) comes first is a matter of the
  // algorithm: PyTorch's choice between these two.
  const auto end = entries.begin() + samples;
  if (samples * 64 <= categories) {
    std::partial_sort(entries.begin(), end, entries.end(), before);
  } else {
    std::nth_element(entries.begin(), end - 1, entries.end(), before);
    std::sort(entries.begin(), end - 1, before);
  }
  for (int64_t k = 0; k < samples; ++k) out[k] = entries[static_cast<size_t>(k)].second;
}

}  // namespace

void fill_uniform(RandomSource& source, void* data, DType dtype, int64_t count, double from,
                  double to) {
  check(from <= to, [&] {
    return concat("uniform_: the range [", from, ", ", to, ") is empty, expected from <= to");
  });
  with_float_type("uniform_: ", dtype, [&]<class T>(T) {
    const auto low = static_cast<Wide<T>>(element<T>(from));
    const auto high = static_cast<Wide<T>>(element<T>(to));
    const auto range = static_cast<Wide<T>>(element<T>(high - low));
    T* const out = static_cast<T*>(data);
    if constexpr (kIsHalf<T>) {
      for (int64_t i = 0; i < count; ++i) out[i] = element<T>(unit<T>(source) * range + low);
    } else {
      for (int64_t i = 0; i < count; ++i) out[i] = unit<T>(source);
      scale_and_shift(out, count, range, low);
    }
  });
}

void fill_normal(RandomSource& source, void* data, DType dtype, int64_t count, double mean,
                 double std, bool blocks) {
  check(std >= 0, [&] { return concat("normal_: std is ", std, ", expected >= 0"); });
  with_float_type("normal_: ", dtype, [&]<class T>(T) {
    T* const out = static_cast<T*>(data);
    if (blocks && count >= 16)
      return normal_in_blocks(source, out, count, element<T>(mean), element<T>(std));
    for (int64_t i = 0; i < count; ++i) {
      double value = one_normal(source);
      scale_and_shift(&value, 1, std, mean);
      out[i] = element<T>(value);
    }
  });
}

void fill_exponential(RandomSource& source, void* data, DType dtype, int64_t count, double lambda) {
  check(lambda > 0, [&] { return concat("exponential_: lambda is ", lambda, ", expected > 0"); });
  with_float_type("exponential_: ", dtype, [&]<class T>(T) {
    T* const out = static_cast<T*>(data);
    for (int64_t i = 0; i < count; ++i)
      out[i] = element<T>(-1.0 / lambda * std::log1p(-unit<double>(source)));
  });
}

void fill_bernoulli(RandomSource& source, void* data, DType dtype, int64_t count, double p) {
  check(p >= 0 && p <= 1, [&] { return concat("bernoulli_: p is ", p, ", expected 0 to 1"); });
  with_type(dtype, [&]<class T>(T) {
    T* const out = static_cast<T*>(data);
    for (int64_t i = 0; i < count; ++i) out[i] = element<T>(unit<double>(source) < p ? 1 : 0);
  });
}

void fill_bernoulli(RandomSource& source, void* data, DType dtype, int64_t count, const void* p,
                    DType p_dtype) {
  with_float_type("bernoulli: ", p_dtype, [&]<class P>(P) {
    // The 16-bit floats draw as float does.
    using Draw = std::conditional_t<std::is_same_v<P, double>, double, float>;
    const P* const chances = static_cast<const P*>(p);
    for (int64_t i = 0; i < count; ++i) {
      const auto chance = static_cast<Draw>(chances[i]);
      check(chance >= 0 && chance <= 1,
            [&] { return concat("bernoulli: p[", i, "] is ", chance, ", expected 0 to 1"); });
    }
    with_type(dtype, [&]<class T>(T) {
      T* const out = static_cast<T*>(data);
      for (int64_t i = 0; i < count; ++i)
        out[i] = element<T>(unit<Draw>(source) < static_cast<Draw>(chances[i]) ? 1 : 0);
    });
  });
}

void fill_integers(RandomSource& source, void* data, DType dtype, int64_t count, int64_t from,
                   int64_t to) {
  check(from < to, [&] {
    return concat("random_: the range [", from, ", ", to, ") is empty, expected from < to");
  });
  check(holds(dtype, from) && holds(dtype, to - 1), [&] {
    return concat("random_: the range [", from, ", ", to, ") is out of bounds for dtype ",
                  info(dtype).name);
  });
  with_type(dtype, [&]<class T>(T) {
    round_inwards<T>(from, to);
    const uint64_t range = static_cast<uint64_t>(to) - static_cast<uint64_t>(from);
    const bool wide = range >= (uint64_t{1} << 28);
    T* const out = static_cast<T*>(data);
    for (int64_t i = 0; i < count; ++i) {
      const uint64_t bits = wide ? source.random64() : source.random();
      out[i] = element<T>(static_cast<int64_t>(bits % range + static_cast<uint64_t>(from)));
    }
  });
}

void fill_permutation(RandomSource& source, void* data, DType dtype, int64_t count) {
  check(count >= 0, [&] { return concat("randperm: n is ", count, ", expected >= 0"); });
  check<NotImplementedError>(!is_bool(dtype), [] {
    return std::string("randperm: dtype bool has no permutations of more than two numbers");
  });
  check(holds(dtype, count), [&] {
    return concat("randperm: n is ", count, ", more than dtype ", info(dtype).name, " holds");
  });
  with_type(dtype, [&]<class T>(T) { permute(source, static_cast<T*>(data), count); });
}

void draw_categories(RandomSource& source, int64_t* out, const void* probabilities, DType dtype,
                     int64_t rows, int64_t categories, int64_t samples, bool replacement) {
  check(samples > 0,
        [&] { return concat("multinomial: num_samples is ", samples, ", expected more than 0"); });
  check(replacement || samples <= categories, [&] {
    return concat("multinomial: cannot draw ", samples, " different samples from ", categories,
                  " categories without replacement");
  });
  with_float_type("multinomial: ", dtype, [&]<class T>(T) {
    const T* const p = static_cast<const T*>(probabilities);
    check_probabilities(p, rows * categories);
    if (replacement && samples > 1) {
      std::vector<Wide<T>> sums(static_cast<size_t>(categories));
      for (int64_t i = 0; i < rows; ++i)
        categories_with_replacement(source, out + i * samples, p + i * categories, categories,
                                    samples, sums);
      return;
    }
    const int64_t count = rows * categories;
    for (int64_t i = 0; i < rows; ++i) {
      double sum = 0;
      for (int64_t j = 0; j < categories; ++j) sum += static_cast<double>(p[i * categories + j]);
      check(sum > 0, [] {
        return std::string("multinomial: the probabilities of a row sum to 0, expected more");
      });
    }
    std::vector<T> e(static_cast<size_t>(count), element<T>(0));
    fill_exponential(source, e.data(), dtype, count);
    for (int64_t i = 0; i < rows; ++i)
      categories_by_race(out + i * samples, p + i * categories, e.data() + i * categories,
                         categories, samples);
  });
}

std::array<uint32_t, 4> philox4x32(uint64_t key, uint64_t counter_low, uint64_t counter_high) {
  uint32_t key0 = static_cast<uint32_t>(key);
  uint32_t key1 = static_cast<uint32_t>(key >> 32);
  uint32_t c0 = static_cast<uint32_t>(counter_low);
  uint32_t c1 = static_cast<uint32_t>(counter_low >> 32);
  uint32_t c2 = static_cast<uint32_t>(counter_high);
  uint32_t c3 = static_cast<uint32_t>(counter_high >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53} * c0;
    const uint64_t product1 = uint64_t{0xCD9E8D57} * c2;
    c0 = static_cast<uint32_t>(product1 >> 32) ^ c1 ^ key0;
    c1 = static_cast<uint32_t>(product1);
    c2 = static_cast<uint32_t>(product0 >> 32) ^ c3 ^ key1;
    c3 = static_cast<uint32_t>(product0);
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
  return {c0, c1, c2, c3};
}

}  // namespace flambeau
