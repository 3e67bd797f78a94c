#include "ir/loop_program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <functional>
#include <new>
#include <random>

#include "base/error.h"
#include "ir/order.h"
#include "tests/ir/rows.h"

namespace flambeau::ir {
namespace {

using testing::HasSubstr;

/// Each row's maximum added to its elements.
constexpr const char* kRows = R"(kernel(b0: f32 in, b1: f32 out) {
  parallel v0 {
    %0 = test_greatest v1 in i0 vector : f32 {
      %1 = load b0[v0 * i1 + v1 * 1] : f32
      yield %1
    }
    vector v2 in i0 {
      %2 = load b0[v0 * i1 + v2 * 1] : f32
      %3 = test_sum %2, %0 : f32
      store b1[v0 * i2 + v2 * 1], %3
    }
  }
}
)";

/// The sum of a part of rows that are counted by two indices, and its elements less it.
constexpr const char* kDigits = R"(kernel(b0: f32 in, b1: f32 out) {
  parallel v0 {
    %0 = index [v0 * 4] : i64
    %1 = test_add_up v1 in i0 as (v2, v3 in i1) from %0 vector : f32 {
      %2 = load b0[v2 * i2 + v3 * 1] : f32
      yield %2
    }
    vector v4 in i0 as (v5, v6 in i1) {
      %3 = load b0[v5 * i2 + v6 * 1] : f32
      %4 = test_sum %3, %1 : f32
      store b1[v0 * 4 + v5 * i1 + v6 * 1], %4
    }
  }
}
)";

/// Every kind of statement and every part of an index.
constexpr const char* kAll = R"(kernel(b0: f32 in, b1: f64 out, b2: i64 in) slots=9 values=40 {
  parallel v0 {
    parallel_inner v1 {
      %0 = index [v0 * i0 + v1 * 1 + 3] : i64
      %1 = constant 1 : i64
      %2 = test_less %0, %1 : b1
      %3 = load b2[%0 * 1 + -3] if %2 : i64
      %4 = load b0[v1 * 0 + %3 * i1 + i2] : f32
      %5 = test_to %4 {index=9} : f64
      %6 = slot i3 : f64
      %7 = test_product %5, %6 : f64
      %8 = test_add_up v2 in %3 serial tree : f64 {
        %9 = constant -0.0 : f64
        yield %9
      }
      serial v3 in 4 {
        store b1[v3 * 2 + i4], %8 if %2 nontemporal i5
      }
      store b1[0], %7 nontemporal i5
    }
  }
}
)";

TEST(Statement, IsAConstantUntilSomebodySaysElse) {
  // What lies in the memory that it gets must not count.
  alignas(Statement) std::array<std::byte, sizeof(Statement)> memory;
  memory.fill(static_cast<std::byte>(StatementKind::Store));
  auto* const statement = new (memory.data()) Statement;
  EXPECT_EQ(statement->kind, StatementKind::Constant);
  statement->~Statement();
}

TEST(LoopProgramText, ReadsBack) {
  for (const char* text : {kRows, kAll, kDigits}) {
    const LoopProgram program = parse_loop_program(text);
    verify(program);
    EXPECT_EQ(program.text(), text);
    EXPECT_EQ(parse_loop_program(program.text()).hash(), program.hash());
  }
  EXPECT_EQ(parse_loop_program(kAll).slot_count, 9);
  EXPECT_EQ(parse_loop_program(kAll).value_count, 40);
  EXPECT_EQ(parse_loop_program(kAll).variable_count, 4);
  EXPECT_EQ(parse_loop_program(kRows).slot_count, 3);
}

TEST(LoopProgramText, AReductionsDTypeMayBeLeftOut) {
  std::string text = kRows;
  const std::string with = "i0 vector : f32 {";
  text.replace(text.find(with), with.size(), "i0 vector {");
  EXPECT_EQ(parse_loop_program(text).text(), kRows);
}

