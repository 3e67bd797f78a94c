#include "ir/program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <random>

#include "base/error.h"
#include "base/half.h"
#include "ir/interpreter.h"
#include "tests/ir/rows.h"

namespace flambeau::ir {
namespace {

using testing::HasSubstr;

Expr add(Builder& builder, const Primitive* row, std::initializer_list<Expr> arguments,
         Attributes attributes = {}) {
  return builder.add(row, std::span<const Expr>(arguments.begin(), arguments.size()),
                     std::move(attributes));
}

/// Row sums of x + x, and a number.
Program sample() {
  Builder b;
  const Expr x = b.parameter(DType::Float32, {Dim::size(0, 0), Dim::size(0, 1)});
  const Expr n = b.number(DType::Float64);
  const Expr twice = add(b, rows::sum(), {x, x});
  const Expr total = add(b, rows::add_up(), {twice}, {.axes = {1}});
  return b.finish(std::initializer_list<Expr>{total, n});
}

constexpr const char* kSampleText = R"(program(p0: f32[s0.0, s0.1], x0: f64) {
  %0 = parameter : f32[s0.0, s0.1]
  %1 = number : f64[]
  %2 = test_sum %0, %0 : f32[s0.0, s0.1]
  %3 = test_add_up %2 {axes=[1]} : f32[s0.0]
  return %3, %1
}
)";

TEST(Builder, SharesEqualNodes) {
  Builder b;
  const Expr x = b.parameter(DType::Float32, {Dim(3)});
  const Expr y = b.parameter(DType::Float32, {Dim(3)});
  const Expr sum = add(b, rows::sum(), {x, y});
  EXPECT_EQ(add(b, rows::sum(), {x, y}).id(), sum.id());
  EXPECT_NE(add(b, rows::sum(), {y, x}).id(), sum.id());
  EXPECT_NE(add(b, rows::product(), {x, y}).id(), sum.id());
  const auto literal = [&](const Scalar& value) {
    return add(b, rows::literal(), {}, {.value = value}).id();
  };
  EXPECT_EQ(literal(1.0), literal(1.0));
  EXPECT_NE(literal(0.0), literal(-0.0));
  EXPECT_NE(literal(true), literal(1));
  // Parameters of one type are still two.
  EXPECT_NE(x.id(), y.id());
}

TEST(Builder, FinishDropsDeadNodesButNoParameter) {
  Builder b;
  const Expr x = b.parameter(DType::Float32, {Dim(3)});
  b.parameter(DType::Int64, {});
  b.number(DType::Bool);
  add(b, rows::product(), {x, x});
  const Expr sum = add(b, rows::sum(), {x, x});
  const Program program = b.finish(std::initializer_list<Expr>{sum});
  EXPECT_EQ(program.nodes.size(), 4u);
  EXPECT_EQ(program.nodes.back().primitive, rows::sum());
  EXPECT_EQ(program.parameters.size(), 2u);
  EXPECT_EQ(program.numbers.size(), 1u);
  verify(program);
}

TEST(Builder, ContinuesAProgram) {
  const Program program = sample();
  Builder b(program);
  const Expr x = b.expr(0);
  EXPECT_EQ(add(b, rows::sum(), {x, x}).id(), 2);
  EXPECT_EQ(b.parameter(DType::Bool, {}).node().attributes.index, 1);
}

TEST(Builder, RejectsWrongOperands) {
  Builder b, other;
  const Expr x = b.parameter(DType::Float32, {Dim(3)});
  const Expr y = other.parameter(DType::Float32, {Dim(3)});
  EXPECT_THROW(add(b, rows::sum(), {x}), InternalError);
  EXPECT_THROW(add(b, rows::sum(), {x, y}), InternalError);
  EXPECT_THROW(add(b, rows::sum(), {x, Expr()}), InternalError);
  EXPECT_THROW(b.number(DType::Float32), InternalError);
  EXPECT_THROW(b.finish(std::initializer_list<Expr>{y}), InternalError);
  EXPECT_THROW(x.dim(1), InternalError);
  EXPECT_EQ(x.dim(-1), Dim(3));
}

