#include "tests/prim/samples.h"

#include <map>
#include <random>
#include <string>

#include "prim/block_scan.h"

namespace flambeau::testing {
namespace {

using ir::ArrayValue;
using ir::Attributes;

ArrayValue random_ints(Ints shape, int64_t low, int64_t high, uint64_t seed) {
  ArrayValue out(DType::Int64, std::move(shape));
  std::mt19937_64 random(seed);
  for (int64_t i = 0; i < out.size(); ++i)
    out.as<int64_t>()[i] =
        low + static_cast<int64_t>(random() % static_cast<uint64_t>(high - low + 1));
  return out;
}

Attributes to_dtype(DType dtype) { return {.index = static_cast<int>(dtype)}; }

std::vector<Sample> on_interval(double low, double high) {
  return {{{random_array({3, 4}, low, high)}}};
}

std::vector<Sample> on_pairs(double low, double high) {
  return {{{random_array({3, 4}, low, high, 1), random_array({3, 4}, low, high, 2)}}};
}

std::vector<Sample> on_integers() {
  return {{{random_ints({6}, -9, 9, 1), random_ints({6}, 1, 5, 2)}}};
}

/// Reductions over the first, middle, several and no kept axes.
std::vector<Sample> of_reduction(double low, double high) {
  const ArrayValue a = random_array({2, 3, 4}, low, high);
  return {{{a}, {.axes = {0}}},
          {{a}, {.axes = {1}}},
          {{a}, {.axes = {0, 2}}},
          {{a}, {.axes = {0, 1, 2}}}};
}

/// Scans along the first, middle and last axis, both ways.
std::vector<Sample> of_scan(const std::vector<ArrayValue>& operands) {
  std::vector<Sample> samples;
  for (const int axis : {0, 1, 2})
    for (const int backwards : {0, 1})
      samples.push_back({operands, {.axes = {axis}, .index = backwards}});
  return samples;
}

std::vector<Sample> of_scatter(const ArrayValue& rows, const ArrayValue& columns) {
  return {{{random_array({3, 4}, -2, 2, 1), rows, columns, random_array({2, 3}, -2, 2, 2)}}};
}

/// Results of scans over blocks of 2 of 5 elements: with rows, a value that every block sees, two
/// carried values that depend on each other, and an output; plain, from the end, and triangular.
std::vector<Sample> of_block_scan() {
  const std::vector<ArrayValue> arguments{random_array({2, 3, 2}, -1, 1, 1),   // rows
                                          random_array({2, 5, 2}, -1, 1, 2),   // scanned
                                          random_array({2}, 0.5, 1.5, 3),      // seen by all
                                          random_array({2, 3}, -1, 1, 4),      // carried
                                          random_array({2, 3, 2}, -1, 1, 5)};  // carried
  std::vector<Sample> samples;
  for (const ir::BlockScan& form :
       {ir::BlockScan{.batch = 1, .block = 2},
        ir::BlockScan{.batch = 1, .block = 2, .reverse = true},
        ir::BlockScan{.batch = 1, .block = 2, .triangular = true},
        ir::BlockScan{.batch = 1, .block = 2, .triangular = true, .reverse = true}}) {
    ir::Builder builder;
    const std::vector<ir::Expr> p = add_parameters(builder, arguments);
    const prim::Scanned inputs[] = {
        {p[0], {.rows = 0}}, {p[1], {.scanned = 0, .step = 2}}, {p[2], {}}};
    const prim::Scanned carried[] = {{p[3], {.rows = 0}}, {p[4], {.rows = 0}}};
    const ir::BlockScan::Axes outputs[] = {{.rows = 1, .scanned = 0, .step = 2}};
    const auto body = [](const prim::BlockScanBody& b) -> std::vector<ir::Expr> {
      using namespace prim;  // NOLINT(google-build-using-namespace): the language of programs
      const int64_t columns[] = {1};
      const ir::Expr products = contract(b.inputs[0], transpose(b.inputs[1], 0, 1)) * b.inputs[2];
      const ir::Expr place = convert(b.block_start + b.first_row, DType::Float64) * 0.1;
      const ir::Expr sums = sum(tanh(products + place), columns, false);
      return {b.carried[0] * 0.5 + sums,
              b.carried[1] * unsqueeze(b.carried[0], 1) + contract(products, b.inputs[1]),
              transpose(products, 0, 1) * b.carried[0]};
    };
    for (const ir::Expr& result : prim::block_scan(form, inputs, carried, outputs, body))
      samples.push_back({arguments, result.node().attributes});
  }
  return samples;
}

std::map<std::string, std::vector<Sample>, std::less<>> make_samples() {
  std::map<std::string, std::vector<Sample>, std::less<>> all;
  for (const char* name : {"add", "sub", "mul", "minimum", "maximum", "atan2"})
    all[name] = on_pairs(-2, 2);
  for (const char* name : {"eq", "ne", "lt", "le", "gt", "ge"}) all[name] = on_integers();
  for (const char* name :
       {"logical_and", "logical_or", "logical_xor", "shift_left", "shift_right", "philox"})
    all[name] = on_integers();
  all["logical_not"] = {{{random_ints({6}, -9, 9, 1)}}};
  all["div"] = all["pow"] = on_pairs(0.5, 3);
  all["remainder"] = {{{random_array({3, 4}, -9, 9), random_array({3, 4}, 2.1, 2.9, 2)}}};
  all["fma"] = {
      {{random_array({5}, -2, 2, 1), random_array({5}, -2, 2, 2), random_array({5}, -2, 2, 3)}}};
  all["select"] = {{{bool_array({4}, {true, false, false, true}), random_array({4}, -2, 2, 1),
                     random_array({4}, -2, 2, 2)}}};
  all["convert"] = {{{random_array({4}, -2, 2)}, to_dtype(DType::Float64)},
                    {{random_array({4}, -2, 2)}, to_dtype(DType::Float32), 1e-2, 1e-4},
                    {{random_array({4}, -9, 9)}, to_dtype(DType::Int64)}};
  all["bitcast"] = {{{random_array({4}, -2, 2)}, to_dtype(DType::Int64)}};
  for (const char* name :
       {"neg",  "abs",   "floor", "ceil", "trunc", "round", "stop_gradient", "is_nan",
        "exp",  "exp2",  "expm1", "sin",  "cos",   "atan",  "sinh",          "cosh",
        "tanh", "asinh", "erf",   "erfc", "ndtr",  "gelu"})
    all[name] = on_interval(-2.4, 2.4);
  for (const char* name : {"sqrt", "log", "log2", "log10", "lgamma", "digamma"})
    all[name] = on_interval(0.3, 4);
  all["polygamma"] = {{{random_array({6}, 0.6, 4)}, {.index = 1}},
                      {{random_array({6}, -0.9, -0.1)}, {.index = 1}},
                      {{random_array({6}, 0.6, 4)}, {.index = 2}}};
  for (const char* name : {"tan", "asin", "acos", "atanh", "erfinv", "log1p"})
    all[name] = on_interval(-0.8, 0.8);
  all["acosh"] = on_interval(1.2, 4);
  for (const char* name : {"i0e", "i1e"}) all[name] = on_interval(-12.4, 11.9);

  all["complex"] = on_pairs(-2, 2);
  for (const char* name : {"real", "imag", "conj", "modulus"})
    all[name] = {{{complex_array(random_array({3, 4, 2}, -2, 2))}}};

  all["constant"] = {{{}, {.value = Scalar(2.5), .index = static_cast<int>(DType::Float64)}}};
  all["extent"] = {{{}, {.dims = {7}}}};
  all["iota"] = {{{}, {.axes = {1}, .dims = {2, 3}}}};

  const ArrayValue cube = random_array({2, 3, 4}, -2, 2);
  all["broadcast"] = {{{random_array({3, 1}, -2, 2)}, {.axes = {1, 2}, .dims = {2, 3, 4}}},
                      {{random_array({3}, -2, 2)}, {.axes = {0}, .dims = {3, 2}}},
                      {{random_array({}, -2, 2)}, {.dims = {2, 2}}},
                      {{random_array({1, 3}, -2, 2)}, {.axes = {0, 2}, .dims = {1, 4, 3}}}};
  all["permute"] = {{{cube}, {.axes = {2, 0, 1}}}};
  all["slice"] = {{{cube}, {.dims = {0, 1, 0, 2, 2, 2, 1, 1, 2}}},
                  {{cube}, {.dims = {1, 0, 1, 1, 3, 1, 1, 1, 3}}},
                  {{cube}, {.dims = {0, 0, 0, 2, 0, 4, 1, 2, 1}}}};
  all["flip"] = {{{cube}, {.axes = {0, 2}}}};
  all["squeeze"] = {{{random_array({1, 3, 1}, -2, 2)}, {.axes = {0, 2}}}};
  all["reshape"] = {{{cube}, {.dims = {4, 6}}}, {{random_array({1, 1}, -2, 2)}, {}}};
  all["pad"] = {
      {{random_array({2, 3}, -2, 2), random_array({}, 5, 6)}, {.dims = {1, 0, 0, 2, 0, 1}}},
      {{random_array({2, 0}, -2, 2), random_array({}, 5, 6)}, {.dims = {0, 1, 0, 1, 3, 2}}}};
  all["concatenate"] = {{{random_array({2, 3}, -2, 2, 1), random_array({2, 1}, -2, 2, 2),
                          random_array({2, 0}, -2, 2, 3)},
                         {.axes = {1}}}};

  for (const char* name : {"reduce_sum", "reduce_max", "reduce_min"})
    all[name] = of_reduction(-2, 2);
  all["reduce_prod"] = of_reduction(0.5, 1.5);
  for (const char* name : {"reduce_and", "reduce_or"})
    all[name] = {{{random_ints({3, 4}, 0, 15, 1)}, {.axes = {1}}},
                 {{bool_array({2, 2}, {true, false, true, true})}, {.axes = {0}}}};

  for (const char* name : {"scan_sum", "scan_max", "scan_min", "scan_log_sum_exp"})
    all[name] = of_scan({cube});
  all["scan_prod"] = of_scan({cube});
  ArrayValue with_zeros = cube;
  for (const int64_t place : {0, 5, 7, 17, 22}) with_zeros.as<double>()[place] = 0;
  for (const Sample& sample : of_scan({with_zeros})) all["scan_prod"].push_back(sample);
  all["scan_linear"] = of_scan({with_zeros, random_array({2, 3, 4}, -2, 2, 2)});
  for (const Sample& sample : of_reduction(-2, 2)) {
    all["reduce_prod"].push_back(sample);
    all["reduce_prod"].back().arguments[0] = with_zeros;
  }

  // Repeated and unordered indices; scatter_set's are distinct.
  const ArrayValue rows = int_array({2, 3}, {2, 0, 2, 1, 2, 0});
  const ArrayValue columns = int_array({2, 3}, {3, 1, 3, 0, 2, 1});
  all["gather"] = {{{random_array({3, 4}, -2, 2), rows, columns}}};
  all["scatter_add"] = of_scatter(rows, columns);
  for (const char* name : {"scatter_prod", "scatter_max", "scatter_min"})
    all[name] = of_scatter(rows, columns);
  all["scatter_set"] = of_scatter(rows, int_array({2, 3}, {3, 1, 1, 0, 2, 0}));
  all["contract"] = {{{random_array({2, 3}, -2, 2, 1), random_array({3, 4}, -2, 2, 2)}},
                     {{random_array({2, 2, 3}, -2, 2, 1), random_array({2, 3, 1}, -2, 2, 2)}}};
  all["block_scan"] = of_block_scan();
  return all;
}

}  // namespace

ArrayValue complex_array(ArrayValue parts) {
  parts.dtype = complex_dtype(parts.dtype);
  parts.shape.pop_back();
  return parts;
}
ArrayValue real_array(ArrayValue array) {
  if (!is_complex(array.dtype)) return array;
  array.dtype = real_dtype(array.dtype);
  array.shape.push_back(2);
  return array;
}

std::vector<Sample> samples_of(std::string_view row) {
  static const auto kSamples = make_samples();
  const auto found = kSamples.find(row);
  return found == kSamples.end() ? std::vector<Sample>() : found->second;
}

ir::ArrayValue float_array(Ints shape, std::initializer_list<double> values) {
  ArrayValue out(DType::Float64, std::move(shape));
  std::copy(values.begin(), values.end(), out.as<double>());
  return out;
}
ir::ArrayValue int_array(Ints shape, std::initializer_list<int64_t> values) {
  ArrayValue out(DType::Int64, std::move(shape));
  std::copy(values.begin(), values.end(), out.as<int64_t>());
  return out;
}
ir::ArrayValue bool_array(Ints shape, std::initializer_list<bool> values) {
  ArrayValue out(DType::Bool, std::move(shape));
  std::copy(values.begin(), values.end(), out.as<uint8_t>());
  return out;
}
ir::ArrayValue random_array(Ints shape, double low, double high, uint64_t seed) {
  ArrayValue out(DType::Float64, std::move(shape));
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> uniform(low, high);
  for (int64_t i = 0; i < out.size(); ++i) out.as<double>()[i] = uniform(random);
  return out;
}

std::vector<ir::Expr> add_parameters(ir::Builder& builder,
                                     const std::vector<ir::ArrayValue>& arguments) {
  std::vector<ir::Expr> parameters;
  for (const ArrayValue& a : arguments)
    parameters.push_back(builder.parameter(a.dtype, ir::Shape(a.shape.begin(), a.shape.end())));
  return parameters;
}

ir::Program program_of(const ir::Primitive& row, const Sample& sample) {
  ir::Builder builder;
  const std::vector<ir::Expr> parameters = add_parameters(builder, sample.arguments);
  const ir::Expr result = builder.add(&row, parameters, sample.attributes);
  return builder.finish({&result, 1});
}

}  // namespace flambeau::testing
