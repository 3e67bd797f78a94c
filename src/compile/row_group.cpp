#include "compile/row_group.h"

#include <algorithm>

#include "lower/structural.h"

namespace flambeau::compiler {
namespace {

using ir::Node;
using ir::NodeId;
using ir::PrimitiveClass;
using ir::Program;

size_t index(NodeId id) { return static_cast<size_t>(id); }
const Node& node_at(const Program& program, NodeId id) { return program.nodes[index(id)]; }

bool is_contract(const Node& node) { return node.primitive->cls == PrimitiveClass::Contract; }

/// Per axis of operand number `operand`: the axis of the node's result that it is, -1 if it ends
/// there. Nullopt for nodes that mix rows, or may.
std::optional<LoopAxes> targets(const Program& program, const Node& node, size_t operand) {
  const ir::Shape& from = node_at(program, node.arguments[operand]).type.shape;
  const auto& axes = node.attributes.axes;
  LoopAxes out;
  for (size_t axis = 0; axis < from.size(); ++axis) out.push_back(static_cast<int>(axis));
  switch (node.primitive->cls) {
    case PrimitiveClass::Elementwise:
      return out;
    case PrimitiveClass::Contract:
      out[out.size() - (operand == 0 ? 1 : 2)] = -1;
      return out;
    case PrimitiveClass::View:
      if (node.primitive == lower::rows().broadcast) {
        for (size_t axis = 0; axis < from.size(); ++axis) {
          const bool is_stretched =
              from[axis].is_one() && !node.type.shape[static_cast<size_t>(axes[axis])].is_one();
          out[axis] = is_stretched ? -1 : static_cast<int>(axes[axis]);
        }
        return out;
      }
      if (node.primitive == lower::rows().permute) {
        for (size_t axis = 0; axis < axes.size(); ++axis)
          out[static_cast<size_t>(axes[axis])] = static_cast<int>(axis);
        return out;
      }
      if (node.primitive != lower::rows().squeeze) return std::nullopt;
      [[fallthrough]];
    case PrimitiveClass::Reduce: {
      int left = 0;
      for (int& axis : out)
        axis = std::find(axes.begin(), axes.end(), axis) == axes.end() ? left++ : -1;
      return out;
    }
    default:
      return std::nullopt;
  }
}

/// The axes of the result of `node` whose operand has the axes `own`; nullopt if rows or members of
/// the batch meet in it. That rows are summed is said by -1.
std::optional<LoopAxes> axes_of_result(const Program& program, const Node& node, size_t operand,
                                       const LoopAxes& own) {
  const std::optional<LoopAxes> to = targets(program, node, operand);
  if (!to) return std::nullopt;
  LoopAxes out;
  for (size_t loop = 0; loop < own.size(); ++loop) {
    const int axis = own[loop] < 0 ? -1 : (*to)[static_cast<size_t>(own[loop])];
    const bool is_row = loop + 1 == own.size();
    if (own[loop] >= 0 && axis < 0 && !(is_row && is_contract(node))) return std::nullopt;
    // Batches are those of products.
    if (is_contract(node) && !is_row && (axis < 0 || index(axis) + 2 >= node.type.shape.size()))
      return std::nullopt;
    out.push_back(axis);
  }
  return out;
}

LoopAxes axes_as_read(const Program& program, const Node& node, size_t operand,
                      const LoopAxes& result) {
  const auto rank = static_cast<int>(node_at(program, node.arguments[operand]).type.shape.size());
  const LoopAxes to = *targets(program, node, operand);
  LoopAxes out;
  for (const int axis : result)
    out.push_back(axis < 0 ? -1
                           : static_cast<int>(std::find(to.begin(), to.end(), axis) - to.begin()));
  for (int& axis : out)
    if (axis == rank) axis = -1;
  if (is_contract(node) && result.back() < 0) out.back() = operand == 0 ? rank - 1 : rank - 2;
  return out;
}

/// Grows a group from one product.
class Grower {
 public:
  Grower(const Program& program, NodeId seed, int rows) : program_(program) {
    group_.axes.resize(program.nodes.size());
    const ir::Shape& shape = node_at(program, seed).type.shape;
    LoopAxes& axes = group_.axes[index(seed)];
    for (size_t axis = 0; axis + 2 < shape.size(); ++axis) {
      axes.push_back(static_cast<int>(axis));
      group_.batch.push_back(shape[axis]);
    }
    axes.push_back(rows);
    group_.rows = shape[index(rows)];
  }

