#include "lower/window.h"

#include "lower/structural.h"

namespace flambeau::lower {

using ir::Node;
using ir::NodeId;
using ir::PrimitiveClass;
using ir::Shape;

namespace {

/// True for a coefficient that turned an odd number of flips; steps and extents, of which the
/// others are made, are not negative.
bool is_negative(const Dim& coefficient) {
  if (coefficient.is_constant()) return coefficient.constant() < 0;
  if (coefficient.op() == ir::DimOp::Size || coefficient.op() == ir::DimOp::Integer) return false;
  const bool left = is_negative(coefficient.left());
  const bool right = is_negative(coefficient.right());
  return coefficient.op() == ir::DimOp::Mul ? left != right : left || right;
}

/// The number of elements where every extent that is not known is large.
int64_t large_count(const Shape& shape) {
  constexpr int kLarge = 256;
  Dim count = 1;
  for (const Dim& extent : shape)
    count = count * extent.substitute([](int, int) { return Dim(kLarge); },
                                      [](int) { return Dim(kLarge); });
  return count.constant();
}

}  // namespace

std::optional<WindowFinder::Window> WindowFinder::window_of(NodeId id,
                                                            const SmallVector<AxisIndex, 5>& axes,
                                                            bool through_widening) const {
  IndexEnv env{axes, -1};
  while (value_of_[index(id)] < 0) {
    const Node& n = node(id);
    if (through_widening && n.primitive == rows().convert && n.type.dtype == DType::Float32 &&
        is_half(node(n.arguments[0]).type.dtype)) {
      id = n.arguments[0];
      continue;
    }
    if (n.primitive->cls == PrimitiveClass::Gather) {
      const std::optional<IndexEnv> inner = affine_gather(n, env);
      if (!inner) return std::nullopt;
      env = *inner;
    } else {
      const std::optional<IndexEnv> inner = operand_env(program_, n, env);
      if (!inner) return std::nullopt;
      env = *inner;
    }
    id = n.arguments[0];
  }
  // Nothing in memory has negative strides: a flipped view is computed.
  for (const AxisIndex& axis : env.axes)
    for (const AxisIndex::Term& term : axis.terms)
      if (is_negative(term.coefficient)) return std::nullopt;
  return Window{id, env.axes};
}

std::optional<IndexEnv> WindowFinder::joined_env(const Node& n, const IndexEnv& env,
                                                 int first_digit, Digits& digits) const {
  const Shape& from = node(n.arguments[0]).type.shape;
  IndexEnv out;
  out.axes.resize(from.size());
  size_t f = 0;
  for (size_t t = 0; t < n.type.shape.size(); ++t) {
    const Dim& extent = n.type.shape[t];
    if (extent.is_one()) continue;
    SmallVector<size_t, 6> joined;
    Dim product = 1;
    while (f < from.size() && !(product == extent)) {
      if (!from[f].is_one()) {
        joined.push_back(f);
        product = product * from[f];
      }
      ++f;
    }
    if (!(product == extent)) return std::nullopt;
    if (joined.size() == 1) {
      out.axes[joined[0]] = env.axes[t];
      continue;
    }
    const int loop = env.axes[t].as_loop();
    if (loop < 0 || loop >= first_digit) return std::nullopt;
    for (const size_t axis : joined) {
      out.axes[axis] = AxisIndex::loop(first_digit + static_cast<int>(digits.size()));
      digits.push_back({loop, from[axis]});
    }
  }
  return out;
}

std::optional<WindowFinder::Window> WindowFinder::patches_of(NodeId id,
                                                             const SmallVector<AxisIndex, 5>& axes,
                                                             int first_digit,
                                                             NodeId& missing) const {
  const int64_t size = large_count(node(id).type.shape);
  Window window{id, axes};
  IndexEnv env{axes, -1};
  bool gathers = false;
  while (value_of_[index(id)] < 0) {
    const Node& n = node(id);
    const bool is_gather = n.primitive->cls == PrimitiveClass::Gather;
    std::optional<IndexEnv> inner =
        is_gather ? affine_gather(n, env) : operand_env(program_, n, env);
    if (!inner && n.primitive->cls == PrimitiveClass::Reshape)
      inner = joined_env(n, env, first_digit, window.digits);
    if (!inner) break;
    gathers |= is_gather;
    env = *inner;
    id = n.arguments[0];
  }
  for (const AxisIndex& axis : env.axes)
    for (const AxisIndex::Term& term : axis.terms)
      if (is_negative(term.coefficient)) return std::nullopt;
  if (!gathers || window.digits.empty() || large_count(node(id).type.shape) >= size)
    return std::nullopt;
  if (value_of_[index(id)] < 0) {
    missing = id;
    return std::nullopt;
  }
  window.source = id;
  window.axes = env.axes;
  return window;
}

std::optional<IndexEnv> WindowFinder::affine_gather(const Node& n, const IndexEnv& env) const {
  IndexEnv inner;
  for (size_t i = 1; i < n.arguments.size(); ++i) {
    std::optional<AxisIndex> position = affine_index(program_, value_of_, n.arguments[i], env);
    if (!position) return std::nullopt;
    inner.axes.push_back(std::move(*position));
  }
  return inner;
}

}  // namespace flambeau::lower
