#pragma once
// The two parts from which every contraction on the CPU is made: micro-kernels, which multiply a
// few rows by a few vectors of columns over one block of k, and packing functions, which copy
// panels of an operand of any strides and dtype into the layout that micro-kernels read fastest.
// runtime/cpu/contraction_driver.h runs the loops around them.
//
// A micro-kernel computes, for each element of its tile of c, one chain of fused multiply-adds in
// ascending k from zero, and stores it or adds it to what c holds. That is one block of the order
// that ir/order.h defines; tile and layout therefore change no bit.
//
// It takes k in steps. A step is one element of each operand, or, where the CPU has products of
// bfloat16 pairs, two of them: 32 bits with the lower k in the lower half. Packing pairs an odd
// last element with +0.

#include <cstdint>
#include <span>
#include <string>

#include "base/cpu_features.h"
#include "base/dtype.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/small_vector.h"

namespace flambeau::codegen {

/// How a micro-kernel reads its rows.
enum class RowLayout : uint8_t {
  UnitRow,  ///< element (i, k) at a[i + k * a_stride]: packed panels, transposed matrices
  UnitK,    ///< element (i, k) at a[i * a_stride + k]
};

/// How a micro-kernel reads its columns.
enum class ColumnLayout : uint8_t {
  UnitColumn,  ///< element (k, j) at b[k * b_stride + j]
  UnitK,       ///< element (k, j) at b[j * b_stride + k]; for few rows, where packing does not pay
};

/// The dtype of the elements that micro-kernels of `isa` multiply: that of the sums, but BFloat16
/// for `operand` BFloat16 (which says that operands hold values of it) where there are products of
/// pairs.
constexpr DType multiplied_dtype(DType operand, Isa isa) {
  return operand == DType::BFloat16 && !has_pair_products(isa) ? DType::Float32 : operand;
}

/// The register tile for operands of one dtype. Steps are as wide as sums.
struct ContractionTile {
  DType accumulator;
  int step;         ///< elements of k in a step
  int lanes;        ///< sums of one vector
  int vectors;      ///< vectors of columns
  int packed_rows;  ///< width of a packed panel of rows: the tallest kernel's height or a bit more
  SmallVector<int, 10> heights[2];  ///< rows of the micro-kernels of a RowLayout, tallest first

  /// Rows of the micro-kernels that read UnitK columns, tallest first.
  SmallVector<int, 4> low_heights;

