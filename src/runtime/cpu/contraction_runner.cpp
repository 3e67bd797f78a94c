#include "runtime/cpu/contraction_runner.h"

#include <algorithm>
#include <array>
#include <exception>
#include <optional>
#include <span>

#include "runtime/allocator.h"
#include "runtime/thread_pool.h"

namespace flambeau {

using codegen::ColumnLayout;
using codegen::MicroKernel;
using codegen::PackFunction;
using codegen::PackWindowFunction;
using codegen::RowLayout;

namespace {

constexpr int64_t kBlock = ir::kContractBlock;
// Of work in one piece that a thread takes at a time; less costs more to hand out than to do.
constexpr int64_t kMultiplyAddsPerChunk = 256 * 1024;
// As kMultiplyAddsPerNanosecond.
constexpr int64_t kPackedElementsPerNanosecond = 1;
// A piece of packing work, in elements.
constexpr int64_t kPackLength = 1024;
constexpr int64_t kPackWidth = 32;

// Lanes of the widest panel of any dtype.
constexpr size_t kMostPanelWidth = 128;

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// Part of a run's memory: of what the caller gave, or its own.
class Room {
 public:
  /// `given` is null if the caller gave none.
  Room(char* given, int64_t bytes) : data_(given) {
    if (given == nullptr) data_ = own_.emplace(static_cast<size_t>(bytes), "contraction").data();
  }
  char* data() const { return data_; }

 private:
  std::optional<Workspace> own_;
  char* data_;
};

/// So many bytes and what aligns the next ones.
int64_t aligned(int64_t bytes) {
  constexpr auto kAlignment = static_cast<int64_t>(kAllocationAlignment);
  return ceil_div(bytes, kAlignment) * kAlignment;
}

}  // namespace

ContractionWorkspace workspace_of(const ContractionGeometry& geometry) {
  return {aligned(geometry.panels_bytes) + aligned(geometry.kept_sums_bytes),
          aligned(geometry.local_bytes)};
}

char* ContractionRunner::given_local(int worker) const {
  if (memory_.workspace == nullptr || worker >= memory_.workers) return nullptr;
  const ContractionWorkspace room = workspace_of(geometry_);
  return memory_.workspace + room.shared + worker * room.local;
}

ContractionRunner::ContractionRunner(const ContractionGeometry& geometry,
                                     const ContractionMemory& memory)
    : geometry_(geometry),
      memory_(memory),
      state_(geometry.state),
      tile_(geometry.state.tile()),
      arguments_(geometry.arguments),
      plan_(geometry.plan),
      rows_{geometry.rows},
      columns_{geometry.columns},
      batch_(geometry.batch),
      k_(geometry.arguments.k),
      work_(geometry.work),
      size_(geometry.size),
      width_(geometry.width),
      height_(geometry.height),
      row_tiles_(geometry.row_tiles),
      sums_stride_(geometry.sums_stride),
      part_(geometry.part) {
  if (plan_.direct_output) return;
  const ir::Contraction& contraction = state_.contraction();
  if (contraction.is_plain)
    ints_ = {arguments_.out.row_stride, arguments_.out.column_stride};
  else
    ints_.append(memory.ints, memory.ints + contraction.slot_count);
  ints_.push_back(sums_stride_);
}

void ContractionRunner::pack(const Side& side, const char* base, int64_t lane, int64_t k,
                             int64_t lanes, int64_t readable, int64_t length, char* panels,
                             int64_t panel_stride, int64_t step_size) {
  const ContractionGeometry::Side& known = side.known;
  if (!known.is_window)
    return side.pack(side.at(base, lane, k), known.lane_stride, known.k_stride, lanes, readable,
                     length, panels, panel_stride);
  std::array<int64_t, kMostPanelWidth> offsets;
  const auto width = static_cast<size_t>(known.width);
  for (int64_t first = 0; first < lanes; first += known.apart) {
    const auto present = static_cast<size_t>(std::min(known.width, readable - first));
    write_offsets(known.lanes, lane + first, {offsets.data(), present});
    std::fill(offsets.begin() + present, offsets.begin() + width, offsets[present - 1]);
    bool unit = true;
    for (size_t i = 1; i < width; ++i) unit &= offsets[i] == offsets[i - 1] + 1;
    side.pack_window[unit ? 1 : 0](base, offsets.data(), known.k_offsets.data() + k, length,
                                   panels + first / known.apart * panel_stride * step_size);
  }
}

int64_t ContractionRunner::batch_offset(const Ints& strides, int64_t batch) const {
  if (strides.size() == 1) return batch * strides[0];
  int64_t offset = 0;
  for (size_t axis = strides.size(); axis-- > 0;) {
    offset += batch % arguments_.batch[axis] * strides[axis];
    batch /= arguments_.batch[axis];
  }
  return offset;
}

void ContractionRunner::open(Side& side) {
  const ContractionGeometry::Side& known = side.known;
  side.data = static_cast<const char*>(known.of_b ? memory_.b : memory_.a);
  if (!known.is_window && known.pack < 0) return;
  const CodeEntry* const functions = state_.pack(known.of_b);
  if (known.is_window) {
    for (const int unit : {0, 1})
      side.pack_window[unit] =
          reinterpret_cast<PackWindowFunction>(functions[known.pack_window[unit]]);
  } else {
    side.pack = reinterpret_cast<PackFunction>(functions[known.pack]);
  }
}

void ContractionRunner::open_sides() {
  open(rows_);
  open(columns_);
}

const CodeEntry* ContractionRunner::kernels_of(int64_t columns) const {
  // Surplus columns of packed panels may be computed where the sums have room for them.
  const bool whole =
      part_.columns == ColumnLayout::UnitColumn &&
      (columns % tile_.lanes == 0 || (geometry_.packs_columns() && !plan_.direct_output));
  return state_.micro_kernels(part_.layout, part_.columns, whole);
}

void ContractionRunner::load() {
  std::exception_ptr missing;
  const auto ask = [&](const auto& part) {
    try {
      part();
    } catch (...) {
      missing = std::current_exception();
    }
  };
  ask([&] { open_sides(); });
  if (plan_.columns >= width_) ask([&] { kernels_of(width_); });
  if (const int64_t rest = plan_.columns % width_; rest != 0) ask([&] { kernels_of(rest); });
  if (!plan_.direct_output) ask([&] { epilogue(); });
  if (missing) std::rethrow_exception(missing);
}

void ContractionRunner::run() {
  open_sides();
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
      [&](int64_t chunk, int worker) {
        const int64_t end = std::min(tiles, (chunk + 1) * per_chunk);
        if (is_tiny) return run_tiny(chunk * per_chunk, end);
        const Room local(given_local(worker), geometry_.local_bytes);
        for (int64_t t = chunk * per_chunk; t < end; ++t)
          run_tile({t / (row_tiles_ * column_tiles), t % row_tiles_ * plan_.tile_rows,
                    t / row_tiles_ % column_tiles * plan_.tile_columns},
                   everything, local.data());
      },
      batch_ * work_ / kMultiplyAddsPerNanosecond);
}

