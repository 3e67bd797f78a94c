#include "lower/materialised.h"

#include <algorithm>

#include "lower/structural.h"
#include "lower/template_builder.h"

namespace flambeau::lower {
namespace {

using ir::Node;
using ir::NodeId;
using ir::PrimitiveClass;
using ir::Program;
using ir::Shape;

/// Core operations from which a value is a costly one, and rows that are many.
constexpr int kCostlyTable = 32;
constexpr int64_t kManyRows = 8;
/// Core operations from which an element that is computed in turn is worth memory of its own: that
/// takes as long as one vector of them.
constexpr int kCostlyInTurn = 10;

size_t index(NodeId id) { return static_cast<size_t>(id); }

/// Whether a broadcast stretches an axis before one along which its operand varies. (What only
/// stretches the last axes is computed once for a row.)
bool repeats_rows(const Program& program, const Node& broadcast) {
  const Shape& operand = program.nodes[index(broadcast.arguments[0])].type.shape;
  std::vector<bool> varies(broadcast.type.shape.size(), false);
  for (size_t i = 0; i < operand.size(); ++i)
    if (!operand[i].is_one()) varies[static_cast<size_t>(broadcast.attributes.axes[i])] = true;
  bool stretched = false;
  for (size_t axis = 0; axis < varies.size(); ++axis) {
    if (varies[axis] && stretched) return true;
    const Dim& extent = broadcast.type.shape[axis];
    const bool is_few = extent.is_constant() && extent.constant() < kManyRows;
    stretched = stretched || (!varies[axis] && !is_few);
  }
  return false;
}

}  // namespace

bool is_contraction(const Program& program, const Node& node) {
  return node.primitive->cls == PrimitiveClass::Contract && !is_outer_product(program, node);
}

Materialised::Materialised(const Program& program)
    : program_(program),
      nodes_(program.nodes.size(), false),
      transposed_products_(program.nodes.size(), false) {
  std::vector<int> uses(program.nodes.size(), 0);
  for (const Node& n : program.nodes)
    for (const NodeId argument : n.arguments) ++uses[index(argument)];
  for (size_t i = 0; i < program.nodes.size(); ++i) {
    const Node& n = program.nodes[i];
    const PrimitiveClass cls = n.primitive->cls;
    // A scan with one user runs in that user's kernel.
    nodes_[i] = n.primitive == rows().parameter || is_contraction(program, n) ||
                cls == PrimitiveClass::Scatter || (cls == PrimitiveClass::Scan && uses[i] > 1) ||
                cls == PrimitiveClass::BlockScan;
  }
  for (const NodeId result : program.results) {
    add(result);
    ++uses[index(result)];
  }
  transpose_products(uses);
  add_tables();
  add_around_turns();
}

/// Where a product is only read transposed, that is the product of its operands the other way
/// round: the same bits, row-major.
void Materialised::transpose_products(std::span<const int> uses) {
  for (size_t i = 0; i < program_.nodes.size(); ++i) {
    const Node& n = program_.nodes[i];
    if (n.primitive != rows().permute) continue;
    const size_t product = index(n.arguments[0]);
    const size_t rank = n.type.shape.size();
    if (!is_contraction(program_, program_.nodes[product]) || uses[product] != 1) continue;
    SmallVector<int64_t, 5> swapped;
    for (size_t axis = 0; axis < rank; ++axis) swapped.push_back(static_cast<int64_t>(axis));
    std::swap(swapped[rank - 1], swapped[rank - 2]);
    if (n.attributes.axes != swapped) continue;
    transposed_products_[i] = nodes_[i] = true;
    nodes_[product] = false;
  }
}

/// What is costly and the same for each of many rows, as a table of angles is, is computed once
/// before them.
void Materialised::add_tables() {
  for (const Node& n : program_.nodes) {
    if (n.primitive != rows().broadcast || !repeats_rows(program_, n)) continue;
    const NodeId table = under_views(n.arguments[0]);
    if (cost_of(table, kCostlyTable, Ordered::Unknown).value_or(0) >= kCostlyTable) add(table);
  }
}

/// Scans and scatters along the last axis take one element after the other: what is costly and
/// computed in their loops, before or after them, would be, too.
void Materialised::add_around_turns() {
  for (size_t i = 0; i < program_.nodes.size(); ++i) {
    const Node& n = program_.nodes[i];
    if (!takes_turns(static_cast<NodeId>(i))) continue;
    has_scans_in_turn_ |= n.primitive->cls == PrimitiveClass::Scan;
    // The target of a scatter is written by a kernel of its own.
    const size_t first = n.primitive->cls == PrimitiveClass::Scatter ? 1 : 0;
    for (size_t a = first; a < n.arguments.size(); ++a) {
      const NodeId operand = under_views(n.arguments[a]);
      if (!contains(operand) && is_costly_in_turn(operand)) add(operand);
    }
  }
  if (!has_scans_in_turn_) return;
  for (size_t i = 0; i < program_.nodes.size(); ++i) {
    const auto id = static_cast<NodeId>(i);
    if (!contains(id) || node(id).primitive->cls != PrimitiveClass::Elementwise) continue;
    const std::vector<NodeId> scans = turns_of(id);
    if (scans.empty() || !is_costly_in_turn(id)) continue;
    for (const NodeId scan : scans) add(scan);
  }
}

bool Materialised::is_costly_in_turn(NodeId id) const {
  return own_cost(id, kCostlyInTurn, Ordered::Free) >= kCostlyInTurn;
}

/// True of a scan or scatter whose loop along the last axis is no vector's.
bool Materialised::takes_turns(NodeId id) const {
  const Node& n = node(id);
  if (n.primitive->cls == PrimitiveClass::Scan) {
    const Shape& shape = n.type.shape;
    size_t last = shape.size();
    while (last > 0 && shape[last - 1].is_one()) --last;
    return last > 0 && n.attributes.axes[0] == static_cast<int64_t>(last) - 1;
  }
  if (n.primitive->cls != PrimitiveClass::Scatter) return false;
  const ScatterSpace scatter = scatter_space(program_, id);
  for (size_t a = scatter.axes.size(); a-- > 0;)
    if (const int loop = scatter.axes[a].as_loop(); loop >= 0)
      return loop >= static_cast<int>(scatter.space.kept.size());
  return false;
}

NodeId Materialised::under_views(NodeId id) const {
  while (!contains(id) && node(id).primitive->cls == PrimitiveClass::View)
    id = node(id).arguments[0];
  return id;
}

/// Scans that take turns in the kernel of `id`.
std::vector<NodeId> Materialised::turns_of(NodeId id) const {
  std::vector<NodeId> scans;
  std::vector<bool> seen(program_.nodes.size(), false);
  std::vector<NodeId> left{id};
  while (!left.empty()) {
    const NodeId next = left.back();
    left.pop_back();
    if (seen[index(next)] || (next != id && contains(next))) continue;
    seen[index(next)] = true;
    const Node& n = node(next);
    if (n.primitive->cls != PrimitiveClass::Scan)
      left.insert(left.end(), n.arguments.begin(), n.arguments.end());
    else if (takes_turns(next))
      scans.push_back(next);
  }
  return scans;
}

/// Core operations of an element that is computed in the kernel of its user, counted up to
/// `most`; nullopt if something of it is Unknown.
std::optional<int> Materialised::cost_of(NodeId id, int most, Ordered ordered) const {
  const PrimitiveClass cls = node(id).primitive->cls;
  if (contains(id)) return 0;
  if (cls != PrimitiveClass::Reduce && cls != PrimitiveClass::Scan)
    return own_cost(id, most, ordered);
  return ordered == Ordered::Free ? std::optional(0) : std::nullopt;
}

/// The same of an element in a kernel of its own.
std::optional<int> Materialised::own_cost(NodeId id, int most, Ordered ordered) const {
  const Node& n = node(id);
  int cost = 0;
  if (n.primitive->cls == PrimitiveClass::Elementwise) {
    SmallVector<DType, 4> dtypes;
    for (const NodeId argument : n.arguments) dtypes.push_back(node(argument).type.dtype);
    cost = core_operations(*n.primitive, n.type.dtype, n.attributes, dtypes);
  }
  for (const NodeId argument : n.arguments) {
    if (cost >= most) break;
    const std::optional<int> more = cost_of(argument, most - cost, ordered);
    if (!more) return std::nullopt;
    cost += *more;
  }
  return cost;
}

bool Materialised::mixes_turns(std::span<const std::pair<NodeId, int>> roots) const {
  if (!has_scans_in_turn_) return false;
  const auto takes = [&](const auto& root) { return !turns_of(root.first).empty(); };
  return std::any_of(roots.begin(), roots.end(), takes) &&
         std::any_of(roots.begin(), roots.end(), [&](const auto& root) {
           return !takes(root) && is_costly_in_turn(root.first);
         });
}

}  // namespace flambeau::lower
