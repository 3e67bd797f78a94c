// A kernel runs 10^4 to 10^6 scalar iterations in a test, so the statements are first resolved:
// slots become numbers, and computations become lists of core functions on cells.

#include <optional>

#include "base/error.h"
#include "ir/cell_emitter.h"
#include "ir/loop_program.h"
#include "ir/order.h"

namespace flambeau::ir {
namespace {

/// A statement with everything but cells and variables resolved.
struct Step {
  struct Term {
    uint32_t number;  ///< of a variable or a cell
    int64_t coefficient;
  };
  const Statement* statement = nullptr;
  uint32_t result = 0;  ///< cell
  uint32_t source = 0;  ///< cell: what is stored or yielded
  int64_t mask = -1;    ///< cell, or -1
  std::vector<Term> terms, dynamic;
  int64_t offset = 0;
  std::vector<Instruction> instructions;
  std::optional<RunningScan> scan;
  std::vector<uint32_t> operands;  ///< cells, of a scan
  int64_t begin = 0, end = 0;
  int64_t extent = -1;       ///< cell of `end`, or -1
  std::vector<Term> digits;  ///< variables and their extents
  int64_t digits_from = -1;  ///< cell, or -1
  std::vector<Step> body;
};

class LoopInterpreter {
 public:
  LoopInterpreter(const LoopProgram& program, void* const* buffers, const int64_t* ints,
                  std::span<const int64_t, 4> range)
      : program_(program),
        buffers_(buffers),
        ints_(ints),
        range_(range),
        operands_(static_cast<size_t>(program.value_count)),
        variables_(static_cast<size_t>(program.variable_count)) {}

  void run() {
    std::vector<Step> steps = resolve(program_.body);
    run(steps);
  }

 private:
  int64_t value_of(const IntOperand& operand) const {
    return operand.is_slot ? ints_[operand.value] : operand.value;
  }
  uint32_t cell_of(ValueId id) const { return operands_[static_cast<size_t>(id)].id; }

  std::vector<Step> resolve(const std::vector<Statement>& body) {
    std::vector<Step> steps;
    for (const Statement& s : body) steps.push_back(resolve(s));
    return steps;
  }

  Step resolve(const Statement& s) {
    Step step;
    step.statement = &s;
    for (const auto& term : s.index.terms)
      step.terms.push_back({static_cast<uint32_t>(term.variable), value_of(term.coefficient)});
    for (const auto& term : s.index.dynamic)
      step.dynamic.push_back({cell_of(term.value), value_of(term.coefficient)});
    step.offset = value_of(s.index.offset);
    if (s.mask >= 0) step.mask = cell_of(s.mask);
    switch (s.kind) {
      case StatementKind::Constant:
        define(s, step, container_of(s.dtype, s.attributes.value));
        break;
      case StatementKind::Slot:
        define(s, step, container_of_bits(s.dtype, static_cast<uint64_t>(ints_[s.slot])));
        break;
      case StatementKind::Compute: {
        CellEmitter emitter(cells_, step.instructions);
        SmallVector<Operand, 4> operands;
        for (const ValueId id : s.arguments) operands.push_back(operands_[static_cast<size_t>(id)]);
        operands_[static_cast<size_t>(s.result)] =
            emit_elementwise(*s.primitive, emitter, s.dtype, operands, s.attributes);
        break;
      }
      case StatementKind::Index:
      case StatementKind::Load:
        define(s, step, 0);
        break;
      case StatementKind::Store:
        step.source = cell_of(s.arguments[0]);
        break;
      case StatementKind::Loop:
      case StatementKind::Reduce:
        resolve_range(s, step);
        step.body = resolve(s.body);
        if (s.kind == StatementKind::Reduce) {
          step.source = cell_of(s.yield);
          define(s, step, 0);
        }
        break;
      case StatementKind::Scan:
        for (const ValueId id : s.arguments) step.operands.push_back(cell_of(id));
        step.scan.emplace(*s.primitive, s.dtype, s.attributes);
        define(s, step, 0);
        break;
    }
    return step;
  }

  void define(const Statement& s, Step& step, Container value) {
    step.result = static_cast<uint32_t>(cells_.size());
    cells_.push_back(value);
    operands_[static_cast<size_t>(s.result)] = {step.result, s.dtype};
  }

