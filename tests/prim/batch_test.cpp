// The batching rule of every row of the table: a batched program equals the program on each member.

#include <gtest/gtest.h>

#include "ir/array.h"
#include "prim/build.h"
#include "prim/vjp.h"
#include "tests/prim/samples.h"

namespace flambeau::testing {
namespace {

using ir::ArrayValue;
using ir::Program;
using prim::operator+;
using prim::operator/;

constexpr int64_t kBatch = 3;

/// Member number `i` of a batch that starts with `a`: floats moved a little, others as they are
/// but rolled by one, which keeps indices in range.
ArrayValue member(const ArrayValue& a, int64_t i) {
  if (is_complex(a.dtype)) return complex_array(member(real_array(a), i));
  ArrayValue out = a;
  for (int64_t e = 0; e < a.size(); ++e) {
    if (a.dtype == DType::Float64)
      out.as<double>()[e] += 0.01 * static_cast<double>(i);
    else
      ir::set_element(out, e, ir::element(a, (e + i) % a.size()));
  }
  return out;
}

ArrayValue stack(const std::vector<ArrayValue>& members) {
  Ints shape = members[0].shape;
  shape.insert(0, static_cast<int64_t>(members.size()));
  ArrayValue out(members[0].dtype, shape);
  out.data.clear();
  for (const ArrayValue& m : members) out.data.insert(out.data.end(), m.data.begin(), m.data.end());
  return out;
}

/// Compares `program` batched in the parameters of `flags` with the program on each member.
void check_batch(const Program& program, const std::vector<ArrayValue>& arguments,
                 const std::vector<bool>& flags, const std::string& what) {
  std::vector<ArrayValue> batched_arguments;
  std::vector<std::vector<ArrayValue>> members(kBatch);
  SmallVector<bool, 8> batched;
  for (size_t p = 0; p < arguments.size(); ++p) {
    batched.push_back(flags[p]);
    std::vector<ArrayValue> own;
    for (int64_t i = 0; i < kBatch; ++i) own.push_back(member(arguments[p], flags[p] ? i : 0));
    for (size_t i = 0; i < own.size(); ++i) members[i].push_back(own[i]);
    batched_arguments.push_back(flags[p] ? stack(own) : own[0]);
  }
  const Program rewritten = prim::batch(program, batched);
  ir::verify(rewritten);
  const ArrayValue got = ir::interpret(rewritten, batched_arguments, {}, {})[0];
  std::vector<ArrayValue> wanted;
  for (const auto& own : members) wanted.push_back(ir::interpret(program, own, {}, {})[0]);
  const ArrayValue all = stack(wanted);
  EXPECT_EQ(got.shape, all.shape) << what;
  EXPECT_EQ(got.data, all.data) << what;
}

TEST(Batch, EveryRowOnEveryChoiceOfBatchedOperands) {
  for (const ir::Primitive* row : ir::all_primitives())
    for (const Sample& sample : samples_of(row->name)) {
      const Program program = program_of(*row, sample);
      const size_t choices = size_t{1} << sample.arguments.size();
      for (size_t choice = 1; choice < choices; ++choice) {
        std::vector<bool> flags;
        for (size_t p = 0; p < sample.arguments.size(); ++p)
          flags.push_back((choice >> p & 1) != 0);
        check_batch(program, sample.arguments, flags,
                    std::string(row->name) + ", choice " + std::to_string(choice));
      }
    }
}

TEST(Batch, ResultsThatDependOnNoBatchedParameterCarryTheBatch) {
  ir::Builder builder;
  const ir::Expr a = builder.parameter(DType::Float64, {2});
  const ir::Expr b = builder.parameter(DType::Float64, {4});
  const std::vector<ir::Expr> results{prim::exp(b), prim::exp(a)};
  const Program program = builder.finish(results);
  const bool flags[] = {true, false};
  const Program rewritten = prim::batch(program, flags);
  EXPECT_EQ(rewritten.nodes[static_cast<size_t>(rewritten.results[0])].type.shape,
            (ir::Shape{ir::Dim::size(0, 0), ir::Dim(4)}));
}

TEST(Batch, SizesOfBatchedParametersMoveByOneAxis) {
  ir::Builder builder;
  const ir::Dim rows = ir::Dim::size(0, 0);
  const ir::Dim columns = ir::Dim::size(0, 1);
  const ir::Expr x = builder.parameter(DType::Float64, {rows, columns});
  const ir::Expr b = builder.parameter(DType::Float64, {columns});
  const int64_t axes[] = {1};
  // Row means of x + b, with the count as a value.
  const ir::Expr total = prim::sum(x + b, axes, false);
  const ir::Expr count = prim::convert(prim::extent(builder, columns), DType::Float64);
  const ir::Expr mean = total / count;
  const Program program = builder.finish({&mean, 1});
  const std::vector<ArrayValue> arguments{random_array({2, 5}, -1, 1), random_array({5}, -1, 1, 2)};
  check_batch(program, arguments, {true, false}, "x");
  check_batch(program, arguments, {true, true}, "x and b");
}

}  // namespace
}  // namespace flambeau::testing
