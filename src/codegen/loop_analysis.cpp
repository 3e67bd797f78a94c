#include "codegen/loop_analysis.h"

#include <algorithm>

#include "base/error.h"

namespace flambeau::codegen {

using ir::LoopMark;
using ir::LoopVar;
using ir::Statement;
using ir::StatementKind;
using ir::ValueId;

namespace {

/// Operands that are read by tiles; more would not stay in the first-level cache together.
constexpr size_t kMostTiles = 4;

/// Counts core operations.
class CountingEmitter final : public ir::Emitter {
 public:
  ir::Operand constant(DType dtype, double) override { return {0, dtype}; }
  ir::Operand constant_bits(DType dtype, uint64_t) override { return {0, dtype}; }
  ir::Operand core(ir::CoreOp op, DType dtype, std::span<const ir::Operand> arguments) override {
    const bool is_slow =
        op == ir::CoreOp::Rem || (op == ir::CoreOp::Div && !is_float(arguments[0].dtype));
    count += is_slow ? 16 : 1;
    registers += size_of(dtype) == 8 ? 2 : 1;
    only = count == 1 ? std::optional(op) : std::nullopt;
    return {0, dtype};
  }
  int count = 0;
  int registers = 0;  ///< that the results fill, where one of four-byte elements fills one
  std::optional<ir::CoreOp> only;  ///< the operation, if there was one
};

CountingEmitter count_operations(const Statement& compute, const LoopAnalysis& analysis) {
  CountingEmitter counter;
  SmallVector<ir::Operand, 4> arguments;
  if (compute.kind == StatementKind::Scan) arguments.push_back({0, compute.dtype});
  for (const ValueId id : compute.arguments)
    arguments.push_back({0, analysis.dtypes[static_cast<size_t>(id)]});
  ir::emit_elementwise(*compute.primitive, counter, compute.dtype, arguments, compute.attributes);
  return counter;
}

/// What a vector loop's body is made of.
struct Census {
  int core_ops = 0;
  int registers = 0;       ///< of their results, as above
  size_t narrowest = 8;    ///< bytes of the smallest element moved
  bool scattered = false;  ///< an access that is neither contiguous nor uniform
  bool has_reduce = false;
};

/// The variable that moves along memory as the lanes of `loop` do: the last digit, if there are
/// any.
LoopVar fastest_variable(const Statement& loop) {
  return loop.digits.empty() ? loop.variable : loop.digits.back().variable;
}

void count(std::span<const Statement> body, LoopVar vector, const LoopAnalysis& analysis,
           Census& census) {
  for (const Statement& s : body) {
    if (s.kind == StatementKind::Compute || s.kind == StatementKind::Scan) {
      const CountingEmitter counted = count_operations(s, analysis);
      census.core_ops += counted.count;
      // Four lanes share what is as wide as two.
      census.registers +=
          s.primitive->emit_block != nullptr ? counted.count / 2 : counted.registers;
    }
    if (s.kind == StatementKind::Load || s.kind == StatementKind::Store) {
      census.narrowest = std::min(census.narrowest, size_of(s.dtype));
      for (const auto& term : s.index.dynamic)
        census.scattered |= analysis.varying[static_cast<size_t>(term.value)];
      for (const auto& term : s.index.terms)
        if (term.variable == vector && !analysis.is_transposed(s))
          census.scattered |=
              term.coefficient.is_slot || term.coefficient.value > 2 || term.coefficient.value < -1;
    }
    census.has_reduce |= s.kind == StatementKind::Reduce;
    count(s.body, vector, analysis, census);
  }
}

class Analyser {
 public:
  explicit Analyser(const ir::LoopProgram& program) {
    result.dtypes.resize(static_cast<size_t>(program.value_count));
    result.varying.resize(static_cast<size_t>(program.value_count));
    visit(program.body, nullptr);
    for (const Statement& outer : program.body)
      if (outer.kind == StatementKind::Loop && outer.mark == LoopMark::Parallel &&
          outer.body.size() == 1 && outer.body[0].mark == LoopMark::ParallelInner)
        find_transposed(outer.variable, outer.body[0]);
  }

