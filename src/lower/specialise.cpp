#include <algorithm>

#include "base/error.h"
#include "ir/interpreter.h"
#include "lower/kernel_template.h"

namespace flambeau::lower {

using ir::IntOperand;
using ir::LoopIndex;
using ir::LoopMark;
using ir::LoopVar;
using ir::ReduceOrder;
using ir::Statement;
using ir::StatementKind;

namespace {

class Specialiser {
 public:
  Specialiser(const KernelTemplate& kernel, const LayoutClass& layout)
      : kernel_(kernel), layout_(layout) {}

  SpecialisedKernel run() {
    program().value_count = kernel_.value_count;
    for (const Access& access : kernel_.accesses) pointer_of_.push_back(pointer(access));
    Statement outer = loop(LoopMark::Parallel, outer_ = program().variable_count++);
    switch (layout_.kind) {
      case KernelKind::Pointwise:
      case KernelKind::Column: {
        const bool fixed = layout_.inner_extent > 0;
        Statement inner = loop(fixed ? LoopMark::Vector : LoopMark::ParallelInner,
                               inner_ = program().variable_count++);
        if (fixed) inner.extent = IntOperand::constant(layout_.inner_extent);
        for (const Section& section : kernel_.sections) add_section(section, inner.body);
        outer.body.push_back(std::move(inner));
        break;
      }
      case KernelKind::Row:
        for (const Section& section : kernel_.sections) add_section(section, outer.body);
        break;
      case KernelKind::Blocks:
        add_blocks(outer.body);
        break;
      case KernelKind::Tree:
        add_tree(outer.body);
        break;
    }
    program().body.push_back(std::move(outer));
    program().slot_count = static_cast<int>(out_.slots.size());
    return std::move(out_);
  }

 private:
  ir::LoopProgram& program() { return out_.program; }

  static Statement loop(LoopMark mark, LoopVar variable) {
    Statement s;
    s.kind = StatementKind::Loop;
    s.mark = mark;
    s.variable = variable;
    return s;
  }

  IntOperand slot(SlotBinding binding) {
    const auto same = std::find_if(out_.slots.begin(), out_.slots.end(), [&](const SlotBinding& s) {
      return s.kind == binding.kind && s.index == binding.index && s.level == binding.level;
    });
    const auto position = same - out_.slots.begin();
    if (same == out_.slots.end()) out_.slots.push_back(binding);
    return IntOperand::slot(position);
  }

  /// The kernel's buffer for an access. Accesses at one position share a pointer; others have
  /// pointers of their own, since their constant offsets are folded into the base address.
  int pointer(const Access& access) {
    if (access.buffer < 0) return -1;
    const auto index = static_cast<size_t>(&access - kernel_.accesses.data());
    for (size_t i = 0; i < index; ++i) {
      const Access& other = kernel_.accesses[i];
      if (other.buffer != access.buffer || !(other.axes == access.axes)) continue;
      program().buffers[static_cast<size_t>(pointer_of_[i])].is_output |= access.is_store;
      return pointer_of_[i];
    }
    program().buffers.push_back(
        {kernel_.buffers[static_cast<size_t>(access.buffer)].dtype, access.is_store});
    return static_cast<int>(program().buffers.size()) - 1;
  }

  IntOperand coefficient(StrideClass stride, SlotBinding binding) {
    switch (stride) {
      case StrideClass::Zero:
        return IntOperand::constant(0);
      case StrideClass::Unit:
        return IntOperand::constant(1);
      case StrideClass::Two:
        return IntOperand::constant(2);
      case StrideClass::Back:
        return IntOperand::constant(-1);
      case StrideClass::Other:
      case StrideClass::Transposed:
        break;
    }
    return slot(binding);
  }

  void add_term(LoopIndex& index, LoopVar variable, IntOperand coefficient) {
    if (coefficient.is_slot || coefficient.value != 0)
      index.terms.push_back({variable, coefficient});
  }

  /// False of what is the same in all rows, whatever its layout.
  bool moves_with_rows(const Access& access) const {
    if (layout_.kind == KernelKind::Blocks) return true;
    const auto kept = static_cast<int>(kernel_.kept.size());
    return std::any_of(access.axes.begin(), access.axes.end(), [&](const AxisIndex& axis) {
      return std::any_of(axis.terms.begin(), axis.terms.end(),
                         [&](const AxisIndex::Term& term) { return term.loop < kept; });
    });
  }

