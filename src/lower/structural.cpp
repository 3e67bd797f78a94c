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
      row("parameter"),   row("number"),      row("constant"), row("extent"), row("iota"),
      row("broadcast"),   row("permute"),     row("slice"),    row("flip"),   row("squeeze"),
      row("scatter_add"), row("scatter_set"), row("add"),      row("mul"),    row("ge"),
      row("lt"),          row("logical_and"), row("select"),   row("div"),    row("remainder"),
      row("eq"),          row("convert")};
  return kRows;
}

}  // namespace flambeau::lower
