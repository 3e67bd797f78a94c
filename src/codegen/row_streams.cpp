#include "codegen/row_streams.h"

#include <algorithm>

namespace flambeau::codegen {
namespace {

using ir::LoopMark;
using ir::Statement;
using ir::StatementKind;

bool is_access(const Statement& s) {
  return s.kind == StatementKind::Load || s.kind == StatementKind::Store;
}

/// Operations for each element of passes that leave memory the time to bring what they write, too.
/// A line that is written as a whole is else not read.
constexpr int kLongPasses = 32;

struct Pass {
  const Statement* loop;
  int cost;
  int rows = 0;  ///< that it fetches
};

}  // namespace

std::vector<RowStream> row_streams(const Statement& rows, const LoopAnalysis& analysis) {
  std::vector<Pass> passes;
  bool any_reduction = false;
  int operations = 0;
  for (const Statement& s : rows.body) {
    if (s.body.empty() || s.mark != LoopMark::Vector) continue;
    any_reduction |= s.kind == StatementKind::Reduce;
    const int own = count_core_ops(s.body, analysis);
    const auto accesses = std::count_if(s.body.begin(), s.body.end(), is_access);
    passes.push_back({&s, own + static_cast<int>(accesses)});
    operations += own;
  }
  std::vector<RowStream> streams;
  if (!any_reduction) return streams;
  for (const Pass& of : passes)
    for (const Statement& s : of.loop->body) {
      if (s.kind == StatementKind::Store && operations < kLongPasses) continue;
      if (!is_access(s) || s.mask >= 0 || !s.index.dynamic.empty()) continue;
      const auto step = std::find_if(
          s.index.terms.begin(), s.index.terms.end(),
          [&](const auto& t) { return t.variable == rows.variable && t.coefficient.is_slot; });
      if (step == s.index.terms.end() || !moves_with(s.index, *of.loop)) continue;
      const bool known = std::any_of(streams.begin(), streams.end(), [&](const RowStream& stream) {
        return stream.access->buffer == s.buffer;
      });
      if (!known) streams.push_back({&s, of.loop, of.loop, step->coefficient});
    }
  for (RowStream& stream : streams) {
    // Digits are those of one loop.
    Pass* best = nullptr;
    for (Pass& pass : passes) {
      if (pass.loop != stream.of && !(pass.loop->digits.empty() && stream.of->digits.empty()))
        continue;
      if (best == nullptr || (pass.rows + 1) * best->cost < (best->rows + 1) * pass.cost)
        best = &pass;
    }
    ++best->rows;
    stream.pass = best->loop;
  }
  return streams;
}

}  // namespace flambeau::codegen