  LoopIndex index_of(int access_number) {
    const auto a = static_cast<size_t>(access_number);
    const Access& access = kernel_.accesses[a];
    LoopIndex index;
    index.offset = access.buffer < 0 ? slot({SlotBinding::Kind::Offset, access_number, 0})
                                     : IntOperand::constant(0);
    if (moves_with_rows(access))
      add_term(index, outer_,
               coefficient(layout_.inner[a] == StrideClass::Transposed ? StrideClass::Unit
                                                                       : StrideClass::Other,
                           {SlotBinding::Kind::OuterStride, access_number, 0}));
    if (inner_ >= 0)
      add_term(index, inner_,
               coefficient(layout_.inner[a], {SlotBinding::Kind::InnerStride, access_number, 0}));
    if (reduced_ >= 0) {
      const int last = static_cast<int>(levels_.size()) - 1;
      if (layout_.reduced[a] != StrideClass::Zero)
        for (int level = 0; level < last; ++level)
          add_term(index, levels_[static_cast<size_t>(level)],
                   slot({SlotBinding::Kind::ReducedStride, access_number, level}));
      add_term(index, levels_.empty() ? reduced_ : levels_.back(),
               coefficient(layout_.reduced[a],
                           {SlotBinding::Kind::ReducedStride, access_number, std::max(last, 0)}));
    }
    int term = 0;
    for (const AxisIndex& axis : access.axes)
      for (const AxisIndex::Dynamic& dynamic : axis.dynamic)
        index.dynamic.push_back(
            {dynamic.value, slot({SlotBinding::Kind::DynamicStride, access_number, term++})});
    return index;
  }

  /// True of whole vectors in a buffer that is not read here.
  bool may_go_past_caches(size_t store) const {
    const bool row = layout_.kind == KernelKind::Row;
    const bool in_vector_loop = row == (reduced_ >= 0);
    const auto& along = row ? layout_.reduced : layout_.inner;
    return in_vector_loop && along[store] == StrideClass::Unit && layout_.reduced_levels <= 1 &&
           std::none_of(kernel_.accesses.begin(), kernel_.accesses.end(), [&](const Access& other) {
             return !other.is_store && other.buffer == kernel_.accesses[store].buffer;
           });
  }

  void add_statements(const std::vector<Statement>& from, std::vector<Statement>& to,
                      bool stores = true) {
    for (Statement s : from) {
      switch (s.kind) {
        case StatementKind::Load:
        case StatementKind::Store:
          if (s.kind == StatementKind::Store && !stores) continue;
          s.buffer = pointer_of_[static_cast<size_t>(s.slot)];
          s.index = index_of(s.slot);
          s.slot = s.kind == StatementKind::Store && may_go_past_caches(static_cast<size_t>(s.slot))
                       ? static_cast<int>(slot({SlotBinding::Kind::PastCaches, 0, 0}).value)
                       : -1;
          break;
        case StatementKind::Index:
          s.index = index_of(s.slot);
          s.slot = -1;
          break;
        case StatementKind::Slot:
          s.slot = static_cast<int>(slot({SlotBinding::Kind::Source, s.slot, 0}).value);
          break;
        case StatementKind::Scan:
          s.variable = reduced_;
          break;
        default:
          break;
      }
      to.push_back(std::move(s));
    }
  }

  ValueId compute(std::vector<Statement>& to, const char* primitive,
                  std::initializer_list<ValueId> arguments) {
    Statement s;
    s.kind = StatementKind::Compute;
    s.dtype = DType::Int64;
    s.primitive = ir::find_primitive(primitive);
    s.arguments = arguments;
    s.result = program().value_count++;
    to.push_back(std::move(s));
    return to.back().result;
  }

  ValueId index_value(std::vector<Statement>& to, LoopIndex index) {
    Statement s;
    s.kind = StatementKind::Index;
    s.dtype = DType::Int64;
    s.index = std::move(index);
    s.result = program().value_count++;
    to.push_back(std::move(s));
    return to.back().result;
  }

  /// Reduced loops that do not merge are the digits of the loop that runs over them all.
  void add_levels(Statement& s) {
    if (layout_.reduced_levels <= 1) return;
    for (int level = 0; level < layout_.reduced_levels; ++level) {
      levels_.push_back(program().variable_count++);
      s.digits.push_back(
          {levels_.back(), level == 0 ? IntOperand::constant(0)
                                      : slot({SlotBinding::Kind::ReducedExtent, 0, level})});
    }
  }

