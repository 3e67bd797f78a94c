#pragma once
// Loop programs for tests, built in C++: bodies of core operations, without the primitive table.

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ir/loop_program.h"

namespace flambeau::test {

using ir::CoreOp;
using ir::IntOperand;
using ir::LoopIndex;
using ir::LoopMark;
using ir::LoopVar;
using ir::Primitive;
using ir::Statement;
using ir::StatementKind;
using ir::ValueId;

/// An elementwise row that is one core operation.
inline const Primitive* core_row(CoreOp op) {
  constexpr int kCount = static_cast<int>(CoreOp::MulHigh) + 1;
  static constexpr auto is_raw = [](CoreOp o) {
    return o == CoreOp::Convert || o == CoreOp::Bitcast || o == CoreOp::Select;
  };
  static const auto rows = []<int... i>(std::integer_sequence<int, i...>) {
    return std::array<Primitive, kCount>{[] {
      Primitive row{};
      row.name = ir::name_of(static_cast<CoreOp>(i));
      row.cls = ir::PrimitiveClass::Elementwise;
      row.arity = -1;
      row.raw_halves = is_raw(static_cast<CoreOp>(i));
      row.emit = [](ir::Emitter& e, DType result, std::span<const ir::Operand> arguments,
                    const ir::Attributes&) {
        constexpr auto op = static_cast<CoreOp>(i);
        // On the 16-bit floats themselves, as far as that is defined; else in float32.
        return e.core(op, is_raw(op) ? result : compute_dtype(result), arguments);
      };
      // Attribute `index` is the result's dtype.
      row.infer = [](std::span<const ir::Type>, const ir::Attributes& attributes) {
        return ir::Type{static_cast<DType>(attributes.index), {}};
      };
      return row;
    }()...};
  }(std::make_integer_sequence<int, kCount>());
  return &rows[static_cast<size_t>(op)];
}

/// A reduction by `op` (Add, Mul, Min, Max, And, Or).
inline const Primitive* reduce_row(CoreOp op) {
  static const auto make = [](CoreOp combine, Scalar (*identity)(DType)) {
    auto row = std::make_unique<Primitive>();
    row->name = ir::name_of(combine);
    row->cls = ir::PrimitiveClass::Reduce;
    row->arity = 1;
    row->combine = combine;
    row->identity = identity;
    return row;
  };
  constexpr auto lowest = [](DType dtype, bool highest) -> Scalar {
    if (is_float(dtype)) return highest ? __builtin_inf() : -__builtin_inf();
    if (is_bool(dtype)) return highest;
    const int bits = static_cast<int>(8 * size_of(dtype)) - (info(dtype).is_signed ? 1 : 0);
    const auto top = static_cast<int64_t>((uint64_t{1} << bits) - 1);
    return highest ? top : info(dtype).is_signed ? -top - 1 : int64_t{0};
  };
  static const auto low = [lowest](DType dtype) { return lowest(dtype, false); };
  static const auto high = [lowest](DType dtype) { return lowest(dtype, true); };
  static const std::map<CoreOp, std::unique_ptr<Primitive>> rows = [] {
    std::map<CoreOp, std::unique_ptr<Primitive>> out;
    out[CoreOp::Add] = make(CoreOp::Add, [](DType) { return Scalar(0); });
    out[CoreOp::Mul] = make(CoreOp::Mul, [](DType) { return Scalar(1); });
    out[CoreOp::Max] = make(CoreOp::Max, [](DType dtype) { return low(dtype); });
    out[CoreOp::Min] = make(CoreOp::Min, [](DType dtype) { return high(dtype); });
    out[CoreOp::And] = make(CoreOp::And, [](DType) { return Scalar(int64_t{-1}); });
    out[CoreOp::Or] = make(CoreOp::Or, [](DType) { return Scalar(0); });
    return out;
  }();
  return rows.at(op).get();
}

/// Index terms: `at(v, s(1))` is v * i1, `at(v)` is v * 1.
inline IntOperand s(int64_t slot) { return IntOperand::slot(slot); }
inline IntOperand c(int64_t value) { return IntOperand::constant(value); }
inline LoopIndex::Term at(LoopVar variable, IntOperand coefficient = c(1)) {
  return {variable, coefficient};
}

/// Appends statements to the innermost open body.
class LoopBuilder {
 public:
  LoopBuilder() { open_.push_back(&program_.body); }

  int buffer(DType dtype, bool is_output = false) {
    program_.buffers.push_back({dtype, is_output});
    return static_cast<int>(program_.buffers.size()) - 1;
  }
  IntOperand slot() { return s(program_.slot_count++); }

