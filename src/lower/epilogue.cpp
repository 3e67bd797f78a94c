#include <algorithm>

#include "base/error.h"
#include "lower/plan.h"

namespace flambeau::lower {

using ir::IntOperand;
using ir::Statement;
using ir::StatementKind;

ContractionEpilogue make_epilogue(const ContractStep& step, DType a, DType b,
                                  std::span<const StrideClass> column_strides) {
  const KernelTemplate& kernel = *step.epilogue;
  ContractionEpilogue out;
  ir::Contraction& contraction = out.contraction;
  contraction.a = a;
  contraction.b = b;
  contraction.of_bfloat16 = step.of_bfloat16;
  // Value 0 is the sum; the template's values follow.
  contraction.value_count = kernel.value_count + 1;
  const auto slot = [&](ContractionEpilogue::Slot wanted) {
    for (size_t i = 0; i < out.slots.size(); ++i)
      if (out.slots[i].access == wanted.access && out.slots[i].column == wanted.column &&
          out.slots[i].source == wanted.source)
        return static_cast<int64_t>(i);
    out.slots.push_back(wanted);
    return static_cast<int64_t>(out.slots.size()) - 1;
  };
  std::vector<int> buffer_of(kernel.accesses.size(), -1);
  for (size_t i = 0; i < kernel.accesses.size(); ++i) {
    if (!kernel.accesses[i].is_store) continue;
    contraction.buffers.push_back(
        {kernel.buffers[static_cast<size_t>(kernel.accesses[i].buffer)].dtype, true});
    buffer_of[i] = 0;
  }
  require(contraction.buffers.size() == 1, "lower: an epilogue writes one result");
  for (size_t i = 0; i < kernel.accesses.size(); ++i) {
    if (buffer_of[i] == 0 || kernel.accesses[i].buffer == step.product_buffer) continue;
    buffer_of[i] = static_cast<int>(contraction.buffers.size());
    contraction.buffers.push_back(
        {kernel.buffers[static_cast<size_t>(kernel.accesses[i].buffer)].dtype, false});
    out.operands.push_back(static_cast<int>(i));
  }
  std::vector<ValueId> value_of(static_cast<size_t>(kernel.value_count));
  for (ValueId v = 0; v < kernel.value_count; ++v) value_of[static_cast<size_t>(v)] = v + 1;
  for (const Section& section : kernel.sections) {
    for (Statement s : section.body) {
      const auto access = static_cast<size_t>(std::max(s.slot, 0));
      if (s.kind == StatementKind::Load && kernel.accesses[access].buffer == step.product_buffer) {
        value_of[static_cast<size_t>(s.result)] = 0;
        continue;
      }
      if (s.result >= 0) s.result = value_of[static_cast<size_t>(s.result)];
      for (ValueId& argument : s.arguments) argument = value_of[static_cast<size_t>(argument)];
      if (s.kind == StatementKind::Load || s.kind == StatementKind::Store) {
        const int number = static_cast<int>(access);
        s.buffer = buffer_of[access];
        s.index = {};
        s.index.terms.push_back({0, IntOperand::slot(slot({number, false, -1}))});
        switch (column_strides[access]) {
          case StrideClass::Zero:
            break;
          case StrideClass::Unit:
            s.index.terms.push_back({1, IntOperand::constant(1)});
            break;
          case StrideClass::Two:
          case StrideClass::Back:
          case StrideClass::Other:
          case StrideClass::Transposed:
            s.index.terms.push_back({1, IntOperand::slot(slot({number, true, -1}))});
            break;
        }
        s.slot = -1;
      } else if (s.kind == StatementKind::Slot) {
        s.slot = static_cast<int>(slot({-1, false, s.slot}));
      }
      contraction.epilogue.push_back(std::move(s));
    }
  }
  contraction.slot_count = static_cast<int>(out.slots.size());
  return out;
}

}  // namespace flambeau::lower
