#include "lower/structural.h"

#include "base/error.h"

namespace flambeau::lower {
namespace {

const ir::Primitive* row(const char* name) {
  const ir::Primitive* primitive = ir::find_primitive(name);
  if (primitive == nullptr) throw InternalError(concat("primitive '", name, "' is missing"));
  return primitive;
}

}  // namespace

const StructuralRows& rows() {
  static const StructuralRows kRows{
      ir::parameter_row(), ir::number_row(), row("constant"), row("extent"), row("iota"),
      row("broadcast"),    row("permute"),   row("slice"),    row("flip"),   row("squeeze"),
      row("add"),          row("mul"),       row("convert")};
  return kRows;
}

bool is_outer_product(const ir::Program& program, const ir::Node& node) {
  if (node.primitive->cls != ir::PrimitiveClass::Contract || node.attributes.index == 1 ||
      is_half(node.type.dtype))
    return false;
  return program.nodes[static_cast<size_t>(node.arguments[0])].type.shape.back().is_one();
}

}  // namespace flambeau::lower
