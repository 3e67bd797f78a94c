#pragma once
// Rows that are computed apart, taken some at a time: what stands between products is then never
// whole in memory. Attention written out is the case in mind,
//
//   softmax(query @ key^T * scale + mask) @ value
//
// whose scores have as many rows as there are queries: a block of rows of the query gives that
// block of the scores, of what softmax makes of them, and of the result. In its backward the
// gradients of key and value are sums over rows; a product sums in blocks of 256 (ir/order.h), so
// that the products of blocks of so many rows, added in order, are the same sum to the bit.

#include <optional>

#include "compile/merge.h"

namespace flambeau::compiler {

/// `program` with a product, what follows row by row from it, and products of that as one scan over
/// blocks of rows (ir/block_scan.h), for each member of the product's batch. It gives the same
/// bits. Nullopt where there is nothing to gain.
std::optional<ir::Program> block_rows(const ir::Program& program);
/// The same of a merged program, cached by it; null for nullopt.
std::shared_ptr<const Executable> in_row_blocks(const Executable& executable);

/// Bytes that a run of the program, rows in blocks where they can be, reads and writes if all
/// extents that are not known are typical ones.
double typical_bytes(const Executable& executable);

/// What runs for a region of several runs: its program, with its rows in blocks where they can be.
/// Sizes do not choose, so that no kernel is new for new ones; what is small is one block.
std::shared_ptr<const Executable> form_of(const Region& region);

}  // namespace flambeau::compiler
