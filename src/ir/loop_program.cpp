#include "ir/loop_program.h"

#include "base/error.h"
#include "ir/loop_text.h"
#include "ir/text.h"

namespace flambeau::ir {
namespace {

std::string operand_text(const IntOperand& operand) {
  return operand.is_slot ? concat('i', operand.value) : std::to_string(operand.value);
}

std::string index_text(const LoopIndex& index) {
  std::string out;
  const auto plus = [&] { return out.empty() ? "" : " + "; };
  for (const auto& term : index.terms)
    out += concat(plus(), 'v', term.variable, " * ", operand_text(term.coefficient));
  for (const auto& term : index.dynamic)
    out += concat(plus(), '%', term.value, " * ", operand_text(term.coefficient));
  if (out.empty() || index.offset != IntOperand{}) out += plus() + operand_text(index.offset);
  return out;
}

std::string address_text(const Statement& s) {
  return concat(" b", s.buffer, '[', index_text(s.index), ']');
}

std::string mask_text(const Statement& s) { return s.mask < 0 ? "" : concat(" if %", s.mask); }

std::string range_text(const Statement& s) {
  return concat(" v", s.variable, " in ",
                s.extent_value >= 0 ? concat('%', s.extent_value) : operand_text(s.extent));
}

std::string digits_text(const Statement& s) {
  if (s.digits.empty()) return "";
  std::string out;
  for (const Statement::Digit& digit : s.digits)
    out += out.empty() ? concat(" as (v", digit.variable)
                       : concat(", v", digit.variable, " in ", operand_text(digit.extent));
  return out + (s.digits_from >= 0 ? concat(") from %", s.digits_from) : ")");
}

std::string body_text(const Statement& s, const std::string& indent) {
  std::string out = " {\n";
  for (const Statement& inner : s.body) out += statement_text(inner, indent + "  ");
  if (s.yield >= 0) out += concat(indent, "  yield %", s.yield, '\n');
  return out + indent + "}\n";
}

bool is_of_launch(LoopMark mark) {
  return mark == LoopMark::Parallel || mark == LoopMark::ParallelInner;
}

/// The parts of a statement that gives a value, after "%n = ".
std::string value_text(const Statement& s, const std::string& indent) {
  const std::string type = concat(" : ", info(s.dtype).ir_name);
  const std::string name = s.primitive == nullptr ? "?" : std::string(s.primitive->name);
  switch (s.kind) {
    case StatementKind::Constant:
      return "constant " + scalar_text(s.attributes.value) + type + "\n";
    case StatementKind::Slot:
      return concat("slot i", s.slot, type, '\n');
    case StatementKind::Index:
      return concat("index [", index_text(s.index), ']', type, '\n');
    case StatementKind::Load:
      return "load" + address_text(s) + mask_text(s) + type + "\n";
    case StatementKind::Compute: {
      std::string out = name;
      for (size_t i = 0; i < s.arguments.size(); ++i)
        out += concat(i == 0 ? " %" : ", %", s.arguments[i]);
      return out + attributes_text(s.attributes, indent) + type + "\n";
    }
    case StatementKind::Reduce:
      return concat(name, range_text(s), digits_text(s), ' ', name_of(s.mark),
                    s.order == ReduceOrder::Tree ? " tree" : "", type, body_text(s, indent));
    case StatementKind::Scan: {
      std::string out = name;
      for (size_t i = 0; i < s.arguments.size(); ++i)
        out += concat(i == 0 ? " %" : ", %", s.arguments[i]);
      return out + concat(" over v", s.variable, type, '\n');
    }
    case StatementKind::Store:
    case StatementKind::Loop:
      break;
  }
  throw InternalError("loop program: the statement gives no value");
}

}  // namespace

const char* name_of(LoopMark mark) {
  switch (mark) {
    case LoopMark::Parallel:
      return "parallel";
    case LoopMark::ParallelInner:
      return "parallel_inner";
    case LoopMark::Serial:
      return "serial";
    case LoopMark::Vector:
      return "vector";
  }
  return "unknown";
}

std::string statement_text(const Statement& s, const std::string& indent) {
  if (s.kind == StatementKind::Store)
    return concat(indent, "store", address_text(s), ", %",
                  s.arguments.empty() ? -1 : s.arguments[0], mask_text(s),
                  s.slot < 0 ? "" : concat(" nontemporal i", s.slot), '\n');
  if (s.kind == StatementKind::Loop)
    return concat(indent, name_of(s.mark),
                  is_of_launch(s.mark) ? concat(" v", s.variable) : range_text(s) + digits_text(s),
                  body_text(s, indent));
  return concat(indent, '%', s.result, " = ", value_text(s, indent));
}

namespace {

void count_operand(LoopCounts& counts, const IntOperand& operand) {
  if (operand.is_slot) counts.slots = std::max(counts.slots, static_cast<int>(operand.value) + 1);
}

void count_statements(LoopCounts& counts, const std::vector<Statement>& body) {
  for (const Statement& s : body) {
    counts.values = std::max(counts.values, s.result + 1);
    counts.variables = std::max(counts.variables, s.variable + 1);
    counts.slots = std::max(counts.slots, s.slot + 1);
    for (const auto& term : s.index.terms) count_operand(counts, term.coefficient);
    for (const auto& term : s.index.dynamic) count_operand(counts, term.coefficient);
    count_operand(counts, s.index.offset);
    count_operand(counts, s.extent);
    for (const Statement::Digit& digit : s.digits) {
      counts.variables = std::max(counts.variables, digit.variable + 1);
      count_operand(counts, digit.extent);
    }
    count_statements(counts, s.body);
  }
}

void hash_operand(Hasher& hasher, const IntOperand& operand) {
  hasher.add(operand.is_slot).add(operand.value);
}

void hash_statement(Hasher& hasher, const Statement& s) {
  hasher.add(s.kind).add(s.result).add(s.dtype);
  hasher.add(s.primitive == nullptr ? std::string_view() : s.primitive->name);
  s.attributes.hash_into(hasher);
  hasher.add(s.arguments.size());
  for (const ValueId id : s.arguments) hasher.add(id);
  hasher.add(s.slot).add(s.buffer).add(s.index.terms.size()).add(s.index.dynamic.size());
  for (const auto& term : s.index.terms) {
    hasher.add(term.variable);
    hash_operand(hasher, term.coefficient);
  }
  for (const auto& term : s.index.dynamic) {
    hasher.add(term.value);
    hash_operand(hasher, term.coefficient);
  }
  hash_operand(hasher, s.index.offset);
  hasher.add(s.mask).add(s.mark).add(s.variable);
  hash_operand(hasher, s.extent);
  hasher.add(s.digits.size()).add(s.digits_from);
  for (const Statement::Digit& digit : s.digits) {
    hasher.add(digit.variable);
    hash_operand(hasher, digit.extent);
  }
  hasher.add(s.extent_value).add(s.order).add(s.yield).add(s.body.size());
  for (const Statement& inner : s.body) hash_statement(hasher, inner);
}

}  // namespace

LoopCounts least_counts(const LoopProgram& program) {
  LoopCounts counts;
  count_statements(counts, program.body);
  return counts;
}

std::string LoopProgram::text() const {
  std::string out = "kernel(";
  for (size_t i = 0; i < buffers.size(); ++i)
    out += concat(i == 0 ? "" : ", ", 'b', i, ": ", info(buffers[i].dtype).ir_name,
                  buffers[i].is_output ? " out" : " in");
  out += ")";
  const LoopCounts least = least_counts(*this);
  if (slot_count != least.slots) out += concat(" slots=", slot_count);
  if (value_count != least.values) out += concat(" values=", value_count);
  if (variable_count != least.variables) out += concat(" variables=", variable_count);
  out += " {\n";
  for (const Statement& s : body) out += statement_text(s, "  ");
  return out + "}\n";
}

Hash128 LoopProgram::hash() const {
  Hasher hasher;
  hasher.add(buffers.size());
  for (const BufferInfo& buffer : buffers) hasher.add(buffer.dtype).add(buffer.is_output);
  hasher.add(slot_count).add(value_count).add(variable_count).add(body.size());
  for (const Statement& s : body) hash_statement(hasher, s);
  return hasher.finish();
}

}  // namespace flambeau::ir
