#pragma once
// The scan over blocks (ir/block_scan.h) as a function on expressions. A running maximum and sum of
// exponentials over the keys of each query, for instance:
//
//   block_scan({.batch = 1}, {{query, {.rows = 0}}, {key, {.scanned = 0, .step = 128}}},
//              {{maximum, {.rows = 0}}, {total, {.rows = 0}}}, {},
//              [](const BlockScanBody& b) -> std::vector<Expr> {
//                const Expr scores = contract(b.inputs[0], transpose(b.inputs[1], 0, 1));
//                ...
//                return {new_maximum, new_total};
//              });

#include <functional>
#include <span>
#include <vector>

#include "ir/block_scan.h"
#include "prim/build.h"

namespace flambeau::prim {

/// A value with the part that its axes have in the scan.
struct Scanned {
  Expr value;
  ir::BlockScan::Axes axes = {};
};

/// What builds a body sees: its parameters, in the dtypes of the values outside, and two Int64 of
/// shape [], the positions of the block's first element and of the first row.
struct BlockScanBody {
  ir::Builder& builder;
  std::vector<Expr> inputs, carried;
  Expr block_start, first_row;
};

/// The carried values after the last block, then the outputs. `form` says batch, block, triangular
/// and reverse; `body` gives new carried values (of the dtypes of `carried`), then the outputs. All
/// values have equal batch axes; rows and scanned extents agree. Inputs that are only widened
/// 16-bit floats are passed as they are, and widened in the body.
std::vector<Expr> block_scan(const ir::BlockScan& form, std::span<const Scanned> inputs,
                             std::span<const Scanned> carried,
                             std::span<const ir::BlockScan::Axes> outputs,
                             const std::function<std::vector<Expr>(const BlockScanBody&)>& body);

}  // namespace flambeau::prim