  std::optional<RowGroup> run() {
    if (group_.rows.is_one()) return std::nullopt;
    bool changed = true;
    while (changed) {
      changed = false;
      find_waiting();
      for (size_t i = 0; i < program_.nodes.size(); ++i) {
        const auto id = static_cast<NodeId>(i);
        const bool grown = group_.is_inside(i) ? take_operands(id) : take(id);
        changed = changed || grown;
        find_waiting(i);
      }
    }
    if (!holds()) return std::nullopt;
    collect();
    return is_worthwhile() ? std::optional(std::move(group_)) : std::nullopt;
  }

 private:
  const Node& node(NodeId id) const { return node_at(program_, id); }
  bool is_summed(NodeId id) const {
    return group_.is_inside(index(id)) && group_.axes[index(id)].back() < 0;
  }

  void find_waiting() {
    group_.waits.assign(program_.nodes.size(), false);
    for (size_t i = 0; i < program_.nodes.size(); ++i) find_waiting(i);
  }
  void find_waiting(size_t i) {
    const Node& n = program_.nodes[i];
    bool waits = group_.is_inside(i) && is_contract(n);
    for (const NodeId argument : n.arguments) waits = waits || group_.waits[index(argument)];
    group_.waits[i] = waits;
  }

  /// Whether the extents along the loops are those of the group.
  bool fits(NodeId id, const LoopAxes& axes) const {
    const ir::Shape& shape = node(id).type.shape;
    for (size_t loop = 0; loop < axes.size(); ++loop) {
      if (axes[loop] < 0) continue;
      const ir::Dim& wanted = loop < group_.batch.size() ? group_.batch[loop] : group_.rows;
      if (!(shape[index(axes[loop])] == wanted)) return false;
    }
    return true;
  }

  /// Takes in a node that reads what is inside, and otherwise only what is there before.
  bool take(NodeId id) {
    const Node& n = node(id);
    std::optional<LoopAxes> axes;
    for (size_t a = 0; a < n.arguments.size() && !axes; ++a) {
      const NodeId argument = n.arguments[a];
      if (!group_.is_inside(index(argument)) || !group_.waits[index(argument)]) continue;
      axes = axes_of_result(program_, n, a, group_.axes[index(argument)]);
      if (!axes) return false;
    }
    if (!axes || !fits(id, *axes)) return false;
    for (size_t a = 0; a < n.arguments.size(); ++a)
      if (!is_readable(n, a, *axes)) return false;
    group_.axes[index(id)] = *axes;
    return true;
  }

  /// Whether the group can read operand `a` of a node with the axes `result`.
  bool is_readable(const Node& n, size_t a, const LoopAxes& result) const {
    if (!targets(program_, n, a)) return false;
    const NodeId argument = n.arguments[a];
    const LoopAxes wanted = axes_as_read(program_, n, a, result);
    if (group_.is_inside(index(argument)) && group_.axes[index(argument)] == wanted)
      return !is_summed(argument);
    return !group_.waits[index(argument)];
  }

  /// Takes in operands that have rows and are computed: the others are read.
  bool take_operands(NodeId id) {
    const Node& n = node(id);
    bool any = false;
    for (size_t a = 0; a < n.arguments.size(); ++a) {
      const NodeId argument = n.arguments[a];
      if (group_.is_inside(index(argument)) || group_.waits[index(argument)]) continue;
      const LoopAxes axes = axes_as_read(program_, n, a, group_.axes[index(id)]);
      if (axes.back() < 0 || !fits(argument, axes) || !is_computed_by_rows(argument, axes))
        continue;
      group_.axes[index(argument)] = axes;
      any = true;
    }
    return any;
  }

