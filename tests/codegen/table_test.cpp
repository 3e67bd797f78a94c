// Every elementwise row of the primitive table, compiled, against the interpreter.

#include <gtest/gtest.h>

#include <cmath>
#include <optional>

#include "base/error.h"
#include "ir/core_function.h"
#include "tests/codegen/kernel_run.h"
#include "tests/codegen/loop_builder.h"

namespace flambeau::test {
namespace {

constexpr DType kTypes[] = {DType::Bool,     DType::Int32,   DType::Int64,  DType::Float16,
                            DType::BFloat16, DType::Float32, DType::Float64};

/// The dtype that `row` infers for operands of `dtype`, or nothing if it takes none.
std::optional<DType> infer(const Primitive& row, size_t arity, DType dtype) {
  SmallVector<ir::Type, 4> types;
  for (size_t i = 0; i < arity; ++i) types.push_back({dtype, {}});
  try {
    ir::Attributes attributes;
    return row.infer(types, attributes).dtype;
  } catch (const Error&) {
    return std::nullopt;
  }
}

TEST(Table, EveryElementwiseRowEqualsTheInterpreter) {
  constexpr int64_t kCount = 3 * 32 + 29;
  int tested = 0;
  for (const DType dtype : kTypes) {
    LoopBuilder b;
    std::vector<const Primitive*> rows;
    int in[3];
    for (int& buffer : in) buffer = b.buffer(dtype);
    std::vector<std::pair<const Primitive*, DType>> usable;
    for (const Primitive* row : ir::all_primitives()) {
      const bool emits = row->cls == ir::PrimitiveClass::Elementwise && row->emit != nullptr;
      if (!emits || row->arity < 1 || row->arity > 3) continue;
      const auto result = infer(*row, static_cast<size_t>(row->arity), dtype);
      if (result.has_value()) usable.emplace_back(row, *result);
    }
    std::vector<int> out;
    for (const auto& [row, result] : usable) out.push_back(b.buffer(result, true));
    b.loop(LoopMark::ParallelInner, c(0), [&](LoopVar v) {
      ValueId x[3];
      for (int i = 0; i < 3; ++i) x[i] = b.load(in[i], {at(v)});
      for (size_t i = 0; i < usable.size(); ++i) {
        const auto [row, result] = usable[i];
        const ValueId value = row->arity == 1   ? b.row(row, result, {x[0]})
                              : row->arity == 2 ? b.row(row, result, {x[0], x[1]})
                                                : b.row(row, result, {x[0], x[1], x[2]});
        b.store(out[i], {at(v)}, value);
      }
    });
    const ir::LoopProgram program = b.finish();
    ir::verify(program);

    std::mt19937_64 random(5);
    std::normal_distribution<double> normal(0, 10);
    std::vector<GuardedBuffer> expected, got;
    std::vector<void*> pointers[2];
    for (const ir::BufferInfo& info : program.buffers) {
      const size_t bytes = kCount * size_of(info.dtype);
      expected.emplace_back(bytes);
      got.emplace_back(bytes);
      pointers[0].push_back(expected.back().data());
      pointers[1].push_back(got.back().data());
    }
    for (size_t k = 0; k < 3; ++k) {
      for (int64_t i = 0; i < kCount; ++i) {
        const double special[] = {0.0,   -0.0, HUGE_VAL, -HUGE_VAL, std::nan(""),
                                  1e-42, 90,   -104,     1e5};
        const double v = i < 9 ? special[i] : i < 40 ? normal(random) / 40 : normal(random);
        ir::store_element(dtype, expected[k].data() + i * static_cast<int64_t>(size_of(dtype)),
                          ir::container_of(dtype, v));
      }
      std::memcpy(got[k].data(), expected[k].data(), got[k].size());
    }
    ir::interpret(program, pointers[0].data(), nullptr, 0, 1, 0, kCount);
    for (const Isa isa : runnable_isas()) {
      load_kernel(codegen::compile(program, isa))(pointers[1].data(), nullptr, 0, 1, 0, kCount);
      for (size_t i = 0; i < usable.size(); ++i) {
        const auto [row, result] = usable[i];
        ++tested;
        for (int64_t k = 0; k < kCount; ++k) {
          const int64_t at = k * static_cast<int64_t>(size_of(result));
          const auto want = ir::load_element(result, expected[3 + i].data() + at);
          const auto have = ir::load_element(result, got[3 + i].data() + at);
          const bool both_nan = is_float(result) && std::isnan(ir::to_double(result, want)) &&
                                std::isnan(ir::to_double(result, have));
          ASSERT_TRUE(want == have || both_nan)
              << isa_name(isa) << ' ' << row->name << ' ' << info(dtype).name << " element " << k
              << std::hex << ": got " << have << ", expected " << want;
        }
      }
    }
  }
  EXPECT_GT(tested, 100);
}

}  // namespace
}  // namespace flambeau::test
