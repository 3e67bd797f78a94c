#include "runtime/cpu/contraction_plan.h"

#include <algorithm>

#include "ir/interpreter.h"

namespace flambeau {

using codegen::ContractionTile;
using codegen::RowLayout;

namespace {
int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

// Unpacked columns are read row by row of b, a page each when b is large: worth it only where a
// panel is read a few times, or where b stays in the cache. Rows that lie a page or half of one
// apart share a few sets of a first-level cache, and are taken for stores to the output's.
constexpr int64_t kDirectColumnStrips = 2;
constexpr int64_t kDirectColumnElements = 32 * 1024;
constexpr int64_t kSharingStride = 2048;  // bytes
// Packing an element of a costs about as much as multiplying it by this many columns saves.
constexpr int64_t kDirectRowColumns = 256;
// A product of less work than this is one piece of a batch.
constexpr int64_t kSmallProduct = 16 * 1024 * 1024;  // multiply-adds
constexpr int64_t kTileRowsInBatch = 256;
// Up to this many rows a tile has all of them and packs its columns for itself.
constexpr int64_t kMostOwnRows = 56;
// Rows and columns of a tile of many rows. Its sums and one block of k of its operands fit in a
// second-level cache with room to spare. Tiles that pack their rows are wider, since each tile
// packs them again.
constexpr int64_t kTileRows = 96;
constexpr int64_t kTileColumns = 256;
constexpr int64_t kTileColumnsOfPackedRows = 1024;
constexpr int64_t kLeastTileStrips = 2;
constexpr int64_t kLeastTilePanels = 4;
// Enough pieces for threads to end together.
constexpr int64_t kTiles = 12;
constexpr int64_t kOwnColumnTiles = 24;
// Up to this k the output is written a few rows at a time from end to end: reading b again costs
// less than coming back to a row. Pieces have about so many elements, in rows of at most so many.
constexpr int64_t kShortK = 16;
constexpr int64_t kRowGroup = 8;
constexpr int64_t kShortPiece = 64 * 1024;
constexpr int64_t kShortPieceColumns = 4 * 1024;
// Packed columns of a group. Larger groups mean fewer waits for the last thread.
constexpr int64_t kGroupElements = 1024 * 1024;
constexpr int64_t kGroupColumns = 2048;

/// True if the columns of the output should be the rows of micro-kernels.
bool should_transpose(const ContractionShape& shape, int64_t lanes) {
  const bool unit_n = shape.out_column == 1 || shape.n == 1;
  const bool unit_m = shape.out_row == 1 || shape.m == 1;
  if (shape.n < lanes && shape.m > shape.n) return unit_m && !(unit_n && shape.n > 1);
  return unit_m && !unit_n && shape.m >= std::min(lanes, shape.n);
}

/// Cuts the output into tiles, halving them until there are enough.
void cut_tiles(ContractionPlan& plan, int64_t height, int64_t width) {
  const int64_t strips = ceil_div(plan.rows, height);
  const int64_t panels = ceil_div(plan.columns, width);
  int64_t row_tiles = ceil_div(plan.rows, kTileRows);
  int64_t column_tiles =
      ceil_div(plan.columns, plan.pack_rows ? kTileColumnsOfPackedRows : kTileColumns);
  while (row_tiles * column_tiles < kTiles) {
    if (strips >= 2 * kLeastTileStrips * row_tiles)
      row_tiles *= 2;
    else if (panels >= 2 * kLeastTilePanels * column_tiles)
      column_tiles *= 2;
    else
      break;
  }
  plan.tile_rows = std::min(plan.rows, ceil_div(strips, row_tiles) * height);
  plan.tile_columns = ceil_div(panels, column_tiles) * width;
}

}  // namespace

ContractionPlan plan_contraction(const ContractionShape& shape, const ContractionTile& tile) {
  ContractionPlan plan;
  const bool t = plan.transposed = should_transpose(shape, tile.lanes);
  plan.rows = t ? shape.n : shape.m;
  plan.columns = t ? shape.m : shape.n;
  const int64_t row_lane = t ? shape.b_column : shape.a_row;
  const int64_t row_k = t ? shape.b_row : shape.a_column;
  const int64_t column_lane = t ? shape.a_row : shape.b_column;
  const int64_t column_k = t ? shape.a_column : shape.b_row;
  const int64_t out_lane = t ? shape.out_row : shape.out_column;
  const bool rows_convert = t ? shape.b_converts : shape.a_converts;
  const bool columns_convert = t ? shape.a_converts : shape.b_converts;
  plan.direct_output = !shape.has_epilogue && (out_lane == 1 || plan.columns == 1);

  // Columns.
  const int64_t width = tile.columns();
  const int64_t height = tile.rows(RowLayout::UnitRow);
  const int64_t strips = ceil_div(plan.rows, height);
  const int64_t work = shape.m * shape.n * shape.k;
  const bool in_batch = shape.batch > 1 && work <= kSmallProduct;
  // Steps of several elements are read in place along k only, and whole.
  const bool is_single = tile.step == 1;
  const bool whole_steps = shape.k % tile.step == 0;
  const bool unit_columns =
      is_single && !columns_convert && (column_lane == 1 || plan.columns == 1);
  const auto size = static_cast<int64_t>(size_of(tile.accumulator));
  const bool stays_cached =
      plan.columns * shape.k <= kDirectColumnElements && column_k * size % kSharingStride != 0;
  if (unit_columns && (strips <= kDirectColumnStrips || stays_cached))
    plan.column_source = ColumnSource::Direct;
  else if (!columns_convert && column_k == 1 && whole_steps && plan.rows <= tile.low_heights[0])
    plan.column_source = ColumnSource::DirectK;
  else if (in_batch ? plan.rows <= kTileRowsInBatch : plan.rows <= kMostOwnRows)
    plan.column_source = ColumnSource::PackedInTile;
  else
    plan.column_source = ColumnSource::PackedShared;

  // Rows that are unit along the lanes are a cache line (and often a page) apart along k, so they
  // are read in place only for few columns.
  const bool shared = plan.column_source == ColumnSource::PackedShared;
  const bool unit_row = is_single && !rows_convert && (row_lane == 1 || plan.rows == 1);
  const bool unit_k = !rows_convert && whole_steps && (row_k == 1 || shape.k == 1);
  plan.layout = unit_row || !unit_k ? RowLayout::UnitRow : RowLayout::UnitK;
  plan.pack_rows = !unit_k && (!unit_row || shared);

  // Pieces of work.
  if (!plan.pack_rows && (shared || plan.column_source == ColumnSource::Direct) &&
      plan.direct_output && shape.k <= kShortK && plan.columns > tile.lanes &&
      plan.rows > kMostOwnRows) {
    plan.row_group = kRowGroup;
    plan.tile_columns = std::min(plan.columns, kShortPieceColumns);
    plan.tile_rows = std::min(
        plan.rows, round_up(std::max<int64_t>(kShortPiece / plan.tile_columns, 1), plan.row_group));
  } else if (in_batch && !shared) {
    plan.tile_rows = std::min(plan.rows, round_up(kTileRowsInBatch, height));
    plan.tile_columns = plan.columns;
  } else if (plan.rows > kMostOwnRows) {
    cut_tiles(plan, height, width);
  } else {
    plan.tile_rows = plan.rows;
    // The columns of a wide kernel, so that rows of b are read in long pieces.
    const bool is_wide =
        plan.column_source == ColumnSource::Direct && plan.rows <= ContractionTile::kWideHeights;
    const int64_t piece = is_wide ? ContractionTile::kWideColumns : 2 * width;
    const int64_t pieces = std::min(kOwnColumnTiles, ceil_div(plan.columns, piece));
    plan.tile_columns = round_up(ceil_div(plan.columns, pieces), is_wide ? piece : width);
  }
  if (!shared && plan.row_group == 0) plan.pack_rows |= plan.tile_columns > kDirectRowColumns;
  if (plan.pack_rows) plan.layout = RowLayout::UnitRow;
  plan.group_columns = std::max<int64_t>(kGroupColumns / plan.tile_columns, 1) * plan.tile_columns;
  plan.group_k =
      std::max<int64_t>(
          kGroupElements / std::min(plan.group_columns, plan.columns) / ir::kContractBlock, 1) *
      ir::kContractBlock;
  return plan;
}

}  // namespace flambeau
