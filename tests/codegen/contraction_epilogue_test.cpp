// Dtypes and epilogues of contractions: a fused epilogue gives the bits of the same work done
// after the product.

#include <gtest/gtest.h>

#include "base/half.h"
#include "ir/array.h"
#include "ir/order.h"
#include "tests/codegen/contraction_support.h"
#include "tests/codegen/loop_builder.h"

namespace flambeau::testing {
namespace {

/// A row-major array of random elements of `dtype`.
ir::ArrayValue random_array(DType dtype, const Ints& shape, unsigned seed) {
  ir::ArrayValue out(dtype, shape);
  std::mt19937_64 generator(seed);
  std::normal_distribution<double> normal;
  for (int64_t i = 0; i < out.size(); ++i) {
    if (is_integer(dtype)) {
      const uint64_t bits = generator();
      std::memcpy(out.data.data() + static_cast<size_t>(i) * size_of(dtype), &bits, size_of(dtype));
    } else {
      const auto value = normal(generator);
      ir::set_element(out, i,
                      ir::convert_element(dtype, DType::Float64, std::bit_cast<uint64_t>(value)));
    }
  }
  return out;
}

/// Elements of `matrix` [rows, columns] in guarded memory, row-major or column-major.
struct Placed {
  Placed(const ir::ArrayValue& matrix, bool column_major) : memory(matrix.data.size(), false) {
    const int64_t rows = matrix.shape[0], columns = matrix.shape[1];
    const size_t size = size_of(matrix.dtype);
    argument = {memory.data(), {}, column_major ? 1 : columns, column_major ? rows : 1};
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < columns; ++j)
        std::memcpy(
            static_cast<std::byte*>(memory.data()) +
                static_cast<size_t>(i * argument.row_stride + j * argument.column_stride) * size,
            matrix.data.data() + static_cast<size_t>(i * columns + j) * size, size);
  }
  GuardedMemory memory;
  PlacedArguments::Matrix argument;
};

struct DTypes {
  DType operand, out;
};
void PrintTo(const DTypes& dtypes, std::ostream* out) {
  *out << info(dtypes.operand).name << " to " << info(dtypes.out).name;
}

class ContractionDType : public ::testing::TestWithParam<DTypes> {};

TEST_P(ContractionDType, FollowsTheDefinition) {
  const auto [dtype, out_dtype] = GetParam();
  for (const Isa isa : isas()) {
    ir::Contraction contraction = ir::plain_contraction(dtype, dtype, out_dtype);
    contraction.of_bfloat16 = dtype == DType::BFloat16;
    const bool pairs = contraction.of_bfloat16 && has_pair_products(isa);
    const ContractionKernel kernel = make_kernel(contraction, isa);
    unsigned seed = 1;
    for (const auto& [m, n, k] : {std::array<int64_t, 3>{1, 1, 1},
                                  {3, 5, 7},
                                  {17, 33, 300},
                                  {1, 65, 513},
                                  {20, 3, 31},
                                  {60, 66, 30},
                                  {4, 9, 0}})
      for (int layout = 0; layout < 8; ++layout) {
        const ir::ArrayValue a = random_array(dtype, {m, k}, seed++);
        const ir::ArrayValue b = random_array(dtype, {k, n}, seed++);
        const ir::ArrayValue want = ir::contract_in_order(a, b, out_dtype, pairs);
        const Placed placed_a(a, layout & 1), placed_b(b, layout & 2);
        const Placed out(random_array(out_dtype, {m, n}, seed++), layout & 4);
        const Placed expected(want, layout & 4);
        PlacedArguments arguments;
        arguments.a = placed_a.argument;
        arguments.b = placed_b.argument;
        arguments.out = out.argument;
        arguments.m = m;
        arguments.n = n;
        arguments.k = k;
        run_contraction(kernel, arguments);
        EXPECT_EQ(std::memcmp(out.memory.data(), expected.memory.data(), want.data.size()), 0)
            << isa_name(isa) << " m " << m << " n " << n << " k " << k << " layout " << layout;
      }
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, ContractionDType,
    ::testing::Values(
        DTypes{DType::Float32, DType::Float32}, DTypes{DType::Float64, DType::Float64},
        DTypes{DType::BFloat16, DType::BFloat16}, DTypes{DType::BFloat16, DType::Float32},
        DTypes{DType::Float16, DType::Float16}, DTypes{DType::Float32, DType::Float64},
        DTypes{DType::Int32, DType::Int32}, DTypes{DType::Int64, DType::Int64},
        DTypes{DType::Int16, DType::Int16}, DTypes{DType::Int8, DType::Int8},
        DTypes{DType::UInt8, DType::UInt8}, DTypes{DType::Int8, DType::Int64}));

ir::Statement statement(ir::StatementKind kind, DType dtype, ir::ValueId result) {
  ir::Statement s;
  s.kind = kind;
  s.dtype = dtype;
  s.result = result;
  return s;
}

ir::Statement compute(ir::CoreOp op, DType dtype, ir::ValueId result,
                      std::initializer_list<ir::ValueId> arguments) {
  ir::Statement s = statement(ir::StatementKind::Compute, dtype, result);
  s.primitive = test::core_row(op);
  s.arguments = arguments;
  s.attributes.index = static_cast<int>(dtype);
  return s;
}

/// out = bfloat16(alpha * sum + column_bias[n] * row_scale[m] + residual[m, n]); slots: 0, 1 the
/// output's strides, 2, 3 the residual's, 4 alpha.
ir::Contraction epilogue_contraction() {
  using ir::IntOperand;
  using ir::StatementKind;
  constexpr DType f32 = DType::Float32;
  ir::Contraction c;
  c.buffers = {{DType::BFloat16, true}, {f32, false}, {f32, false}, {f32, false}};
  c.slot_count = 5;
  auto load = [&](int buffer, ir::ValueId result, auto... terms) {
    ir::Statement s = statement(StatementKind::Load, f32, result);
    s.buffer = buffer;
    s.index.terms = {terms...};
    c.epilogue.push_back(s);
  };
  using Term = ir::LoopIndex::Term;
  ir::Statement alpha = statement(StatementKind::Slot, DType::Float64, 1);
  alpha.slot = 4;
  c.epilogue.push_back(alpha);
  c.epilogue.push_back(compute(ir::CoreOp::Convert, f32, 2, {1}));
  c.epilogue.push_back(compute(ir::CoreOp::Mul, f32, 3, {0, 2}));
  load(1, 4, Term{1, IntOperand::constant(1)});
  load(2, 5, Term{0, IntOperand::constant(1)});
  c.epilogue.push_back(compute(ir::CoreOp::Mul, f32, 6, {4, 5}));
  c.epilogue.push_back(compute(ir::CoreOp::Add, f32, 7, {3, 6}));
  load(3, 8, Term{0, IntOperand::slot(2)}, Term{1, IntOperand::slot(3)});
  c.epilogue.push_back(compute(ir::CoreOp::Add, f32, 9, {7, 8}));
  c.epilogue.push_back(compute(ir::CoreOp::Convert, DType::BFloat16, 10, {9}));
  ir::Statement store = statement(StatementKind::Store, DType::BFloat16, -1);
  store.buffer = 0;
  store.arguments = {10};
  store.index.terms = {Term{0, IntOperand::slot(0)}, Term{1, IntOperand::slot(1)}};
  c.epilogue.push_back(store);
  c.value_count = 11;
  return c;
}

TEST(ContractionEpilogue, EqualsTheSameStepsApart) {
  for (const Isa isa : isas()) {
    const ContractionKernel plain =
        make_kernel(ir::plain_contraction(DType::Float32, DType::Float32, DType::Float32), isa);
    const ContractionKernel fused = make_kernel(epilogue_contraction(), isa);
    for (const auto& [m, n, k] : {std::array<int64_t, 3>{3, 5, 7},
                                  {1, 100, 300},
                                  {100, 1, 300},
                                  {65, 70, 0},
                                  {90, 130, 600},
                                  {100, 700, 1600}})  // several groups of k
      for (const bool column_major : {false, true}) {
        Matrix<float> a(Geometry(Layout::RowMajor, 2, m, std::max<int64_t>(k, 1)));
        Matrix<float> b(Geometry(Layout::ColumnMajor, 2, std::max<int64_t>(k, 1), n));
        Matrix<float> sums(Geometry(Layout::RowMajor, 2, m, n));
        Matrix<float> residual(Geometry(Layout::Padded, 2, m, n));
        Matrix<float> column_bias(Geometry(Layout::RowMajor, 1, 1, n));
        Matrix<float> row_scale(Geometry(Layout::RowMajor, 2, 1, m));
        Matrix<uint16_t> out(
            Geometry(column_major ? Layout::ColumnMajor : Layout::RowMajor, 2, m, n));
        std::mt19937 generator(7);
        std::normal_distribution<float> normal;
        for (Matrix<float>* matrix : {&a, &b, &sums, &residual, &column_bias, &row_scale})
          matrix->fill([&] { return normal(generator); });

        PlacedArguments arguments;
        arguments.a = a.argument();
        arguments.b = b.argument();
        arguments.out = sums.argument();
        arguments.batch = {2};
        arguments.m = m;
        arguments.n = n;
        arguments.k = k;
        run_contraction(plain, arguments);

        const double alpha = 0.37;
        arguments.out = out.argument();
        arguments.operands = {{column_bias.data(), {0}},
                              {row_scale.data(), {row_scale.geometry.batch_stride}},
                              {residual.data(), {residual.geometry.batch_stride}}};
        const int64_t ints[] = {out.geometry.row_stride, out.geometry.column_stride,
                                residual.geometry.row_stride, residual.geometry.column_stride,
                                std::bit_cast<int64_t>(alpha)};
        arguments.ints = ints;
        run_contraction(fused, arguments);

        int64_t wrong = 0;
        for (int64_t p = 0; p < 2; ++p)
          for (int64_t i = 0; i < m; ++i)
            for (int64_t j = 0; j < n; ++j) {
              const float scaled = static_cast<float>(alpha) * sums(p, i, j);
              const float bias = column_bias(0, 0, j) * row_scale(p, 0, i);
              const float with_bias = scaled + bias;
              const float want = with_bias + residual(p, i, j);
              wrong += out(p, i, j) != float_to_bfloat16(want);
            }
        EXPECT_EQ(wrong, 0) << isa_name(isa) << " m " << m << " n " << n << " k " << k
                            << " column-major " << column_major;
      }
  }
}

TEST(ContractionEpilogue, TextAndHashTellContractionsApart) {
  const ir::Contraction f32 = ir::plain_contraction(DType::Float32, DType::Float32, DType::Float32);
  const ir::Contraction half =
      ir::plain_contraction(DType::BFloat16, DType::BFloat16, DType::Float32);
  EXPECT_EQ(f32.hash(),
            ir::plain_contraction(DType::Float32, DType::Float32, DType::Float32).hash());
  EXPECT_NE(f32.hash(), half.hash());
  EXPECT_NE(f32.hash(),
            ir::plain_contraction(DType::Float32, DType::Float32, DType::Float64).hash());
  EXPECT_NE(f32.text(), half.text());
  ir::verify(ir::epilogue_program(f32, false));
  ir::verify(ir::epilogue_program(half, true));
  ir::verify(ir::epilogue_program(half, false, true));
  ir::verify(ir::epilogue_program(epilogue_contraction(), false));
}

}  // namespace
}  // namespace flambeau::testing
