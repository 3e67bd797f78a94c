// Every core operation on every dtype, as vectors, tails and scalars, against ir/core_function.h.

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "ir/core_function.h"
#include "tests/codegen/kernel_run.h"
#include "tests/codegen/loop_builder.h"

namespace flambeau::test {
namespace {

using ir::Container;

constexpr DType kAllTypes[] = {DType::Bool,    DType::UInt8,  DType::Int8,    DType::Int16,
                               DType::Int32,   DType::Int64,  DType::Float16, DType::BFloat16,
                               DType::Float32, DType::Float64};

/// Values where operations go wrong: zeros, ties, bounds, NaN, infinities, subnormals.
std::vector<Container> special_values(DType dtype) {
  std::vector<Container> out;
  if (is_bool(dtype)) return {0, 1};
  const auto add = [&](double v) { out.push_back(ir::container_of(dtype, v)); };
  const auto bits = [&](uint64_t v) { out.push_back(ir::container_of_bits(dtype, v)); };
  for (const double v : {0.0, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 31.0, 33.0, 100.0, 127.0}) {
    add(v);
    if (info(dtype).is_signed) add(-v);
  }
  const auto width = 8 * size_of(dtype);
  const uint64_t top = uint64_t{1} << (width - 1);
  if (is_float(dtype)) {
    for (const double v : {0.5,
                           1.5,
                           2.5,
                           0.1,
                           1e-3,
                           1e3,
                           65504.0,
                           65519.0,
                           65520.0,
                           1e-8,
                           3e-5,
                           1e9,
                           2147483520.0,
                           2147483648.0,
                           4e9,
                           9.3e18,
                           1e30,
                           3.4e38,
                           3.5e38,
                           1e-40,
                           1e300,
                           1e-310,
                           256.0,
                           254.999,
                           1.0 + 0x1p-9,
                           1.0 + 0x1p-8 + 0x1p-40,
                           1.0 + 0x1p-11 + 0x1p-40,
                           1.0 + 3 * 0x1p-11 - 0x1p-40,
                           static_cast<double>(INFINITY),
                           static_cast<double>(NAN)}) {
      add(v);
      add(-v);
    }
    bits(1);        // the smallest subnormal
    bits(top | 1);  // and its negative
    bits(top - 1);  // NaN with all bits set
  } else {
    for (const uint64_t v :
         {top, top - 1, top + 1, ~uint64_t{1}, top >> 1, top >> 2, uint64_t{0x123456789abcdef},
          uint64_t{0xfedcba987654321}, (uint64_t{1} << 53) + 1, (uint64_t{1} << 55) + 0x800,
          uint64_t{0xff}, uint64_t{0x100}, uint64_t{0x7fff}, uint64_t{0x8000}})
      bits(v);
  }
  std::mt19937_64 random(7);
  for (int i = 0; i < 16; ++i) bits(random());
  return out;
}

bool same(DType dtype, Container a, Container b) {
  if (a == b) return true;
  return is_float(dtype) && std::isnan(ir::to_double(dtype, a)) &&
         std::isnan(ir::to_double(dtype, b));
}

struct Case {
  CoreOp op;
  DType result;
  DType operand;
};

bool is_defined(const Case& c) {
  try {
    ir::core_function(c.op, c.result, c.operand);
    return true;
  } catch (const InternalError&) {
    return false;
  }
}

/// Runs the cases, which share an operand dtype, in one kernel on all pairs of special values.
void run_cases(Isa isa, DType operand, const std::vector<Case>& cases) {
  const std::vector<Container> special = special_values(operand);
  std::vector<std::array<Container, 3>> inputs;
  for (size_t i = 0; i < special.size(); ++i)
    for (size_t j = 0; j < special.size(); ++j)
      inputs.push_back({special[i], special[j], special[(i * 7 + j * 3) % special.size()]});
  while (inputs.size() % 32 != 29) inputs.push_back(inputs[inputs.size() / 2]);
  const auto count = static_cast<int64_t>(inputs.size());

  LoopBuilder b;
  int in[3];
  for (int& buffer : in) buffer = b.buffer(operand);
  std::vector<int> out;
  for (const Case& c : cases) out.push_back(b.buffer(c.result, true));
  b.loop(LoopMark::ParallelInner, c(0), [&](LoopVar v) {
    ValueId x[3];
    for (int i = 0; i < 3; ++i) x[i] = b.load(in[i], {at(v)});
    for (size_t i = 0; i < cases.size(); ++i) {
      const Case& one = cases[i];
      ValueId value = -1;
      if (one.op == CoreOp::Select) {
        value = b.compute(core_row(one.op), one.result, {b.convert(DType::Bool, x[0]), x[1], x[2]});
      } else {
        switch (ir::core_arity(one.op)) {
          case 1:
            value = b.compute(core_row(one.op), one.result, {x[0]});
            break;
          case 2:
            value = b.compute(core_row(one.op), one.result, {x[0], x[1]});
            break;
          default:
            value = b.compute(core_row(one.op), one.result, {x[0], x[1], x[2]});
            break;
        }
      }
      b.store(out[i], {at(v)}, value);
    }
  });
  const auto kernel = load_kernel(codegen::compile(b.finish(), isa));

  const size_t size = size_of(operand);
  std::vector<GuardedBuffer> memory;
  for (size_t i = 0; i < 3; ++i) {
    memory.emplace_back(inputs.size() * size);
    for (size_t k = 0; k < inputs.size(); ++k)
      ir::store_element(operand, memory[i].data() + k * size, inputs[k][i]);
  }
  for (const Case& c : cases) memory.emplace_back(inputs.size() * size_of(c.result));
  std::vector<void*> buffers;
  for (GuardedBuffer& m : memory) buffers.push_back(m.data());
  kernel(buffers.data(), nullptr, 0, 1, 0, count);

  for (size_t i = 0; i < cases.size(); ++i) {
    const Case& one = cases[i];
    const ir::CoreFunction expected_of = ir::core_function(one.op, one.result, one.operand);
    int shown = 0;
    for (size_t k = 0; k < inputs.size() && shown < 3; ++k) {
      auto [a, second, third] = inputs[k];
      if (one.op == CoreOp::Select) a = ir::convert_element(DType::Bool, operand, a);
      const Container expected = expected_of(a, second, third);
      const Container got =
          ir::load_element(one.result, memory[3 + i].data() + k * size_of(one.result));
      if (same(one.result, got, expected)) continue;
      ++shown;
      ADD_FAILURE() << isa_name(isa) << ' ' << ir::name_of(one.op) << ' ' << info(one.operand).name
                    << " -> " << info(one.result).name << std::hex << " of " << a << ", " << second
                    << ", " << third << " at " << std::dec << k << std::hex << ": got " << got
                    << ", expected " << expected;
    }
  }
}

class CoreOps : public testing::TestWithParam<DType> {};

TEST_P(CoreOps, EqualTheCoreFunctions) {
  std::vector<Case> cases;
  for (int i = 0; i <= static_cast<int>(CoreOp::MulHigh); ++i) {
    const auto op = static_cast<CoreOp>(i);
    const bool changes = op == CoreOp::Convert || op == CoreOp::Bitcast;
    for (const DType result : kAllTypes) {
      const Case one{op, result, GetParam()};
      if (!changes && result != ir::Emitter::result_dtype(op, GetParam())) continue;
      if (is_defined(one)) cases.push_back(one);
    }
  }
  ASSERT_FALSE(cases.empty());
  for (const Isa isa : runnable_isas()) run_cases(isa, GetParam(), cases);
}

INSTANTIATE_TEST_SUITE_P(AllTypes, CoreOps, testing::ValuesIn(kAllTypes), [](const auto& info) {
  return std::string(flambeau::info(info.param).name);
});

}  // namespace
}  // namespace flambeau::test
