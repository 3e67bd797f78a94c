#include "ir/contraction.h"

#include "base/error.h"

namespace flambeau::ir {
namespace {

Statement make_statement(StatementKind kind, DType dtype = DType::Float32, ValueId result = -1) {
  Statement statement;
  statement.kind = kind;
  statement.dtype = dtype;
  statement.result = result;
  return statement;
}

Statement make_convert(DType dtype, ValueId result, ValueId argument) {
  Statement statement = make_statement(StatementKind::Compute, dtype, result);
  statement.primitive = find_primitive("convert");
  statement.arguments = {argument};
  return statement;
}

}  // namespace

DType accumulator_dtype(DType dtype) {
  check<InternalError>(!is_bool(dtype), [] { return "contraction of Bool operands"; });
  if (is_half(dtype)) return DType::Float32;
  return is_integer(dtype) && size_of(dtype) < 4 ? DType::Int32 : dtype;
}

Contraction plain_contraction(DType a, DType b, DType out) {
  Contraction contraction;
  contraction.a = a;
  contraction.b = b;
  contraction.buffers = {{out, true}};
  contraction.slot_count = 2;
  contraction.is_plain = true;
  Statement store = make_statement(StatementKind::Store, out);
  store.buffer = 0;
  store.index.terms = {{0, IntOperand::slot(0)}, {1, IntOperand::slot(1)}};
  ValueId sum = 0;
  const DType computed = compute_dtype(a);
  if (compute_dtype(out) != computed) {
    contraction.epilogue.push_back(make_convert(compute_dtype(out), contraction.value_count, sum));
    sum = contraction.value_count++;
  }
  store.arguments = {sum};
  contraction.epilogue.push_back(std::move(store));
  return contraction;
}

LoopProgram epilogue_program(const Contraction& contraction, bool transposed, bool unit_output) {
  require(!unit_output || contraction.is_plain, "contraction: strides of an epilogue of its own");
  const DType computed = compute_dtype(contraction.a);
  const DType accumulator = accumulator_dtype(contraction.a);
  const LoopVar outer_variable = transposed ? 1 : 0;
  const LoopVar inner_variable = 1 - outer_variable;

  LoopProgram program;
  program.buffers = contraction.buffers;
  program.buffers.push_back({accumulator, false});
  program.slot_count = contraction.slot_count + 1;
  program.value_count = contraction.value_count;
  program.variable_count = 2;

  Statement load = make_statement(StatementKind::Load, accumulator, 0);
  load.buffer = static_cast<int>(contraction.buffers.size());
  load.index.terms = {{outer_variable, IntOperand::slot(contraction.slot_count)},
                      {inner_variable, IntOperand::constant(1)}};
  Statement inner = make_statement(StatementKind::Loop);
  inner.mark = LoopMark::ParallelInner;
  inner.variable = inner_variable;
  if (accumulator != computed) {
    // Narrow integers: the sum's low bits.
    load.result = program.value_count++;
    inner.body = {load, make_convert(computed, 0, load.result)};
  } else {
    inner.body = {std::move(load)};
  }
  inner.body.insert(inner.body.end(), contraction.epilogue.begin(), contraction.epilogue.end());
  if (unit_output)
    for (LoopIndex::Term& term : inner.body.back().index.terms)
      if (term.variable == inner_variable) term.coefficient = IntOperand::constant(1);
  Statement outer = make_statement(StatementKind::Loop);
  outer.mark = LoopMark::Parallel;
  outer.variable = outer_variable;
  outer.body.push_back(std::move(inner));
  program.body.push_back(std::move(outer));
  return program;
}

std::string Contraction::text() const {
  return concat("contraction(", info(a).ir_name, ", ", info(b).ir_name,
                of_bfloat16 ? ") of bf16 " : ") ", epilogue_program(*this, false).text());
}

Hash128 Contraction::hash() const {
  return Hasher()
      .add(std::string_view("contraction"))
      .add(a)
      .add(b)
      .add(of_bfloat16)
      .add(is_plain)
      .add(epilogue_program(*this, false).hash())
      .finish();
}

}  // namespace flambeau::ir
