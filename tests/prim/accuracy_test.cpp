// The error of every transcendental row in units in the last place (ulp), against the C library in
// a wider float, at edge values, random bit patterns and random values.

#include <gtest/gtest.h>

#include <functional>
#include <map>

#include "tests/prim/ulp.h"

namespace flambeau::testing {
namespace {

using Wide = long double;

/// The inverse of erf by Newton's method, on erfc where that keeps more digits.
Wide erfinv(Wide y) {
  const Wide a = std::fabs(y);
  if (a >= 1 || std::isnan(y)) return a == 1 ? std::copysign(HUGE_VALL, y) : NAN;
  if (a == 0) return y;
  const Wide w = -std::log1p(-a * a);
  const Wide u = 4.33L - w / 2;  // Winitzki's approximation, to start
  Wide x = std::sqrt(std::sqrt(u * u + w / 0.147L) - u);
  for (int i = 0; i < 8; ++i) {
    const Wide excess = a > 0.5L ? (1 - a) - std::erfc(x) : std::erf(x) - a;
    const Wide slope = 1.128379167095512573896L * std::exp(-x * x);
    if (slope == 0) break;
    x -= excess / slope / (1 + x * excess / slope);
  }
  return std::copysign(x, y);
}

/// exp(-|x|) I_order(x): beyond 100 by the asymptotic series.
Wide scaled_bessel(int order, Wide x) {
  const Wide a = std::fabs(x);
  if (std::isnan(x)) return x;
  if (std::isinf(x)) return std::copysign(0.0L, order == 1 ? x : 1);
  Wide value = 0;
  if (a < 100) {
    value = std::cyl_bessel_i(static_cast<Wide>(order), a) * std::exp(-a);
  } else {
    const Wide mu = 4.0L * order * order;
    Wide term = 1;
    for (int k = 1; k < 14; ++k) {
      value += term;
      const Wide odd = 2 * k - 1;
      term *= -(mu - odd * odd) / (static_cast<Wide>(k) * 8 * a);
    }
    value /= std::sqrt(2 * 3.14159265358979323846264338327950288L * a);
  }
  return order == 1 ? std::copysign(value, x) : value;
}

struct Function {
  const char* name;
  Wide (*exact)(Wide);
  double limit;             ///< of the random values
  double bound32, bound64;  ///< ulp
};

#define FLAMBEAU_EXACT(name) [](Wide x) -> Wide { return std::name(x); }
const Function kFunctions[] = {
    {"exp", FLAMBEAU_EXACT(exp), 750, 1.1, 1.1},
    {"exp2", FLAMBEAU_EXACT(exp2), 1100, 1.1, 1.1},
    {"expm1", FLAMBEAU_EXACT(expm1), 100, 1.5, 1.5},
    {"log", FLAMBEAU_EXACT(log), 1e3, 1, 1},
    {"log2", FLAMBEAU_EXACT(log2), 1e3, 1, 1},
    {"log10", FLAMBEAU_EXACT(log10), 1e3, 1.1, 1.1},
    {"log1p", FLAMBEAU_EXACT(log1p), 10, 1.6, 1.6},
    {"sin", FLAMBEAU_EXACT(sin), 1000, 1.6, 1},
    {"cos", FLAMBEAU_EXACT(cos), 1000, 1.6, 1},
    {"tan", FLAMBEAU_EXACT(tan), 1000, 0.51, 2.2},
    {"asin", FLAMBEAU_EXACT(asin), 1, 1.6, 1.6},
    {"acos", FLAMBEAU_EXACT(acos), 1, 1.2, 1.2},
    {"atan", FLAMBEAU_EXACT(atan), 10, 1.4, 1.6},
    {"sinh", FLAMBEAU_EXACT(sinh), 100, 1.7, 1.7},
    {"cosh", FLAMBEAU_EXACT(cosh), 100, 1.5, 1.5},
    {"tanh", FLAMBEAU_EXACT(tanh), 20, 1.8, 1.8},
    {"asinh", FLAMBEAU_EXACT(asinh), 10, 2, 2},
    {"acosh", FLAMBEAU_EXACT(acosh), 10, 2, 2},
    {"atanh", FLAMBEAU_EXACT(atanh), 1, 2.1, 2.2},
    {"erf", FLAMBEAU_EXACT(erf), 6, 1.5, 1.2},
    {"erfc", FLAMBEAU_EXACT(erfc), 30, 0.51, 2.4},
    {"erfinv", erfinv, 1, 0.51, 2},
    {"i0e", [](Wide x) { return scaled_bessel(0, x); }, 300, 0.51, 4},
    {"i1e", [](Wide x) { return scaled_bessel(1, x); }, 300, 0.51, 12},
    {"sqrt", FLAMBEAU_EXACT(sqrt), 1e3, 0.5, 0.501},
};
#undef FLAMBEAU_EXACT

struct PairFunction {
  const char* name;
  Wide (*exact)(Wide, Wide);
  double bound32, bound64;
};

const PairFunction kPairFunctions[] = {
    {"pow", [](Wide x, Wide y) -> Wide { return std::pow(x, y); }, 0.51, 1.3},
    {"atan2", [](Wide y, Wide x) -> Wide { return std::atan2(y, x); }, 1.6, 1.6},
};

template <class T>
void check(const Function& function, double bound) {
  const std::vector<T> points = test_points<T>(8000, function.limit, 11);
  const std::vector<T> got = evaluate_row<T>(function.name, {points});
  double worst = 0;
  size_t at = 0;
  for (size_t i = 0; i < points.size(); ++i) {
    const double error = ulp_error<T>(got[i], function.exact(points[i]));
    if (error > worst) {
      worst = error;
      at = i;
    }
  }
  EXPECT_LE(worst, bound) << function.name << '(' << std::hexfloat << points[at] << ") gave "
                          << got[at] << ", not " << function.exact(points[at]);
}

TEST(Accuracy, Float32Functions) {
  for (const Function& function : kFunctions) check<float>(function, function.bound32);
}

TEST(Accuracy, Float64Functions) {
  for (const Function& function : kFunctions) check<double>(function, function.bound64);
}

/// Points of both operands: all pairs of edges, random pairs, and bases with exponents that give
/// results of every magnitude.
template <class T>
std::vector<std::vector<T>> pair_points() {
  std::vector<std::vector<T>> points(2);
  const auto add = [&](T a, T b) {
    points[0].push_back(a);
    points[1].push_back(b);
  };
  const std::vector<T> edges = test_points<T>(0, 1, 0);
  for (const T a : edges)
    for (const T b : edges) add(a, b);
  std::mt19937_64 random(3);
  const std::vector<T> some = test_points<T>(10000, 30, 4);
  for (const T a : some) add(a, some[random() % some.size()]);
  std::uniform_real_distribution<double> log_base(-30, 30);
  const double log_range = std::log(static_cast<double>(std::numeric_limits<T>::max()));
  std::uniform_real_distribution<double> log_result(-1.15 * log_range, 1.01 * log_range);
  for (int i = 0; i < 20000; ++i) {
    const double base = log_base(random);
    add(static_cast<T>(std::exp(base)), static_cast<T>(log_result(random) / base));
    add(static_cast<T>(-std::exp(base)), static_cast<T>(std::round(log_result(random) / base)));
  }
  return points;
}

template <class T>
void check_pairs(const PairFunction& function, double bound) {
  const std::vector<std::vector<T>> points = pair_points<T>();
  const std::vector<T> got = evaluate_row<T>(function.name, points);
  double worst = 0;
  size_t at = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double error = ulp_error<T>(got[i], function.exact(points[0][i], points[1][i]));
    if (error > worst) {
      worst = error;
      at = i;
    }
  }
  EXPECT_LE(worst, bound) << function.name << '(' << std::hexfloat << points[0][at] << ", "
                          << points[1][at] << ") gave " << got[at] << ", not "
                          << function.exact(points[0][at], points[1][at]);
}

TEST(Accuracy, Float32FunctionsOfTwo) {
  for (const PairFunction& function : kPairFunctions)
    check_pairs<float>(function, function.bound32);
}

TEST(Accuracy, Float64FunctionsOfTwo) {
  for (const PairFunction& function : kPairFunctions)
    check_pairs<double>(function, function.bound64);
}

TEST(Accuracy, LgammaInFloat32) {
  check<float>({"lgamma", [](Wide x) -> Wide { return std::lgamma(x); }, 50, 0.51, 0}, 0.51);
}

/// In Float64 the error is bounded in units of the terms whose difference the result is: it has
/// zeros at 1, 2 and between negative integers.
TEST(Accuracy, LgammaInFloat64) {
  const std::vector<double> points = test_points<double>(8000, 50, 12);
  const std::vector<double> got = evaluate_row<double>("lgamma", {points});
  for (size_t i = 0; i < points.size(); ++i) {
    const Wide exact = std::lgamma(static_cast<Wide>(points[i]));
    const double rounded = static_cast<double>(exact);
    if (!std::isfinite(rounded) || !std::isfinite(got[i])) {
      EXPECT_LE(ulp_error<double>(got[i], exact), 1) << points[i];
      continue;
    }
    const Wide terms =
        std::max({1.0L, std::fabs(exact), std::lgamma(std::fabs(static_cast<Wide>(points[i])))});
    EXPECT_LE(std::fabs(got[i] - exact), 8 * 0x1p-53L * terms) << points[i];
  }
}

/// digamma and its derivatives, from a computation with 40 digits.
struct Gamma {
  double x;
  double digamma, first, second;
};

const Gamma kGammas[] = {
    {0.1, -10.423754940411076232, 101.4332991507927477, -2001.8614573783436732},
    {0.5, -1.9635100260214234794, 4.9348022005446793094, -16.828796644234319996},
    {1.0, -0.57721566490153286061, 1.6449340668482264365, -2.4041138063191885708},
    {1.5, 0.036489973978576520559, 0.93480220054467930942, -0.8287966442343199956},
    {2.0, 0.42278433509846713939, 0.64493406684822643647, -0.4041138063191885708},
    {3.75, 1.1825373886117962286, 0.30533985269025307549, -0.092546338515899269635},
    {9.99, 2.250700372831201122, 0.10527695014824178439, -0.011073070531461051158},
    {10.0, 2.2517525890667211076, 0.10516633568168574612, -0.011049834970802067462},
    {55.5, 4.0073469585404439122, 0.018181317363221761045, -0.00033055119712497590276},
    {1e5, 11.512920464961895087, 0.000010000050000166666667, -1.00001000005e-10},
    {1e-5, -100000.57719921567289, 10000000001.64490839, -2000000000000001.9132},
    {-0.1, 9.2450730500529480423, 101.92253995947719243, 1996.798202956204947},
    {-0.5, 0.036489973978576520559, 8.9348022005446793094, -0.8287966442343199956},
    {-1.5, 0.70315664064524318723, 9.3792466449891237539, -0.236204051641727403},
    {-2.25, 4.1585835646579722748, 19.379410511869137363, 123.89694977406016558},
    {-7.75, -1.0307688328309315122, 19.618144334352289465, -124.03974558822776382},
    {-20.125, 10.611077432912593498, 67.345399044730960793, 1022.2920414835888052},
    {-1e-5, 99999.422767885629412, 10000000001.644956472, 1999999999999997.105},
};

TEST(Accuracy, DerivativesOfLgamma) {
  std::vector<double> points;
  for (const Gamma& g : kGammas) points.push_back(g.x);
  ir::Attributes order;
  const std::vector<double> digamma = evaluate_row<double>("digamma", {points});
  order.index = 1;
  const std::vector<double> first = evaluate_row<double>("polygamma", {points}, order);
  order.index = 2;
  const std::vector<double> second = evaluate_row<double>("polygamma", {points}, order);
  for (size_t i = 0; i < points.size(); ++i) {
    const Gamma& g = kGammas[i];
    // Relative, but near zeros of the function relative to the terms of the reflection.
    const auto near = [&](double got, double wanted, double floor) {
      EXPECT_NEAR(got, wanted, 4e-15 * std::max(floor, std::fabs(wanted))) << g.x;
    };
    near(digamma[i], g.digamma, 0.1);
    near(first[i], g.first, 0);
    near(second[i], g.second, g.x < 0 ? 10 : 0);
  }
}

TEST(Accuracy, DigammaAtItsPoles) {
  const std::vector<double> got =
      evaluate_row<double>("digamma", {{0.0, -0.0, -1.0, -30.0, INFINITY, std::nan("")}});
  EXPECT_EQ(got[0], -INFINITY);
  EXPECT_EQ(got[1], INFINITY);
  EXPECT_TRUE(std::isnan(got[2]));
  EXPECT_TRUE(std::isnan(got[3]));
  EXPECT_EQ(got[4], INFINITY);
  EXPECT_TRUE(std::isnan(got[5]));
}

TEST(Accuracy, ErfAndTanhStayInTheirRange) {
  std::vector<float> points;
  for (float x = 0; x < 12; x += 0x1p-10F) points.push_back(x);
  for (const char* name : {"erf", "tanh"}) {
    float before = 0;
    for (const float y : evaluate_row<float>(name, {points})) {
      EXPECT_LE(y, 1.0F) << name;
      EXPECT_GE(y, before - 0x1p-23F) << name;
      before = y;
    }
    EXPECT_EQ(before, 1.0F) << name;
  }
}

/// P(-a) of the standard normal.
Wide normal_tail(Wide a) { return std::erfc(a / std::sqrt(2.0L)) / 2; }

/// Where the distribution is small its rows are as exact as a power whose exponent is rounded, and
/// Float32 ones as 2^-24 sqrt(P).
template <class T>
void check_normal(Wide limit) {
  std::vector<T> points = test_points<T>(20000, 6, 5);
  for (const T x : test_points<T>(5000, static_cast<double>(limit), 6)) points.push_back(x);
  const std::vector<T> ndtr = evaluate_row<T>("ndtr", {points});
  const std::vector<T> gelu = evaluate_row<T>("gelu", {points});
  for (size_t i = 0; i < points.size(); ++i) {
    const Wide x = points[i];
    const Wide a = std::fabs(x);
    if (!(a <= limit)) continue;
    const Wide tail = normal_tail(a);
    const Wide exact = x < 0 ? tail : 1 - tail;
    const Wide approximated = sizeof(T) == 4 ? std::sqrt(tail) * 0x1p-24L : 0;
    const Wide of_exponent = sizeof(T) == 4 ? -std::log2(tail) : a * a;
    const auto bound = [&](Wide value, Wide factor) {
      const Wide unit = std::fabs(value) * std::numeric_limits<T>::epsilon();
      return unit * ((sizeof(T) == 4 ? 2 : 3) + (x < 0 ? of_exponent : tail * of_exponent)) +
             factor * approximated + static_cast<Wide>(std::numeric_limits<T>::denorm_min());
    };
    EXPECT_LE(std::fabs(ndtr[i] - exact), bound(exact, 1)) << points[i];
    EXPECT_LE(std::fabs(gelu[i] - x * exact), bound(x * exact, a)) << points[i];
  }
}

TEST(Accuracy, NormalDistribution) {
  check_normal<float>(10);
  check_normal<double>(37);
}

template <class T>
void check_normal_edges() {
  const T infinity = std::numeric_limits<T>::infinity();
  const T huge = std::numeric_limits<T>::max();
  const T tiny = std::numeric_limits<T>::denorm_min();
  const std::vector<T> points{0, T(-0.0), infinity, -infinity, huge, -huge, T(NAN), tiny, -tiny};
  const std::vector<T> ndtr = evaluate_row<T>("ndtr", {points});
  const std::vector<T> gelu = evaluate_row<T>("gelu", {points});
  EXPECT_EQ(ndtr[0], T(0.5));
  EXPECT_EQ(ndtr[1], T(0.5));
  EXPECT_EQ(gelu[0], 0);
  EXPECT_TRUE(std::signbit(gelu[1]) && !std::signbit(gelu[0]));
  for (const size_t at : {2U, 4U}) {
    EXPECT_EQ(ndtr[at], 1);
    EXPECT_EQ(gelu[at], points[at]);
  }
  for (const size_t at : {3U, 5U}) {
    EXPECT_LE(std::fabs(ndtr[at]), T(1e-21));
    EXPECT_LE(std::fabs(gelu[at]), T(1e-21));
  }
  EXPECT_TRUE(std::isnan(ndtr[6]) && std::isnan(gelu[6]));
  EXPECT_LE(std::fabs(gelu[7]), tiny);
  EXPECT_LE(std::fabs(gelu[8]), tiny);
}

TEST(Accuracy, NormalDistributionAtTheEdges) {
  check_normal_edges<float>();
  check_normal_edges<double>();
}

TEST(Accuracy, UlpErrorSeesOneUnit) {
  EXPECT_EQ(ulp_error<float>(1.0F, 1.0L), 0);
  EXPECT_EQ(ulp_error<float>(std::nextafter(1.5F, 2.0F), 1.5L), 1);
  EXPECT_EQ(ulp_error<float>(0.0F, -0.0L), INFINITY);
  EXPECT_EQ(ulp_error<float>(1.0F, std::numeric_limits<Wide>::quiet_NaN()), INFINITY);
  EXPECT_EQ(ulp_error<float>(0x1p-149F, 0.0L), 1);
}

/// Every elementwise row is in a table here or in elementwise_test.cpp.
TEST(Accuracy, EveryTranscendentalRowHasABound) {
  std::map<std::string_view, bool> bounded{
      {"lgamma", true}, {"digamma", true}, {"polygamma", true}, {"ndtr", true}, {"gelu", true}};
  for (const Function& function : kFunctions) bounded[function.name] = true;
  for (const PairFunction& function : kPairFunctions) bounded[function.name] = true;
  for (const std::string_view name : rows_tested_exactly()) bounded[name] = true;
  for (const ir::Primitive* row : ir::all_primitives())
    if (row->cls == ir::PrimitiveClass::Elementwise && !row->name.starts_with("test_")) {
      EXPECT_TRUE(bounded[row->name]) << row->name;
    }
}

}  // namespace
}  // namespace flambeau::testing