  bool is_computed_by_rows(NodeId id, const LoopAxes& axes) const {
    const Node& n = node(id);
    if (n.primitive == lower::rows().iota) return true;
    if (n.arguments.empty()) return false;
    if (is_contract(n))
      for (size_t loop = 0; loop < group_.batch.size(); ++loop)
        if (axes[loop] < 0 || index(axes[loop]) + 2 >= n.type.shape.size()) return false;
    for (size_t a = 0; a < n.arguments.size(); ++a)
      if (!is_readable(n, a, axes)) return false;
    return true;
  }

  /// True if what was decided node by node agrees.
  bool holds() const {
    for (size_t i = 0; i < program_.nodes.size(); ++i) {
      if (!group_.is_inside(i)) continue;
      const Node& n = program_.nodes[i];
      for (size_t a = 0; a < n.arguments.size(); ++a)
        if (!is_readable(n, a, group_.axes[i])) return false;
    }
    return true;
  }

  void collect() {
    std::vector<bool> is_read(program_.nodes.size(), false);
    for (const NodeId result : program_.results) is_read[index(result)] = true;
    for (size_t i = 0; i < program_.nodes.size(); ++i)
      if (!group_.is_inside(i))
        for (const NodeId argument : program_.nodes[i].arguments) is_read[index(argument)] = true;
    for (size_t i = 0; i < program_.nodes.size(); ++i) {
      if (!group_.is_inside(i)) continue;
      const auto id = static_cast<NodeId>(i);
      group_.nodes.push_back(id);
      if (is_summed(id))
        group_.summed.push_back(id);
      else if (is_read[i] && group_.waits[i])
        group_.outputs.push_back(id);
    }
  }

  /// True if something of a row is spread over the row again, as the sum of a softmax.
  bool is_spread(const Node& n) const {
    if (n.primitive != lower::rows().broadcast) return false;
    const size_t operand = index(n.arguments[0]);
    if (!group_.is_inside(operand) || !group_.waits[operand]) return false;
    const auto extents = [](const ir::Shape& shape) {
      return std::count_if(shape.begin(), shape.end(),
                           [](const ir::Dim& d) { return !d.is_one(); });
    };
    return extents(program_.nodes[operand].type.shape) < extents(n.type.shape);
  }

  bool is_worthwhile() const {
    bool has_inner = false;
    bool has_spread = false;
    for (const NodeId id : group_.nodes) {
      const Node& n = node(id);
      has_spread = has_spread || is_spread(n);
      const bool is_kept =
          std::find(group_.outputs.begin(), group_.outputs.end(), id) != group_.outputs.end();
      has_inner = has_inner || (is_contract(n) && !is_summed(id) && !is_kept);
    }
    return has_inner && has_spread && group_.outputs.size() + group_.summed.size() > 0;
  }

  const Program& program_;
  RowGroup group_;
};

}  // namespace

LoopAxes RowGroup::axes_of_operand(const ir::Program& program, NodeId node, size_t operand) const {
  return axes_as_read(program, node_at(program, node), operand, axes[index(node)]);
}

bool RowGroup::is_read_inside(const ir::Program& program, NodeId node, size_t operand) const {
  const size_t argument = index(node_at(program, node).arguments[operand]);
  return is_inside(argument) && axes[argument] == axes_of_operand(program, node, operand);
}

std::optional<RowGroup> find_row_group(const Program& program) {
  std::optional<RowGroup> best;
  for (size_t i = 0; i < program.nodes.size(); ++i) {
    if (!is_contract(program.nodes[i]) || (best && best->is_inside(i))) continue;
    const auto rank = static_cast<int>(program.nodes[i].type.shape.size());
    for (const int rows : {rank - 2, rank - 1}) {
      std::optional<RowGroup> group = Grower(program, static_cast<NodeId>(i), rows).run();
      if (group && (!best || group->nodes.size() > best->nodes.size())) best = std::move(group);
    }
  }
  return best;
}

}  // namespace flambeau::compiler