TEST(Registry, FindsRowsByNameInOrder) {
  EXPECT_EQ(find_primitive("test_sum"), rows::sum());
  EXPECT_EQ(find_primitive("no such row"), nullptr);
  EXPECT_EQ(find_primitive("parameter"), parameter_row());
  const auto all = all_primitives();
  for (size_t i = 1; i < all.size(); ++i) EXPECT_LT(all[i - 1]->name, all[i]->name);
  EXPECT_THROW(RegisterPrimitive{*rows::sum()}, InternalError);
}

TEST(ProgramText, IsWhatTheHeaderSays) { EXPECT_EQ(sample().text(), kSampleText); }

TEST(ProgramText, ReadsBack) {
  const Program program = parse_program(kSampleText);
  EXPECT_EQ(program.text(), kSampleText);
  EXPECT_EQ(program.hash(), sample().hash());
  verify(program);
}

TEST(ProgramText, KeepsEveryBitOfAValue) {
  const double payload = std::bit_cast<double>(uint64_t{0xfff0000000000123});
  const Scalar values[] = {true,
                           false,
                           5,
                           std::numeric_limits<int64_t>::min(),
                           0.0,
                           -0.0,
                           1.0,
                           0.1,
                           5e-324,
                           1e300,
                           1e22,
                           HUGE_VAL,
                           -HUGE_VAL,
                           std::numeric_limits<double>::quiet_NaN(),
                           -std::numeric_limits<double>::quiet_NaN(),
                           payload};
  for (const Scalar& value : values) {
    Builder b;
    const Expr e = add(b, rows::literal(), {}, {.dims = {Dim::integer(0), Dim(2)}, .value = value});
    const Program program = b.finish(std::initializer_list<Expr>{e});
    const Program back = parse_program(program.text());
    EXPECT_TRUE(back.nodes[0].attributes.value == value) << program.text();
    EXPECT_EQ(back.hash(), program.hash());
  }
}

TEST(ProgramText, NestsBodies) {
  Builder b;
  const Expr x = b.parameter(DType::Float32, {Dim(2)});
  const Expr sum =
      add(b, rows::sum(), {x, x}, {.index = -3, .body = std::make_shared<const Program>(sample())});
  const Program program = b.finish(std::initializer_list<Expr>{sum});
  const Program back = parse_program(program.text());
  EXPECT_EQ(back.text(), program.text());
  EXPECT_EQ(back.hash(), program.hash());
  EXPECT_TRUE(back.nodes[1].attributes == program.nodes[1].attributes);
}

void expect_text_error(const std::string& text, const std::string& message) {
  try {
    parse_program(text);
    FAIL() << "no error for " << text;
  } catch (const ValueError& error) {
    EXPECT_EQ(std::string(error.what()), "program text: " + message);
  }
}

TEST(ProgramText, ErrorsSayWhere) {
  expect_text_error("", "line 1, column 1: expected 'program', not the end");
  expect_text_error("program() {\n  %0 = nothing : f32[]\n}",
                    "line 2, column 8: expected a primitive, not 'nothing : f32[]'");
  expect_text_error(
      "program() {\n  %1 = number : f32[]\n}",
      "line 2, column 3: expected %0, the number of this node, not '%1 = number : f3'");
  expect_text_error("program() {\n  %0 = test_sum %0 : f32[]\n}",
                    "line 2, column 17: expected a node above this one, not '%0 : f32[]'");
  expect_text_error("program(p0: f33[]) {", "line 1, column 13: expected a dtype, not 'f33[]) {'");
  expect_text_error("program(p0: f32[s0]) {", "line 1, column 19: expected an extent, not ']) {'");
  expect_text_error("program() {\n  return %0\n}",
                    "line 2, column 10: expected a node of the program, not '%0'");
  expect_text_error("program() {\n  return\n} x", "line 3, column 3: expected the end, not 'x'");
  std::string deep;
  for (int i = 0; i < 1000; ++i) deep += "program() { %0 = number {body=";
  EXPECT_THROW(parse_program(deep), ValueError);
}

