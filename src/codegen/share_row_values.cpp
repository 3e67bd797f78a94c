#include "codegen/share_row_values.h"

#include <algorithm>
#include <optional>
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
  /// The first value that is `content`, or -1.
  ValueId find(const Hash128& content) const {
    ValueId found = -1;
    for (const auto& [id, info] : infos_)
      if (info.content == content && (found < 0 || id < found)) found = id;
    return found;
  }

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

/// Statements that lead to a store or the value `yield`; in order.
std::vector<Statement> without_dead_code(const std::vector<Statement>& body, ValueId yield) {
  std::vector<ValueId> used{yield};
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

bool loads(const std::vector<Statement>& body, int buffer) {
  return std::any_of(body.begin(), body.end(), [&](const Statement& s) {
    return (s.kind == StatementKind::Load && s.buffer == buffer) || loads(s.body, buffer);
  });
}

/// The passes over a row, of which the last one writes it, and one place that holds a value of
/// each element between them.
class RowPasses {
 public:
  RowPasses(SharedRows& out, const LoopAnalysis& analysis)
      : out_(out), rows_(out.program.body[0]), analysis_(analysis) {
    for (Statement& s : rows_.body)
      if (is_pass(s)) passes_.push_back(&s);
  }

  void share() {
    if (passes_.size() < 2 || passes_.back() != &rows_.body.back() ||
        passes_.back()->kind != StatementKind::Loop)
      return;
    for (const Statement& s : passes_.back()->body)
      if (s.kind == StatementKind::Store && s.mask < 0 &&
          is_row_element(s.index, rows_.variable, passes_.back()->variable) &&
          !loads(rows_.body, s.buffer))
        home_ = s;
    if (!home_) return;
    dtype_ = out_.program.buffers[static_cast<size_t>(home_->buffer)].dtype;
    has_home_ = !is_half(dtype_);
    dtype_ = compute_dtype(dtype_);
    for (size_t first = 0; first + 1 < passes_.size(); ++first) share_from(first);
  }

 private:
  bool is_pass(const Statement& s) const {
    const Statement& last = rows_.body.back();
    const bool reduces = s.kind == StatementKind::Reduce && s.order == ir::ReduceOrder::Blocks;
    return (reduces || &s == &last) && s.mark == LoopMark::Vector && is_straight(s.body) &&
           s.extent_value < 0 && s.extent == last.extent;
  }

  /// Keeps the value of pass `first` that saves most in the passes after it.
  void share_from(size_t first) {
    std::vector<BodyValues> values;
    for (size_t p = first; p < passes_.size(); ++p) values.emplace_back(*passes_[p], analysis_);
    ValueId source = -1;
    int best = 0;
    for (const auto& [id, info] : values[0].infos()) {
      if (info.cost < kCostly || !info.moves || dtype_of(id) != dtype_) continue;
      int saved = 0;
      for (size_t p = 1; p < values.size(); ++p)
        if (values[p].find(info.content) >= 0) saved += info.cost;
      // Of equal ones the first, so that the result does not depend on the order of a table.
      if (saved < best || saved == 0 || (saved == best && id > source)) continue;
      best = saved;
      source = id;
    }
    if (source < 0) return;
    const Hash128 content = values[0].infos().at(source).content;
    std::vector<std::vector<Statement>> bodies;
    for (size_t p = 1; p < values.size(); ++p) {
      const Statement& pass = *passes_[first + p];
      const ValueId target = values[p].find(content);
      std::vector<Statement> body = pass.body;
      if (target >= 0) {
        Statement& computed = body[values[p].infos().at(target).statement];
        computed = Statement{};
        computed.kind = StatementKind::Constant;
        computed.result = target;
        computed.dtype = dtype_;
        body = without_dead_code(body, pass.kind == StatementKind::Reduce ? pass.yield : -1);
        // What the place held before is gone.
        if (place_ >= 0 && loads(body, place_)) return;
        for (Statement& s : body)
          if (s.result == target) s = load_of(pass, target);
      } else if (place_ >= 0 && loads(body, place_)) {
        return;
      }
      bodies.push_back(std::move(body));
    }
    if (place_ < 0) {
      place_ = static_cast<int>(out_.program.buffers.size());
      out_.program.buffers.push_back({dtype_, true});
      for (auto& body : bodies)
        for (Statement& s : body)
          if (s.kind == StatementKind::Load && s.buffer < 0) s.buffer = place_;
      SharedRows::Place place{has_home_ ? home_->buffer : -1, {}, passes_.back()->extent};
      place.row.offset = home_->index.offset;
      for (const auto& term : home_->index.terms)
        if (term.variable == rows_.variable) place.row.terms.push_back(term);
      out_.places.push_back(std::move(place));
    }
    for (size_t p = 1; p < values.size(); ++p) passes_[first + p]->body = std::move(bodies[p - 1]);
    Statement store = load_of(*passes_[first], -1);
    store.kind = StatementKind::Store;
    store.arguments = {source};
    passes_[first]->body.push_back(std::move(store));
  }

  DType dtype_of(ValueId id) const { return analysis_.dtypes[static_cast<size_t>(id)]; }

  Statement load_of(const Statement& pass, ValueId result) const {
    Statement s;
    s.kind = StatementKind::Load;
    s.result = result;
    s.dtype = dtype_;
    s.buffer = place_;
    s.index.terms.push_back({pass.variable, ir::IntOperand::constant(1)});
    s.index.offset = ir::IntOperand::constant(0);
    return s;
  }

  SharedRows& out_;
  Statement& rows_;
  const LoopAnalysis& analysis_;
  std::vector<Statement*> passes_;
  std::optional<Statement> home_;  ///< the store of the row
  bool has_home_ = true;
  DType dtype_ = DType::Float32;
  int place_ = -1;
};

}  // namespace

SharedRows share_row_values(const ir::LoopProgram& program) {
  SharedRows out{program, {}};
  const bool is_row_kernel = program.body.size() == 1 &&
                             program.body[0].kind == StatementKind::Loop &&
                             program.body[0].mark == LoopMark::Parallel;
  if (!is_row_kernel || program.body[0].body.empty()) return out;
  const LoopAnalysis analysis = analyse(program);
  RowPasses(out, analysis).share();
  return out;
}

}  // namespace flambeau::codegen