TEST(LoopProgramText, ErrorsSayWhere) {
  const std::pair<const char*, const char*> cases[] = {
      {"kernel(b0: f32) {}", "line 1, column 15: expected 'in', not ') {}'"},
      {"kernel() {\n  loop v0 {", "line 2, column 3: expected a statement, not 'loop v0 {'"},
      {"kernel() {\n  %0 = load b0[0] : f32\n}",
       "line 2, column 13: expected a buffer of the kernel, not 'b0[0] : f32'"},
      {"kernel() {\n  %0 = test_add_up v0 in 3 serial : f32 {\n  }\n}",
       "line 3, column 3: expected yield, not '}'"},
  };
  for (const auto& [text, message] : cases) {
    try {
      parse_loop_program(text);
      ADD_FAILURE() << text;
    } catch (const ValueError& error) {
      EXPECT_EQ(std::string(error.what()), std::string("program text: ") + message);
    }
  }
  std::string deep = "kernel() {";
  for (int i = 0; i < 100000; ++i) deep += "serial v0 in 1 {";
  EXPECT_THROW(parse_loop_program(deep), ValueError);
}

TEST(LoopProgramText, DamagedTextNeverCrashes) {
  const std::string letters = "%{}[](),:=0129bvi.+-*/ \nadef";
  std::mt19937 engine(6);
  int read = 0;
  for (int i = 0; i < 8000; ++i) {
    std::string damaged = i % 2 == 0 ? kRows : kAll;
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
      const LoopProgram program = parse_loop_program(damaged);
      ++read;
      EXPECT_EQ(parse_loop_program(program.text()).hash(), program.hash()) << program.text();
      verify(program);
    } catch (const ValueError&) {
    } catch (const InternalError&) {
      // verify's: the text is well formed, the program is not
    }
  }
  EXPECT_GT(read, 100);
}

TEST(LoopVerify, RejectsEveryBrokenRule) {
  // Each case is a body of a kernel with an input b0: f32 and outputs b1: f32, b2: f16.
  const std::pair<const char*, const char*> cases[] = {
      {"a value is defined before", "store b1[0], %0"},
      {"a value is defined before", "serial v0 in 2 { %0 = constant 1.0 : f32 } store b1[0], %0"},
      {"a value is defined once", "%0 = constant 1.0 : f32 %0 = constant 1.0 : f32"},
      {"a variable is that of a loop around", "%0 = load b0[v0 * 1] : f32"},
      {"a variable is that of a loop around", "serial v0 in 2 { } %0 = index [v0 * 1] : i64"},
      {"a variable belongs to one loop", "serial v0 in 2 { } serial v0 in 2 { }"},
      {"a value in an index is i64", "%0 = constant 1.0 : f32 %1 = load b0[%0 * 1] : f32"},
      {"a mask is b1", "%0 = constant 1 : i64 %1 = load b0[0] if %0 : f32"},
      {"a mask is b1", "%0 = constant 1.0 : f32 store b1[0], %0 if %0"},
      {"a load has the buffer's dtype", "%0 = load b0[0] : f64"},
      {"a store is to an output", "%0 = constant 1.0 : f32 store b0[0], %0"},
      {"a stored value has the buffer's dtype", "%0 = constant 1.0 : f64 store b1[0], %0"},
      {"no store in a reduction",
       "%0 = test_add_up v0 in 2 serial { %1 = load b0[0] : f32 store b1[0], %1 yield %1 }"},
      {"stores past the caches have one slot",
       "%0 = constant 1.0 : f32 store b1[0], %0 nontemporal i0 store b1[1], %0 nontemporal i1"},
      {"a slot is read as", "%0 = slot i0 : f32"},
      {"an index is i64", "%0 = index [0] : f32"},
      {"the number of operands", "%0 = constant 1.0 : f32 %1 = test_sum %0 : f32"},
      {"the dtype is what the primitive infers",
       "%0 = constant 1.0 : f32 %1 = test_less %0, %0 : f32"},
      {"operands differ",
       "%0 = constant 1.0 : f32 %1 = constant 1.0 : f64 %2 = test_sum %0, %1 : f32"},
      {"a computation is an elementwise primitive", "%0 = test_literal : f64"},
      {"one parallel loop, the outermost", "serial v0 in 2 { parallel v1 { } }"},
      {"one parallel loop, the outermost", "parallel v0 { } parallel v1 { }"},
      {"one parallel_inner loop", "parallel_inner v0 { } parallel_inner v1 { }"},
      {"no vector loop in a vector loop", "vector v0 in 2 { vector v1 in 2 { } }"},
      {"no vector loop in a vector loop", "parallel_inner v0 { vector v1 in 2 { } }"},
      {"no vector reduction in a vector loop",
       "vector v0 in 2 { %0 = test_add_up v1 in 2 vector { %1 = load b0[0] : f32 yield %1 } }"},
      {"a reduction is vector or serial",
       "%0 = test_add_up v1 in 2 parallel { %1 = load b0[0] : f32 yield %1 }"},
      {"a reduction has the dtype of what it yields",
       "%0 = test_add_up v1 in 2 serial : f64 { %1 = load b0[0] : f32 yield %1 }"},
      {"a value is defined before", "%0 = test_add_up v1 in 2 serial : f32 { yield %0 }"},
      {"a reduction of 16-bit floats",
       "%0 = test_add_up v1 in 2 serial : f16 { %1 = load b2[0] : f16 yield %1 }"},
      {"a loop's extent is i64", "%0 = constant 1.0 : f32 serial v0 in %0 { }"},
  };
  for (const auto& [rule, body] : cases) {
    const LoopProgram program = parse_loop_program(
        std::string("kernel(b0: f32 in, b1: f32 out, b2: f16 out) slots=2 values=9 variables=9 {") +
        body + "}");
    try {
      verify(program);
      ADD_FAILURE() << "accepted against the rule: " << rule << "\n" << body;
    } catch (const InternalError& error) {
      EXPECT_THAT(error.what(), HasSubstr(rule));
    }
  }
}

