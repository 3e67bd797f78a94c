#include "tensor/generator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/distributions.h"
#include "base/error.h"

namespace flambeau {
namespace {

// The expected numbers of this file are PyTorch 2.7.1's, each with torch.manual_seed(0) before the
// call unless it says otherwise.

/// Sum of (i + 1) * bits of element i, modulo 2^64.
uint64_t checksum(const void* data, size_t element_bytes, size_t count) {
  uint64_t sum = 0;
  for (size_t i = 0; i < count; ++i) {
    uint64_t bits = 0;
    std::memcpy(&bits, static_cast<const std::byte*>(data) + i * element_bytes, element_bytes);
    sum += (i + 1) * bits;
  }
  return sum;
}

uint64_t checksum(const std::vector<std::byte>& bytes) {
  return checksum(bytes.data(), 1, bytes.size());
}

template <class T, class Fill>
std::vector<T> filled(size_t count, Fill fill, uint64_t seed = 0) {
  Generator g(seed);
  std::vector<T> values(count);
  fill(g, values.data(), static_cast<int64_t>(count));
  return values;
}

constexpr int64_t kCounts[] = {1, 5, 15, 16, 17, 31, 100, 1000};

struct Golden {
  const char* name;
  DType dtype;
  void (*fill)(Generator& g, void* data, DType dtype, int64_t n);
  uint64_t checksums[8];  // for kCounts
};

const Golden kGoldens[] = {
    {"uniform",
     DType::Float16,
     [](Generator& g, void* data, DType dtype, int64_t n) {
       fill_uniform(g, data, dtype, n, -0.3, 1.7);
     },
     {0x35e3, 0x35a6d, 0x202a70, 0x23f4c0, 0x277283, 0x960e8e, 0x6037531, 0x22e3b86d5}},
    {"uniform",
     DType::BFloat16,
     [](Generator& g, void* data, DType dtype, int64_t n) {
       fill_uniform(g, data, dtype, n, -0.3, 1.7);
     },
     {0x3f86, 0x3ae49, 0x2de525, 0x31e045, 0x360b6b, 0xa7715e, 0x6c34f84, 0x264406a70}},
    {"uniform",
     DType::Float32,
     [](Generator& g, void* data, DType dtype, int64_t n) {
       fill_uniform(g, data, dtype, n, -0.3, 1.7);
     },
     {0x3f31488b, 0x725d4a1dd, 0x276308959f, 0x2b56d383cf, 0x2f8f22f6e1, 0x91d16ce2fc,
      0x64a5397a8fa, 0x27594f0724600}},
    {"uniform",
     DType::Float64,
     [](Generator& g, void* data, DType dtype, int64_t n) {
       fill_uniform(g, data, dtype, n, -0.3, 1.7);
     },
     {0x3ffa3ddfcaf7dd62, 0xbf1a6838a7587900, 0xef3361fec5d72309, 0xed5d2999ea107be9,
      0x2b4515b93c09ea4f, 0x3f11a1aabaa8ddeb, 0x6e06979417ce82ba, 0xd1914b2a413ab937}},
    {"normal",
     DType::Float16,
     [](Generator& g, void* data, DType dtype, int64_t n) {
       fill_normal(g, data, dtype, n, 0.5, 0.02);
     },
     {0x383f, 0x34498, 0x1a3009, 0x1daecb, 0x217cb2, 0x6c6b1a, 0x450093e, 0x1ab07a9dc}},
    {"normal",
     DType::BFloat16,
     [](Generator& g, void* data, DType dtype, int64_t n) {
       fill_normal(g, data, dtype, n, 0.5, 0.02);
     },
     {0x3f08, 0x3b095, 0x1d860c, 0x217860, 0x25a6d9, 0x7a0a30, 0x4daa1d4, 0x1e1100443}},
    {"normal",
     DType::Float32,
     [](Generator& g, void* data, DType dtype, int64_t n) {
       fill_normal(g, data, dtype, n, 0.5, 0.02);
     },
     {0x3f07e3d0, 0x3b0930fdc, 0x1d86029ebf, 0x21776c87d4, 0x25a77d00fe, 0x7a0d065a8f,
      0x4daa374c1cb, 0x1e11247d213d1}},
    {"standard normal",
     DType::Float32,
     [](Generator& g, void* data, DType dtype, int64_t n) { fill_normal(g, data, dtype, n); },
     {0x3fc53f5c, 0x8b71036d4, 0x429fd37640, 0x3af6c7fe6d, 0x404adebd18, 0xdac32e24c1,
      0x9841a681d97, 0x3d9f11bde31ef}},
    {"normal one by one",
     DType::Float32,
     [](Generator& g, void* data, DType dtype, int64_t n) {
       fill_normal(g, data, dtype, n, -1, 3, false);
     },
     {0x4067df0a, 0x8c29781f5, 0x48ff2e5f99, 0x54f14a9ed9, 0x61b44314ac, 0x110167ae800,
      0xbcf42f898a6, 0x4473e5420b069}},
    {"exponential",
     DType::BFloat16,
     [](Generator& g, void* data, DType dtype, int64_t n) {
       fill_exponential(g, data, dtype, n, 0.3);
     },
     {0x413b, 0x3c837, 0x1df90d, 0x21f88d, 0x26365c, 0x7bf990, 0x4eb23b3, 0x1e8272b0a}},
    {"exponential",
     DType::Float32,
     [](Generator& g, void* data, DType dtype, int64_t n) {
       fill_exponential(g, data, dtype, n, 0.3);
     },
     {0x413b1c59, 0x3c838cc83, 0x1df913dd7d, 0x21f893dbad, 0x2636659c83, 0x7bf9b9d632,
      0x4eb23c64520, 0x1e8270695572b}},
    {"bernoulli",
     DType::Bool,
     [](Generator& g, void* data, DType dtype, int64_t n) {
       fill_bernoulli(g, data, dtype, n, 0.3);
     },
     {0x0, 0x0, 0x1d, 0x1d, 0x1d, 0x92, 0x702, 0x26c24}},
    {"bernoulli",
     DType::Float32,
     [](Generator& g, void* data, DType dtype, int64_t n) {
       fill_bernoulli(g, data, dtype, n, 0.3);
     },
     {0x0, 0x0, 0x731800000, 0x731800000, 0x731800000, 0x2437000000, 0x1bcff000000,
      0x99d2ee000000}},
    {"integers",
     DType::Int64,
     [](Generator& g, void* data, DType dtype, int64_t n) {
       fill_integers(g, data, dtype, n, 0, 10);
     },
     {0x4, 0x2e, 0x2a1, 0x301, 0x367, 0x9cb, 0x5b7d, 0x2148e4}},
    {"integers",
     DType::Int8,
     [](Generator& g, void* data, DType dtype, int64_t n) {
       fill_integers(g, data, dtype, n, -5, 100);
     },
     {0x45, 0x2a4, 0x17e1, 0x1841, 0x1d4d, 0x7d12, 0x3c075, 0x1c1457f}},
    {"integers",
     DType::Int64,
     [](Generator& g, void* data, DType dtype, int64_t n) {
       fill_integers(g, data, dtype, n, 0, 268435455);
     },
     {0xc7f0ab4, 0x855d0654, 0x3b1ea33da, 0x49a36115a, 0x50c125231, 0xebb5e1ad8, 0x9e3d1f5a8d,
      0x3d5f06c61197}},
    {"integers",
     DType::Int64,
     [](Generator& g, void* data, DType dtype, int64_t n) {
       fill_integers(g, data, dtype, n, 0, 268435456);
     },
     {0x7c4aa2f, 0xacae8c5b, 0x4404c2726, 0x49f35a066, 0x591cbf136, 0x11d6a145e7, 0x95d3ff1ded,
      0x3d7185f82632}},
    {"integers",
     DType::Int64,
     [](Generator& g, void* data, DType dtype, int64_t n) {
       fill_integers(g, data, dtype, n, -1099511627776, 1125899906842624);
     },
     {0x3f3ac97c4aa2f, 0x1883a35cae8c5b, 0xfbe0d1004c2726, 0x104616b5f35a066, 0x143f614a1cbf136,
      0x3b1371db6a145e7, 0x25fa653183ff1ded, 0x9d9f6b0e55f82632}},
    {"integers",
     DType::UInt8,
     [](Generator& g, void* data, DType dtype, int64_t n) {
       fill_integers(g, data, dtype, n, 0, 256);
     },
     {0xac, 0x6b8, 0x34a5, 0x4225, 0x47fd, 0xcac5, 0x92867, 0x3cbb7be}},
    {"integers",
     DType::Float16,
     [](Generator& g, void* data, DType dtype, int64_t n) {
       fill_integers(g, data, dtype, n, 0, 10000);
     },
     {0x6a5e, 0x6489e, 0x3293bd, 0x3967fd, 0x408af5, 0xd07e76, 0x8441109, 0x332367ba9}},
    {"integers",
     DType::BFloat16,
     [](Generator& g, void* data, DType dtype, int64_t n) {
       fill_integers(g, data, dtype, n, 0, 268435455);
     },
     {0x4d50, 0x48467, 0x23de8f, 0x28b50f, 0x2dd143, 0x948944, 0x5eafe03, 0x24a1d96be}},
    {"integers",
     DType::Float32,
     [](Generator& g, void* data, DType dtype, int64_t n) {
       fill_integers(g, data, dtype, n, 0, 2147483648);
     },
     {0x4db67f19, 0x494cb90f0, 0x24b979c22a, 0x29a7faf90a, 0x2ec87d5e1f, 0x97e64447e1,
      0x609ff59d1f6, 0x255cd9d7ab1c1}},
    {"permutation",
     DType::Int64,
     [](Generator& g, void* data, DType dtype, int64_t n) { fill_permutation(g, data, dtype, n); },
     {0x0, 0x1d, 0x36d, 0x357, 0x4da, 0x1cd0, 0x39f18, 0xf07c4b8}},
    {"permutation",
     DType::Int32,
     [](Generator& g, void* data, DType dtype, int64_t n) { fill_permutation(g, data, dtype, n); },
     {0x0, 0x1d, 0x36d, 0x357, 0x4da, 0x1cd0, 0x39f18, 0xf07c4b8}},
    {"permutation",
     DType::Float32,
     [](Generator& g, void* data, DType dtype, int64_t n) { fill_permutation(g, data, dtype, n); },
     {0x0, 0x340000000, 0x1cde100000, 0x1f50800000, 0x227dd00000, 0x78cb580000, 0x505562c0000,
      0x20460231b4000}},
};

TEST(Generator, FillsAreThoseOfPyTorch) {
  for (const Golden& golden : kGoldens) {
    for (size_t i = 0; i < std::size(kCounts); ++i) {
      const auto count = static_cast<size_t>(kCounts[i]);
      std::vector<std::byte> data(count * size_of(golden.dtype) + 1, std::byte{0x77});
      Generator g(0);
      golden.fill(g, data.data(), golden.dtype, kCounts[i]);
      EXPECT_EQ(checksum(data.data(), size_of(golden.dtype), count), golden.checksums[i])
          << golden.name << ' ' << info(golden.dtype).name << ' ' << count;
      EXPECT_EQ(data.back(), std::byte{0x77}) << "wrote past the end";
    }
  }
}

TEST(Generator, FirstNumbersOfSeedZero) {
  EXPECT_EQ(
      filled<float>(5, [](auto& g, auto* p, auto n) { fill_uniform(g, p, DType::Float32, n); }),
      (std::vector<float>{0.49625658988952637f, 0.7682217955589294f, 0.08847743272781372f,
                          0.13203048706054688f, 0.30742281675338745f}));
  EXPECT_EQ(
      filled<float>(5, [](auto& g, auto* p, auto n) { fill_normal(g, p, DType::Float32, n); }),
      (std::vector<float>{1.5409960746765137f, -0.293428897857666f, -2.1787893772125244f,
                          0.5684312582015991f, -1.0845223665237427f}));
  EXPECT_EQ(filled<float>(
                3, [](auto& g, auto* p, auto n) { fill_uniform(g, p, DType::Float32, n); },
                std::numeric_limits<uint64_t>::max()),
            (std::vector<float>{0.9937993884086609f, 0.5713063478469849f, 0.5700080394744873f}));
}

// Of doubles the C library's functions may differ in the last place.
TEST(Generator, NormalAndExponentialDoubles) {
  const auto normal = [](auto& g, auto* p, auto n) {
    fill_normal(g, p, DType::Float64, n, 0.5, 0.02);
  };
  const std::vector<double> few{0x1.0fc7a0fb86e02p-1, 0x1.f9fd9663af386p-2, 0x1.d360de64babb2p-2};
  const std::vector<double> many{0x1.d0aec9c63754dp-2, 0x1.f307d1353dfd7p-2, 0x1.e62d1f9346f65p-2,
                                 0x1.f11caecd02cc2p-2, 0x1.ff9753c3d2804p-2, 0x1.022749de03792p-1,
                                 0x1.01d07dc2c7045p-1, 0x1.eefdbc475a828p-2, 0x1.0271c8fa1ca3fp-1,
                                 0x1.fb07a93f1d32fp-2, 0x1.f02b31d390e6dp-2, 0x1.df54a7a633972p-2,
                                 0x1.f1ee1f4025ecap-2, 0x1.0f3ce5c4d1256p-1, 0x1.f6d1027eb34c5p-2,
                                 0x1.edc093f843af7p-2, 0x1.06e9193b2af55p-1};
  const std::vector<double> exponential{0x1.7638b198d65e9p+3, 0x1.067b69cb0a527p+2,
                                        0x1.066b375ac9b30p+1};
  const auto expect_equal = [](const std::vector<double>& seen, const std::vector<double>& wanted) {
    ASSERT_EQ(seen.size(), wanted.size());
    for (size_t i = 0; i < seen.size(); ++i) EXPECT_DOUBLE_EQ(seen[i], wanted[i]) << i;
  };
  expect_equal(filled<double>(3, normal), few);
  expect_equal(filled<double>(17, normal), many);
  expect_equal(filled<double>(3, [](auto& g, auto* p,
                                    auto n) { fill_exponential(g, p, DType::Float64, n, 0.3); }),
               exponential);
}

/// k % modulus * step as elements of a float dtype; every value is exact in each.
std::vector<std::byte> ramp(DType dtype, int64_t count, int64_t modulus, float step) {
  std::vector<std::byte> data(static_cast<size_t>(count) * size_of(dtype));
  for (int64_t i = 0; i < count; ++i) {
    const float value = static_cast<float>(i % modulus) * step;
    uint32_t bits = 0;
    std::memcpy(&bits, &value, sizeof bits);
    const double wide = value;
    // The halves by hand: 0 and normal numbers without low bits.
    const auto half = static_cast<uint16_t>(value == 0 ? 0 : ((bits >> 13) - (112 << 10)));
    const auto bfloat = static_cast<uint16_t>(bits >> 16);
    std::byte* const place = &data[static_cast<size_t>(i) * size_of(dtype)];
    const void* const source = dtype == DType::Float16    ? static_cast<const void*>(&half)
                               : dtype == DType::BFloat16 ? static_cast<const void*>(&bfloat)
                               : dtype == DType::Float32  ? static_cast<const void*>(&value)
                                                          : static_cast<const void*>(&wide);
    std::memcpy(place, source, size_of(dtype));
  }
  return data;
}

TEST(Generator, BernoulliOfAProbabilityEach) {
  const std::pair<DType, uint64_t> wanted[] = {{DType::Float16, 0x8aa9800},
                                               {DType::BFloat16, 0x92c0300},
                                               {DType::Float32, 0x92c03000000},
                                               {DType::Float64, 0x5f0000000000000}};
  for (const auto& [dtype, sum] : wanted) {
    const std::vector<std::byte> p = ramp(dtype, 200, 101, 1.0f / 128);
    std::vector<std::byte> out(200 * size_of(dtype));
    Generator g(0);
    fill_bernoulli(g, out.data(), dtype, 200, p.data(), dtype);
    EXPECT_EQ(checksum(out.data(), size_of(dtype), 200), sum) << info(dtype).name;
  }
}

TEST(Generator, CategoriesAreThoseOfPyTorch) {
  struct Case {
    DType dtype;
    int64_t rows, categories, samples;
    bool replacement;
    uint64_t checksum;
  };
  const Case cases[] = {
      {DType::Float16, 1, 5, 1, false, 2},     {DType::Float16, 3, 10, 1, true, 14},
      {DType::Float16, 2, 7, 40, true, 8292},  {DType::Float16, 2, 7, 4, false, 80},
      {DType::Float16, 1, 7, 7, false, 76},    {DType::Float16, 2, 1000, 5, false, 25789},
      {DType::BFloat16, 1, 5, 1, false, 2},    {DType::BFloat16, 3, 10, 1, true, 14},
      {DType::BFloat16, 2, 7, 40, true, 8292}, {DType::BFloat16, 2, 7, 4, false, 80},
      {DType::BFloat16, 1, 7, 7, false, 76},   {DType::BFloat16, 2, 1000, 5, false, 25789},
      {DType::Float32, 1, 5, 1, false, 2},     {DType::Float32, 3, 10, 1, true, 14},
      {DType::Float32, 2, 7, 40, true, 8292},  {DType::Float32, 2, 7, 4, false, 80},
      {DType::Float32, 1, 7, 7, false, 76},    {DType::Float32, 2, 1000, 5, false, 25789},
      {DType::Float64, 1, 5, 1, false, 2},     {DType::Float64, 3, 10, 1, true, 14},
      {DType::Float64, 2, 7, 40, true, 8292},  {DType::Float64, 2, 7, 4, false, 80},
      {DType::Float64, 1, 7, 7, false, 76},    {DType::Float64, 2, 1000, 5, false, 25789},
  };
  for (const Case& c : cases) {
    const std::vector<std::byte> p = ramp(c.dtype, c.rows * c.categories, 4, 0.25f);
    std::vector<int64_t> out(static_cast<size_t>(c.rows * c.samples));
    Generator g(0);
    draw_categories(g, out.data(), p.data(), c.dtype, c.rows, c.categories, c.samples,
                    c.replacement);
    EXPECT_EQ(checksum(out.data(), 8, out.size()), c.checksum)
        << info(c.dtype).name << ' ' << c.rows << 'x' << c.categories << ' ' << c.samples;
  }
}

TEST(Generator, StatesAreThoseOfPyTorch) {
  Generator g(5);
  float values[3];
  fill_normal(g, values, DType::Float32, 3);
  const std::vector<std::byte> state = g.get_state();
  ASSERT_EQ(state.size(), 5056U);
  EXPECT_EQ(checksum(state), 0x311f94f0U);
  const auto expect_continuation = [](Generator& generator) {
    float normal[2];
    fill_normal(generator, normal, DType::Float32, 2);
    EXPECT_EQ(normal[0], 0.6675242781639099f);  // the second of a pair drawn before
    EXPECT_EQ(normal[1], -0.19741509854793549f);
    int64_t integers[3];
    fill_integers(generator, integers, DType::Int64, 3, 0, 1000);
    EXPECT_EQ(integers[0], 211);
    EXPECT_EQ(integers[1], 312);
    EXPECT_EQ(integers[2], 318);
  };
  expect_continuation(g);
  Generator other(77);
  other.set_state(state);
  EXPECT_EQ(other.get_state(), state);
  EXPECT_EQ(other.initial_seed(), 5U);
  expect_continuation(other);
}

TEST(Generator, FreshStates) {
  EXPECT_EQ(checksum(Generator().get_state()), 0x2f5f56f1U);
  EXPECT_EQ(Generator().initial_seed(), 67280421310721U);
  Generator g;
  const std::vector<std::byte> fresh = g.get_state();
  fill_normal(g, std::vector<float>(3).data(), DType::Float32, 3);
  EXPECT_NE(g.get_state(), fresh);
  g.manual_seed(Generator::kDefaultSeed);
  EXPECT_EQ(g.get_state(), fresh) << "seeding forgets the spare normal number";
}

TEST(Generator, ImpossibleStatesAreRefusedAndChangeNothing) {
  Generator g(1);
  for (int i = 0; i < 100; ++i) g.random();
  const std::vector<std::byte> good = g.get_state();
  for (const size_t size : std::vector<size_t>{0, 100, 5055, 5057})
    EXPECT_THROW(g.set_state(std::vector<std::byte>(size)), RuntimeError) << size;
  EXPECT_THROW(g.set_state(std::vector<std::byte>(5056)), RuntimeError);
  const auto with_field = [&](size_t offset, uint64_t value, size_t bytes) {
    std::vector<std::byte> state = good;
    std::memcpy(&state[offset], &value, bytes);
    return state;
  };
  EXPECT_THROW(g.set_state(with_field(8, 0, 4)), RuntimeError);     // left
  EXPECT_THROW(g.set_state(with_field(8, 625, 4)), RuntimeError);   // left
  EXPECT_THROW(g.set_state(with_field(12, 0, 4)), RuntimeError);    // seeded
  EXPECT_THROW(g.set_state(with_field(16, 624, 8)), RuntimeError);  // next
  EXPECT_THROW(g.set_state(with_field(16, uint64_t{1} << 40, 8)), RuntimeError);
  EXPECT_EQ(g.get_state(), good);
}

TEST(Generator, SeedsFromTheSystemDiffer) {
  Generator g;
  const uint64_t first = g.seed();
  EXPECT_EQ(g.initial_seed(), first);
  EXPECT_NE(g.seed(), first);
}

TEST(Generator, CallsFromSeveralThreadsTakeDifferentWords) {
  default_generator().manual_seed(3);
  std::vector<uint64_t> seen(4000);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (size_t i = 0; i < 1000; ++i) seen[t * 1000 + i] = next_philox_key();
    });
  for (std::thread& thread : threads) thread.join();
  std::sort(seen.begin(), seen.end());
  Generator g(3);
  std::vector<uint64_t> wanted(4000);
  for (uint64_t& key : wanted) key = g.random64();
  std::sort(wanted.begin(), wanted.end());
  EXPECT_EQ(seen, wanted);
}

