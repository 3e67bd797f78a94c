#pragma once
// Which nodes of a program can be computed for some rows at a time.

#include <optional>
#include <vector>

#include "ir/program.h"

namespace flambeau::compiler {

/// Axes of a value along the loops of a group: one for each axis of the batch, then that of the
/// rows; -1: it is the same for all of them.
using LoopAxes = SmallVector<int, 5>;

/// Nodes that make, for each member of a batch and each block of rows, that block of their results
/// out of that block of what they read.
struct RowGroup {
  ir::Shape batch;                  ///< extents
  ir::Dim rows;                     ///< of each member
  std::vector<ir::NodeId> nodes;    ///< ascending
  std::vector<LoopAxes> axes;       ///< per node of the program; empty for those outside
  std::vector<ir::NodeId> summed;   ///< products of the group that sum over rows; nothing inside
                                    ///< reads them, and they have no axis of rows
  std::vector<ir::NodeId> outputs;  ///< others that something outside reads
  /// Per node of the program: it is computed from products of the group.
  std::vector<bool> waits;

  bool is_inside(size_t node) const { return !axes[node].empty(); }
  /// The axes of operand number `operand` of a node inside, as that node reads it.
  LoopAxes axes_of_operand(const ir::Program& program, ir::NodeId node, size_t operand) const;
  /// True if it reads that operand as it is computed inside. What waits for no product may be
  /// computed both inside and outside.
  bool is_read_inside(const ir::Program& program, ir::NodeId node, size_t operand) const;
};

/// The largest group that holds a product which nobody outside reads, and something of a whole row
/// that is spread over the row again: attention. (Products alone, as those of two layers, gain
/// little memory and lose time where they are small.)
std::optional<RowGroup> find_row_group(const ir::Program& program);

}  // namespace flambeau::compiler