TEST(LoopVerify, RejectsNumbersOutOfRange) {
  const auto rejects = [](const char* rule, auto damage) {
    LoopProgram program = parse_loop_program(kAll);
    damage(program);
    try {
      verify(program);
      ADD_FAILURE() << "accepted against the rule: " << rule;
    } catch (const InternalError& error) {
      EXPECT_THAT(error.what(), HasSubstr(rule));
    }
  };
  const auto statement = [](LoopProgram& p, size_t i) -> Statement& {
    return p.body[0].body[0].body[i];
  };
  rejects("a slot is in range", [](LoopProgram& p) { p.slot_count = 3; });
  rejects("a value's number is in range", [](LoopProgram& p) { p.value_count = 3; });
  rejects("a variable's number is in range", [](LoopProgram& p) { p.variable_count = 1; });
  rejects("a buffer is one of the kernel's", [](LoopProgram& p) { p.buffers.pop_back(); });
  rejects("a value's number is in range", [&](LoopProgram& p) { statement(p, 0).result = -1; });
  rejects("a stored value has", [&](LoopProgram& p) { statement(p, 10).arguments.clear(); });
  rejects("a computation is an elementwise primitive",
          [&](LoopProgram& p) { statement(p, 5).primitive = nullptr; });
  rejects("a reduction's primitive has",
          [&](LoopProgram& p) { statement(p, 8).primitive = rows::sum(); });
  rejects("a loop gives no value", [&](LoopProgram& p) { statement(p, 9).yield = 1; });
}

