// How contractions are cut up.

#include "runtime/cpu/contraction_plan.h"

#include <gtest/gtest.h>

namespace flambeau::testing {
namespace {

/// A row-major product whose b has these strides.
ContractionPlan plan_of(int64_t m, int64_t n, int64_t k, int64_t b_row, int64_t b_column, Isa isa) {
  return plan_contraction({.m = m,
                           .n = n,
                           .k = k,
                           .a_row = k,
                           .a_column = 1,
                           .b_row = b_row,
                           .b_column = b_column,
                           .out_row = n,
                           .out_column = 1},
                          codegen::contraction_tile(DType::Float32, isa));
}
/// a @ b, row-major both.
ContractionPlan plan_of_product(int64_t m, int64_t n, int64_t k, Isa isa) {
  return plan_of(m, n, k, n, 1, isa);
}
/// x @ w.t(), row-major both.
ContractionPlan plan_of_linear(int64_t m, int64_t n, int64_t k, Isa isa) {
  return plan_of(m, n, k, 1, k, isa);
}

TEST(ContractionPlan, SmallBatchesPackWhatATileReads) {
  for (const Isa isa : {Isa::Avx2, Isa::Avx512}) {
    const ContractionPlan plan = plan_of_linear(32, 64, 64, isa);
    EXPECT_EQ(plan.column_source, ColumnSource::PackedInTile) << isa_name(isa);
    EXPECT_EQ(plan.tile_rows, 32) << isa_name(isa);
  }
}

TEST(ContractionPlan, ManyRowsShareThePackedColumns) {
  for (const Isa isa : {Isa::Avx2, Isa::Avx512})
    EXPECT_EQ(plan_of_linear(512, 512, 512, isa).column_source, ColumnSource::PackedShared);
}

TEST(ContractionPlan, RowsOfBAPageApartArePacked) {
  for (const Isa isa : {Isa::Avx2, Isa::Avx512}) {
    EXPECT_EQ(plan_of_product(1024, 1024, 16, isa).column_source, ColumnSource::PackedShared);
    EXPECT_EQ(plan_of_product(1024, 1000, 16, isa).column_source, ColumnSource::Direct);
    for (const int64_t n : {1000, 1024})
      EXPECT_GT(plan_of_product(1024, n, 16, isa).row_group, 0) << isa_name(isa) << " " << n;
  }
}

}  // namespace
}  // namespace flambeau::testing
