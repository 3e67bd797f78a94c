// What one thread does for one tile of the output.

#include <algorithm>
#include <cstring>

#include "runtime/cpu/contraction_runner.h"

namespace flambeau {

using codegen::ColumnLayout;
using codegen::ContractionTile;
using codegen::MicroKernel;
using codegen::RowLayout;

namespace {

constexpr int64_t kBlock = ir::kContractBlock;

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace

void ContractionRunner::run_tile(const Tile& tile, const Group& group, char* local) {
  const int64_t row_end = std::min(plan_.rows, tile.row + plan_.tile_rows);
  const int64_t column_end = std::min(plan_.columns, tile.column + plan_.tile_columns);
  char* packed_rows = local;
  char* packed_columns = packed_rows + geometry_.rows_bytes;
  // The element of the sums at (tile.row, tile.column).
  char* sums = packed_columns + geometry_.columns_bytes;
  if (group.sums != nullptr) {
    sums = group.sums + (tile.row * sums_stride_ + tile.column - group.column) * size_;
  } else if (plan_.direct_output) {
    const int64_t lane =
        plan_.transposed ? arguments_.out.row_stride : arguments_.out.column_stride;
    sums = out_base(size_, tile.batch) + (tile.row * sums_stride_ + tile.column * lane) * size_;
  }
  if (k_ == 0) return zero_sums(tile, row_end, column_end, sums);
  const char* row_source = batch_base(rows_, tile.batch);
  const char* column_source = batch_base(columns_, tile.batch);

  const Strips& strips = row_end == plan_.rows ? geometry_.last_strips : geometry_.strips;
  const Place place{tile,        row_end,        column_end, row_source, column_source,
                    packed_rows, packed_columns, sums,       strips};
  if (plan_.row_group > 0) return run_rows(place, group);
  const int64_t most = part_.most_vectors(tile_) * tile_.lanes;
  if (!plan_.pack_rows && plan_.column_source != ColumnSource::PackedShared) {
    // Whole k for one panel after the other: long reads of b, and sums that stay in the cache.
    int64_t width = most;
    for (int64_t column = tile.column; column < column_end; column += width) {
      const int64_t left = column_end - column;
      width = std::min(most, left);
      if (geometry_.is_wide && left > most)
        width = std::min(left / tile_.lanes * tile_.lanes, ContractionTile::kWideColumns);
      for (int64_t k = group.k; k < group.k_end; k += kBlock)
        run_panel(place, group, column, width, k);
    }
    return;
  }
  for (int64_t k = group.k; k < group.k_end; k += kBlock) {
    if (plan_.pack_rows)
      pack(rows_, row_source, tile.row, k, row_end - tile.row, plan_.rows - tile.row,
           std::min(kBlock, group.k_end - k), packed_rows, tile_.packed_rows * steps(kBlock),
           size_);
    for (int64_t column = tile.column; column < column_end; column += most)
      run_panel(place, group, column, std::min(most, column_end - column), k);
  }
}

void ContractionRunner::run_rows(const Place& place, const Group& group) {
  const int64_t k = steps(group.k_end - group.k);
  const int64_t row_stride =
      plan_.layout == RowLayout::UnitRow ? rows_.known.k_stride : rows_.known.lane_stride;
  for (const Strip& strip : place.strips) {
    const char* rows = rows_.at(place.row_source, place.tile.row + strip.first, group.k);
    char* sums = place.sums + strip.first * sums_stride_ * size_;
    for (int64_t column = place.tile.column; column < place.column_end; column += width_) {
      const int64_t columns = std::min(place.column_end - column, width_);
      const auto vectors = static_cast<int>(ceil_div(columns, tile_.lanes));
      const CodeEntry* kernels = kernels_of(columns);
      const auto kernel =
          reinterpret_cast<MicroKernel>(kernels[part_.entry(tile_, strip.height_index, vectors)]);
      const Panel panel = find_panel(place, group, column, columns, group.k);
      kernel(rows, row_stride, panel.data, panel.k_stride,
             sums + (column - place.tile.column) * size_, sums_stride_, k, columns, 0);
    }
  }
}

ContractionRunner::Panel ContractionRunner::find_panel(const Place& place, const Group& group,
                                                       int64_t column, int64_t columns, int64_t k) {
  switch (plan_.column_source) {
    case ColumnSource::Direct:
      return {columns_.at(place.column_source, column, k), columns_.known.k_stride};
    case ColumnSource::DirectK:
      return {columns_.at(place.column_source, column, k), columns_.known.lane_stride};
    case ColumnSource::PackedInTile:
      pack(columns_, place.column_source, column, k, columns, columns,
           std::min(kBlock, group.k_end - k), place.packed_columns, 0, size_);
      return {place.packed_columns, width_};
    case ColumnSource::PackedShared:
      break;
  }
  const int64_t first = (column - group.column) / width_ * geometry_.panel_stride;
  return {group.panels + (first + steps(k - group.k) * width_) * size_, width_};
}

void ContractionRunner::run_panel(const Place& place, const Group& group, int64_t column,
                                  int64_t columns, int64_t k) {
  const int64_t length = std::min(kBlock, group.k_end - k);
  const Panel panel = find_panel(place, group, column, columns, k);
  const auto vectors = static_cast<int>(ceil_div(columns, tile_.lanes));
  const CodeEntry* kernels = kernels_of(columns);
  char* sums = place.sums + (column - place.tile.column) * size_;
  for (const Strip& strip : place.strips) {
    const char* rows;
    int64_t row_stride = tile_.packed_rows;
    if (plan_.pack_rows) {
      rows = place.packed_rows +
             (strip.first / height_ * tile_.packed_rows * steps(kBlock) + strip.first % height_) *
                 size_;
    } else {
      rows = rows_.at(place.row_source, place.tile.row + strip.first, k);
      row_stride =
          plan_.layout == RowLayout::UnitRow ? rows_.known.k_stride : rows_.known.lane_stride;
    }
    const int entry = vectors <= tile_.vectors
                          ? part_.entry(tile_, strip.height_index, vectors)
                          : part_.wide_entry(tile_, static_cast<int>(plan_.rows));
    const auto kernel = reinterpret_cast<MicroKernel>(kernels[entry]);
    kernel(rows, row_stride, panel.data, panel.k_stride, sums + strip.first * sums_stride_ * size_,
           sums_stride_, steps(length), columns, k > 0 ? 1 : 0);
  }
  if (!plan_.direct_output && k + length == k_)
    run_epilogue(place.tile, place.row_end, column, column + columns, place.sums);
}

void ContractionRunner::zero_sums(const Tile& tile, int64_t row_end, int64_t column_end,
                                  char* sums) const {
  for (int64_t row = 0; row < row_end - tile.row; ++row)
    std::memset(sums + row * sums_stride_ * size_, 0,
                static_cast<size_t>((column_end - tile.column) * size_));
  if (!plan_.direct_output) run_epilogue(tile, row_end, tile.column, column_end, sums);
}

void ContractionRunner::run_epilogue(const Tile& tile, int64_t row_end, int64_t column,
                                     int64_t column_end, char* sums) const {
  const ir::Contraction& contraction = state_.contraction();
  SmallVector<void*, 6> buffers;
  buffers.push_back(
      out_base(static_cast<int64_t>(size_of(contraction.buffers[0].dtype)), tile.batch));
  for (size_t i = 0; i < arguments_.operands.size(); ++i) {
    const auto size = static_cast<int64_t>(size_of(contraction.buffers[i + 1].dtype));
    buffers.push_back(static_cast<char*>(memory_.operands[i]) +
                      batch_offset(arguments_.operands[i], tile.batch) * size);
  }
  // The epilogue indexes by row and column of the output.
  buffers.push_back(sums - (tile.row * sums_stride_ + tile.column) * size_);
  epilogue()(buffers.data(), ints_.data(), tile.row, row_end, column, column_end);
}

ir::KernelFunction ContractionRunner::epilogue() const {
  const int64_t lane = plan_.transposed ? arguments_.out.row_stride : arguments_.out.column_stride;
  return state_.epilogue(plan_.transposed, state_.contraction().is_plain && lane == 1);
}

}  // namespace flambeau
