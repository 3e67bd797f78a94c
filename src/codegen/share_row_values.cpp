#include "codegen/share_row_values.h"

#include <algorithm>
#include <unordered_map>

#include "base/error.h"
#include "base/hash.h"

namespace flambeau::codegen {

using ir::LoopMark;
using ir::LoopVar;
using ir::Statement;
using ir::StatementKind;
using ir::ValueId;

namespace {

/// Core operations that are worth a store and a load.
constexpr int kCostly = 8;

bool has_term(const ir::LoopIndex& index, LoopVar variable) {
  return std::any_of(index.terms.begin(), index.terms.end(),
                     [&](const auto& term) { return term.variable == variable; });
}

/// [row * anything + variable]: where the row's element of this iteration lies.
bool is_row_element(const ir::LoopIndex& index, LoopVar row, LoopVar variable) {
  if (index.terms.size() != 2 || !index.dynamic.empty()) return false;
  return has_term(index, row) &&
         std::any_of(index.terms.begin(), index.terms.end(), [&](const auto& term) {
           return term.variable == variable && term.coefficient == ir::IntOperand::constant(1);
         });
}

/// What the values of a straight-line body are, whatever its variable and values are called.
class BodyValues {
 public:
  struct Info {
    Hash128 content;
    int cost = 0;        ///< core operations, shared ones counted again
    bool moves = false;  ///< differs between iterations
    size_t statement = 0;
  };

  BodyValues(const Statement& loop, const LoopAnalysis& analysis) : loop_(loop) {
    for (size_t i = 0; i < loop.body.size(); ++i) visit(loop.body[i], i, analysis);
  }
  const std::unordered_map<ValueId, Info>& infos() const { return infos_; }

 private:
  void add(Hasher& hasher, Info& info, ValueId id) const {
    const auto found = infos_.find(id);
    if (found == infos_.end()) {
      hasher.add('o').add(id);
      return;
    }
    hasher.add('i').add(found->second.content);
    info.cost += found->second.cost;
    info.moves |= found->second.moves;
  }

  void visit(const Statement& s, size_t position, const LoopAnalysis& analysis) {
    if (s.result < 0 || s.kind > StatementKind::Load) return;
    Info info;
    info.statement = position;
    Hasher hasher;
    hasher.add(s.kind)
        .add(s.dtype)
        .add(reinterpret_cast<uintptr_t>(s.primitive))
        .add(s.slot)
        .add(s.buffer)
        .add(s.mask >= 0);
    s.attributes.hash_into(hasher);
    for (const auto& term : s.index.terms) {
      const bool own = term.variable == loop_.variable;
      info.moves |= own && (term.coefficient.is_slot || term.coefficient.value != 0);
      hasher.add(own ? LoopVar{-1} : term.variable);
      hasher.add(term.coefficient.is_slot).add(term.coefficient.value);
    }
    for (const auto& term : s.index.dynamic) {
      hasher.add(term.coefficient.is_slot).add(term.coefficient.value);
      add(hasher, info, term.value);
    }
    hasher.add(s.index.offset.is_slot).add(s.index.offset.value);
    if (s.mask >= 0) add(hasher, info, s.mask);
    for (const ValueId id : s.arguments) add(hasher, info, id);
    if (s.kind == StatementKind::Compute) info.cost += count_core_ops(s, analysis);
    info.content = hasher.finish();
    infos_.emplace(s.result, info);
  }

