#pragma once
// A product whose extents and strides are known: how it is cut up, which all runs of it share.

#include <vector>

#include "runtime/cpu/contraction_plan.h"
#include "runtime/cpu/contraction_state.h"

namespace flambeau {

/// A cautious estimate of one thread's speed, for the cost that the pool is told.
inline constexpr int64_t kMultiplyAddsPerNanosecond = 16;

struct ContractionGeometry {
  /// `kernel` must outlive it.
  ContractionGeometry(const ContractionKernel& kernel, ContractionArguments given);

  /// An operand, in its role: lanes are its rows (of a micro-kernel) or its columns.
  struct Side {
    bool of_b = false;
    bool is_window = false;
    int64_t size = 0;  ///< bytes of an element
    int64_t lane_stride = 0;
    int64_t k_stride = 0;
    int pack = -1;  ///< entry of the packing function (PackPart), if the side is packed
    // Of a window: its digits along the lanes, the offset of each k, and entries by [unit].
    ContractionArguments::Digits lanes;
    std::vector<int64_t> k_offsets;
    int pack_window[2] = {};
    int64_t apart = 0, width = 0;  ///< of panels
  };
  /// Rows of a tile that one call of a micro-kernel computes.
  struct Strip {
    int64_t first;
    size_t height_index;
  };
  using Strips = SmallVector<Strip, 32>;

  /// Steps of micro-kernels in `k` elements.
  int64_t steps(int64_t k) const {
    const int64_t step = state.tile().step;
    return (k + step - 1) / step;
  }
  bool packs_columns() const {
    return plan.column_source == ColumnSource::PackedInTile ||
           plan.column_source == ColumnSource::PackedShared;
  }

  ContractionKernel::State& state;
  ContractionArguments arguments;  ///< batch axes are rows or columns where they can be
  bool is_empty = false;           ///< the output has no element; nothing below is set
  ContractionPlan plan;
  Side rows, columns;
  int64_t batch = 1;
  int64_t work = 0;               ///< of one product, in multiply-adds
  int64_t size = 0;               ///< bytes of a sum or step
  int64_t width = 0;              ///< of a panel of columns
  int64_t height = 0;             ///< rows of a full panel of rows
  int64_t row_tiles = 0;          ///< of one product
  int64_t sums_stride = 0;        ///< between rows of sums, in elements
  codegen::MicroKernelPart part;  ///< that serves, but for `operand` and `whole`
  bool is_wide = false;           ///< there is a wide kernel of this height
  // Bytes of memory that a run needs beside its operands: of all threads, which share packed panels
  // of columns and sums that neither the output nor a tile can hold; and of each thread, which has
  // packed rows, a packed panel and the sums of a tile.
  int64_t panels_bytes = 0, kept_sums_bytes = 0;
  int64_t rows_bytes = 0, columns_bytes = 0, local_bytes = 0;
  int64_t panel_stride = 0;  ///< between shared panels, in steps
  Strips strips;             ///< of a tile of plan.tile_rows
  Strips last_strips;        ///< of the last tile of a product

 private:
  Side make_side(bool of_b, bool is_columns, bool packs) const;
  void set_workspace();
  /// The strips of a tile of so many rows.
  Strips make_strips(int64_t rows_of_tile) const;
};

/// Writes the offsets of the positions from `first` on.
void write_offsets(const ContractionArguments::Digits& digits, int64_t first,
                   std::span<int64_t> out);

}  // namespace flambeau
