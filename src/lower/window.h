#pragma once
// Chains of index maps (views, affine gathers, reshapes) as windows of a value in memory.

#include <optional>
#include <vector>

#include "lower/plan.h"
#include "lower/template_builder.h"

namespace flambeau::lower {

/// `value_of[node]`: the materialised value that holds the node, or -1.
class WindowFinder {
 public:
  using Digits = SmallVector<ContractStep::Operand::Digit, 6>;
  /// The materialised value and position that a chain of affine views of it reads.
  struct Window {
    ir::NodeId source;
    SmallVector<AxisIndex, 5> axes;
    Digits digits = {};
  };

  WindowFinder(const ir::Program& program, const std::vector<int>& value_of)
      : program_(program), value_of_(value_of) {}

  /// The window that node `id` is at `axes`, if it is one.
  std::optional<Window> window_of(ir::NodeId id, const SmallVector<AxisIndex, 5>& axes,
                                  bool through_widening) const;
  /// A contraction's operand as windows of a smaller value (an image's patches as the rows or
  /// columns of a matrix), which packing reads where they are. `axes` are in loops below
  /// `first_digit`. If what the windows are of is in no memory, that is `missing`.
  std::optional<Window> patches_of(ir::NodeId id, const SmallVector<AxisIndex, 5>& axes,
                                   int first_digit, ir::NodeId& missing) const;

 private:
  static size_t index(ir::NodeId id) { return static_cast<size_t>(id); }
  const ir::Node& node(ir::NodeId id) const { return program_.nodes[index(id)]; }
  /// The position in the operand of a reshape that joins axes, where loops below `first_digit` that
  /// run over joined axes are taken apart into digits.
  std::optional<IndexEnv> joined_env(const ir::Node& n, const IndexEnv& env, int first_digit,
                                     Digits& digits) const;
  /// The position a gather reads if all its indices are affine in the loops (diagonals, windows).
  std::optional<IndexEnv> affine_gather(const ir::Node& n, const IndexEnv& env) const;

  const ir::Program& program_;
  const std::vector<int>& value_of_;
};

}  // namespace flambeau::lower
