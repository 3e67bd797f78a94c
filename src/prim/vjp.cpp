#include "prim/vjp.h"

#include "prim/row.h"

namespace flambeau::prim {
namespace {

using ir::Builder;
using ir::Node;
using ir::NodeId;

/// Which of the nodes up to the last output depend on a wanted one.
std::vector<bool> dependents(const Builder& builder, std::span<const Expr> wanted, size_t count) {
  std::vector<bool> depends(count);
  for (const Expr& w : wanted)
    if (static_cast<size_t>(w.id()) < count) depends[static_cast<size_t>(w.id())] = true;
  for (size_t i = 0; i < count; ++i)
    for (const NodeId id : builder.nodes()[i].arguments)
      if (depends[static_cast<size_t>(id)]) depends[i] = true;
  return depends;
}

/// The cotangents that reached one node, the last use's first.
using Contributions = SmallVector<Expr, 2>;

/// Their sum from the first use to the last.
Expr total(const Contributions& contributions) {
  Expr sum = contributions.back();
  for (size_t i = contributions.size() - 1; i-- > 0;) sum = sum + contributions[i];
  return sum;
}

void contribute(Contributions& to, const Expr& value, const Expr& cotangent) {
  check<InternalError>(cotangent.dtype() == value.dtype() && cotangent.rank() == value.rank(), [&] {
    return concat("differentiate: a cotangent ", info(cotangent.dtype()).name, " of rank ",
                  cotangent.rank(), " of a value ", info(value.dtype()).name, " of rank ",
                  value.rank(), " (", value.node().primitive->name, ")");
  });
  to.push_back(cotangent);
}

/// True for a node of complex values alone whose rule is that of a holomorphic function f: its
/// operand's cotangent is conj(f') g, which is the conjugate of the rule at conj(g). What acts on
/// the two parts alike passes cotangents on as they are.
bool is_holomorphic(const Node& node, std::span<const Expr> arguments) {
  if (!is_complex(node.type.dtype) || node.primitive->on_complex == ir::componentwise) return false;
  for (const Expr& argument : arguments)
    if (is_inexact(argument.dtype()) && !is_complex(argument.dtype())) return false;
  return true;
}

/// The cotangents of the operands of a node, given that of its result.
Cotangents node_cotangents(Builder& builder, const Node& node, std::span<const Expr> arguments,
                           const Expr& result, const Expr& cotangent) {
  const bool conjugates = is_holomorphic(node, arguments);
  Cotangents found = node.primitive->vjp(
      {builder, node, arguments, result, conjugates ? conj(cotangent) : cotangent});
  require(found.size() == arguments.size(), "differentiate: a cotangent for each operand");
  if (conjugates)
    for (Expr& one : found)
      if (one.valid()) one = conj(one);
  return found;
}

}  // namespace

std::vector<Expr> differentiate(Builder& builder, std::span<const Expr> outputs,
                                std::span<const Expr> cotangents, std::span<const Expr> wanted) {
  require(outputs.size() == cotangents.size(), "differentiate: a cotangent for each output");
  size_t count = 0;
  for (const Expr& output : outputs) count = std::max(count, static_cast<size_t>(output.id()) + 1);
  const std::vector<bool> depends = dependents(builder, wanted, count);

  // An output is used after every node, the first output last.
  std::vector<Contributions> reached(count);
  for (size_t i = outputs.size(); i-- > 0;)
    if (cotangents[i].valid() && is_inexact(outputs[i].dtype()))
      contribute(reached[static_cast<size_t>(outputs[i].id())], outputs[i], cotangents[i]);

  std::vector<Expr> totals(count);
  for (size_t i = count; i-- > 0;) {
    if (reached[i].empty() || !depends[i]) continue;
    totals[i] = total(reached[i]);
    // A copy: the rule adds nodes, which moves them.
    const Node node = builder.nodes()[i];
    if (node.primitive->vjp == nullptr) continue;
    SmallVector<Expr, 4> arguments;
    for (const NodeId id : node.arguments) arguments.push_back(builder.expr(id));
    const Expr result = builder.expr(static_cast<NodeId>(i));
    const Cotangents of_arguments = node_cotangents(builder, node, arguments, result, totals[i]);
    for (size_t a = arguments.size(); a-- > 0;) {
      const auto argument = static_cast<size_t>(node.arguments[a]);
      if (of_arguments[a].valid() && depends[argument] && is_inexact(arguments[a].dtype()))
        contribute(reached[argument], arguments[a], of_arguments[a]);
    }
  }

  std::vector<Expr> result;
  for (const Expr& w : wanted) {
    const auto id = static_cast<size_t>(w.id());
    result.push_back(id < count ? totals[id] : Expr());
  }
  return result;
}

}  // namespace flambeau::prim
