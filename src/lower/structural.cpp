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

}  // namespace flambeau::lower