void ContractionRunner::run_tiny(int64_t batch, int64_t batch_end) const {
  const auto vectors = static_cast<int>(ceil_div(plan_.columns, tile_.lanes));
  const CodeEntry* kernels = kernels_of(plan_.columns);
  const int64_t row_stride =
      plan_.layout == RowLayout::UnitRow ? rows_.known.k_stride : rows_.known.lane_stride;
  for (const Strip& strip : geometry_.strips) {
    const auto kernel =
        reinterpret_cast<MicroKernel>(kernels[part_.entry(tile_, strip.height_index, vectors)]);
    for (int64_t b = batch; b < batch_end; ++b)
      kernel(rows_.at(batch_base(rows_, b), strip.first, 0), row_stride, batch_base(columns_, b),
             columns_.known.k_stride, out_base(size_, b) + strip.first * sums_stride_ * size_,
             sums_stride_, k_, plan_.columns, 0);
  }
}

void ContractionRunner::run_shared() {
  const int64_t group_columns = std::min(plan_.group_columns, plan_.columns);
  const int64_t group_k = std::min(plan_.group_k, k_);
  char* const given = memory_.workspace;
  const Room panels(given, geometry_.panels_bytes);
  const Room sums(given == nullptr ? nullptr : given + aligned(geometry_.panels_bytes),
                  geometry_.kept_sums_bytes);
  for (int64_t batch = 0; batch < batch_; ++batch)
    for (int64_t column = 0; column < plan_.columns; column += group_columns)
      for (int64_t k = 0; k < std::max<int64_t>(k_, 1); k += std::max<int64_t>(group_k, 1))
        run_group(batch,
                  {panels.data(), geometry_.kept_sums_bytes > 0 ? sums.data() : nullptr, column,
                   std::min(plan_.columns, column + group_columns), k, std::min(k_, k + group_k)});
}

void ContractionRunner::run_group(int64_t batch, const Group& group) {
  pack_group(batch, group);
  const int64_t columns = group.column_end - group.column;
  parallel_for(
      row_tiles_ * ceil_div(columns, plan_.tile_columns),
      [&](int64_t t, int worker) {
        const Room local(given_local(worker), geometry_.local_bytes);
        run_tile({batch, t % row_tiles_ * plan_.tile_rows,
                  group.column + t / row_tiles_ * plan_.tile_columns},
                 group, local.data());
      },
      plan_.rows * columns * (group.k_end - group.k) / kMultiplyAddsPerNanosecond);
}

void ContractionRunner::pack_group(int64_t batch, const Group& group) {
  const char* source = batch_base(columns_, batch);
  // A piece is long in the direction in which the source is.
  const bool along_k = columns_.known.is_window || columns_.known.lane_stride != 1;
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
        pack(columns_, source, group.column + column, group.k + k, lanes, lanes,
             std::min(piece_k, length - k),
             group.panels + (column / width_ * geometry_.panel_stride + steps(k) * width_) * size_,
             geometry_.panel_stride, size_);
      },
      columns * length / kPackedElementsPerNanosecond);
}

}  // namespace flambeau
