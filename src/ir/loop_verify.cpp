#include <optional>

#include "base/error.h"
#include "ir/loop_text.h"

namespace flambeau::ir {
namespace {

class LoopVerifier {
 public:
  explicit LoopVerifier(const LoopProgram& program)
      : program_(program),
        values_(static_cast<size_t>(std::max(program.value_count, 0))),
        variables_(static_cast<size_t>(std::max(program.variable_count, 0))) {}

  void run() { check_body(program_.body, {}); }

 private:
  /// Where a statement stands.
  struct Scope {
    LoopVar serial = -1;   ///< variable of the serial loop whose body it is in, or -1
    bool nested = false;   ///< in any loop
    bool vector = false;   ///< in a loop or reduction whose iterations are vector lanes
    bool reduced = false;  ///< in a reduction
  };
  struct Value {
    bool defined = false;
    bool in_scope = false;
    DType dtype = DType::Float32;
  };
  struct Variable {
    bool defined = false;
    bool in_scope = false;
  };

  void expect(bool condition, std::string_view rule) const {
    check<InternalError>(condition, [&] {
      return concat("loop program: rule broken: ", rule, ", by\n",
                    statement_ == nullptr ? "" : statement_text(*statement_, "  "));
    });
  }

  DType use(ValueId id) const {
    expect(id >= 0 && static_cast<size_t>(id) < values_.size(), "a value's number is in range");
    const Value& value = values_[static_cast<size_t>(id)];
    expect(value.in_scope, "a value is defined before, in this body or one around it");
    return value.dtype;
  }

  void check_operand(const IntOperand& operand) const {
    if (operand.is_slot)
      expect(operand.value >= 0 && operand.value < program_.slot_count, "a slot is in range");
  }

  void check_index(const LoopIndex& index) const {
    for (const auto& term : index.terms) {
      const auto variable = static_cast<size_t>(term.variable);
      expect(term.variable >= 0 && variable < variables_.size() && variables_[variable].in_scope,
             "a variable is that of a loop around the statement");
      check_operand(term.coefficient);
    }
    for (const auto& term : index.dynamic) {
      expect(use(term.value) == DType::Int64, "a value in an index is i64");
      check_operand(term.coefficient);
    }
    check_operand(index.offset);
  }

  const BufferInfo& buffer_of(const Statement& s) const {
    expect(s.buffer >= 0 && static_cast<size_t>(s.buffer) < program_.buffers.size(),
           "a buffer is one of the kernel's");
    return program_.buffers[static_cast<size_t>(s.buffer)];
  }

  void check_mask(const Statement& s) const {
    if (s.mask >= 0) expect(use(s.mask) == DType::Bool, "a mask is b1");
  }

  void check_compute(const Statement& s) const {
    expect(s.primitive != nullptr && s.primitive->cls == PrimitiveClass::Elementwise,
           "a computation is an elementwise primitive");
    expect(s.primitive->arity < 0 || s.arguments.size() == static_cast<size_t>(s.primitive->arity),
           "the number of operands is the primitive's");
    SmallVector<Type, 4> types;
    for (const ValueId id : s.arguments) types.push_back({use(id), {}});
    std::optional<DType> inferred;
    try {
      inferred = s.primitive->infer(types, s.attributes).dtype;
    } catch (const InternalError& error) {
      expect(false, error.what());
    }
    expect(inferred == s.dtype, "the dtype is what the primitive infers");
  }

  void check_scan(const Statement& s, Scope scope) const {
    expect(s.primitive != nullptr && s.primitive->cls == PrimitiveClass::Scan &&
               s.arguments.size() == static_cast<size_t>(s.primitive->arity),
           "a scan's primitive is a scan, the number of operands its arity");
    expect(s.variable >= 0 && s.variable == scope.serial,
           "a scan runs over the serial loop in whose body it is");
    for (const ValueId id : s.arguments)
      expect(use(id) == s.dtype, "a scan has the dtype of its operands");
    expect(!is_half(s.dtype) && !is_bool(s.dtype), "a scan is of numbers, 16-bit floats as f32");
  }

  void check_range(const Statement& s) const {
    if (s.extent_value >= 0)
      expect(use(s.extent_value) == DType::Int64, "a loop's extent is i64");
    else
      check_operand(s.extent);
  }

  void check_loop(const Statement& s, Scope scope) {
    const bool parallel = s.mark == LoopMark::Parallel;
    const bool inner = s.mark == LoopMark::ParallelInner;
    if (parallel) expect(!scope.nested && !has_parallel_, "one parallel loop, the outermost");
    if (inner) expect(!scope.reduced && !has_inner_, "one parallel_inner loop, in no reduction");
    has_parallel_ |= parallel;
    has_inner_ |= inner;
    const bool vector = inner || s.mark == LoopMark::Vector;
    if (vector) expect(!scope.vector, "no vector loop in a vector loop or vector reduction");
    if (!parallel && !inner) check_range(s);
    expect(s.yield < 0 && s.result < 0, "a loop gives no value");
    check_nested(s, {s.mark == LoopMark::Serial ? s.variable : -1, true, scope.vector || vector,
                     scope.reduced});
  }