  int columns() const { return lanes * vectors; }
  /// The lowest tiles have a wide kernel too, which reads rows of b in pieces of up to so many
  /// columns.
  static constexpr int kWideHeights = 2;
  static constexpr int64_t kWideColumns = 256;
  int rows(RowLayout layout) const { return heights[static_cast<int>(layout)][0]; }
};
inline ContractionTile contraction_tile(DType operand, Isa isa) {
  const bool wide = isa >= Isa::Avx512;
  ContractionTile tile;
  tile.accumulator = operand == DType::BFloat16 ? DType::Float32 : operand;
  tile.step = multiplied_dtype(operand, isa) == DType::BFloat16 ? 2 : 1;
  tile.lanes = (wide ? 64 : 32) / static_cast<int>(size_of(tile.accumulator));
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

/// c[i * c_stride + j] = or += sum over k of a(i, k) * b(k, j), 0 <= i < height,
/// 0 <= j < columns, for k >= 1 steps. Strides are in steps, but those of UnitK operands in
/// elements. Touches nothing outside these elements.
using MicroKernel = void (*)(const void* a, int64_t a_stride, const void* b, int64_t b_stride,
                             void* c, int64_t c_stride, int64_t k, int64_t columns,
                             int64_t accumulate);

/// Copies rows (or columns), called lanes, of `k` elements into panels. Panel p holds `width` lanes
/// from p * apart on, where apart is the height of the tallest kernel (or tile.columns()) and width
/// packed_rows (or tile.columns()): element (i, k) of the source at
/// source[i * lane_stride + k * k_stride] goes to panels[p * panel_stride + k * width + i - p *
/// apart], and where steps have several elements, those of step s to the places of k = s. There
/// are enough panels for `lanes` >= 1 lanes; `readable` >= lanes exist. Places of lanes that do not
/// exist are left as they are or repeat others.
using PackFunction = void (*)(const void* source, int64_t lane_stride, int64_t k_stride,
                              int64_t lanes, int64_t readable, int64_t k, void* panels,
                              int64_t panel_stride);

/// The same for one panel of an operand whose elements lie anywhere: step for step, element (i, k)
/// of the source is source[lane_offsets[i] + k_offsets[k]]. Every lane of the panel has an offset.
using PackWindowFunction = void (*)(const void* source, const int64_t* lane_offsets,
                                    const int64_t* k_offsets, int64_t k, void* panel);

/// Micro-kernels, compiled together as one image.
struct MicroKernelPart {
  DType operand = DType::Float32;  ///< that of the sums, or BFloat16: see multiplied_dtype()
  RowLayout layout = RowLayout::UnitRow;
  ColumnLayout columns = ColumnLayout::UnitColumn;
  bool whole = true;  ///< columns == vectors * lanes; if not (always with UnitK), also fewer

  /// Rows of the kernels, tallest first.
  std::span<const int> heights(const ContractionTile& tile) const {
    if (columns == ColumnLayout::UnitK) return {tile.low_heights.data(), tile.low_heights.size()};
    const auto& heights = tile.heights[static_cast<int>(layout)];
    return {heights.data(), heights.size()};
  }
  /// Kernels take up to this many vectors. With UnitK columns every lane is a stream of its own,
  /// and hardware follows about 16.
  int most_vectors(const ContractionTile& tile) const {
    return columns == ColumnLayout::UnitK && tile.lanes >= 16 ? 1 : tile.vectors;
  }
  /// Entry of the kernel of height heights[height_index] for `vectors` in [1, most_vectors].
  int entry(const ContractionTile& tile, size_t height_index, int vectors) const {
    return static_cast<int>(height_index) * most_vectors(tile) + vectors - 1;
  }
  /// Entry of the wide kernel of a height up to kWideHeights, for any number of whole vectors up to
  /// kWideColumns; only if `whole`.
  int wide_entry(const ContractionTile& tile, int height) const {
    return static_cast<int>(heights(tile).size()) * tile.vectors + height - 1;
  }
  /// The part as `isa` has it.
  MicroKernelPart at(Isa isa) const {
    MicroKernelPart part = *this;
    part.operand = multiplied_dtype(operand, isa);
    return part;
  }
  std::string text() const;
  Hash128 hash() const;
};

/// Which stride of a source is 1.
enum class PackStride : uint8_t { Lane, K, None };

/// The packing functions from `source` to steps of `operand`.
struct PackPart {
  DType source = DType::Float32;
  DType operand = DType::Float32;  ///< as of MicroKernelPart

  /// Entry of the function for panels of tile.columns() columns, or of packed_rows rows.
  static int entry(PackStride unit, bool columns) {
    return static_cast<int>(unit) * 2 + (columns ? 1 : 0);
  }
  /// Entry of the PackWindowFunction; `unit`: each lane lies behind the one before.
  static int window_entry(bool unit, bool columns) {
    return 6 + (unit ? 2 : 0) + (columns ? 1 : 0);
  }
  PackPart at(Isa isa) const { return {source, multiplied_dtype(operand, isa)}; }
  std::string text() const;
  Hash128 hash() const;
};

inline std::string MicroKernelPart::text() const {
  return concat("micro_kernels ", info(operand).ir_name,
                layout == RowLayout::UnitRow ? " unit_row" : " unit_k",
                columns == ColumnLayout::UnitColumn ? "" : " columns_unit_k",
                whole ? " whole" : " partial");
}

inline Hash128 MicroKernelPart::hash() const {
  return Hasher()
      .add(std::string_view("micro_kernels"))
      .add(operand)
      .add(layout)
      .add(columns)
      .add(whole)
      .finish();
}

inline std::string PackPart::text() const {
  return concat("pack ", info(source).ir_name, " as ", info(operand).ir_name);
}

inline Hash128 PackPart::hash() const {
  return Hasher().add(std::string_view("pack panels")).add(source).add(operand).finish();
}

}  // namespace flambeau::codegen