  ValueId constant(DType dtype, Scalar value) {
    Statement st = make(StatementKind::Constant, dtype);
    st.attributes.value = value;
    return add(std::move(st));
  }
  ValueId number(DType dtype, IntOperand slot) {
    Statement st = make(StatementKind::Slot, dtype);
    st.slot = static_cast<int>(slot.value);
    return add(std::move(st));
  }
  ValueId index(std::initializer_list<LoopIndex::Term> terms) {
    Statement st = make(StatementKind::Index, DType::Int64);
    st.index.terms = terms;
    return add(std::move(st));
  }
  ValueId op(CoreOp op, std::initializer_list<ValueId> arguments) {
    const DType type = dtype(*(arguments.begin() + (op == CoreOp::Select ? 1 : 0)));
    return compute(core_row(op), ir::Emitter::result_dtype(op, type), arguments);
  }
  ValueId convert(DType to, ValueId value) {
    return dtype(value) == to ? value : compute(core_row(CoreOp::Convert), to, {value});
  }
  /// A core_row: its dtype is in the attributes.
  ValueId compute(const Primitive* row, DType result, std::initializer_list<ValueId> arguments) {
    ir::Attributes attributes;
    attributes.index = static_cast<int>(result);
    return this->row(row, result, arguments, attributes);
  }
  /// A row of the primitive table.
  ValueId row(const Primitive* row, DType result, std::initializer_list<ValueId> arguments,
              const ir::Attributes& attributes = {}) {
    Statement st = make(StatementKind::Compute, result);
    st.primitive = row;
    st.attributes = attributes;
    st.arguments = arguments;
    return add(std::move(st));
  }
  ValueId load(int buffer, LoopIndex index, ValueId mask = -1) {
    Statement st = make(StatementKind::Load, program_.buffers[static_cast<size_t>(buffer)].dtype);
    st.buffer = buffer;
    st.index = std::move(index);
    st.mask = mask;
    return add(std::move(st));
  }
  ValueId load(int buffer, std::initializer_list<LoopIndex::Term> terms, ValueId mask = -1) {
    return load(buffer, LoopIndex{terms, {}, c(0)}, mask);
  }
  /// `nontemporal`: the slot that says whether it goes past the caches.
  void store(int buffer, LoopIndex index, ValueId value, ValueId mask = -1, int nontemporal = -1) {
    Statement st;
    st.kind = StatementKind::Store;
    st.dtype = program_.buffers[static_cast<size_t>(buffer)].dtype;
    st.buffer = buffer;
    st.index = std::move(index);
    st.arguments = {value};
    st.mask = mask;
    st.slot = nontemporal;
    open_.back()->push_back(std::move(st));
  }
  void store(int buffer, std::initializer_list<LoopIndex::Term> terms, ValueId value,
             ValueId mask = -1) {
    store(buffer, LoopIndex{terms, {}, c(0)}, value, mask);
  }
  void loop(LoopMark mark, IntOperand extent, const std::function<void(LoopVar)>& body) {
    Statement st;
    st.kind = StatementKind::Loop;
    st.mark = mark;
    st.extent = extent;
    fill(st, body);
    open_.back()->push_back(std::move(st));
  }
  ValueId reduce(CoreOp op, LoopMark mark, IntOperand extent,
                 const std::function<ValueId(LoopVar)>& body,
                 ir::ReduceOrder order = ir::ReduceOrder::Blocks) {
    Statement st;
    st.kind = StatementKind::Reduce;
    st.primitive = reduce_row(op);
    st.mark = mark;
    st.extent = extent;
    st.order = order;
    ValueId yield = -1;
    fill(st, [&](LoopVar v) { yield = body(v); });
    st.yield = yield;
    st.dtype = dtype(yield);
    st.result = new_value(st.dtype);
    const ValueId result = st.result;
    open_.back()->push_back(std::move(st));
    return result;
  }

  /// One more digit of the innermost open loop's variable.
  LoopVar digit(IntOperand extent) {
    loops_.back()->digits.push_back({program_.variable_count++, extent});
    return loops_.back()->digits.back().variable;
  }
  void digits_from(ValueId first) { loops_.back()->digits_from = first; }

  DType dtype(ValueId id) const { return dtypes_[static_cast<size_t>(id)]; }
  ir::LoopProgram finish() {
    program_.value_count = static_cast<int>(dtypes_.size());
    return program_;
  }

 private:
  ValueId new_value(DType dtype) {
    dtypes_.push_back(dtype);
    return static_cast<ValueId>(dtypes_.size()) - 1;
  }
  static Statement make(StatementKind kind, DType dtype) {
    Statement st;
    st.kind = kind;
    st.dtype = dtype;
    return st;
  }
  ValueId add(Statement st) {
    st.result = new_value(st.dtype);
    const ValueId result = st.result;
    open_.back()->push_back(std::move(st));
    return result;
  }
  void fill(Statement& st, const std::function<void(LoopVar)>& body) {
    st.variable = program_.variable_count++;
    open_.push_back(&st.body);
    loops_.push_back(&st);
    body(st.variable);
    loops_.pop_back();
    open_.pop_back();
  }

  ir::LoopProgram program_;
  std::vector<std::vector<Statement>*> open_;
  std::vector<Statement*> loops_;
  std::vector<DType> dtypes_;
};

}  // namespace flambeau::test