TEST(ProgramText, DamagedTextNeverCrashes) {
  const std::string text = parse_program(kSampleText).text() + "// note\n";
  const std::string letters = "%{}[](),:=0129psxn.+-/ \nabe";
  std::mt19937 engine(5);
  int read = 0;
  for (int i = 0; i < 8000; ++i) {
    std::string damaged = text;
    for (size_t edits = 1 + engine() % 3; edits > 0; --edits) {
      const size_t at = engine() % damaged.size();
      const char letter = letters[engine() % letters.size()];
      switch (engine() % 3) {
        case 0:
          damaged[at] = letter;
          break;
        case 1:
          damaged.insert(at, 1, letter);
          break;
        default:
          damaged.erase(at, 1 + engine() % 8);
          break;
      }
    }
    try {
      const Program program = parse_program(damaged);
      ++read;
      EXPECT_EQ(parse_program(program.text()).hash(), program.hash());
      verify(program);
    } catch (const ValueError&) {
    } catch (const InternalError&) {
      // verify's: the text is well formed, the program is not
    }
  }
  EXPECT_GT(read, 0);
}

struct BrokenRule {
  const char* rule;
  std::function<void(Program&)> damage;
};

TEST(Verify, RejectsEveryBrokenRule) {
  const BrokenRule rules[] = {
      {"a node has a primitive", [](Program& p) { p.nodes[2].primitive = nullptr; }},
      {"the number of operands", [](Program& p) { p.nodes[2].arguments.pop_back(); }},
      {"operands come before", [](Program& p) { p.nodes[2].arguments[0] = 2; }},
      {"operands come before", [](Program& p) { p.nodes[2].arguments[0] = -1; }},
      {"a parameter has the program's type",
       [](Program& p) { p.parameters[0].dtype = DType::Float64; }},
      {"a number has the program's dtype", [](Program& p) { p.numbers[0] = DType::Int64; }},
      {"a number of a call is", [](Program& p) { p.numbers[0] = DType::Int8; }},
      {"the index is in the program's range", [](Program& p) { p.nodes[0].attributes.index = 1; }},
      {"the index is in the program's range", [](Program& p) { p.nodes[0].attributes.index = -1; }},
      {"a parameter or number has one node", [](Program& p) { p.nodes.push_back(p.nodes[0]); }},
      {"every parameter has a node", [](Program& p) { p.parameters.push_back(p.parameters[0]); }},
      {"every number has a node", [](Program& p) { p.numbers.push_back(DType::Bool); }},
      {"elementwise operands have the node's shape",
       [](Program& p) { p.nodes[2].type.shape.pop_back(); }},
      {"the type is f32[s0.0]", [](Program& p) { p.nodes[3].type.dtype = DType::Int8; }},
      {"never fits",
       [](Program& p) {
         p.nodes[2].primitive = rows::strayed();
         p.nodes[2].arguments.pop_back();
       }},
      {"a size is of a parameter of the program",
       [](Program& p) { p.nodes[3].type.shape[0] = Dim::size(1, 0) + 1; }},
      {"a size is of an axis that the parameter has",
       [](Program& p) { p.nodes[3].attributes.dims.push_back(Dim::size(0, 2)); }},
      {"an integer argument's slot",
       [](Program& p) { p.parameters[0].shape[0] = Dim::integer(-1); }},
      {"a result is a node", [](Program& p) { p.results[0] = 4; }},
      {"every number has a node",
       [](Program& p) {
         Program body = sample();
         body.numbers.push_back(DType::Bool);
         p.nodes[3].attributes.body = std::make_shared<const Program>(body);
       }},
  };
  verify(sample());
  for (const auto& [rule, damage] : rules) {
    Program program = sample();
    damage(program);
    try {
      verify(program);
      ADD_FAILURE() << "accepted against the rule: " << rule;
    } catch (const InternalError& error) {
      EXPECT_THAT(error.what(), HasSubstr(rule));
    }
  }
}