  void resolve_range(const Statement& s, Step& step) const {
    if (s.mark == LoopMark::Parallel || s.mark == LoopMark::ParallelInner) {
      const size_t first = s.mark == LoopMark::Parallel ? 0 : 2;
      step.begin = range_[first];
      step.end = range_[first + 1];
    } else if (s.extent_value >= 0) {
      step.extent = cell_of(s.extent_value);
    } else {
      step.end = value_of(s.extent);
    }
    for (const Statement::Digit& digit : s.digits)
      step.digits.push_back({static_cast<uint32_t>(digit.variable), value_of(digit.extent)});
    if (s.digits_from >= 0) step.digits_from = cell_of(s.digits_from);
  }

  int64_t index(const Step& step) const {
    int64_t out = step.offset;
    for (const auto& term : step.terms) out += variables_[term.number] * term.coefficient;
    for (const auto& term : step.dynamic)
      out += static_cast<int64_t>(cells_[term.number]) * term.coefficient;
    return out;
  }

  std::byte* address(const Step& step) const {
    const Statement& s = *step.statement;
    return static_cast<std::byte*>(buffers_[s.buffer]) +
           index(step) * static_cast<int64_t>(size_of(s.dtype));
  }

  bool masked_out(const Step& step) const {
    return step.mask >= 0 && cells_[static_cast<size_t>(step.mask)] == 0;
  }

  void run(std::vector<Step>& steps) {
    for (Step& step : steps) run(step);
  }

  void run(Step& step) {
    const Statement& s = *step.statement;
    switch (s.kind) {
      case StatementKind::Constant:
      case StatementKind::Slot:
        return;
      case StatementKind::Index:
        cells_[step.result] = static_cast<Container>(index(step));
        return;
      case StatementKind::Compute:
        ir::run(step.instructions, cells_);
        return;
      case StatementKind::Load:
        cells_[step.result] = masked_out(step) ? 0 : load_element(s.dtype, address(step));
        return;
      case StatementKind::Store:
        if (!masked_out(step)) store_element(s.dtype, address(step), cells_[step.source]);
        return;
      case StatementKind::Loop:
        for_each(step, [] {});
        return;
      case StatementKind::Reduce: {
        std::vector<Container> values;
        for_each(step, [&] { values.push_back(cells_[step.source]); });
        const auto reduce = s.order == ReduceOrder::Tree ? reduce_tree : reduce_in_order;
        cells_[step.result] = reduce(*s.primitive->combine, s.dtype,
                                     container_of(s.dtype, s.primitive->identity(s.dtype)), values);
        return;
      }
      case StatementKind::Scan: {
        if (variables_[static_cast<size_t>(s.variable)] == 0) step.scan->restart();
        SmallVector<Container, 3> elements;
        for (const uint32_t cell : step.operands) elements.push_back(cells_[cell]);
        cells_[step.result] = step.scan->next(elements);
        return;
      }
    }
  }

  /// Runs the body for each value of the variable, and `after` after each.
  template <class Fn>
  void for_each(Step& step, const Fn& after) {
    const int64_t end = step.extent >= 0
                            ? static_cast<int64_t>(cells_[static_cast<size_t>(step.extent)])
                            : step.end;
    int64_t& variable = variables_[static_cast<size_t>(step.statement->variable)];
    for (variable = step.begin; variable < end; ++variable) {
      int64_t rest = variable;
      if (step.digits_from >= 0)
        rest += static_cast<int64_t>(cells_[static_cast<size_t>(step.digits_from)]);
      for (size_t i = step.digits.size(); i-- > 0;) {
        const Step::Term& digit = step.digits[i];
        variables_[digit.number] = i == 0 ? rest : rest % digit.coefficient;
        if (i > 0) rest /= digit.coefficient;
      }
      run(step.body);
      after();
    }
  }

  const LoopProgram& program_;
  void* const* buffers_;
  const int64_t* ints_;
  std::span<const int64_t, 4> range_;
  std::vector<Operand> operands_;  ///< of each value
  std::vector<Container> cells_;
  std::vector<int64_t> variables_;
};

}  // namespace

void interpret(const LoopProgram& program, void* const* buffers, const int64_t* ints,
               int64_t begin1, int64_t end1, int64_t begin0, int64_t end0) {
  const int64_t range[] = {begin1, end1, begin0, end0};
  LoopInterpreter(program, buffers, ints, range).run();
}

}  // namespace flambeau::ir
