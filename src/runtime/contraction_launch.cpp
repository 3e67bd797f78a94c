#include "runtime/contraction_launch.h"

#include "runtime/compiler.h"

namespace flambeau {

using lower::Access;
using lower::AxisIndex;
using lower::ContractStep;
using lower::StrideClass;

namespace {

/// The window of an operand: rows along loop `row`, columns along loop `column`. `offset` becomes
/// its start, in bytes.
ContractionArguments::Matrix window(const ContractStep& step, const ContractStep::Operand& operand,
                                    const int64_t* strides, size_t element_size, int row,
                                    int column, const ir::DimBindings& bindings, int64_t& offset) {
  ContractionArguments::Matrix out;
  SmallVector<int64_t, 6> digit_strides(operand.digits.size(), 0);
  out.batch_strides.resize(static_cast<size_t>(step.batch_rank), 0);
  offset = 0;
  for (size_t axis = 0; axis < operand.axes.size(); ++axis) {
    const int64_t stride = strides[axis];
    if (!operand.axes[axis].offset.is_zero())
      offset += operand.axes[axis].offset.evaluate(bindings) * stride;
    for (const AxisIndex::Term& term : operand.axes[axis].terms) {
      const int64_t step_size = term.coefficient.evaluate(bindings) * stride;
      if (term.loop == row)
        out.row_stride += step_size;
      else if (term.loop == column)
        out.column_stride += step_size;
      else if (term.loop >= step.batch_rank + 3)
        digit_strides[static_cast<size_t>(term.loop - step.batch_rank - 3)] += step_size;
      else
        out.batch_strides[static_cast<size_t>(term.loop)] += step_size;
    }
  }
  for (size_t i = 0; i < operand.digits.size(); ++i) {
    const ContractionArguments::Digit digit{operand.digits[i].extent.evaluate(bindings),
                                            digit_strides[i]};
    if (digit.extent == 1) continue;
    auto& digits = operand.digits[i].loop == row ? out.row_digits : out.column_digits;
    if (!digits.empty() && digits.back().stride == digit.extent * digit.stride)
      digits.back() = {digits.back().extent * digit.extent, digit.stride};
    else
      digits.push_back(digit);
  }
  const auto as_stride = [](ContractionArguments::Digits& digits, int64_t& stride) {
    if (digits.size() != 1) return;
    stride = digits[0].stride;
    digits.clear();
  };
  as_stride(out.row_digits, out.row_stride);
  as_stride(out.column_digits, out.column_stride);
  offset *= static_cast<int64_t>(element_size);
  return out;
}

/// Strides of an epilogue's access along batch axes, m and n, and the start of its window.
struct AccessStrides {
  Ints batch;
  int64_t row = 0;
  int64_t column = 0;
  int64_t offset = 0;
};

}  // namespace

ContractionTemplate::ContractionTemplate(const ContractStep& step, DType a, DType b, DType result)
    : step_(step), a_(a), b_(b), result_(result) {}

const ContractionTemplate::Variant& ContractionTemplate::variant(
    const StrideClasses& columns) const {
  const std::lock_guard lock(mutex_);
  for (const auto& known : variants_)
    if (known->columns == columns) return *known;
  auto fresh = std::make_unique<Variant>();
  fresh->columns = columns;
  if (step_.epilogue != nullptr) {
    fresh->epilogue = lower::make_epilogue(step_, a_, b_, {columns.data(), columns.size()});
  } else {
    fresh->epilogue.contraction = ir::plain_contraction(a_, b_, result_);
    fresh->epilogue.contraction.of_bfloat16 = step_.of_bfloat16;
  }
  fresh->kernel = std::make_unique<ContractionKernel>(fresh->epilogue.contraction, active_isa(),
                                                      contraction_loader());
  variants_.push_back(std::move(fresh));
  return *variants_.back();
}

void BoundContraction::run(void* const* buffers, std::span<const Scalar> call_numbers) const {
  const auto at = [&](const Place& place) -> void* {
    void* const base = buffers[place.buffer];
    return base == nullptr ? nullptr : static_cast<char*>(base) + place.offset;
  };
  SmallVector<void*, 6> read;
  for (const Place& operand : operands) read.push_back(at(operand));
  Ints filled = slots;
  for (const BoundLaunch::Number& number : numbers)
    filled[number.slot] =
        static_cast<int64_t>(call_numbers[static_cast<size_t>(number.number)].bits());
  run_contraction(*geometry, {at(a), at(b), at(out), {read.data(), read.size()}, filled.data()});
}

void BoundContraction::load() const { load_contraction(*geometry, slots.data()); }

BoundContraction ContractionTemplate::bind(const int64_t* a, const int64_t* b,
                                           const int64_t* result,
                                           std::span<const int64_t* const> epilogue,
                                           const ir::DimBindings& bindings) const {
  const int m = step_.batch_rank;
  BoundContraction bound;
  ContractionArguments arguments;
  bound.a.buffer = 0;
  bound.b.buffer = 1;
  bound.out = {2, 0};
  arguments.a = window(step_, step_.a, a, size_of(a_), m, m + 2, bindings, bound.a.offset);
  arguments.b = window(step_, step_.b, b, size_of(b_), m + 2, m + 1, bindings, bound.b.offset);
  for (int i = 0; i < step_.batch_rank; ++i) {
    arguments.out.batch_strides.push_back(result[i]);
    arguments.batch.push_back(step_.batch[static_cast<size_t>(i)].evaluate(bindings));
  }
  arguments.out.row_stride = result[m];
  arguments.out.column_stride = result[m + 1];
  arguments.m = step_.m.evaluate(bindings);
  arguments.n = step_.n.evaluate(bindings);
  arguments.k = step_.k.evaluate(bindings);
  if (step_.epilogue == nullptr) {
    bound.geometry = geometry_of(*variant({}).kernel, std::move(arguments));
    return bound;
  }

  // Which loop of the epilogue each axis [batch.., m, n] is: those of extent 1 have none.
  SmallVector<int, 6> loop_of;
  int next = 0;
  for (int axis = 0; axis < step_.batch_rank + 2; ++axis) {
    const ir::Dim& extent = axis < m    ? step_.batch[static_cast<size_t>(axis)]
                            : axis == m ? step_.m
                                        : step_.n;
    loop_of.push_back(extent.is_one() ? -1 : next++);
  }
  const lower::KernelTemplate& kernel = *step_.epilogue;
  SmallVector<AccessStrides, 6> strides;
  StrideClasses columns;
  for (const Access& access : kernel.accesses) {
    AccessStrides s;
    s.batch.resize(static_cast<size_t>(step_.batch_rank), 0);
    if (access.buffer != step_.product_buffer) {
      const int64_t* const buffer = epilogue[static_cast<size_t>(access.buffer)];
      for (size_t axis = 0; axis < access.axes.size(); ++axis) {
        const AxisIndex& index = access.axes[axis];
        s.offset += index.offset.evaluate(bindings) * buffer[axis];
        for (const AxisIndex::Term& term : index.terms) {
          const int64_t stride = term.coefficient.evaluate(bindings) * buffer[axis];
          for (int i = 0; i < step_.batch_rank; ++i)
            if (loop_of[static_cast<size_t>(i)] == term.loop)
              s.batch[static_cast<size_t>(i)] += stride;
          if (loop_of[static_cast<size_t>(m)] == term.loop) s.row += stride;
          if (loop_of[static_cast<size_t>(m) + 1] == term.loop) s.column += stride;
        }
      }
    }
    columns.push_back(s.column == 0   ? StrideClass::Zero
                      : s.column == 1 ? StrideClass::Unit
                                      : StrideClass::Other);
    strides.push_back(std::move(s));
  }
  const Variant& v = variant(columns);
  for (const int number : v.epilogue.operands) {
    const auto i = static_cast<size_t>(number);
    const auto buffer = static_cast<size_t>(kernel.accesses[i].buffer);
    const auto element = static_cast<int64_t>(size_of(kernel.buffers[buffer].dtype));
    bound.operands.push_back({3 + static_cast<int>(buffer), strides[i].offset * element});
    arguments.operands.push_back(strides[i].batch);
  }
  for (const lower::ContractionEpilogue::Slot& slot : v.epilogue.slots) {
    if (slot.access >= 0) {
      const AccessStrides& s = strides[static_cast<size_t>(slot.access)];
      bound.slots.push_back(slot.column ? s.column : s.row);
      continue;
    }
    const lower::SlotSource& source = kernel.slots[static_cast<size_t>(slot.source)];
    if (source.number >= 0) bound.numbers.push_back({bound.slots.size(), source.number});
    bound.slots.push_back(source.number >= 0 ? 0 : source.dim.evaluate(bindings));
  }
  bound.geometry = geometry_of(*v.kernel, std::move(arguments));
  return bound;
}

}  // namespace flambeau