TEST(LoopProgramHash, CoversEveryField) {
  const LoopProgram original = parse_loop_program(kAll);
  const auto statement = [](LoopProgram& p, size_t i) -> Statement& {
    return p.body[0].body[0].body[i];
  };
  const std::function<void(LoopProgram&)> changes[] = {
      [](LoopProgram& p) { p.buffers[0].is_output = true; },
      [](LoopProgram& p) { p.buffers[0].dtype = DType::Int8; },
      [](LoopProgram& p) { ++p.slot_count; },
      [](LoopProgram& p) { ++p.value_count; },
      [](LoopProgram& p) { ++p.variable_count; },
      [](LoopProgram& p) { p.body[0].mark = LoopMark::Serial; },
      [&](LoopProgram& p) { statement(p, 0).index.offset = IntOperand::slot(3); },
      [&](LoopProgram& p) { statement(p, 0).index.terms[1].coefficient.value = 2; },
      [&](LoopProgram& p) { statement(p, 0).index.terms[1].variable = 0; },
      [&](LoopProgram& p) { statement(p, 3).index.dynamic[0].value = 1; },
      [&](LoopProgram& p) { statement(p, 1).attributes.value = 2; },
      [&](LoopProgram& p) { statement(p, 2).arguments[0] = 1; },
      [&](LoopProgram& p) { statement(p, 2).primitive = rows::sum(); },
      [&](LoopProgram& p) { statement(p, 3).mask = -1; },
      [&](LoopProgram& p) { statement(p, 3).buffer = 1; },
      [&](LoopProgram& p) { statement(p, 5).dtype = DType::Float32; },
      [&](LoopProgram& p) { statement(p, 6).slot = 1; },
      [&](LoopProgram& p) { statement(p, 10).slot = 4; },
      [&](LoopProgram& p) { statement(p, 8).order = ReduceOrder::Blocks; },
      [&](LoopProgram& p) { statement(p, 8).extent_value = -1; },
      [&](LoopProgram& p) { statement(p, 8).yield = 7; },
      [&](LoopProgram& p) { statement(p, 9).extent = IntOperand::slot(4); },
      [&](LoopProgram& p) { statement(p, 9).variable = 2; },
      [&](LoopProgram& p) { statement(p, 9).body.clear(); },
      [&](LoopProgram& p) { statement(p, 0).result = 39; },
      [&](LoopProgram& p) { statement(p, 10).kind = StatementKind::Load; },
  };
  for (const auto& change : changes) {
    LoopProgram program = original;
    change(program);
    EXPECT_NE(program.hash(), original.hash());
  }
}

TEST(LoopInterpret, RowsOfTheLaunchAlone) {
  const LoopProgram program = parse_loop_program(kRows);
  // 3 rows of 2, with strides 4 and 2; only rows 1 and 2 are launched.
  const float in[] = {1, 2, 0, 0, 5, 3, 0, 0, -7, -8, 0, 0};
  float out[] = {9, 9, 9, 9, 9, 9};
  void* buffers[] = {const_cast<float*>(in), out};
  const int64_t ints[] = {2, 4, 2};
  interpret(program, buffers, ints, 1, 3, 0, 0);
  EXPECT_THAT(out, testing::ElementsAre(9, 9, 10, 8, -14, -15));
}

TEST(LoopInterpret, DigitsOfALoopsVariable) {
  const LoopProgram program = parse_loop_program(kDigits);
  // Rows of 3 elements that begin 5 apart; each sum is of 4 elements, from number 0 and 4 on.
  const float in[] = {1, 2, 3, 0, 0, 4, 5, 6, 0, 0, 7, 8, 9};
  float out[8] = {};
  void* buffers[] = {const_cast<float*>(in), out};
  const int64_t ints[] = {4, 3, 5};
  interpret(program, buffers, ints, 0, 2, 0, 0);
  EXPECT_THAT(out, testing::ElementsAre(11, 12, 13, 14, 27, 28, 29, 30));
}

TEST(LoopVerify, DigitsBelongToOneLoop) {
  LoopProgram twice = parse_loop_program(kDigits);
  twice.body[0].body[2].digits[0].variable = 4;
  EXPECT_THROW(verify(twice), InternalError);
  LoopProgram of_launch = parse_loop_program(kDigits);
  of_launch.body[0].digits.push_back({of_launch.variable_count++, IntOperand::constant(0)});
  EXPECT_THROW(verify(of_launch), InternalError);
}

TEST(LoopProgramHash, CoversDigits) {
  const LoopProgram original = parse_loop_program(kDigits);
  const auto changed = [&](auto change) {
    LoopProgram program = original;
    change(program.body[0].body[1]);
    return program.hash();
  };
  EXPECT_NE(changed([](Statement& s) { s.digits_from = -1; }), original.hash());
  EXPECT_NE(changed([](Statement& s) { s.digits.pop_back(); }), original.hash());
  EXPECT_NE(changed([](Statement& s) { s.digits[1].extent.value = 2; }), original.hash());
}