  /// The product of the reduced extents: slot level -1, if it is not known.
  IntOperand reduced_count() {
    return layout_.reduced_extent > 0 ? IntOperand::constant(layout_.reduced_extent)
                                      : slot({SlotBinding::Kind::ReducedExtent, 0, -1});
  }

  Statement reduce_statement(const Section& section, LoopMark mark) {
    Statement s;
    s.kind = StatementKind::Reduce;
    s.mark = mark;
    s.result = section.result;
    s.dtype = section.dtype;
    s.primitive = section.reduction;
    s.variable = reduced_ = program().variable_count++;
    s.extent = reduced_count();
    s.yield = section.yield;
    return s;
  }

  void add_section(const Section& section, std::vector<Statement>& to) {
    const bool row = layout_.kind == KernelKind::Row;
    if (section.kind == Section::Kind::Kept) {
      add_statements(section.body, to);
      return;
    }
    Statement s;
    if (section.kind == Section::Kind::Reduce) {
      s = reduce_statement(section, row ? LoopMark::Vector : LoopMark::Serial);
    } else {
      const bool vector = row && section.kind == Section::Kind::Full;
      reduced_ = program().variable_count++;
      s = loop(vector ? LoopMark::Vector : LoopMark::Serial, reduced_);
      s.extent = reduced_count();
    }
    add_levels(s);
    add_statements(section.body, s.body);
    levels_.clear();
    reduced_ = -1;
    to.push_back(std::move(s));
  }

  /// partial[block] = reduction of elements [1024 block, 1024 (block + 1)).
  void add_blocks(std::vector<Statement>& to) {
    for (const Section& section : kernel_.sections) {
      if (section.kind == Section::Kind::Kept) {
        add_statements(section.body, to, false);
        continue;
      }
      LoopIndex rest;
      rest.terms.push_back({outer_, IntOperand::constant(-ir::kReduceBlock)});
      rest.offset = reduced_count();
      Statement block;
      block.kind = StatementKind::Constant;
      block.dtype = DType::Int64;
      block.attributes.value = Scalar(ir::kReduceBlock);
      block.result = program().value_count++;
      const ValueId remaining = index_value(to, rest);
      const ValueId full = block.result;
      to.push_back(std::move(block));
      const ValueId extent = compute(to, "minimum", {remaining, full});
      Statement s = reduce_statement(section, LoopMark::Vector);
      s.extent = IntOperand::constant(0);
      s.extent_value = extent;
      add_levels(s);
      if (!levels_.empty()) {
        LoopIndex first;
        first.terms.push_back({outer_, IntOperand::constant(ir::kReduceBlock)});
        s.digits_from = index_value(to, first);
      }
      add_statements(section.body, s.body);
      levels_.clear();
      reduced_ = -1;
      to.push_back(std::move(s));
      Statement store;
      store.kind = StatementKind::Store;
      store.dtype = section.dtype;
      store.buffer = static_cast<int>(program().buffers.size());
      program().buffers.push_back({section.dtype, true});
      store.index.terms.push_back({outer_, IntOperand::constant(1)});
      store.arguments.push_back(section.result);
      to.push_back(std::move(store));
      return;
    }
  }

  /// The reduction of partial[0 .. blocks), then what follows it.
  void add_tree(std::vector<Statement>& to) {
    for (const Section& section : kernel_.sections) {
      if (section.kind == Section::Kind::Kept) {
        add_statements(section.body, to);
        continue;
      }
      Statement s = reduce_statement(section, LoopMark::Serial);
      s.order = ReduceOrder::Tree;
      Statement load;
      load.kind = StatementKind::Load;
      load.dtype = section.dtype;
      load.buffer = static_cast<int>(program().buffers.size());
      program().buffers.push_back({section.dtype, false});
      load.index.terms.push_back({reduced_, IntOperand::constant(1)});
      load.result = s.yield = program().value_count++;
      reduced_ = -1;
      s.body.push_back(std::move(load));
      to.push_back(std::move(s));
    }
  }

  const KernelTemplate& kernel_;
  const LayoutClass& layout_;
  SpecialisedKernel out_;
  std::vector<int> pointer_of_;  // per access
  std::vector<LoopVar> levels_;
  LoopVar outer_ = -1;
  LoopVar inner_ = -1;
  LoopVar reduced_ = -1;
};

}  // namespace

SpecialisedKernel specialise(const KernelTemplate& kernel, const LayoutClass& layout) {
  return Specialiser(kernel, layout).run();
}

}  // namespace flambeau::lower
