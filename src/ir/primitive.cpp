#include "ir/primitive.h"

#include <algorithm>
#include <deque>
#include <unordered_map>

#include "base/error.h"
#include "ir/program.h"

namespace flambeau::ir {
namespace {

/// The rows live in a deque, which never moves them.
struct Registry {
  std::deque<Primitive> rows;
  std::vector<const Primitive*> sorted;
  std::unordered_map<std::string_view, const Primitive*> by_name;
};

// Function-local, so that rows can register during static initialisation in any order of files.
Registry& registry() {
  static Registry instance;
  return instance;
}

const RegisterPrimitive kParameter{{
    .name = "parameter",
    .cls = PrimitiveClass::Source,
    .arity = 0,
    .doc = "Tensor parameter number `index` of the program.",
    .infer = [](std::span<const Type>, const Attributes&) -> Type {
      throw InternalError("parameter: its type is the program's, it cannot be inferred");
    },
}};

const RegisterPrimitive kNumber{{
    .name = "number",
    .cls = PrimitiveClass::Source,
    .arity = 0,
    .doc = "Scalar parameter number `index` of the program, of shape [].",
    .infer = [](std::span<const Type>, const Attributes&) -> Type {
      throw InternalError("number: its type is the program's, it cannot be inferred");
    },
}};

}  // namespace

RegisterPrimitive::RegisterPrimitive(const Primitive& r) {
  Registry& all = registry();
  if (all.by_name.contains(r.name))
    throw InternalError(concat("primitive: two rows are named '", r.name, "'"));
  row = &all.rows.emplace_back(r);
  all.by_name.emplace(row->name, row);
  const auto before = [](const Primitive* a, const Primitive* b) { return a->name < b->name; };
  all.sorted.insert(std::lower_bound(all.sorted.begin(), all.sorted.end(), row, before), row);
}

const Primitive* find_primitive(std::string_view name) {
  const Registry& all = registry();
  const auto found = all.by_name.find(name);
  return found == all.by_name.end() ? nullptr : found->second;
}

std::span<const Primitive* const> all_primitives() { return registry().sorted; }

const Primitive* parameter_row() { return kParameter.row; }
const Primitive* number_row() { return kNumber.row; }

bool operator==(const Attributes& a, const Attributes& b) {
  if (a.axes != b.axes || a.dims != b.dims || a.value != b.value || a.index != b.index)
    return false;
  if (a.body == b.body) return true;
  return a.body != nullptr && b.body != nullptr && a.body->hash() == b.body->hash();
}

void Attributes::hash_into(Hasher& hasher) const {
  hasher.add(axes.size());
  for (const int64_t axis : axes) hasher.add(axis);
  hasher.add(dims.size());
  for (const Dim& d : dims) d.hash_into(hasher);
  hasher.add(value.category()).add(value.bits()).add(index).add(body != nullptr);
  if (body != nullptr) hasher.add(body->hash());
}

Operand emit_elementwise(const Primitive& row, Emitter& emitter, DType result,
                         std::span<const Operand> arguments, const Attributes& attributes) {
  SmallVector<Operand, 4> operands(arguments);
  if (!row.raw_halves)
    for (Operand& operand : operands)
      if (is_half(operand.dtype)) operand = emitter.convert(DType::Float32, operand);
  Operand out = row.emit(emitter, result, operands, attributes);
  if (!row.raw_halves && is_half(result) && out.dtype == DType::Float32)
    out = emitter.convert(result, out);
  check<InternalError>(out.dtype == result, [&] {
    return concat(row.name, ": emitted ", info(out.dtype).name, " instead of ", info(result).name);
  });
  return out;
}

}  // namespace flambeau::ir
