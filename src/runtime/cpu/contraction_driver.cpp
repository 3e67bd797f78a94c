#include "runtime/cpu/contraction_driver.h"

#include <algorithm>
#include <cstring>

#include "ir/interpreter.h"
#include "runtime/allocator.h"
#include "runtime/cpu/contraction_plan.h"
#include "runtime/cpu/contraction_state.h"
#include "runtime/thread_pool.h"

namespace flambeau {

using codegen::ColumnLayout;
using codegen::ContractionTile;
using codegen::MicroKernel;
using codegen::MicroKernelPart;
using codegen::PackFunction;
using codegen::PackPart;
using codegen::PackStride;
using codegen::RowLayout;

ContractionKernel::ContractionKernel(ir::Contraction contraction, Isa isa,
                                     std::unique_ptr<ContractionLoader> loader)
    : state_(std::make_shared<State>(std::move(contraction), isa, std::move(loader))) {}

const ir::Contraction& ContractionKernel::contraction() const { return state_->contraction(); }

namespace {

constexpr int64_t kBlock = ir::kContractBlock;
// Of work in one piece that a thread takes at a time; less costs more to hand out than to do.
constexpr int64_t kMultiplyAddsPerChunk = 1024 * 1024;
// A cautious estimate of one thread's speed, for the cost that the pool is told.
constexpr int64_t kMultiplyAddsPerNanosecond = 16;

constexpr int64_t kPackedElementsPerNanosecond = 1;
// A piece of packing work, in elements.
constexpr int64_t kPackLength = 1024;
constexpr int64_t kPackWidth = 32;
// Between panels, in bytes: keeps them out of each other's cache sets when k is a power of 2.
constexpr int64_t kPanelPadding = 128;

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

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

/// One call of run_contraction.
class Runner {
 public:
  Runner(ContractionKernel::State& state, const ContractionArguments& arguments);
  void run();

 private:
  /// An operand, in its role: lanes are its rows (of a micro-kernel) or its columns.
  struct Side {
    const ContractionArguments::Matrix* matrix = nullptr;
    int64_t size = 0;  // bytes of an element
    int64_t lane_stride = 0;
    int64_t k_stride = 0;
    PackFunction pack = nullptr;

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