template <class E, class F>
std::string error_of(F f) {
  try {
    f();
  } catch (const E& error) {
    return error.what();
  }
  return "no error";
}

TEST(Distributions, ParametersOutsideTheDomain) {
  Generator g;
  const std::vector<std::byte> before = g.get_state();
  double data[4] = {};
  const DType f32 = DType::Float32;
  const double nan = std::nan("");
  const double inf = std::numeric_limits<double>::infinity();
  EXPECT_EQ(error_of<RuntimeError>([&] { fill_uniform(g, data, f32, 1, 2, 1); }),
            "uniform_: the range [2, 1) is empty, expected from <= to");
  EXPECT_EQ(error_of<RuntimeError>([&] { fill_normal(g, data, f32, 1, 0, -1); }),
            "normal_: std is -1, expected >= 0");
  EXPECT_THROW(fill_normal(g, data, f32, 1, 0, nan), RuntimeError);
  EXPECT_EQ(error_of<RuntimeError>([&] { fill_exponential(g, data, f32, 1, 0); }),
            "exponential_: lambda is 0, expected > 0");
  EXPECT_EQ(error_of<RuntimeError>([&] { fill_bernoulli(g, data, f32, 1, 1.5); }),
            "bernoulli_: p is 1.5, expected 0 to 1");
  EXPECT_THROW(fill_bernoulli(g, data, f32, 1, nan), RuntimeError);
  const double p[2] = {0.5, -0.25};
  EXPECT_EQ(error_of<RuntimeError>([&] { fill_bernoulli(g, data, f32, 2, p, DType::Float64); }),
            "bernoulli: p[1] is -0.25, expected 0 to 1");
  EXPECT_EQ(error_of<RuntimeError>([&] { fill_integers(g, data, f32, 1, 5, 5); }),
            "random_: the range [5, 5) is empty, expected from < to");
  EXPECT_EQ(error_of<RuntimeError>([&] { fill_integers(g, data, DType::UInt8, 1, 0, 300); }),
            "random_: the range [0, 300) is out of bounds for dtype uint8");
  EXPECT_THROW(fill_integers(g, data, DType::Bool, 1, -1, 2), RuntimeError);
  EXPECT_THROW(fill_integers(g, data, DType::Int8, 1, -129, 2), RuntimeError);
  EXPECT_THROW(fill_integers(g, data, DType::Float16, 1, 0, 70000), RuntimeError);
  EXPECT_THROW(fill_permutation(g, data, DType::Int64, -1), RuntimeError);
  EXPECT_THROW(fill_permutation(g, data, DType::UInt8, 256), RuntimeError);
  EXPECT_EQ(error_of<NotImplementedError>([&] { fill_normal(g, data, DType::Int32, 1); }),
            "normal_: dtype int32 has no such numbers, expected a float dtype");
  const auto draw = [&](std::vector<double> row, int64_t samples, bool replacement) {
    int64_t out[4];
    draw_categories(g, out, row.data(), DType::Float64, 1, static_cast<int64_t>(row.size()),
                    samples, replacement);
  };
  for (const bool replacement : {false, true}) {
    EXPECT_THROW(draw({-1, 2}, 2, replacement), RuntimeError);
    EXPECT_THROW(draw({nan, 2}, 2, replacement), RuntimeError);
    EXPECT_THROW(draw({inf, 2}, 2, replacement), RuntimeError);
    EXPECT_THROW(draw({0, 0}, 2, replacement), RuntimeError);
    EXPECT_THROW(draw({1, 1}, 0, replacement), RuntimeError);
  }
  EXPECT_THROW(draw({1, 1}, 3, false), RuntimeError);
  EXPECT_EQ(g.get_state(), before) << "a refused call draws nothing";
}

TEST(Distributions, ProbabilityZeroAndOneAreCertain) {
  Generator g;
  std::vector<float> values(1000);
  fill_bernoulli(g, values.data(), DType::Float32, 1000, 0);
  EXPECT_EQ(values, std::vector<float>(1000, 0.0f));
  fill_bernoulli(g, values.data(), DType::Float32, 1000, 1);
  EXPECT_EQ(values, std::vector<float>(1000, 1.0f));
}

// Random123's known answers for philox4x32-10.
TEST(Distributions, PhiloxKnownAnswers) {
  using Words = std::array<uint32_t, 4>;
  EXPECT_EQ(philox4x32(0, 0, 0), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  constexpr uint64_t kOnes = ~uint64_t{0};
  EXPECT_EQ(philox4x32(kOnes, kOnes, kOnes),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32(0x299f31d0a4093822, 0x85a308d3243f6a88, 0x0370734413198a2e),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

}  // namespace
}  // namespace flambeau