  /// `vector`: the vector loop around the statements, if there is one.
  void visit(std::span<const Statement> body, const Statement* vector) {
    for (const Statement& s : body) {
      bool varying = vector != nullptr && moves_with(s.index, *vector);
      for (const ValueId id : s.arguments) varying |= is_varying(id);
      for (const auto& term : s.index.dynamic) varying |= is_varying(term.value);
      if (s.mask >= 0) varying |= is_varying(s.mask);
      if (s.kind == StatementKind::Loop || s.kind == StatementKind::Reduce) {
        const bool opens = s.kind == StatementKind::Reduce
                               ? s.mark == LoopMark::Vector && s.order == ir::ReduceOrder::Blocks
                               : s.mark == LoopMark::Vector || s.mark == LoopMark::ParallelInner;
        check<InternalError>(!opens || vector == nullptr,
                             [] { return "codegen: a vector loop inside a vector loop"; });
        for (const ValueId bound : {s.extent_value, s.digits_from})
          require(bound < 0 || !is_varying(bound), "codegen: a loop's range differs between lanes");
        visit(s.body, opens ? &s : vector);
        // The result of a reduction across lanes is one value.
        if (s.kind == StatementKind::Reduce && !opens) varying |= is_varying(s.yield);
      }
      if (s.result < 0) continue;
      result.dtypes.at(static_cast<size_t>(s.result)) = s.dtype;
      result.varying.at(static_cast<size_t>(s.result)) = varying;
    }
  }

  LoopAnalysis result;

 private:
  void find_transposed(LoopVar outer, const Statement& inner) {
    for (const Statement& s : inner.body) {
      if (s.kind != StatementKind::Load || s.mask >= 0 || !s.index.dynamic.empty()) continue;
      bool is_unit = false;
      bool is_apart = false;
      for (const auto& term : s.index.terms) {
        is_unit |=
            term.variable == outer && !term.coefficient.is_slot && term.coefficient.value == 1;
        is_apart |= term.variable == inner.variable && term.coefficient.is_slot;
      }
      if (is_unit && is_apart && result.transposed.size() < kMostTiles)
        result.transposed.push_back(&s);
    }
  }

  bool is_varying(ValueId id) const { return result.varying.at(static_cast<size_t>(id)); }
};

}  // namespace

int count_core_ops(const Statement& compute, const LoopAnalysis& analysis) {
  return count_operations(compute, analysis).count;
}

std::optional<ir::CoreOp> only_core_op(const Statement& compute, const LoopAnalysis& analysis) {
  return count_operations(compute, analysis).only;
}

int count_core_ops(std::span<const Statement> body, const LoopAnalysis& analysis) {
  Census census;
  count(body, -1, analysis, census);
  return census.core_ops;
}

LoopAnalysis analyse(const ir::LoopProgram& program) { return Analyser(program).result; }

bool moves_with(const ir::LoopIndex& index, const Statement& loop) {
  const auto is_of_loop = [&](LoopVar variable) {
    return variable == loop.variable ||
           std::any_of(loop.digits.begin(), loop.digits.end(),
                       [&](const auto& digit) { return digit.variable == variable; });
  };
  return std::any_of(index.terms.begin(), index.terms.end(), [&](const auto& term) {
    return is_of_loop(term.variable) && (term.coefficient.is_slot || term.coefficient.value != 0);
  });
}

void split_invariant(const Statement& loop, std::vector<const Statement*>& invariant,
                     std::vector<const Statement*>& rest) {
  std::vector<ValueId> variant;
  const auto is_variant = [&](ValueId id) {
    return std::find(variant.begin(), variant.end(), id) != variant.end();
  };
  for (const Statement& s : loop.body) {
    const bool simple = s.kind <= StatementKind::Load;
    bool moves = !simple || moves_with(s.index, loop) || (s.mask >= 0 && is_variant(s.mask));
    for (const ValueId id : s.arguments) moves |= is_variant(id);
    for (const auto& term : s.index.dynamic) moves |= is_variant(term.value);
    if (moves && s.result >= 0) variant.push_back(s.result);
    (moves ? rest : invariant).push_back(&s);
  }
}

unsigned choose_lanes(const Statement& loop, const LoopAnalysis& analysis,
                      unsigned register_bytes) {
  Census census;
  count(loop.body, fastest_variable(loop), analysis, census);
  const unsigned lanes = register_bytes / (census.narrowest == 8 ? 8 : 4);
  // A short vector seldom reaches over the end of a run of memory.
  if (!loop.digits.empty()) return lanes;
  if (census.scattered) return lanes;
  if (census.has_reduce) return census.core_ops <= 24 ? 4 * lanes : lanes;
  // Chains of operations wait for each other: some side by side keep the units busy.
  const unsigned chosen = census.registers <= 120  ? 4 * lanes
                          : census.core_ops <= 256 ? 2 * lanes
                                                   : lanes;
  return analysis.transposed.empty() ? chosen : std::min(chosen, static_cast<unsigned>(kTile));
}

}  // namespace flambeau::codegen
