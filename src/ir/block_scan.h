#pragma once
// A scan over blocks of an axis: how a node of class BlockScan says which axes of its operands its
// body sees whole, a block of, or the rows of. This is what attention is made of, forward and
// backward, without the matrix of its scores.
//
//   for each member of the leading `batch` axes, on its own:
//     carried = the last `carries` operands
//     for each block of the scanned axis, in ascending order (descending with `reverse`):
//       carried, outputs[block] = body(operands[block], carried)
//
// The body's parameters are the operands without their batch axes; along a scanned axis they hold
// one block, which is shorter at the end. Its integer argument 0 is the position at which the block
// begins, 1 that of the first row (below). Its results are the carried values and then the outputs,
// which are laid one block behind the other along their scanned axis.
//
// An axis of rows is one along which carried values lie too. If the body keeps rows apart, whoever
// runs the scan may take some of them at a time. With `triangular`, block b of size s sees only the
// rows from b * s on; carried rows before it stay as they are, and outputs there are zero.

#include "ir/program.h"

namespace flambeau::ir {

struct BlockScan {
  /// The part that axes of one operand or result have, counted without batch axes; -1: none has.
  struct Axes {
    int rows = -1;
    int scanned = -1;
    int64_t step = 0;  ///< elements along `scanned` that belong to one block: `block`, or 1
  };

  int carries = 0;
  int batch = 0;
  int64_t block = 128;
  bool triangular = false;
  bool reverse = false;
  SmallVector<Axes, 8> operands = {};  ///< the carried ones last
  SmallVector<Axes, 4> outputs = {};

  size_t input_count() const { return operands.size() - static_cast<size_t>(carries); }
  size_t result_count() const { return static_cast<size_t>(carries) + outputs.size(); }
  /// Of body result `i`: that of the carried operand, or of the output.
  const Axes& result(size_t i) const {
    const auto count = static_cast<size_t>(carries);
    return i < count ? operands[input_count() + i] : outputs[i - count];
  }

  /// As the `axes` of a node's attributes, and back. InternalError if `axes` are no form.
  SmallVector<int64_t, 5> encode() const;
  static BlockScan decode(std::span<const int64_t> axes);

  /// Extents of the scanned axis and of the rows (1 if there are none), from the operands' sizes.
  struct Extents {
    int64_t scanned = 0, blocks = 0, rows = 1;
  };
  Extents extents(std::span<const Ints> sizes) const;

  /// The part of an operand or result that block number `b` sees, of rows [row, row_end).
  struct Part {
    Ints starts, sizes;  ///< without batch axes
  };
  Part part(const Axes& axes, std::span<const int64_t> sizes, int64_t b, int64_t row,
            int64_t row_end) const;
};

/// The type of result `index` of a node with these operands; InternalError if they do not fit.
Type infer_block_scan(const BlockScan& scan, const Program& body, std::span<const Type> operands,
                      int index);

}  // namespace flambeau::ir
