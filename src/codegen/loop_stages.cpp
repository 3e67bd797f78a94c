// Rows whose first pass is a costly reduction, and whose other passes are short:
//
//   parallel v0 { .. %a = reduce_sum v1 { .. } .. %b = reduce_sum v2 { .. } .. vector v3 { .. } }
//
// A short reduction is one chain of operations in a fixed order, which the processor waits for, and
// a pass that only loads and stores waits for memory. So they go along with the first pass of rows
// to come, step by step in one loop:
//
//   for v0 in [begin, end + 2): a vector of %a of row v0, of %b of row v0 - 1, of v3 of row v0 - 2;
//                               and so on through these rows
//
// No bit changes: the operations of a row are the same, in the same order. What a row has besides
// its passes is computed again for each of them.

#include <algorithm>

#include "codegen/loop_control.h"
#include "ir/interpreter.h"

namespace flambeau::codegen {

using ir::LoopMark;
using ir::Statement;
using ir::StatementKind;
using llvm::Value;

namespace {

/// Passes of a row that go together: more would need more rows in the first-level cache.
constexpr size_t kMostStages = 3;
/// Operations of a first pass that leave room for the others.
constexpr int kCostly = 8;

bool is_pass(const Statement& s) {
  const bool reduces = s.kind == StatementKind::Reduce && s.order == ir::ReduceOrder::Blocks;
  return (reduces || s.kind == StatementKind::Loop) && s.mark == LoopMark::Vector &&
         s.extent_value < 0 && s.digits.empty() &&
         (s.extent.is_slot || s.extent.value > ir::kReduceLanes) &&
         std::all_of(
             s.body.begin(), s.body.end(),
             [](const Statement& inner) {
               return inner.kind <= StatementKind::Load || inner.kind == StatementKind::Store;
             });
}

/// What is done once for a row, of which only a store may not be done again.
bool is_scalar(const Statement& s) {
  return s.kind <= StatementKind::Load || s.kind == StatementKind::Store;
}

}  // namespace

std::vector<const Statement*> LoopCodegen::find_stages() const {
  if (program_.body.size() != 1) return {};
  const Statement& rows = program_.body[0];
  if (rows.mark != LoopMark::Parallel || !rows.digits.empty()) return {};
  std::vector<const Statement*> passes;
  int operations = 0;
  bool loads = false;
  bool stores = false;
  for (const Statement& s : rows.body) {
    loads |= s.kind == StatementKind::Load;
    stores |= s.kind == StatementKind::Store;
    if (is_scalar(s)) continue;
    if (!is_pass(s)) return {};
    operations += count_core_ops(s.body, analysis_);
    passes.push_back(&s);
    if (s.extent != passes[0]->extent) return {};
  }
  if (passes.size() < 2 || passes.size() > kMostStages) return {};
  const int first = count_core_ops(passes[0]->body, analysis_);
  const bool is_worth =
      passes[0]->kind == StatementKind::Reduce && first >= kCostly && 2 * first >= operations;
  // What is loaded again for a later pass may lie where a store has been.
  const bool is_safe = !loads || !stores;
  return is_worth && is_safe ? passes : std::vector<const Statement*>();
}

void LoopCodegen::emit_stages(const Statement& rows, Value* begin, Value* end) {
  const size_t count = stages_.size();
  streams_ = row_streams(rows, analysis_);
  const auto stage_of = [&](const Statement* pass) {
    return static_cast<int>(std::find(stages_.begin(), stages_.end(), pass) - stages_.begin());
  };
  // The row after the one that its pass is at.
  for (RowStream& stream : streams_) stream.ahead = 1 + stage_of(stream.pass) - stage_of(stream.of);

  // results[r][n]: of reduction r, for the row n behind the one that it is at.
  std::vector<std::vector<llvm::AllocaInst*>> results(count);
  for (size_t r = 0; r < count; ++r) {
    if (stages_[r]->kind != StatementKind::Reduce) continue;
    for (size_t n = 0; n < count - r; ++n) {
      results[r].push_back(stack_slot(emitter_.register_type(stages_[r]->dtype, 1)));
      builder_.CreateStore(identity_of(*stages_[r]), results[r].back());
    }
  }
  const auto load_result = [&](size_t r, size_t n) {
    return builder_.CreateLoad(results[r][n]->getAllocatedType(), results[r][n]);
  };
  Value* last = builder_.CreateSub(end, number(1));
  Value* drained = builder_.CreateAdd(end, number(static_cast<int64_t>(count) - 1));
  counted_loop(
      begin, builder_.CreateSelect(builder_.CreateICmpSLT(begin, end), drained, begin), 1,
      [&](Value* i) {
        std::vector<Bindings> bindings(count, bound_);
        std::vector<RowPass> passes;
        for (size_t stage = 0; stage < count; ++stage) {
          Value* row = builder_.CreateSub(i, number(static_cast<int64_t>(stage)));
          Value* is_there = builder_.CreateAnd(builder_.CreateICmpSGE(row, begin),
                                               builder_.CreateICmpSLT(row, end));
          // Of rows that are none nothing is used; what is read for them is read for others.
          row = builder_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, row, last);
          row = builder_.CreateBinaryIntrinsic(llvm::Intrinsic::smax, row, begin);
          in_row(&bindings[stage], [&] {
            bound_.variables[static_cast<size_t>(rows.variable)] = row;
            place_row(row);
            size_t before = 0;  // passes
            for (const Statement& s : rows.body) {
              if (&s == stages_[stage]) break;
              if (!is_scalar(s)) {
                if (s.result >= 0) value_of(s.result) = load_result(before, stage - before);
                ++before;
              } else if (s.kind != StatementKind::Store) {
                emit(s);
              } else if (before == stage) {
                if_then(is_there, [&] { emit(s); });
              }
            }
          });
          passes.push_back({stages_[stage], &bindings[stage],
                            results[stage].empty() ? nullptr : results[stage][0], is_there});
        }
        Value* extent = operand(stages_[0]->extent);
        if_then(builder_.CreateICmpSGT(extent, number(0)), [&] { emit_passes(passes, extent); });
        if_then(passes.back().runs, [&] {
          in_row(passes.back().row, [&] {
            if (!results.back().empty())
              value_of(stages_.back()->result) = load_result(count - 1, 0);
            for (const Statement* s = stages_.back() + 1; s != &rows.body.back() + 1; ++s) emit(*s);
          });
        });
        for (size_t r = 0; r < count; ++r)
          for (size_t n = results[r].size(); n-- > 1;)
            builder_.CreateStore(load_result(r, n - 1), results[r][n]);
      });
  streams_.clear();
}

void LoopCodegen::place_row(Value* row) {
  const size_t given = program_.buffers.size() - places_.size();
  for (size_t i = 0; i < places_.size(); ++i) {
    const SharedRows::Place& place = shared_.places[i];
    llvm::Type* type = emitter_.memory_type(program_.buffers[given + i].dtype);
    Value* near = places_[i];
    if (!stages_.empty()) {
      Value* turn = builder_.CreateURem(row, number(static_cast<int64_t>(stages_.size())));
      near = builder_.CreateGEP(type, near, builder_.CreateMul(turn, number(kPlaceElements)));
    }
    if (place.home >= 0)
      near = builder_.CreateSelect(
          builder_.CreateICmpSLE(operand(place.extent), number(kPlaceElements)), near,
          element_pointer(place.home, address(place.row).scalar));
    bound_.buffers[given + i] = near;
  }
}

}  // namespace flambeau::codegen