  void check_reduce(const Statement& s, Scope scope) {
    expect(s.primitive != nullptr && s.primitive->cls == PrimitiveClass::Reduce &&
               s.primitive->combine.has_value() && s.primitive->identity != nullptr,
           "a reduction's primitive has a combination and an identity");
    expect(s.mark == LoopMark::Vector || s.mark == LoopMark::Serial,
           "a reduction is vector or serial");
    const bool vector = s.mark == LoopMark::Vector;
    if (vector) expect(!scope.vector, "no vector reduction in a vector loop or vector reduction");
    expect(!is_half(s.dtype), "a reduction of 16-bit floats is done in f32");
    check_range(s);
    check_nested(s, {-1, true, scope.vector || vector, true});
  }

  /// The body of a loop or reduction: what it defines is gone after it.
  void check_nested(const Statement& s, Scope scope) {
    const auto variable = static_cast<size_t>(s.variable);
    expect(s.variable >= 0 && variable < variables_.size(), "a variable's number is in range");
    expect(!variables_[variable].defined, "a variable belongs to one loop");
    variables_[variable] = {true, true};
    expect(s.digits_from < 0 || use(s.digits_from) == DType::Int64, "digits are of an i64");
    for (const Statement::Digit& digit : s.digits) {
      const auto place = static_cast<size_t>(digit.variable);
      expect(digit.variable >= 0 && place < variables_.size(), "a variable's number is in range");
      expect(!variables_[place].defined, "a variable belongs to one loop");
      variables_[place] = {true, true};
      check_operand(digit.extent);
    }
    expect(s.digits.empty() || s.mark == LoopMark::Serial || s.mark == LoopMark::Vector,
           "a loop of the launch has no digits");
    check_body(s.body, scope, &s);
    variables_[variable].in_scope = false;
    for (const Statement::Digit& digit : s.digits)
      variables_[static_cast<size_t>(digit.variable)].in_scope = false;
  }

  void check_body(const std::vector<Statement>& body, Scope scope,
                  const Statement* reduce = nullptr) {
    for (const Statement& s : body) {
      statement_ = &s;
      check_statement(s, scope);
      if (s.kind == StatementKind::Store || s.kind == StatementKind::Loop) continue;
      statement_ = &s;
      const auto id = static_cast<size_t>(s.result);
      expect(s.result >= 0 && id < values_.size(), "a value's number is in range");
      expect(!values_[id].defined, "a value is defined once");
      values_[id] = {true, true, s.dtype};
    }
    if (reduce != nullptr && reduce->kind == StatementKind::Reduce) {
      statement_ = reduce;
      expect(use(reduce->yield) == reduce->dtype, "a reduction has the dtype of what it yields");
    }
    for (const Statement& s : body)
      if (s.result >= 0) values_[static_cast<size_t>(s.result)].in_scope = false;
  }

  void check_statement(const Statement& s, Scope scope) {
    switch (s.kind) {
      case StatementKind::Constant:
        return;
      case StatementKind::Slot:
        expect(s.slot >= 0 && s.slot < program_.slot_count, "a slot is in range");
        expect(s.dtype == DType::Int64 || s.dtype == DType::Float64 || s.dtype == DType::Bool,
               "a slot is read as i64, f64 or b1");
        return;
      case StatementKind::Index:
        expect(s.dtype == DType::Int64, "an index is i64");
        check_index(s.index);
        return;
      case StatementKind::Compute:
        check_compute(s);
        return;
      case StatementKind::Load:
        expect(buffer_of(s).dtype == s.dtype, "a load has the buffer's dtype");
        check_index(s.index);
        check_mask(s);
        return;
      case StatementKind::Store:
        expect(buffer_of(s).is_output, "a store is to an output");
        expect(s.dtype == buffer_of(s).dtype && s.arguments.size() == 1 &&
                   use(s.arguments[0]) == s.dtype,
               "a stored value has the buffer's dtype");
        if (s.slot >= 0) {
          expect(s.slot < program_.slot_count, "a slot is in range");
          expect(nontemporal_ < 0 || nontemporal_ == s.slot,
                 "stores past the caches have one slot");
          nontemporal_ = s.slot;
        }
        expect(!scope.reduced, "no store in a reduction");
        check_index(s.index);
        check_mask(s);
        return;
      case StatementKind::Loop:
        check_loop(s, scope);
        return;
      case StatementKind::Reduce:
        check_reduce(s, scope);
        return;
      case StatementKind::Scan:
        check_scan(s, scope);
        return;
    }
  }

  const LoopProgram& program_;
  std::vector<Value> values_;
  std::vector<Variable> variables_;
  const Statement* statement_ = nullptr;
  bool has_parallel_ = false;
  bool has_inner_ = false;
  int nontemporal_ = -1;  ///< the slot of the stores so far
};

}  // namespace

void verify(const LoopProgram& program) { LoopVerifier(program).run(); }

}  // namespace flambeau::ir
