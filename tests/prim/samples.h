#pragma once
// Operands for every row of the primitive table, from which its tests are generated.

#include <initializer_list>
#include <string_view>
#include <vector>

#include "ir/interpreter.h"
#include "ir/program.h"

namespace flambeau::testing {

/// A row's operands. Float operands are Float64 unless a row takes no other.
struct Sample {
  std::vector<ir::ArrayValue> arguments;
  ir::Attributes attributes = {};
  double step = 1e-5;       ///< of the finite differences
  double tolerance = 1e-6;  ///< relative, or absolute below 1
};

/// At least one sample for each row but parameter and number; empty for an unknown row.
std::vector<Sample> samples_of(std::string_view row);

ir::ArrayValue float_array(Ints shape, std::initializer_list<double> values);
ir::ArrayValue int_array(Ints shape, std::initializer_list<int64_t> values);
ir::ArrayValue bool_array(Ints shape, std::initializer_list<bool> values);
/// Values without ties or integers in [low, high], the same for the same seed.
ir::ArrayValue random_array(Ints shape, double low, double high, uint64_t seed = 1);

/// The complex array whose parts are along the last axis of 2, and back (a real one: itself).
ir::ArrayValue complex_array(ir::ArrayValue parts);
ir::ArrayValue real_array(ir::ArrayValue array);

/// A builder with a parameter of the type of each of `arguments`.
std::vector<ir::Expr> add_parameters(ir::Builder& builder,
                                     const std::vector<ir::ArrayValue>& arguments);

/// The program of one node: `row` on the sample's operands as parameters.
ir::Program program_of(const ir::Primitive& row, const Sample& sample);

}  // namespace flambeau::testing
