#pragma once
// How a contraction is cut up. A function of shape, strides and register tile alone: never of the
// number of threads, and no choice here changes a bit of the result.

#include "codegen/contraction_parts.h"

namespace flambeau {

/// Extents and strides of one product, in elements.
struct ContractionShape {
  int64_t batch = 1, m = 0, n = 0, k = 0;
  int64_t a_row = 0, a_column = 0;      ///< strides along m and k
  int64_t b_row = 0, b_column = 0;      ///< strides along k and n
  int64_t out_row = 0, out_column = 0;  ///< strides along m and n
  bool a_converts = false;              ///< its dtype is not what micro-kernels multiply
  bool b_converts = false;
  bool has_epilogue = false;  ///< sums cannot be left in the output
};

/// Where a micro-kernel finds its vectors of columns.
enum class ColumnSource : uint8_t {
  Direct,        ///< in the operand: its stride along the columns is 1
  DirectK,       ///< in the operand: its stride along k is 1; few rows
  PackedInTile,  ///< packed by each tile for itself
  PackedShared,  ///< all packed before the tiles begin
};

struct ContractionPlan {
  /// The rows of micro-kernels are columns of the output: out' = b' a'.
  bool transposed = false;
  int64_t rows = 0, columns = 0;  ///< of the output, exchanged if `transposed`
  bool direct_output = false;     ///< sums are kept in the output itself
  bool pack_rows = false;
  codegen::RowLayout layout = codegen::RowLayout::UnitRow;
  ColumnSource column_source = ColumnSource::Direct;
  int64_t tile_rows = 0, tile_columns = 0;  ///< of one piece of work
  /// k is so short that writing the output is most of the work: its rows are written one group
  /// after the other, each from end to end, by micro-kernels of up to this height; 0 otherwise.
  int64_t row_group = 0;
  /// PackedShared: columns and k that are packed at a time; a multiple of tile_columns, and of
  /// ir::kContractBlock.
  int64_t group_columns = 0, group_k = 0;
};

ContractionPlan plan_contraction(const ContractionShape& shape,
                                 const codegen::ContractionTile& tile);

}  // namespace flambeau
