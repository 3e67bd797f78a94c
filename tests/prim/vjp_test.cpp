// The derivative of every row of the table against finite differences, twice over, and PyTorch's
// choices where there is no derivative.

#include "prim/vjp.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "prim/build.h"
#include "tests/prim/samples.h"

namespace flambeau::testing {
namespace {

using ir::ArrayValue;
using ir::Builder;
using ir::Expr;
using ir::Program;
using prim::operator+;
using prim::operator*;
using prim::operator/;

std::vector<ArrayValue> run(const Program& program, const std::vector<ArrayValue>& arguments) {
  return ir::interpret(program, arguments, {}, {});
}

double as_double(const ArrayValue& a, int64_t i) {
  return a.dtype == DType::Float32 ? static_cast<double>(a.as<float>()[i]) : a.as<double>()[i];
}

/// Sum over float results of result * weight; `weights` holds an array for each float result.
double weighted_sum(const Program& program, const std::vector<ArrayValue>& arguments,
                    const std::vector<ArrayValue>& weights) {
  double sum = 0;
  size_t next = 0;
  for (const ArrayValue& given : run(program, arguments)) {
    if (!is_inexact(given.dtype)) continue;
    const ArrayValue result = real_array(given);
    const ArrayValue weight = real_array(weights[next++]);
    for (int64_t i = 0; i < result.size(); ++i) sum += as_double(result, i) * as_double(weight, i);
  }
  return sum;
}

/// A program, where to evaluate it, and which of its parameters to differentiate.
struct Point {
  Program program;
  std::vector<ArrayValue> arguments;
};

/// Compares the derived gradients of all Float64 and Complex128 parameters with central differences
/// of the weighted sum of the results. Returns the program of the gradients, with the weights as
/// further parameters.
Point check_gradients(const Point& point, double step, double tolerance, const std::string& what) {
  std::vector<ArrayValue> weights;
  for (const ArrayValue& result : run(point.program, point.arguments)) {
    if (!is_inexact(result.dtype)) continue;
    const bool pairs = is_complex(result.dtype);
    ArrayValue weight = random_array(real_array(result).shape, 0.5, 1.5, 7 + weights.size());
    if (pairs) weight = complex_array(weight);
    if (result.dtype == DType::Float32) {
      ArrayValue narrow(DType::Float32, result.shape);
      for (int64_t i = 0; i < narrow.size(); ++i)
        narrow.as<float>()[i] = static_cast<float>(weight.as<double>()[i]);
      weight = narrow;
    }
    weights.push_back(weight);
  }

  Builder builder(point.program);
  std::vector<Expr> outputs;
  for (const ir::NodeId id : point.program.results)
    if (is_inexact(builder.expr(id).dtype())) outputs.push_back(builder.expr(id));
  const std::vector<Expr> cotangents = add_parameters(builder, weights);
  std::vector<Expr> wanted;
  std::vector<size_t> positions;
  for (size_t i = 0; i < point.program.nodes.size(); ++i) {
    const ir::Node& node = point.program.nodes[i];
    const bool wanted_here =
        node.type.dtype == DType::Float64 || node.type.dtype == DType::Complex128;
    if (node.primitive != ir::parameter_row() || !wanted_here) continue;
    wanted.push_back(builder.expr(static_cast<ir::NodeId>(i)));
    positions.push_back(static_cast<size_t>(node.attributes.index));
  }
  const std::vector<Expr> gradients = prim::differentiate(builder, outputs, cotangents, wanted);

  Point next;
  next.arguments = point.arguments;
  next.arguments.insert(next.arguments.end(), weights.begin(), weights.end());
  std::vector<Expr> found;
  for (size_t i = 0; i < gradients.size(); ++i)
    if (gradients[i].valid()) found.push_back(gradients[i]);
  next.program = builder.finish(found);
  ir::verify(next.program);
  const std::vector<ArrayValue> values = run(next.program, next.arguments);

  size_t value = 0;
  for (size_t i = 0; i < gradients.size(); ++i) {
    std::vector<ArrayValue> moved = point.arguments;
    ArrayValue& parameter = moved[positions[i]];
    const ArrayValue* gradient = gradients[i].valid() ? &values[value++] : nullptr;
    // A complex gradient is that of the real part and i times that of the imaginary one.
    for (int64_t e = 0; e < real_array(parameter).size(); ++e) {
      const double at = parameter.as<double>()[e];
      parameter.as<double>()[e] = at + step;
      const double above = weighted_sum(point.program, moved, weights);
      parameter.as<double>()[e] = at - step;
      const double below = weighted_sum(point.program, moved, weights);
      parameter.as<double>()[e] = at;
      const double difference = (above - below) / (2 * step);
      const double derived = gradient == nullptr ? 0 : gradient->as<double>()[e];
      EXPECT_NEAR(derived, difference, tolerance * std::max(1.0, std::fabs(difference)))
          << what << ", parameter " << positions[i] << ", element " << e << " at " << at;
    }
  }
  return next;
}

TEST(Vjp, EveryRowHasSamples) {
  for (const ir::Primitive* row : ir::all_primitives())
    if (row != ir::parameter_row() && row != ir::number_row() && !row->name.starts_with("test_")) {
      EXPECT_FALSE(samples_of(row->name).empty()) << row->name;
    }
}

TEST(Vjp, RowsWithoutOneGiveNoFloatsOrCutGradients) {
  for (const ir::Primitive* row : ir::all_primitives())
    for (const Sample& sample : samples_of(row->name)) {
      const Program program = program_of(*row, sample);
      const bool gives_float = is_inexact(program.nodes.back().type.dtype);
      if (row->vjp == nullptr && gives_float && row->cls != ir::PrimitiveClass::Source) {
        EXPECT_EQ(row->name, "stop_gradient");
      }
    }
}

TEST(Vjp, FirstAndSecondDerivativesAreThoseOfFiniteDifferences) {
  for (const ir::Primitive* row : ir::all_primitives()) {
    if (row->vjp == nullptr) continue;
    for (const Sample& sample : samples_of(row->name)) {
      const std::string name(row->name);
      const Point gradients = check_gradients({program_of(*row, sample), sample.arguments},
                                              sample.step, sample.tolerance, name);
      if (!gradients.program.results.empty())
        check_gradients(gradients, sample.step, 10 * sample.tolerance, "gradient of " + name);
    }
  }
}

/// `sample` with complex operands in place of its Float64 ones.
Sample complex_sample(Sample sample) {
  uint64_t seed = 11;
  for (ArrayValue& argument : sample.arguments) {
    if (argument.dtype != DType::Float64) continue;
    ArrayValue parts(DType::Float64, argument.shape);
    parts.shape.push_back(2);
    parts = ArrayValue(DType::Float64, parts.shape);
    const ArrayValue imaginary = random_array(argument.shape, -0.7, 0.7, seed++);
    for (int64_t i = 0; i < argument.size(); ++i) {
      parts.as<double>()[2 * i] = argument.as<double>()[i];
      parts.as<double>()[2 * i + 1] = imaginary.as<double>()[i];
    }
    argument = complex_array(parts);
  }
  return sample;
}

TEST(Vjp, ComplexDerivativesAreThoseOfFiniteDifferences) {
  int tested = 0;
  for (const ir::Primitive* row : ir::all_primitives()) {
    if (row->vjp == nullptr || row->on_complex == nullptr) continue;
    for (const Sample& real : samples_of(row->name)) {
      const Sample sample = complex_sample(real);
      if (row->name == "complex" || row->name == "convert" || row->arity == 0) continue;
      const std::string name = "complex " + std::string(row->name);
      const Point gradients = check_gradients({program_of(*row, sample), sample.arguments},
                                              sample.step, sample.tolerance, name);
      if (!gradients.program.results.empty())
        check_gradients(gradients, sample.step, 10 * sample.tolerance, "gradient of " + name);
      ++tested;
    }
  }
  EXPECT_GT(tested, 40);
}

/// The gradients of the sum of `build(parameters)` at `arguments`.
template <class Build>
std::vector<ArrayValue> gradients_at(const std::vector<ArrayValue>& arguments, const Build& build) {
  Builder builder;
  const std::vector<Expr> parameters = add_parameters(builder, arguments);
  const Expr output = build(parameters);
  const ir::Shape shape = output.shape();
  const Expr ones =
      prim::broadcast(prim::constant(builder, output.dtype(), Scalar(1.0)), {}, shape);
  const std::vector<Expr> gradients =
      prim::differentiate(builder, {&output, 1}, {&ones, 1}, parameters);
  return run(builder.finish(gradients), arguments);
}

void expect_values(const ArrayValue& got, std::initializer_list<double> wanted) {
  ASSERT_EQ(got.size(), static_cast<int64_t>(wanted.size()));
  int64_t i = 0;
  for (const double value : wanted) {
    const double g = got.as<double>()[i];
    EXPECT_TRUE(g == value || (std::isnan(g) && std::isnan(value)))
        << "element " << i << ": " << g << ", not " << value;
    ++i;
  }
}

TEST(Vjp, TiesOfMinimumAndMaximumShareTheGradient) {
  const auto a = float_array({3}, {1, 2, 3});
  const auto b = float_array({3}, {2, 2, 2});
  const auto least = gradients_at({a, b}, [](const auto& p) { return prim::minimum(p[0], p[1]); });
  expect_values(least[0], {1, 0.5, 0});
  expect_values(least[1], {0, 0.5, 1});
  const auto most = gradients_at({a, b}, [](const auto& p) { return prim::maximum(p[0], p[1]); });
  expect_values(most[0], {0, 0.5, 1});
  expect_values(most[1], {1, 0.5, 0});
}

TEST(Vjp, TiesOfAmaxAndAminShareTheGradientEvenly) {
  const auto a = float_array({5}, {3, 1, 3, 1, 3});
  const int64_t axes[] = {0};
  const auto most = gradients_at({a}, [&](const auto& p) { return prim::amax(p[0], axes); });
  expect_values(most[0], {1.0 / 3, 0, 1.0 / 3, 0, 1.0 / 3});
  const auto least = gradients_at({a}, [&](const auto& p) { return prim::amin(p[0], axes); });
  expect_values(least[0], {0, 0.5, 0, 0.5, 0});
}

TEST(Vjp, ProductsWithZerosHaveTheProductOfTheOthers) {
  const auto a = float_array({3, 3}, {2, 3, 4, 2, 0, 4, 0, 0, 4});
  const int64_t axes[] = {1};
  const auto g = gradients_at({a}, [&](const auto& p) { return prim::prod(p[0], axes); });
  expect_values(g[0], {12, 8, 6, 0, 8, 0, 0, 0, 0});
}

TEST(Vjp, PolesAndKinksAreThoseOfPyTorch) {
  const auto x = float_array({3}, {-0.0, 0, 2});
  const auto of = [&](auto&& fn) {
    return gradients_at({x}, [&](const auto& p) { return fn(p[0]); })[0];
  };
  expect_values(of([](const Expr& e) { return prim::abs(e); }), {0, 0, 1});
  expect_values(of([](const Expr& e) { return prim::floor(e); }), {0, 0, 0});
  expect_values(of([](const Expr& e) { return prim::stop_gradient(e) * e; }), {0, 0, 2});
  const double infinity = std::numeric_limits<double>::infinity();
  expect_values(of([](const Expr& e) { return prim::log(e); }), {-infinity, infinity, 0.5});
  expect_values(of([](const Expr& e) { return prim::sqrt(prim::abs(e)); }),
                {std::nan(""), std::nan(""), 0.5 / std::sqrt(2.0)});
}

TEST(Vjp, PowFollowsPyTorchAtZeroBaseAndExponent) {
  const auto base = float_array({5}, {0, 0, 0, 2, -2});
  const auto exponent = float_array({5}, {0, 1, 2, 0, 2});
  const auto g =
      gradients_at({base, exponent}, [](const auto& p) { return prim::pow(p[0], p[1]); });
  expect_values(g[0], {0, 1, 0, 0, -4});
  expect_values(g[1], {0, 0, 0, std::log(2.0), std::nan("")});
}

TEST(Vjp, Atan2AtTheOriginIsNaN) {
  const auto zero = float_array({1}, {0});
  const auto g = gradients_at({zero, zero}, [](const auto& p) { return prim::atan2(p[0], p[1]); });
  expect_values(g[0], {std::nan("")});
  expect_values(g[1], {std::nan("")});
}

TEST(Vjp, CotangentsOfSeveralUsesAddFromTheFirstUse) {
  // d/dx of x*a + x*b + x*c with (a + b) + c != a + (b + c).
  const auto x = float_array({1}, {1});
  const auto a = float_array({1}, {1e16});
  const auto b = float_array({1}, {1});
  const auto c = float_array({1}, {1});
  const auto g = gradients_at({x, a, b, c}, [](const auto& p) {
    const Expr first = p[0] * p[1];
    const Expr second = p[0] * p[2];
    const Expr third = p[0] * p[3];
    return (first + second) + third;
  });
  volatile double sum = 1e16;
  sum = sum + 1;
  sum = sum + 1;
  expect_values(g[0], {sum});
}

TEST(Vjp, WhatNoOutputDependsOnHasNone) {
  Builder builder;
  const Expr x = builder.parameter(DType::Float64, {2});
  const Expr y = builder.parameter(DType::Float64, {2});
  const Expr n = builder.parameter(DType::Int64, {2});
  const Expr out = prim::exp(x);
  const std::vector<Expr> wanted{x, y, n, out};
  const auto found = prim::differentiate(builder, {&out, 1}, {&x, 1}, wanted);
  EXPECT_TRUE(found[0].valid());
  EXPECT_FALSE(found[1].valid());
  EXPECT_FALSE(found[2].valid());
  EXPECT_EQ(found[3].id(), x.id());
}

TEST(Vjp, ACotangentOfAnotherDtypeIsRefused) {
  Builder builder;
  const Expr x = builder.parameter(DType::Float64, {2});
  const Expr wrong = builder.parameter(DType::Float32, {2});
  const Expr out = prim::exp(x);
  EXPECT_THROW(prim::differentiate(builder, {&out, 1}, {&wrong, 1}, {&x, 1}), InternalError);
}

}  // namespace
}  // namespace flambeau::testing