  const Statement& loop_;
  std::unordered_map<ValueId, Info> infos_;
};

bool is_straight(const std::vector<Statement>& body) {
  return std::all_of(body.begin(), body.end(), [](const Statement& s) { return s.body.empty(); });
}

/// Statements that lead to a store; in order.
std::vector<Statement> without_dead_code(const std::vector<Statement>& body) {
  std::vector<ValueId> used;
  std::vector<Statement> kept;
  for (size_t i = body.size(); i-- > 0;) {
    const Statement& s = body[i];
    if (s.kind != StatementKind::Store &&
        std::find(used.begin(), used.end(), s.result) == used.end())
      continue;
    used.insert(used.end(), s.arguments.begin(), s.arguments.end());
    for (const auto& term : s.index.dynamic) used.push_back(term.value);
    if (s.mask >= 0) used.push_back(s.mask);
    kept.push_back(s);
  }
  std::reverse(kept.begin(), kept.end());
  return kept;
}

bool reads_a_row(const std::vector<Statement>& body, LoopVar row) {
  return std::any_of(body.begin(), body.end(), [&](const Statement& s) {
    return (s.kind == StatementKind::Load &&
            (has_term(s.index, row) || !s.index.dynamic.empty())) ||
           reads_a_row(s.body, row);
  });
}

/// Rewrites `reduce` and `write`, consecutive passes over a row, if that pays and is safe.
void share(Statement& reduce, Statement& write, LoopVar row, const LoopAnalysis& analysis,
           const ir::LoopProgram& program) {
  const Statement* store = nullptr;
  for (const Statement& s : write.body)
    if (s.kind == StatementKind::Store && s.mask < 0 &&
        is_row_element(s.index, row, write.variable))
      store = &s;
  if (store == nullptr) return;
  const DType dtype = program.buffers[static_cast<size_t>(store->buffer)].dtype;
  for (const Statement& s : reduce.body)
    if (s.kind == StatementKind::Load && (has_term(s.index, row) || !s.index.dynamic.empty()) &&
        !is_row_element(s.index, row, reduce.variable))
      return;

  const BodyValues first(reduce, analysis);
  const BodyValues second(write, analysis);
  ValueId source = -1, target = -1;
  int best = kCostly - 1;
  for (const auto& [id, info] : second.infos()) {
    if (info.cost <= best || !info.moves || is_half(dtype) ||
        analysis.dtypes[static_cast<size_t>(id)] != dtype)
      continue;
    for (const auto& [other, other_info] : first.infos()) {
      if (other_info.content != info.content) continue;
      source = other;
      target = id;
      best = info.cost;
      break;
    }
  }
  if (target < 0) return;

  std::vector<Statement> body = write.body;
  Statement& computed = body[second.infos().at(target).statement];
  Statement load;
  load.kind = StatementKind::Load;
  load.result = target;
  load.dtype = dtype;
  load.buffer = store->buffer;
  load.index = store->index;
  Statement early = *store;
  // While it is still unused, the row's place is free of the loads that `body` no longer makes.
  computed = Statement{};
  computed.kind = StatementKind::Constant;
  computed.result = target;
  computed.dtype = dtype;
  std::vector<Statement> rest = without_dead_code(body);
  if (reads_a_row(rest, row)) return;
  for (Statement& s : rest)
    if (s.result == target) s = load;
  write.body = std::move(rest);

  for (auto& term : early.index.terms)
    if (term.variable == write.variable) term.variable = reduce.variable;
  early.arguments = {source};
  reduce.body.push_back(std::move(early));
}

}  // namespace

ir::LoopProgram share_row_values(const ir::LoopProgram& program) {
  const bool is_row_kernel = program.body.size() == 1 &&
                             program.body[0].kind == StatementKind::Loop &&
                             program.body[0].mark == LoopMark::Parallel;
  if (!is_row_kernel) return program;
  ir::LoopProgram out = program;
  Statement& rows = out.body[0];
  if (rows.body.empty()) return program;
  Statement& write = rows.body.back();
  const auto is_pass = [](const Statement& s, StatementKind kind) {
    return s.kind == kind && s.mark == LoopMark::Vector && is_straight(s.body);
  };
  if (!is_pass(write, StatementKind::Loop)) return program;
  // The last pass before it; between them only what reads no row.
  for (size_t i = rows.body.size() - 1; i-- > 0;) {
    Statement& s = rows.body[i];
    if (is_pass(s, StatementKind::Reduce) && s.order == ir::ReduceOrder::Blocks &&
        s.extent == write.extent && s.extent_value == write.extent_value) {
      share(s, write, rows.variable, analyse(program), program);
      return out;
    }
    if (s.kind > StatementKind::Compute) return program;
  }
  return program;
}

}  // namespace flambeau::codegen