TEST(LoopInterpret, MasksDynamicIndicesAndSlots) {
  const LoopProgram program = parse_loop_program(R"(kernel(b0: i64 in, b1: f32 in, b2: f32 out) {
    parallel_inner v0 {
      %0 = load b0[v0 * 1] : i64
      %1 = constant 0 : i64
      %2 = test_less %1, %0 : b1
      %3 = load b1[%0 * 2 + i0] if %2 : f32
      %4 = slot i1 : f64
      %5 = test_to %4 {index=8} : f32
      %6 = test_sum %3, %5 : f32
      store b2[v0 * 1], %6 if %2
    }
    %7 = slot i2 : b1
    %8 = constant 77.0 : f32
    store b2[5], %8 if %7
  })");
  verify(program);
  const int64_t which[] = {2, -1000000000, 1, 0};
  const float table[] = {0, 1, 2, 3, 4, 5};
  float out[] = {-1, -1, -1, -1, -1, -1};
  void* buffers[] = {const_cast<int64_t*>(which), const_cast<float*>(table), out};
  int64_t ints[] = {1, std::bit_cast<int64_t>(0.5), 1};
  interpret(program, buffers, ints, 0, 0, 0, 3);
  EXPECT_THAT(out, testing::ElementsAre(5.5f, -1, 3.5f, -1, -1, 77));
  ints[2] = 0;
  out[5] = -1;
  interpret(program, buffers, ints, 0, 0, 0, 0);
  EXPECT_EQ(out[5], -1);
}

TEST(LoopInterpret, ReducesInTheFixedOrder) {
  const LoopProgram whole = parse_loop_program(R"(kernel(b0: f32 in, b1: f32 out) {
    %0 = test_add_up v0 in i0 vector { %1 = load b0[v0 * 1] : f32 yield %1 }
    store b1[0], %0
  })");
  // The same in two kernels: a sum per block of 1,024, then the tree of these.
  const LoopProgram blocks = parse_loop_program(R"(kernel(b0: f32 in, b1: f32 out, b2: i64 in) {
    parallel v0 {
      %2 = load b2[v0 * 1] : i64
      %3 = test_add_up v1 in %2 serial { %1 = load b0[v0 * 1024 + v1 * 1] : f32 yield %1 }
      store b1[v0 * 1], %3
    }
  })");
  const LoopProgram tree = parse_loop_program(R"(kernel(b0: f32 in, b1: f32 out) {
    %0 = test_add_up v0 in i0 vector tree { %1 = load b0[v0 * 1] : f32 yield %1 }
    store b1[0], %0
  })");
  std::mt19937 engine(9);
  std::normal_distribution<float> normal;
  std::vector<float> values(5000);
  for (float& v : values) v = normal(engine);
  std::vector<Container> containers;
  for (const float v : values) containers.push_back(std::bit_cast<uint32_t>(v));

  for (const int64_t size : {0, 1, 33, 1024, 1025, 5000}) {
    const int64_t count = (size + 1023) / 1024;
    float once = -1, twice = -1;
    std::vector<float> sums(5);
    std::vector<int64_t> lengths;
    for (int64_t b = 0; b < count; ++b) lengths.push_back(std::min<int64_t>(1024, size - b * 1024));
    void* first[] = {values.data(), &once};
    interpret(whole, first, &size, 0, 0, 0, 0);
    void* second[] = {values.data(), sums.data(), lengths.data()};
    interpret(blocks, second, nullptr, 0, count, 0, 0);
    void* third[] = {sums.data(), &twice};
    interpret(tree, third, &count, 0, 0, 0, 0);
    const auto want = static_cast<uint32_t>(
        reduce_in_order(CoreOp::Add, DType::Float32, 0,
                        std::span<const Container>(containers).first(static_cast<size_t>(size))));
    EXPECT_EQ(std::bit_cast<uint32_t>(once), want) << size;
    EXPECT_EQ(std::bit_cast<uint32_t>(twice), want) << size;
  }
}

TEST(LoopInterpret, HalvesRoundOncePerComputation) {
  const LoopProgram program = parse_loop_program(R"(kernel(b0: bf16 in, b1: bf16 out) {
    %0 = load b0[0] : bf16
    %1 = load b0[1] : bf16
    %2 = test_sum %0, %1 : bf16
    store b1[0], %2
  })");
  verify(program);
  const uint16_t in[] = {0x3f80, 0x3b80};  // 1 and 2^-8: a tie, to even
  uint16_t out = 0;
  void* buffers[] = {const_cast<uint16_t*>(in), &out};
  interpret(program, buffers, nullptr, 0, 0, 0, 0);
  EXPECT_EQ(out, 0x3f80);
}

}  // namespace
}  // namespace flambeau::ir