TEST(Verify, QuotesTheNode) {
  Program program = sample();
  program.nodes[3].type.dtype = DType::Int8;
  try {
    verify(program);
    FAIL();
  } catch (const InternalError& error) {
    EXPECT_THAT(error.what(), HasSubstr("%3 = test_add_up %2 {axes=[1]} : i8[s0.0]"));
  }
}

TEST(ProgramHash, CoversEveryField) {
  const Hash128 original = sample().hash();
  const std::function<void(Program&)> changes[] = {
      [](Program& p) { p.nodes[2].primitive = rows::product(); },
      [](Program& p) { p.nodes[3].attributes.axes[0] = 0; },
      [](Program& p) { p.nodes[3].attributes.dims.push_back(0); },
      [](Program& p) { p.nodes[3].attributes.value = 1; },
      [](Program& p) { p.nodes[3].attributes.value = false; },
      [](Program& p) { p.nodes[3].attributes.index = 1; },
      [](Program& p) { p.nodes[3].attributes.body = std::make_shared<const Program>(); },
      [](Program& p) { p.nodes[3].type.dtype = DType::Int8; },
      [](Program& p) { p.nodes[3].type.shape[0] = Dim::size(0, 1); },
      [](Program& p) { p.parameters[0].shape[0] = 7; },
      [](Program& p) { p.numbers[0] = DType::Bool; },
      [](Program& p) { p.results.pop_back(); },
      [](Program& p) { p.nodes[2].arguments[1] = 1; },
  };
  for (const auto& change : changes) {
    Program program = sample();
    change(program);
    EXPECT_NE(program.hash(), original) << program.text();
  }
}

TEST(Interpret, RunsElementwiseAndStructuralNodes) {
  const Program program = sample();
  ArrayValue x(DType::Float32, {2, 3});
  for (int i = 0; i < 6; ++i) x.as<float>()[i] = static_cast<float>(i);
  const Scalar number = 2.5;
  const auto results = interpret(program, {&x, 1}, {&number, 1}, {});
  ASSERT_EQ(results.size(), 2u);
  EXPECT_EQ(results[0].shape, (Ints{2}));
  EXPECT_EQ(results[0].as<float>()[0], 6.0f);
  EXPECT_EQ(results[0].as<float>()[1], 24.0f);
  EXPECT_EQ(results[1].as<double>()[0], 2.5);
}

TEST(Interpret, RoundsHalvesOncePerNode) {
  Builder b;
  const Expr x = b.parameter(DType::BFloat16, {Dim::size(0, 0)});
  const Expr sum = add(b, rows::sum(), {x, x});
  const Expr wide = add(b, rows::to(), {sum}, {.index = static_cast<int>(DType::Float64)});
  const Program program = b.finish(std::initializer_list<Expr>{sum, wide});
  ArrayValue given(DType::BFloat16, {1});
  given.as<uint16_t>()[0] = float_to_bfloat16(0.1f);
  const auto results = interpret(program, {&given, 1}, {}, {});
  const float tenth = bfloat16_to_float(given.as<uint16_t>()[0]);
  EXPECT_EQ(results[0].as<uint16_t>()[0], float_to_bfloat16(tenth + tenth));
  EXPECT_EQ(results[1].as<double>()[0], static_cast<double>(tenth) * 2);
}

TEST(Interpret, RejectsArgumentsThatDoNotFit) {
  const Program program = sample();
  const Scalar number = 2.5;
  const ArrayValue flat(DType::Float32, {6});
  const ArrayValue wrong(DType::Float64, {2, 3});
  EXPECT_THROW(interpret(program, {&flat, 1}, {&number, 1}, {}), InternalError);
  EXPECT_THROW(interpret(program, {&wrong, 1}, {&number, 1}, {}), InternalError);
  EXPECT_THROW(interpret(program, {}, {&number, 1}, {}), InternalError);
}

}  // namespace
}  // namespace flambeau::ir
