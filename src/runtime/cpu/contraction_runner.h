#pragma once
// One call of run_contraction: the loops around micro-kernels, packing and epilogues.

#include <vector>

#include "ir/interpreter.h"
#include "runtime/cpu/contraction_geometry.h"

namespace flambeau {

class ContractionRunner {
 public:
  ContractionRunner(const ContractionGeometry& geometry, const ContractionMemory& memory);
  void run();
  /// Loads the code that run() needs.
  void load();

 private:
  using Strip = ContractionGeometry::Strip;
  using Strips = ContractionGeometry::Strips;

  /// An operand with its memory and the functions that pack it.
  struct Side {
    const ContractionGeometry::Side& known;
    const char* data = nullptr;
    codegen::PackFunction pack = nullptr;
    codegen::PackWindowFunction pack_window[2] = {};  // [unit]

    const char* at(const char* base, int64_t lane, int64_t k) const {
      return base + (lane * known.lane_stride + k * known.k_stride) * known.size;
    }
  };

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

  void open(Side& side);
  void open_sides();
  /// The side's PackFunction from (lane, k) on, whatever the side is.
  static void pack(const Side& side, const char* base, int64_t lane, int64_t k, int64_t lanes,
                   int64_t readable, int64_t length, char* panels, int64_t panel_stride,
                   int64_t step_size);
  /// Steps of micro-kernels in `k` elements.
  int64_t steps(int64_t k) const { return geometry_.steps(k); }
  int64_t batch_offset(const Ints& strides, int64_t batch) const;
  char* out_base(int64_t size, int64_t batch) const {
    return static_cast<char*>(memory_.out) +
           batch_offset(arguments_.out.batch_strides, batch) * size;
  }
  const char* batch_base(const Side& side, int64_t batch) const {
    const auto& matrix = side.known.of_b ? arguments_.b : arguments_.a;
    return side.data + batch_offset(matrix.batch_strides, batch) * side.known.size;
  }
  /// The kernels for a panel of so many columns.
  const CodeEntry* kernels_of(int64_t columns) const;
  ir::KernelFunction epilogue() const;
  /// The memory that the caller gave for a worker's tiles, or null.
  char* given_local(int worker) const;

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

  const ContractionGeometry& geometry_;
  const ContractionMemory& memory_;
  // Of the geometry.
  ContractionKernel::State& state_;
  const codegen::ContractionTile& tile_;
  const ContractionArguments& arguments_;
  const ContractionPlan& plan_;
  Side rows_, columns_;
  const int64_t batch_, k_, work_, size_, width_, height_, row_tiles_, sums_stride_;
  const codegen::MicroKernelPart& part_;
  SmallVector<int64_t, 8> ints_;  // of the epilogue
};

}  // namespace flambeau
