// What a kernel must do that random programs reach seldom: exact order at each size, no
// contraction, work in place, and images that refuse outside symbols.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "base/error.h"
#include "base/half.h"
#include "codegen/image.h"
#include "ir/order.h"
#include "tests/codegen/kernel_run.h"
#include "tests/codegen/loop_builder.h"

namespace flambeau::test {
namespace {

constexpr DType kF32 = DType::Float32;
constexpr int64_t kSizes[] = {0,  1,  7,  8,   9,    15,   16,   17,   31,   32,  33,
                              63, 64, 65, 127, 1023, 1024, 1025, 2047, 3000, 9000};

std::vector<float> random_floats(size_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> out(count);
  for (float& v : out) v = normal(random);
  return out;
}

GuardedBuffer guarded(const std::vector<float>& values) {
  GuardedBuffer out(values.size() * sizeof(float));
  if (!values.empty()) std::memcpy(out.data(), values.data(), out.size());
  return out;
}

TEST(Levels, AtLeastOneRuns) {
  std::string ran;
  for (const Isa isa : runnable_isas()) ran += concat(' ', isa_name(isa));
  RecordProperty("levels", ran);
  printf("levels that ran:%s\n", ran.c_str());
  EXPECT_THAT(runnable_isas(), testing::Contains(Isa::Avx2));
}

TEST(Order, OfARowIsTheInterpretersAtEverySize) {
  LoopBuilder b;
  const int x = b.buffer(kF32), out = b.buffer(kF32, true);
  const IntOperand length = b.slot();
  b.loop(LoopMark::Parallel, c(0), [&](LoopVar) {
    b.store(out, {}, b.reduce(CoreOp::Add, LoopMark::Vector, length, [&](LoopVar v) {
      return b.load(x, {at(v)});
    }));
  });
  const ir::LoopProgram program = b.finish();
  for (const Isa isa : runnable_isas()) {
    const auto kernel = load_kernel(codegen::compile(program, isa));
    for (const int64_t size : kSizes) {
      const std::vector<float> values = random_floats(static_cast<size_t>(size), 3);
      GuardedBuffer row = guarded(values), result(sizeof(float));
      void* const buffers[] = {row.data(), result.data()};
      kernel(buffers, &size, 0, 1, 0, 0);
      std::vector<ir::Container> containers;
      for (const float v : values) containers.push_back(ir::load_element(kF32, &v));
      EXPECT_EQ(ir::load_element(kF32, result.data()),
                ir::reduce_in_order(CoreOp::Add, kF32, 0, containers))
          << isa_name(isa) << ' ' << size;
    }
  }
}

// NaNs of either sign and zeros of both: the maximum of a row has a way of its own.
TEST(Order, TheMaximumOfARowHasTheBitsOfTheOperation) {
  for (const DType dtype : {DType::Float32, DType::Float64}) {
    LoopBuilder b;
    const int x = b.buffer(dtype), out = b.buffer(dtype, true);
    const IntOperand length = b.slot();
    b.loop(LoopMark::Parallel, c(0), [&](LoopVar) {
      b.store(out, {}, b.reduce(CoreOp::Max, LoopMark::Vector, length, [&](LoopVar v) {
        return b.load(x, {at(v)});
      }));
    });
    const ir::LoopProgram program = b.finish();
    const size_t bytes = size_of(dtype);
    const auto of = [&](double value) { return ir::container_of(dtype, Scalar(value)); };
    const ir::Container sign = of(-0.0), nan = of(std::nan(""));
    // What most elements are, and what single ones among them are.
    const ir::Container common[] = {of(-1), sign, of(0), of(-INFINITY)};
    const ir::Container rare[] = {of(0), sign, of(1), of(INFINITY), nan, nan | sign, nan | 5};
    std::mt19937_64 random(7);
    for (const Isa isa : runnable_isas()) {
      const auto kernel = load_kernel(codegen::compile(program, isa));
      for (const int64_t size : kSizes)
        for (const ir::Container usual : common)
          for (int rares = 0; rares < 12; ++rares) {
            std::vector<ir::Container> values(static_cast<size_t>(size), usual);
            const bool is_mixed = rares > 8;
            for (size_t i = 0; i < (is_mixed ? values.size() : rares > 0); ++i)
              if (size > 0 && (!is_mixed || random() % 8 == 0))
                values[random() % values.size()] =
                    rare[is_mixed ? random() % 2 : random() % std::size(rare)];
            GuardedBuffer row(values.size() * bytes), result(bytes);
            for (size_t i = 0; i < values.size(); ++i)
              ir::store_element(dtype, row.data() + i * bytes, values[i]);
            void* const buffers[] = {row.data(), result.data()};
            kernel(buffers, &size, 0, 1, 0, 0);
            ir::Container expected = ir::reduce_in_order(CoreOp::Max, dtype, of(-INFINITY), values);
            // The interpreter's NaN is the default one, that of kernels has all bits set.
            if (expected == nan) expected = ~ir::Container{0} >> (64 - 8 * bytes);
            ASSERT_EQ(ir::load_element(dtype, result.data()), expected)
                << isa_name(isa) << ' ' << info(dtype).name << ' ' << size << ' ' << usual;
          }
    }
  }
}

/// Sums of rows of erf(erf(...)), and the values themselves.
ir::LoopProgram sums_of_erf(int times) {
  const Primitive* const erf = ir::find_primitive("erf");
  LoopBuilder b;
  const int x = b.buffer(kF32), values = b.buffer(kF32, true), sums = b.buffer(kF32, true);
  const IntOperand length = b.slot(), row = b.slot();
  b.loop(LoopMark::Parallel, c(0), [&](LoopVar r) {
    const auto value = [&](LoopVar v) {
      ValueId y = b.load(x, {at(r, row), at(v)});
      for (int i = 0; i < times; ++i) y = b.row(erf, kF32, {y});
      return y;
    };
    const ValueId sum = b.reduce(CoreOp::Add, LoopMark::Vector, length, value);
    b.loop(LoopMark::Vector, length,
           [&](LoopVar v) { b.store(values, {at(r, row), at(v)}, value(v)); });
    b.store(sums, {at(r)}, sum);
  });
  return b.finish();
}

// Several steps side by side, and what is written later is fetched: long passes alone, the longest
// more of them.
class LongPasses : public testing::TestWithParam<int> {};
TEST_P(LongPasses, AddInTheInterpretersOrderAtEverySize) {
  const ir::LoopProgram program = sums_of_erf(GetParam());
  constexpr int64_t kRows = 3;
  std::vector<int64_t> sizes(std::begin(kSizes), std::end(kSizes));
  sizes.insert(sizes.end(),
               {95, 96, 97, 127, 128, 129, 223, 224, 256, 257, 1087, 1088, 4095, 4097});
  for (const Isa isa : runnable_isas()) {
    const auto kernel = load_kernel(codegen::compile(program, isa));
    for (const int64_t size : sizes) {
      const auto count = static_cast<size_t>(kRows * size);
      GuardedBuffer rows = guarded(random_floats(count, 3));
      GuardedBuffer given(count * sizeof(float)), results(kRows * sizeof(float));
      void* const buffers[] = {rows.data(), given.data(), results.data()};
      const int64_t ints[] = {size, size};
      kernel(buffers, ints, 0, kRows, 0, 0);
      for (int64_t r = 0; r < kRows; ++r) {
        std::vector<ir::Container> containers;
        for (int64_t i = r * size; i < (r + 1) * size; ++i)
          containers.push_back(
              ir::load_element(kF32, given.data() + static_cast<size_t>(i) * sizeof(float)));
        EXPECT_EQ(ir::load_element(kF32, results.data() + static_cast<size_t>(r) * sizeof(float)),
                  ir::reduce_in_order(CoreOp::Add, kF32, 0, containers))
            << isa_name(isa) << ' ' << size << ' ' << r;
      }
    }
  }
}
INSTANTIATE_TEST_SUITE_P(Order, LongPasses, testing::Values(1, 4));

TEST(Order, OfColumnsIsTheInterpretersAtEverySize) {
  LoopBuilder b;
  const int x = b.buffer(kF32), out = b.buffer(kF32, true);
  const IntOperand length = b.slot(), width = b.slot();
  b.loop(LoopMark::ParallelInner, c(0), [&](LoopVar column) {
    b.store(out, {at(column)}, b.reduce(CoreOp::Add, LoopMark::Serial, length, [&](LoopVar v) {
      return b.load(x, {at(v, width), at(column)});
    }));
  });
  const ir::LoopProgram program = b.finish();
  constexpr int64_t kWidth = 83;
  for (const Isa isa : runnable_isas()) {
    const auto kernel = load_kernel(codegen::compile(program, isa));
    for (const int64_t size : kSizes) {
      const std::vector<float> values = random_floats(static_cast<size_t>(size * kWidth), 4);
      GuardedBuffer matrix = guarded(values), result(kWidth * sizeof(float));
      void* const buffers[] = {matrix.data(), result.data()};
      const int64_t ints[] = {size, kWidth};
      kernel(buffers, ints, 0, 1, 0, kWidth);
      for (int64_t column = 0; column < kWidth; ++column) {
        std::vector<ir::Container> containers;
        for (int64_t i = 0; i < size; ++i)
          containers.push_back(
              ir::load_element(kF32, &values[static_cast<size_t>(i * kWidth + column)]));
        ASSERT_EQ(ir::load_element(kF32, result.data() + column * 4),
                  ir::reduce_in_order(CoreOp::Add, kF32, 0, containers))
            << isa_name(isa) << ' ' << size << ' ' << column;
      }
    }
  }
}

// The CPU's conversion to bfloat16 makes zeros of denormal numbers; ours does not.
TEST(Arithmetic, EveryFloatRoundsToBFloat16) {
  LoopBuilder b;
  const int x = b.buffer(kF32), out = b.buffer(DType::BFloat16, true);
  b.loop(LoopMark::ParallelInner, c(0),
         [&](LoopVar v) { b.store(out, {at(v)}, b.convert(DType::BFloat16, b.load(x, {at(v)}))); });
  // Neighbours of every bfloat16 number, of halfway values and of numbers in between: normal,
  // denormal and mixed vectors, and a rest.
  std::vector<float> values;
  for (const uint32_t low : {0x0000u, 0x0001u, 0x1234u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu})
    for (uint32_t high = 0; high < 0x10000; ++high)
      values.push_back(std::bit_cast<float>(high << 16 | low));
  for (uint32_t i = 0; i < 999; ++i)
    values.push_back(std::bit_cast<float>(i % 97 == 0 ? i << 14 : 0x3f800000 + (i << 12)));
  for (const Isa isa : runnable_isas()) {
    const auto kernel = load_kernel(codegen::compile(b.finish(), isa));
    GuardedBuffer in = guarded(values), result(values.size() * sizeof(uint16_t));
    void* const buffers[] = {in.data(), result.data()};
    kernel(buffers, nullptr, 0, 1, 0, static_cast<int64_t>(values.size()));
    for (size_t i = 0; i < values.size(); ++i) {
      uint16_t got;
      std::memcpy(&got, result.data() + i * sizeof got, sizeof got);
      ASSERT_EQ(got, float_to_bfloat16(values[i])) << isa_name(isa) << ' ' << values[i];
    }
  }
}

TEST(Arithmetic, MultiplyAndAddAreNotContracted) {
  LoopBuilder b;
  const int x = b.buffer(kF32), y = b.buffer(kF32), z = b.buffer(kF32), out = b.buffer(kF32, true);
  b.loop(LoopMark::ParallelInner, c(0), [&](LoopVar v) {
    const ValueId product = b.op(CoreOp::Mul, {b.load(x, {at(v)}), b.load(y, {at(v)})});
    b.store(out, {at(v)}, b.op(CoreOp::Add, {product, b.load(z, {at(v)})}));
  });
  constexpr size_t kCount = 1000;
  const auto a = random_floats(kCount, 1), m = random_floats(kCount, 2),
             s = random_floats(kCount, 3);
  for (const Isa isa : runnable_isas()) {
    const auto kernel = load_kernel(codegen::compile(b.finish(), isa));
    GuardedBuffer ga = guarded(a), gm = guarded(m), gs = guarded(s), result(kCount * sizeof(float));
    void* const buffers[] = {ga.data(), gm.data(), gs.data(), result.data()};
    kernel(buffers, nullptr, 0, 1, 0, kCount);
    int would_show = 0;
    for (size_t i = 0; i < kCount; ++i) {
      const volatile float product = a[i] * m[i];
      const float expected = product + s[i];
      float got;
      std::memcpy(&got, result.data() + i * sizeof got, sizeof got);
      ASSERT_EQ(got, expected) << isa_name(isa) << ' ' << i;
      would_show += std::fma(a[i], m[i], s[i]) != expected ? 1 : 0;
    }
    EXPECT_GT(would_show, 50);  // or else the comparison proves nothing
  }
}

// What it gives says which way it was made, in the highest bit of each 16, which blocks set.
constexpr uint64_t kOfBlocks = 0x8000'8000'8000'8000;
/// 15 bits of each 16 that depend on the number of the block.
uint64_t bits_of_block(uint64_t number) { return number * 0x9e37'79b9'7f4a'7c15 & ~kOfBlocks; }
int32_t bits_of_place(uint64_t key, uint64_t place) {
  return static_cast<int32_t>(
      std::rotl(bits_of_block(key ^ place / 4), static_cast<int>(16 * (place % 4))) >> 32);
}
ir::Operand constant(ir::Emitter& e, uint64_t value) {
  return e.constant_bits(DType::Int64, value);
}
ir::Operand emit_block(ir::Emitter& e, ir::Operand key, ir::Operand number) {
  const ir::Operand product =
      e.op(CoreOp::Mul, e.op(CoreOp::Xor, key, number), constant(e, 0x9e37'79b9'7f4a'7c15));
  return e.op(CoreOp::And, product, constant(e, ~kOfBlocks));
}
const Primitive& numbered_row() {
  static const Primitive row = [] {
    Primitive made{};
    made.name = "numbered";
    made.cls = ir::PrimitiveClass::Elementwise;
    made.arity = 2;
    made.emit = [](ir::Emitter& e, DType, std::span<const ir::Operand> a, const ir::Attributes&) {
      const ir::Operand turn =
          e.op(CoreOp::Shl, e.op(CoreOp::And, a[1], constant(e, 3)), constant(e, 4));
      const ir::Operand bits =
          emit_block(e, a[0], e.op(CoreOp::ShiftRightLogical, a[1], constant(e, 2)));
      const ir::Operand turned =
          e.op(CoreOp::Or, e.op(CoreOp::Shl, bits, turn),
               e.op(CoreOp::ShiftRightLogical, bits, e.op(CoreOp::Sub, constant(e, 64), turn)));
      return e.convert(DType::Int32, e.op(CoreOp::ShiftRightLogical, turned, constant(e, 32)));
    };
    made.emit_block = [](ir::Emitter& e, DType, std::span<const ir::Operand> a,
                         const ir::Attributes&) {
      return e.op(CoreOp::Or, emit_block(e, a[0], a[1]), constant(e, kOfBlocks));
    };
    return made;
  }();
  return row;
}

TEST(Blocks, ServeLanesThatCountUp) {
  LoopBuilder b;
  const int out = b.buffer(DType::Int32, true);
  const IntOperand key = b.slot(), start = b.slot();
  b.loop(LoopMark::ParallelInner, c(0), [&](LoopVar v) {
    const ValueId place = b.op(CoreOp::Add, {b.number(DType::Int64, start), b.index({at(v)})});
    b.store(out, {at(v)},
            b.row(&numbered_row(), DType::Int32, {b.number(DType::Int64, key), place}));
  });
  constexpr auto of_blocks = static_cast<int32_t>(kOfBlocks);
  for (const Isa isa : runnable_isas()) {
    const auto kernel = load_kernel(codegen::compile(b.finish(), isa));
    for (const int64_t first : {0, 1, 2, 3, 4, 77, 78})
      for (const int64_t size : kSizes) {
        GuardedBuffer result(static_cast<size_t>(size) * sizeof(int32_t));
        void* const buffers[] = {result.data()};
        const int64_t ints[] = {5, first};
        kernel(buffers, ints, 0, 1, 0, size);
        int64_t together = 0;
        for (int64_t i = 0; i < size; ++i) {
          int32_t got;
          std::memcpy(&got, result.data() + i * 4, sizeof got);
          ASSERT_EQ(got & ~of_blocks, bits_of_place(5, static_cast<uint64_t>(first + i)))
              << isa_name(isa) << ' ' << first << ' ' << i;
          ASSERT_TRUE((got & of_blocks) == of_blocks || (got & of_blocks) == 0);
          together += (got & of_blocks) != 0;
        }
        if (size >= 64) EXPECT_GE(together, size - 63) << isa_name(isa) << ' ' << size;
      }
  }
}

/// True if there is an instruction that stores a register of floats past the caches.
bool has_nontemporal_store(const codegen::KernelImage& image, Isa isa) {
  const auto at = [&](size_t i) { return static_cast<unsigned>(image.code[i]); };
  for (size_t i = 0; i + 2 < image.code.size(); ++i)
    if (isa == Isa::Avx2 ? (at(i) | 0x80) == 0xfc && at(i + 1) == 0x2b
                         : at(i) == 0x7c && at(i + 1) == 0x48 && at(i + 2) == 0x2b)
      return true;
  return false;
}

TEST(Nontemporal, StoresOfEverySizeAndPlaceAreWhole) {
  LoopBuilder b;
  const int x = b.buffer(kF32), out = b.buffer(kF32, true);
  const IntOperand row = b.slot(), past = b.slot();
  b.loop(LoopMark::Parallel, c(0), [&](LoopVar r) {
    b.loop(LoopMark::ParallelInner, c(0), [&](LoopVar v) {
      const ValueId value = b.load(x, {at(r, row), at(v)});
      b.store(out, LoopIndex{{at(r, row), at(v)}, {}, c(0)},
              b.op(CoreOp::Add, {value, b.constant(kF32, 1)}), -1, static_cast<int>(past.value));
    });
  });
  for (const Isa isa : runnable_isas()) {
    const codegen::KernelImage image = codegen::compile(b.finish(), isa);
    EXPECT_TRUE(has_nontemporal_store(image, isa)) << isa_name(isa);
    const auto kernel = load_kernel(image);
    for (const int64_t size : kSizes)
      for (const int64_t is_past : {0, 1})
        for (const int64_t begin : {0, 1, 8, 64}) {
          const std::vector<float> values = random_floats(static_cast<size_t>(2 * size), 3);
          GuardedBuffer in = guarded(values);
          GuardedBuffer result = guarded(std::vector<float>(values.size(), -1.0F));
          void* const buffers[] = {in.data(), result.data()};
          const int64_t ints[] = {size, is_past};
          kernel(buffers, ints, 0, 2, std::min(begin, size), size);
          for (size_t i = 0; i < values.size(); ++i) {
            float got;
            std::memcpy(&got, result.data() + i * sizeof got, sizeof got);
            const bool is_written = static_cast<int64_t>(i) % size >= begin;
            ASSERT_EQ(got, is_written ? values[i] + 1.0F : -1.0F)
                << isa_name(isa) << ' ' << size << ' ' << begin << ' ' << i;
          }
        }
  }
}

TEST(InPlace, OutputMayBeAnInput) {
  LoopBuilder b;
  const int x = b.buffer(kF32), out = b.buffer(kF32, true);
  const IntOperand row = b.slot(), length = b.slot();
  b.loop(LoopMark::Parallel, c(0), [&](LoopVar r) {
    const ValueId most = b.reduce(CoreOp::Max, LoopMark::Vector, length,
                                  [&](LoopVar v) { return b.load(x, {at(r, row), at(v)}); });
    b.loop(LoopMark::Vector, length, [&](LoopVar v) {
      b.store(out, {at(r, row), at(v)}, b.op(CoreOp::Sub, {b.load(x, {at(r, row), at(v)}), most}));
    });
  });
  constexpr int64_t kRows = 3, kLength = 77;
  const std::vector<float> values = random_floats(kRows * kLength, 9);
  for (const Isa isa : runnable_isas()) {
    const auto kernel = load_kernel(codegen::compile(b.finish(), isa));
    GuardedBuffer memory = guarded(values);
    void* const buffers[] = {memory.data(), memory.data()};
    const int64_t ints[] = {kLength, kLength};
    kernel(buffers, ints, 0, kRows, 0, 0);
    for (int64_t r = 0; r < kRows; ++r) {
      const float* first = values.data() + r * kLength;
      const float most = *std::max_element(first, first + kLength);
      for (int64_t i = 0; i < kLength; ++i) {
        float got;
        std::memcpy(&got, memory.data() + (r * kLength + i) * 4, sizeof got);
        ASSERT_EQ(got, first[i] - most) << isa_name(isa) << ' ' << r << ' ' << i;
      }
    }
  }
}

}  // namespace
}  // namespace flambeau::test
