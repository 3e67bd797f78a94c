#pragma once
// Values that are one number everywhere.

#include <optional>
#include <span>

#include "ir/program.h"

namespace flambeau::prim {

/// The number at every element of node `id`, if `nodes` show it: a constant, or views of one.
inline std::optional<Scalar> uniform_value(std::span<const ir::Node> nodes, ir::NodeId id) {
  const ir::Node* node = &nodes[static_cast<size_t>(id)];
  while (node->primitive->cls == ir::PrimitiveClass::View)
    node = &nodes[static_cast<size_t>(node->arguments[0])];
  if (node->primitive->name != "constant") return std::nullopt;
  return node->attributes.value;
}

}  // namespace flambeau::prim
