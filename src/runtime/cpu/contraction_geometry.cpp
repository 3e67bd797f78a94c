#include "runtime/cpu/contraction_geometry.h"

#include <algorithm>
#include <tuple>

#include "ir/interpreter.h"

namespace flambeau {

using codegen::ColumnLayout;
using codegen::ContractionTile;
using codegen::PackPart;
using codegen::PackStride;
using codegen::RowLayout;

namespace {

// To write an element of the output costs as much as so many, to read one of an operand as much as
// so many: what a product with one row does.
constexpr int64_t kLeastWork = 16;
constexpr int64_t kReadWork = 4;
constexpr int64_t kBlock = ir::kContractBlock;
// Between panels, in bytes: keeps them out of each other's cache sets when k is a power of 2.
constexpr int64_t kPanelPadding = 128;
// Rows whose sums, two vectors each, are fewer than multiply-adds under way.
constexpr int64_t kLowStrip = 4;

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// Drops the last batch axis by making it part of the rows (or columns) of the product, where all
/// of the axis use the same b (or a) and strides allow it.
bool merge_last_batch_axis(ContractionArguments& x) {
  const auto stride = [](const ContractionArguments::Matrix& matrix) {
    return matrix.batch_strides.back();
  };
  const int64_t extent = x.batch.back();
  const auto merge = [&](ContractionArguments::Matrix& varying, int64_t& varying_stride,
                         const ContractionArguments::Matrix& fixed, int64_t& out_stride,
                         int64_t& length) {
    if (stride(fixed) != 0 || varying.is_window()) return false;
    if (length == 1) {
      varying_stride = stride(varying);
      out_stride = stride(x.out);
    } else if (stride(varying) != length * varying_stride || stride(x.out) != length * out_stride) {
      return false;
    }
    length *= extent;
    return true;
  };
  if (extent != 1 && !merge(x.a, x.a.row_stride, x.b, x.out.row_stride, x.m) &&
      !merge(x.b, x.b.column_stride, x.a, x.out.column_stride, x.n))
    return false;
  for (Ints* strides : {&x.a.batch_strides, &x.b.batch_strides, &x.out.batch_strides, &x.batch})
    strides->pop_back();
  return true;
}

bool has_empty_output(const ContractionArguments& x) {
  return x.m == 0 || x.n == 0 || std::find(x.batch.begin(), x.batch.end(), 0) != x.batch.end();
}

}  // namespace

void write_offsets(const ContractionArguments::Digits& digits, int64_t first,
                   std::span<int64_t> out) {
  if (out.empty()) return;
  SmallVector<int64_t, 6> position(digits.size());
  int64_t offset = 0;
  for (size_t i = digits.size(); i-- > 0;) {
    position[i] = first % digits[i].extent;
    offset += position[i] * digits[i].stride;
    first /= digits[i].extent;
  }
  for (int64_t& place : out) {
    place = offset;
    for (size_t i = digits.size(); i-- > 0;) {
      offset += digits[i].stride;
      if (++position[i] < digits[i].extent) break;
      offset -= digits[i].extent * digits[i].stride;
      position[i] = 0;
    }
  }
}

ContractionGeometry::ContractionGeometry(const ContractionKernel& kernel,
                                         ContractionArguments given)
    : state(kernel.state()), arguments(std::move(given)), is_empty(has_empty_output(arguments)) {
  if (is_empty) return;
  const ir::Contraction& contraction = state.contraction();
  // Operands of an epilogue would have to merge as well.
  while (contraction.is_plain && !arguments.batch.empty() && merge_last_batch_axis(arguments)) {
  }
  for (const int64_t extent : arguments.batch) batch *= extent;
  const ContractionTile& tile = state.tile();
  const auto& [a, b, out] = std::tie(arguments.a, arguments.b, arguments.out);
  plan = plan_contraction({.batch = batch,
                           .m = arguments.m,
                           .n = arguments.n,
                           .k = arguments.k,
                           .a_row = a.row_stride,
                           .a_column = a.column_stride,
                           .b_row = b.row_stride,
                           .b_column = b.column_stride,
                           .out_row = out.row_stride,
                           .out_column = out.column_stride,
                           .a_converts = contraction.a != state.multiplied() || a.is_window(),
                           .b_converts = contraction.b != state.multiplied() || b.is_window(),
                           .has_epilogue = !state.sums_are_output()},
                          tile);
  work = std::max(arguments.m * arguments.n * std::max(arguments.k, kLeastWork),
                  (arguments.m + arguments.n) * arguments.k * kReadWork);
  size = static_cast<int64_t>(size_of(state.accumulator()));
  width = tile.columns();
  height = tile.rows(RowLayout::UnitRow);
  row_tiles = ceil_div(plan.rows, plan.tile_rows);
  part.layout = plan.layout;
  if (plan.column_source == ColumnSource::DirectK) part.columns = ColumnLayout::UnitK;
  strips = make_strips(plan.tile_rows);
  last_strips = make_strips(plan.rows - (row_tiles - 1) * plan.tile_rows);
  is_wide =
      plan.column_source == ColumnSource::Direct && plan.rows <= ContractionTile::kWideHeights;
  sums_stride = plan.direct_output ? (plan.transposed ? out.column_stride : out.row_stride)
                                   : ceil_div(plan.tile_columns, width) * width;
  rows = make_side(plan.transposed, false, plan.pack_rows);
  columns = make_side(!plan.transposed, true, packs_columns());
  set_workspace();
}

void ContractionGeometry::set_workspace() {
  if (plan.column_source == ColumnSource::PackedShared) {
    const int64_t group_columns = std::min(plan.group_columns, plan.columns);
    const int64_t panels = ceil_div(group_columns, width);
    const int64_t group_k = std::min(plan.group_k, arguments.k);
    panel_stride = steps(group_k) * width + kPanelPadding / size;
    panels_bytes = panels * panel_stride * size;
    // From one group of k to the next.
    if (!plan.direct_output && group_k < arguments.k) {
      sums_stride = panels * width;
      kept_sums_bytes = plan.rows * sums_stride * size;
    }
  }
  if (plan.pack_rows)
    rows_bytes = ceil_div(plan.tile_rows, height) * state.tile().packed_rows * steps(kBlock) * size;
  if (plan.column_source == ColumnSource::PackedInTile)
    columns_bytes = width * steps(kBlock) * size;
  const bool has_sums = !plan.direct_output && kept_sums_bytes == 0;
  local_bytes = rows_bytes + columns_bytes + (has_sums ? plan.tile_rows * sums_stride * size : 0);
}

ContractionGeometry::Side ContractionGeometry::make_side(bool of_b, bool is_columns,
                                                         bool packs) const {
  const ContractionArguments::Matrix& matrix = of_b ? arguments.b : arguments.a;
  const ContractionTile& tile = state.tile();
  Side side;
  side.of_b = of_b;
  side.is_window = matrix.is_window();
  side.size = static_cast<int64_t>(size_of(of_b ? state.contraction().b : state.contraction().a));
  side.lane_stride = of_b ? matrix.column_stride : matrix.row_stride;
  side.k_stride = of_b ? matrix.row_stride : matrix.column_stride;
  if (side.is_window) {
    const auto digits = [](const ContractionArguments::Digits& known, int64_t extent,
                           int64_t stride) {
      return known.empty() ? ContractionArguments::Digits{{extent, stride}} : known;
    };
    const int64_t lanes = of_b ? arguments.n : arguments.m;
    side.lanes = digits(of_b ? matrix.column_digits : matrix.row_digits, lanes, side.lane_stride);
    side.k_offsets.resize(static_cast<size_t>(arguments.k));
    write_offsets(
        digits(of_b ? matrix.row_digits : matrix.column_digits, arguments.k, side.k_stride), 0,
        side.k_offsets);
    for (const bool unit : {false, true})
      side.pack_window[unit ? 1 : 0] = PackPart::window_entry(unit, is_columns);
    side.apart = is_columns ? tile.columns() : tile.rows(RowLayout::UnitRow);
    side.width = is_columns ? tile.columns() : tile.packed_rows;
  } else if (packs) {
    const PackStride unit = side.lane_stride == 1 ? PackStride::Lane
                            : side.k_stride == 1  ? PackStride::K
                                                  : PackStride::None;
    side.pack = PackPart::entry(unit, is_columns);
  }
  return side;
}

ContractionGeometry::Strips ContractionGeometry::make_strips(int64_t rows_of_tile) const {
  const auto heights = part.heights(state.tile());
  Strips strips;
  size_t h = 0;
  for (int64_t first = 0; first < rows_of_tile;) {
    const int64_t left = rows_of_tile - first;
    int64_t most = plan.row_group > 0 ? std::min(left, plan.row_group) : left;
    // Strips of few rows wait for their own sums: two of middle height are faster. Panels of packed
    // rows are not divided.
    const int64_t tallest = heights[0];
    if (!plan.pack_rows && left > tallest && left < tallest + kLowStrip) most = (left + 1) / 2;
    while (heights[h] > most) ++h;
    strips.push_back({first, h});
    first += heights[h];
  }
  return strips;
}

}  // namespace flambeau
