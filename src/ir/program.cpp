#include "ir/program.h"

#include "base/error.h"

namespace flambeau::ir {
namespace {

/// A cheap hash for sharing nodes; equality decides.
class NodeHash {
 public:
  void mix(uint64_t value) {
    state_ = (state_ ^ value) * 0x9e3779b97f4a7c15U;
    state_ ^= state_ >> 32;
  }
  void mix(const Dim& d) {
    mix(static_cast<uint64_t>(d.op()));
    if (d.is_constant())
      mix(static_cast<uint64_t>(d.constant()));
    else if (d.op() == DimOp::Size)
      mix(static_cast<uint64_t>(d.leaf_parameter() * 64 + d.leaf_axis()));
    else if (d.op() == DimOp::Integer)
      mix(static_cast<uint64_t>(d.leaf_slot()));
  }
  uint64_t finish() const { return state_; }

 private:
  uint64_t state_ = 0x243f6a8885a308d3U;
};

template <class Id>
uint64_t hash_of(const Primitive* primitive, const Id& arguments, const Attributes& attributes) {
  NodeHash hash;
  hash.mix(reinterpret_cast<uintptr_t>(primitive));
  for (const auto& argument : arguments) {
    if constexpr (std::is_same_v<std::decay_t<decltype(argument)>, Expr>)
      hash.mix(static_cast<uint64_t>(argument.id()));
    else
      hash.mix(static_cast<uint64_t>(argument));
  }
  hash.mix(attributes.axes.size());
  for (const int64_t axis : attributes.axes) hash.mix(static_cast<uint64_t>(axis));
  hash.mix(attributes.dims.size());
  for (const Dim& d : attributes.dims) hash.mix(d);
  hash.mix(attributes.value.bits());
  hash.mix(static_cast<uint64_t>(attributes.index));
  return hash.finish();
}

bool same_arguments(const Node& node, std::span<const Expr> arguments) {
  if (node.arguments.size() != arguments.size()) return false;
  for (size_t i = 0; i < arguments.size(); ++i)
    if (node.arguments[i] != arguments[i].id()) return false;
  return true;
}

void hash_type(Hasher& hasher, const Type& type) {
  hasher.add(type.dtype).add(type.shape.size());
  for (const Dim& d : type.shape) d.hash_into(hasher);
}

bool is_program_source(const Node& node) {
  return node.primitive == parameter_row() || node.primitive == number_row();
}

}  // namespace

Hash128 Program::hash() const {
  Hasher hasher;
  hasher.add(parameters.size());
  for (const Type& type : parameters) hash_type(hasher, type);
  hasher.add(numbers.size());
  for (const DType dtype : numbers) hasher.add(dtype);
  hasher.add(nodes.size());
  for (const Node& node : nodes) {
    hasher.add(node.primitive->name).add(node.arguments.size());
    for (const NodeId id : node.arguments) hasher.add(id);
    node.attributes.hash_into(hasher);
    hash_type(hasher, node.type);
  }
  hasher.add(results.size());
  for (const NodeId id : results) hasher.add(id);
  return hasher.finish();
}

Dim Expr::dim(int axis) const {
  const int from_front = axis < 0 ? axis + rank() : axis;
  check<InternalError>(from_front >= 0 && from_front < rank(),
                       [&] { return concat("dim: axis ", axis, " of a value of rank ", rank()); });
  return type().shape[static_cast<size_t>(from_front)];
}

// NOLINTNEXTLINE(modernize-pass-by-value): callers keep their program
Builder::Builder(const Program& program) : program_(program) {
  program_.results.clear();
  for (size_t i = 0; i < program_.nodes.size(); ++i) {
    const Node& node = program_.nodes[i];
    by_hash_.emplace(hash_of(node.primitive, node.arguments, node.attributes),
                     static_cast<NodeId>(i));
  }
}

Expr Builder::append(Node node, uint64_t hash) {
  const auto id = static_cast<NodeId>(program_.nodes.size());
  program_.nodes.push_back(std::move(node));
  by_hash_.emplace(hash, id);
  return {this, id};
}

Expr Builder::parameter(DType dtype, const Shape& shape) {
  Node node;
  node.primitive = parameter_row();
  node.attributes.index = static_cast<int>(program_.parameters.size());
  node.type = {dtype, shape};
  program_.parameters.push_back(node.type);
  const uint64_t hash = hash_of(node.primitive, node.arguments, node.attributes);
  return append(std::move(node), hash);
}

Expr Builder::number(DType dtype) {
  check<InternalError>(
      dtype == DType::Float64 || dtype == DType::Int64 || dtype == DType::Bool,
      [&] { return concat("number: a number of a call cannot be ", info(dtype).name); });
  Node node;
  node.primitive = number_row();
  node.attributes.index = static_cast<int>(program_.numbers.size());
  node.type = {dtype, {}};
  program_.numbers.push_back(dtype);
  const uint64_t hash = hash_of(node.primitive, node.arguments, node.attributes);
  return append(std::move(node), hash);
}

Expr Builder::add(const Primitive* primitive, std::span<const Expr> arguments,
                  Attributes attributes) {
  require(primitive != nullptr, "builder: no such primitive");
  check<InternalError>(
      primitive->arity < 0 || static_cast<size_t>(primitive->arity) == arguments.size(), [&] {
        return concat(primitive->name, ": takes ", primitive->arity, " operands, not ",
                      arguments.size());
      });
  for (const Expr& argument : arguments)
    check<InternalError>(argument.valid() && &argument.builder() == this, [&] {
      return concat(primitive->name, ": an operand belongs to another program");
    });

  const uint64_t hash = hash_of(primitive, arguments, attributes);
  const auto [begin, end] = by_hash_.equal_range(hash);
  for (auto it = begin; it != end; ++it) {
    const Node& node = program_.nodes[static_cast<size_t>(it->second)];
    if (node.primitive == primitive && same_arguments(node, arguments) &&
        node.attributes == attributes)
      return {this, it->second};
  }

  Node node;
  node.primitive = primitive;
  SmallVector<Type, 4> types;
  for (const Expr& argument : arguments) {
    node.arguments.push_back(argument.id());
    types.push_back(argument.type());
  }
  node.type = primitive->infer(types, attributes);
  node.attributes = std::move(attributes);
  return append(std::move(node), hash);
}

Program Builder::finish(std::span<const Expr> results) const {
  const std::vector<Node>& nodes = program_.nodes;
  std::vector<bool> live(nodes.size());
  for (const Expr& result : results) {
    require(result.valid() && &result.builder() == this,
            "finish: a result belongs to another program");
    live[static_cast<size_t>(result.id())] = true;
  }
  for (size_t i = nodes.size(); i-- > 0;) {
    if (is_program_source(nodes[i])) live[i] = true;
    if (!live[i]) continue;
    for (const NodeId id : nodes[i].arguments) live[static_cast<size_t>(id)] = true;
  }

  Program out;
  out.parameters = program_.parameters;
  out.numbers = program_.numbers;
  std::vector<NodeId> renamed(nodes.size(), -1);
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (!live[i]) continue;
    renamed[i] = static_cast<NodeId>(out.nodes.size());
    Node& node = out.nodes.emplace_back(nodes[i]);
    for (NodeId& id : node.arguments) id = renamed[static_cast<size_t>(id)];
  }
  for (const Expr& result : results)
    out.results.push_back(renamed[static_cast<size_t>(result.id())]);
  return out;
}

}  // namespace flambeau::ir