  Side make_side(bool of_b, bool is_columns, bool packs);
  int64_t batch_offset(const Ints& strides, int64_t batch) const;
  char* batch_base(const ContractionArguments::Matrix& matrix, int64_t size, int64_t batch) const {
    return static_cast<char*>(matrix.data) + batch_offset(matrix.batch_strides, batch) * size;
  }
  const char* batch_base(const Side& side, int64_t batch) const {
    return batch_base(*side.matrix, side.size, batch);
  }
  Strips make_strips(int64_t rows) const;
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
  /// One panel of columns (or a wide one) of a tile over one block of k.
  void run_panel(const Place& place, const Group& group, int64_t column, int64_t columns,
                 int64_t k);
  void zero_sums(const Tile& tile, int64_t row_end, int64_t column_end, char* sums) const;
  void run_epilogue(const Tile& tile, int64_t row_end, int64_t column, int64_t column_end,
                    char* sums) const;
  ContractionKernel::State& state_;
  const ContractionTile& tile_;
  const ContractionArguments& arguments_;
  ContractionPlan plan_;
  Side rows_, columns_;
  int64_t batch_ = 1;
  int64_t k_ = 0;
  int64_t work_ = 0;    // multiply-adds of one product
  int64_t size_ = 0;    // bytes of an accumulator
  int64_t width_ = 0;   // of a panel of columns
  int64_t height_ = 0;  // rows of a full panel of rows
  int64_t row_tiles_ = 0;
  int64_t shared_stride_ = 0;     // between shared panels of columns, in elements
  int64_t sums_stride_ = 0;       // between rows of sums, in elements
  MicroKernelPart part_;          // that serves, but for `whole`
  int wide_vectors_ = 0;          // of the wide kernel of this height, 0 if there is none
  Strips strips_;                 // of a tile of tile_rows
  SmallVector<int64_t, 8> ints_;  // of the epilogue
};

Runner::Runner(ContractionKernel::State& state, const ContractionArguments& arguments)
    : state_(state), tile_(state.tile()), arguments_(arguments) {
  for (const int64_t extent : arguments.batch) batch_ *= extent;
  const auto& [a, b, out] = std::tie(arguments.a, arguments.b, arguments.out);
  const ir::Contraction& contraction = state.contraction();
  const DType accumulator = state.accumulator();
  plan_ = plan_contraction({.batch = batch_,
                            .m = arguments.m,
                            .n = arguments.n,
                            .k = arguments.k,
                            .a_row = a.row_stride,
                            .a_column = a.column_stride,
                            .b_row = b.row_stride,
                            .b_column = b.column_stride,
                            .out_row = out.row_stride,
                            .out_column = out.column_stride,
                            .a_converts = contraction.a != accumulator,
                            .b_converts = contraction.b != accumulator,
                            .has_epilogue = !state.sums_are_output()},
                           tile_);
  rows_ = make_side(plan_.transposed, false, plan_.pack_rows);
  columns_ = make_side(!plan_.transposed, true, packs_columns());
  k_ = arguments.k;
  work_ = arguments.m * arguments.n * std::max<int64_t>(k_, 1);
  size_ = static_cast<int64_t>(size_of(accumulator));
  width_ = tile_.columns();
  height_ = tile_.rows(RowLayout::UnitRow);
  row_tiles_ = ceil_div(plan_.rows, plan_.tile_rows);
  part_ = {
      accumulator, plan_.layout,
      plan_.column_source == ColumnSource::DirectK ? ColumnLayout::UnitK : ColumnLayout::UnitColumn,
      true};
  strips_ = make_strips(plan_.tile_rows);
  if (plan_.column_source == ColumnSource::Direct && plan_.rows <= ContractionTile::kWideHeights)
    wide_vectors_ = ContractionTile::wide_vectors(static_cast<int>(plan_.rows));
  sums_stride_ = plan_.direct_output ? (plan_.transposed ? out.column_stride : out.row_stride)
                                     : ceil_div(plan_.tile_columns, width_) * width_;
  if (contraction.is_plain) {
    ints_ = {out.row_stride, out.column_stride};
  } else {
    ints_.append(arguments.ints, arguments.ints + contraction.slot_count);
  }
  ints_.push_back(sums_stride_);
}

Runner::Side Runner::make_side(bool of_b, bool is_columns, bool packs) {
  const ContractionArguments::Matrix& matrix = of_b ? arguments_.b : arguments_.a;
  Side side;
  side.matrix = &matrix;
  side.size = static_cast<int64_t>(size_of(of_b ? state_.contraction().b : state_.contraction().a));
  side.lane_stride = of_b ? matrix.column_stride : matrix.row_stride;
  side.k_stride = of_b ? matrix.row_stride : matrix.column_stride;
  if (packs) {
    const PackStride unit = side.lane_stride == 1 ? PackStride::Lane
                            : side.k_stride == 1  ? PackStride::K
                                                  : PackStride::None;
    side.pack =
        reinterpret_cast<PackFunction>(state_.pack(of_b)[PackPart::entry(unit, is_columns)]);
  }
  return side;
}

int64_t Runner::batch_offset(const Ints& strides, int64_t batch) const {
  if (strides.size() == 1) return batch * strides[0];
  int64_t offset = 0;
  for (size_t axis = strides.size(); axis-- > 0;) {
    offset += batch % arguments_.batch[axis] * strides[axis];
    batch /= arguments_.batch[axis];
  }
  return offset;
}

Runner::Strips Runner::make_strips(int64_t rows) const {
  const auto heights = part_.heights(tile_);
  Strips strips;
  size_t h = 0;
  for (int64_t first = 0; first < rows;) {
    while (heights[h] > rows - first) ++h;
    strips.push_back({first, h});
    first += heights[h];
  }
  return strips;
}

void Runner::run() {
  if (plan_.column_source == ColumnSource::PackedShared) return run_shared();
  const int64_t column_tiles = ceil_div(plan_.columns, plan_.tile_columns);
  const int64_t tiles = batch_ * row_tiles_ * column_tiles;
  const int64_t tile_work = std::max<int64_t>(work_ / (row_tiles_ * column_tiles), 1);
  const int64_t per_chunk = std::clamp<int64_t>(kMultiplyAddsPerChunk / tile_work, 1, tiles);
  const Group everything{nullptr, nullptr, 0, plan_.columns, 0, k_};
  const bool is_tiny = tiles == batch_ && plan_.column_source == ColumnSource::Direct &&
                       !plan_.pack_rows && plan_.direct_output && plan_.columns <= width_ &&
                       k_ > 0 && k_ <= kBlock && arguments_.batch.size() == 1;
  parallel_for(
      ceil_div(tiles, per_chunk),
      [&](int64_t chunk, int) {
        const int64_t end = std::min(tiles, (chunk + 1) * per_chunk);
        if (is_tiny) return run_tiny(chunk * per_chunk, end);
        const Workspace local(local_bytes());
        for (int64_t t = chunk * per_chunk; t < end; ++t)
          run_tile({t / (row_tiles_ * column_tiles), t % row_tiles_ * plan_.tile_rows,
                    t / row_tiles_ % column_tiles * plan_.tile_columns},
                   everything, local.data());
      },
      batch_ * work_ / kMultiplyAddsPerNanosecond);
}

void Runner::run_tiny(int64_t batch, int64_t batch_end) const {
  const auto vectors = static_cast<int>(ceil_div(plan_.columns, tile_.lanes));
  const bool whole = plan_.columns == vectors * tile_.lanes;
  const CodeEntry* kernels = state_.micro_kernels(part_.layout, part_.columns, whole);
  const int64_t row_stride =
      plan_.layout == RowLayout::UnitRow ? rows_.k_stride : rows_.lane_stride;
  for (const Strip& strip : strips_) {
    const auto kernel =
        reinterpret_cast<MicroKernel>(kernels[part_.entry(tile_, strip.height_index, vectors)]);
    for (int64_t b = batch; b < batch_end; ++b)
      kernel(rows_.at(batch_base(rows_, b), strip.first, 0), row_stride, batch_base(columns_, b),
             columns_.k_stride,
             batch_base(arguments_.out, size_, b) + strip.first * sums_stride_ * size_,
             sums_stride_, k_, plan_.columns, 0);
  }
}

void Runner::run_shared() {
  const int64_t group_columns = std::min(plan_.group_columns, plan_.columns);
  const int64_t group_k = std::min(plan_.group_k, k_);
  shared_stride_ = group_k * width_ + kPanelPadding / size_;
  const Workspace panels(ceil_div(group_columns, width_) * shared_stride_ * size_);
  // Sums that neither the output nor a tile can hold from one group of k to the next.
  const bool keeps_sums = !plan_.direct_output && group_k < k_;
  if (keeps_sums) sums_stride_ = ints_.back() = ceil_div(group_columns, width_) * width_;
  const Workspace sums(keeps_sums ? plan_.rows * sums_stride_ * size_ : 0);
  for (int64_t batch = 0; batch < batch_; ++batch)
    for (int64_t column = 0; column < plan_.columns; column += group_columns)
      for (int64_t k = 0; k < std::max<int64_t>(k_, 1); k += std::max<int64_t>(group_k, 1))
        run_group(batch,
                  {panels.data(), sums.data(), column,
                   std::min(plan_.columns, column + group_columns), k, std::min(k_, k + group_k)});
}

void Runner::run_group(int64_t batch, const Group& group) {
  pack_group(batch, group);
  const int64_t columns = group.column_end - group.column;
  parallel_for(
      row_tiles_ * ceil_div(columns, plan_.tile_columns),
      [&](int64_t t, int) {
        const Workspace local(local_bytes());
        run_tile({batch, t % row_tiles_ * plan_.tile_rows,
                  group.column + t / row_tiles_ * plan_.tile_columns},
                 group, local.data());
      },
      plan_.rows * columns * (group.k_end - group.k) / kMultiplyAddsPerNanosecond);
}

void Runner::pack_group(int64_t batch, const Group& group) {
  const char* source = batch_base(columns_, batch);
  // A piece is long in the direction in which the source is.
  const bool along_k = columns_.lane_stride != 1;
  const int64_t piece_columns = along_k ? width_ : kPackLength / width_ * width_;
  const int64_t piece_k = along_k ? kPackLength : kPackWidth;
  const int64_t columns = group.column_end - group.column;
  const int64_t length = group.k_end - group.k;
  const int64_t pieces = ceil_div(length, piece_k);
  parallel_for(
      ceil_div(columns, piece_columns) * pieces,
      [&](int64_t chunk, int) {
        const int64_t column = chunk / pieces * piece_columns;
        const int64_t k = chunk % pieces * piece_k;
        const int64_t lanes = std::min(piece_columns, columns - column);
        columns_.pack(columns_.at(source, group.column + column, group.k + k), columns_.lane_stride,
                      columns_.k_stride, lanes, lanes, std::min(piece_k, length - k),
                      group.panels + (column / width_ * shared_stride_ + k * width_) * size_,
                      shared_stride_);
      },
      columns * length / kPackedElementsPerNanosecond);
}

int64_t Runner::rows_bytes() const {
  return plan_.pack_rows ? ceil_div(plan_.tile_rows, height_) * tile_.packed_rows * kBlock * size_
                         : 0;
}

int64_t Runner::columns_bytes() const {
  return plan_.column_source == ColumnSource::PackedInTile ? width_ * kBlock * size_ : 0;
}

int64_t Runner::local_bytes() const {
  const int64_t sums = plan_.direct_output ? 0 : plan_.tile_rows * sums_stride_ * size_;
  return rows_bytes() + columns_bytes() + sums;
}

void Runner::run_tile(const Tile& tile, const Group& group, char* local) {
  const int64_t row_end = std::min(plan_.rows, tile.row + plan_.tile_rows);
  const int64_t column_end = std::min(plan_.columns, tile.column + plan_.tile_columns);
  const char* row_source = batch_base(rows_, tile.batch);
  const char* column_source = batch_base(columns_, tile.batch);
  char* packed_rows = local;
  char* packed_columns = packed_rows + rows_bytes();
  // The element of the sums at (tile.row, tile.column).
  char* sums = packed_columns + columns_bytes();
  if (group.sums != nullptr) {
    sums = group.sums + (tile.row * sums_stride_ + tile.column - group.column) * size_;
  } else if (plan_.direct_output) {
    const int64_t lane =
        plan_.transposed ? arguments_.out.row_stride : arguments_.out.column_stride;
    sums = batch_base(arguments_.out, size_, tile.batch) +
           (tile.row * sums_stride_ + tile.column * lane) * size_;
  }
  if (k_ == 0) return zero_sums(tile, row_end, column_end, sums);

  Strips rest;
  const bool is_last = row_end - tile.row < plan_.tile_rows;
  if (is_last) rest = make_strips(row_end - tile.row);
  const Strips& strips = is_last ? rest : strips_;
  Place place{tile,        row_end,        column_end, row_source, column_source,
              packed_rows, packed_columns, sums,       strips};
  if (!plan_.pack_rows) {
    // Whole k for one panel after the other: long reads of b, and sums that stay in the cache.
    int64_t width = width_;
    for (int64_t column = tile.column; column < column_end; column += width) {
      width = std::min(width_, column_end - column);
      const int64_t wide = wide_vectors_ * tile_.lanes;
      if (wide > 0 && column_end - column >= wide) width = wide;
      for (int64_t k = group.k; k < group.k_end; k += kBlock)
        run_panel(place, group, column, width, k);
    }
    return;
  }
  for (int64_t k = group.k; k < group.k_end; k += kBlock) {
    rows_.pack(rows_.at(row_source, tile.row, k), rows_.lane_stride, rows_.k_stride,
               row_end - tile.row, plan_.rows - tile.row, std::min(kBlock, group.k_end - k),
               packed_rows, tile_.packed_rows * kBlock);
    for (int64_t column = tile.column; column < column_end; column += width_)
      run_panel(place, group, column, std::min(width_, column_end - column), k);
  }
}

void Runner::run_panel(const Place& place, const Group& group, int64_t column, int64_t columns,
                       int64_t k) {
  const int64_t length = std::min(kBlock, group.k_end - k);
  const char* panel = nullptr;
  int64_t panel_stride = width_;
  switch (plan_.column_source) {
    case ColumnSource::Direct:
      panel = columns_.at(place.column_source, column, k);
      panel_stride = columns_.k_stride;
      break;
    case ColumnSource::DirectK:
      panel = columns_.at(place.column_source, column, k);
      panel_stride = columns_.lane_stride;
      break;
    case ColumnSource::PackedInTile:
      columns_.pack(columns_.at(place.column_source, column, k), columns_.lane_stride,
                    columns_.k_stride, columns, columns, length, place.packed_columns, 0);
      panel = place.packed_columns;
      break;
    case ColumnSource::PackedShared:
      panel = group.panels +
              ((column - group.column) / width_ * shared_stride_ + (k - group.k) * width_) * size_;
      break;
  }
  const auto vectors = static_cast<int>(ceil_div(columns, tile_.lanes));
  // Surplus columns of packed panels may be computed where the sums have room for them.
  const bool whole =
      part_.columns == ColumnLayout::UnitColumn &&
      (columns == vectors * tile_.lanes || (packs_columns() && !plan_.direct_output));
  const CodeEntry* kernels = state_.micro_kernels(part_.layout, part_.columns, whole);
  char* sums = place.sums + (column - place.tile.column) * size_;
  for (const Strip& strip : place.strips) {
    const char* rows;
    int64_t row_stride = tile_.packed_rows;
    if (plan_.pack_rows) {
      rows = place.packed_rows +
             (strip.first / height_ * tile_.packed_rows * kBlock + strip.first % height_) * size_;
    } else {
      rows = rows_.at(place.row_source, place.tile.row + strip.first, k);
      row_stride = plan_.layout == RowLayout::UnitRow ? rows_.k_stride : rows_.lane_stride;
    }
    const int entry = vectors <= tile_.vectors
                          ? part_.entry(tile_, strip.height_index, vectors)
                          : part_.wide_entry(tile_, static_cast<int>(plan_.rows));
    const auto kernel = reinterpret_cast<MicroKernel>(kernels[entry]);
    kernel(rows, row_stride, panel, panel_stride, sums + strip.first * sums_stride_ * size_,
           sums_stride_, length, columns, k > 0);
  }
  if (!plan_.direct_output && k + length == k_)
    run_epilogue(place.tile, place.row_end, column, column + columns, place.sums);
}

void Runner::zero_sums(const Tile& tile, int64_t row_end, int64_t column_end, char* sums) const {
  for (int64_t row = 0; row < row_end - tile.row; ++row)
    std::memset(sums + row * sums_stride_ * size_, 0,
                static_cast<size_t>((column_end - tile.column) * size_));
  if (!plan_.direct_output) run_epilogue(tile, row_end, tile.column, column_end, sums);
}

void Runner::run_epilogue(const Tile& tile, int64_t row_end, int64_t column, int64_t column_end,
                          char* sums) const {
  const ir::Contraction& contraction = state_.contraction();
  SmallVector<void*, 6> buffers;
  buffers.push_back(batch_base(
      arguments_.out, static_cast<int64_t>(size_of(contraction.buffers[0].dtype)), tile.batch));
  for (size_t i = 0; i < arguments_.operands.size(); ++i) {
    const auto& operand = arguments_.operands[i];
    const auto size = static_cast<int64_t>(size_of(contraction.buffers[i + 1].dtype));
    buffers.push_back(static_cast<char*>(operand.data) +
                      batch_offset(operand.batch_strides, tile.batch) * size);
  }
  // The epilogue indexes by row and column of the output.
  buffers.push_back(sums - (tile.row * sums_stride_ + tile.column) * size_);
  state_.epilogue(plan_.transposed)(buffers.data(), ints_.data(), tile.row, row_end, column,
                                    column_end);
}

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
    if (stride(fixed) != 0) return false;
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

}  // namespace

void run_contraction(const ContractionKernel& kernel, const ContractionArguments& arguments) {
  if (arguments.m == 0 || arguments.n == 0) return;
  for (const int64_t extent : arguments.batch)
    if (extent == 0) return;
  // Operands of an epilogue would have to merge as well.
  if (arguments.batch.empty() || !kernel.contraction().is_plain)
    return Runner(kernel.state(), arguments).run();
  ContractionArguments merged = arguments;
  while (!merged.batch.empty() && merge_last_batch_axis(merged)) {
  }
  Runner(kernel.state(), merged).run();
}

}  // namespace flambeau
