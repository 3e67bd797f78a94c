#pragma once
// One call of run_contraction: the loops around micro-kernels, packing and epilogues.

#include <vector>

#include "ir/interpreter.h"
#include "runtime/allocator.h"
#include "runtime/cpu/contraction_plan.h"
#include "runtime/cpu/contraction_state.h"

namespace flambeau {

/// Uninitialised memory for the length of a scope.
class Workspace {
 public:
  explicit Workspace(int64_t bytes)
      : bytes_(static_cast<size_t>(bytes)),
        data_(static_cast<char*>(allocate(bytes_, "contraction"))) {}
  ~Workspace() { deallocate(data_, bytes_); }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  char* data() const { return data_; }

 private:
  size_t bytes_;
  char* data_;
};

class ContractionRunner {
 public:
  ContractionRunner(ContractionKernel::State& state, const ContractionArguments& arguments);
  void run();
  /// Loads the code that run() needs.
  void load();

 private:
  /// An operand, in its role: lanes are its rows (of a micro-kernel) or its columns.
  struct Side {
    const ContractionArguments::Matrix* matrix = nullptr;
    int64_t size = 0;  // bytes of an element
    int64_t lane_stride = 0;
    int64_t k_stride = 0;
    codegen::PackFunction pack = nullptr;
    // Of a window: its digits along the lanes, and the offset of each k.
    ContractionArguments::Digits lanes;
    std::vector<int64_t> k_offsets;
    codegen::PackWindowFunction pack_window[2] = {};  // [unit]
    int64_t apart = 0, width = 0;                     // of panels

    bool is_window() const { return pack_window[0] != nullptr; }
    const char* at(const char* base, int64_t lane, int64_t k) const {
      return base + (lane * lane_stride + k * k_stride) * size;
    }
  };
  /// Rows of a tile that one call of a micro-kernel computes.
  struct Strip {
    int64_t first;
    size_t height_index;
  };
  using Strips = SmallVector<Strip, 32>;

  /// A piece of the output: the batch and its first row and column.
  struct Tile {
    int64_t batch, row, column;
  };
  /// What is done between two barriers: columns and a range of k whose columns are packed
  /// together (PackedShared), or everything.
  struct Group {
    char* panels;  // panel after panel
    char* sums;    // of all rows and the group's columns, or null
    int64_t column, column_end;
    int64_t k, k_end;
  };

  /// Where a tile's data lies.
  struct Place {
    const Tile& tile;
    int64_t row_end, column_end;
    const char *row_source, *column_source;
    char *packed_rows, *packed_columns;
    char* sums;  // of the tile's first element
    const Strips& strips;
  };

  /// A panel of columns as a micro-kernel reads it.
  struct Panel {
    const char* data;
    int64_t k_stride;  // that of its lanes for DirectK
  };

  Side make_side(bool of_b, bool is_columns, bool packs);
  void make_sides();
  /// The side's PackFunction from (lane, k) on, whatever the side is.
  static void pack(const Side& side, const char* base, int64_t lane, int64_t k, int64_t lanes,
                   int64_t readable, int64_t length, char* panels, int64_t panel_stride,
                   int64_t step_size);
  /// Steps of micro-kernels in `k` elements.
  int64_t steps(int64_t k) const { return (k + tile_.step - 1) / tile_.step; }
  int64_t batch_offset(const Ints& strides, int64_t batch) const;
  char* batch_base(const ContractionArguments::Matrix& matrix, int64_t size, int64_t batch) const {
    return static_cast<char*>(matrix.data) + batch_offset(matrix.batch_strides, batch) * size;
  }
  const char* batch_base(const Side& side, int64_t batch) const {
    return batch_base(*side.matrix, side.size, batch);
  }
  Strips make_strips(int64_t rows) const;
  /// The kernels for a panel of so many columns.
  const CodeEntry* kernels_of(int64_t columns) const;
  ir::KernelFunction epilogue() const;
  // Parts of the memory of a tile.
  bool packs_columns() const {
    return plan_.column_source == ColumnSource::PackedInTile ||
           plan_.column_source == ColumnSource::PackedShared;
  }
  int64_t rows_bytes() const;
  int64_t columns_bytes() const;
  int64_t local_bytes() const;

  /// Products of one strip of columns and one block of k, straight from and to memory.
  void run_tiny(int64_t batch, int64_t batch_end) const;
  void run_shared();
  void run_group(int64_t batch, const Group& group);
  void pack_group(int64_t batch, const Group& group);
  void run_tile(const Tile& tile, const Group& group, char* local);
  /// The panel of `columns` columns from `column` and k on; packs it, if each tile does.
  Panel find_panel(const Place& place, const Group& group, int64_t column, int64_t columns,
                   int64_t k);
  /// One panel of columns (or a wide one) of a tile over one block of k.
  void run_panel(const Place& place, const Group& group, int64_t column, int64_t columns,
                 int64_t k);
  /// A tile whose plan has row groups.
  void run_rows(const Place& place, const Group& group);
  void zero_sums(const Tile& tile, int64_t row_end, int64_t column_end, char* sums) const;
  void run_epilogue(const Tile& tile, int64_t row_end, int64_t column, int64_t column_end,
                    char* sums) const;
  ContractionKernel::State& state_;
  const codegen::ContractionTile& tile_;
  const ContractionArguments& arguments_;
  ContractionPlan plan_;
  Side rows_, columns_;
  int64_t batch_ = 1;
  int64_t k_ = 0;
  int64_t work_ = 0;    // of one product, in multiply-adds
  int64_t size_ = 0;    // bytes of a sum or step
  int64_t width_ = 0;   // of a panel of columns
  int64_t height_ = 0;  // rows of a full panel of rows
  int64_t row_tiles_ = 0;
  int64_t shared_stride_ = 0;      // between shared panels of columns, in steps
  int64_t sums_stride_ = 0;        // between rows of sums, in elements
  codegen::MicroKernelPart part_;  // that serves, but for `operand` and `whole`
  bool is_wide_ = false;           // there is a wide kernel of this height
  Strips strips_;                  // of a tile of tile_rows
  SmallVector<int64_t, 8> ints_;   // of the epilogue
};

}  // namespace flambeau
