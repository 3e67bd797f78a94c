#include "codegen/contraction_parts.h"

#include "base/error.h"

namespace flambeau::codegen {

ContractionTile contraction_tile(DType accumulator, Isa isa) {
  const bool wide = isa == Isa::Avx512;
  ContractionTile tile;
  tile.lanes = (wide ? 64 : 32) / static_cast<int>(size_of(accumulator));
  tile.vectors = 2;
  // As many accumulators as registers hold beside two vectors of columns and an element of a row.
  // Rows by stride keep addresses of rows in registers as well, and reach full speed at 8.
  if (wide) {
    tile.heights[0] = {14, 12, 10, 8, 6, 4, 3, 2, 1};
    tile.heights[1] = {8, 6, 4, 3, 2, 1};
  } else {
    tile.heights[0] = {6, 5, 4, 3, 2, 1};
    tile.heights[1] = {6, 5, 4, 3, 2, 1};
  }
  tile.low_heights = {4, 3, 2, 1};
  const int rows = tile.heights[0][0];
  tile.packed_rows = (rows + tile.lanes - 1) / tile.lanes * tile.lanes;
  return tile;
}

std::string MicroKernelPart::text() const {
  return concat("micro_kernels ", info(accumulator).ir_name,
                layout == RowLayout::UnitRow ? " unit_row" : " unit_k",
                columns == ColumnLayout::UnitColumn ? "" : " columns_unit_k",
                whole ? " whole" : " partial");
}

Hash128 MicroKernelPart::hash() const {
  return Hasher()
      .add(std::string_view("micro_kernels"))
      .add(accumulator)
      .add(layout)
      .add(columns)
      .add(whole)
      .finish();
}

std::string PackPart::text() const {
  return concat("pack ", info(source).ir_name, " as ", info(accumulator).ir_name);
}

Hash128 PackPart::hash() const {
  return Hasher().add(std::string_view("pack")).add(source).add(accumulator).finish();
}

}  // namespace flambeau::codegen
