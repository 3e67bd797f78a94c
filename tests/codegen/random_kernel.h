#pragma once
// Random loop programs with the memory they run on.

#include <optional>
#include <random>
#include <vector>

#include "base/error.h"
#include "ir/core_function.h"
#include "tests/codegen/kernel_run.h"
#include "tests/codegen/loop_builder.h"

namespace flambeau::test {

/// A program, the values of its slots, and how many elements each buffer has.
struct RandomKernel {
  ir::LoopProgram program;
  std::vector<int64_t> ints;
  std::vector<int64_t> elements;
  std::vector<int64_t> index_limit;  ///< > 0: an Int64 buffer of indices in [0, limit)
  int64_t outer = 1;                 ///< range of the parallel loop
  int64_t inner = 1;                 ///< range of the parallel_inner loop
};

/// The shapes of kernels that the lowering makes, and one of odds and ends.
enum class KernelShape { Pointwise, Transposed, ShortRows, Row, LongRow, Column, Nested, Tree };

class RandomKernelMaker {
 public:
  explicit RandomKernelMaker(uint64_t seed) : random_(seed) {}

  RandomKernel make(KernelShape shape) {
    kernel_.outer = below(3) == 0 ? 1 : 1 + below(4);
    kernel_.inner = extent();
    switch (shape) {
      case KernelShape::Pointwise:
        inside_parallel([&] { inner_loop(LoopMark::ParallelInner, kernel_.inner, false); });
        break;
      case KernelShape::Transposed:
        transposed_ = true;
        kernel_.outer = 1 + below(80);
        kernel_.inner = std::min<int64_t>(kernel_.inner, 100);
        inside_parallel([&] { inner_loop(LoopMark::ParallelInner, kernel_.inner, false); });
        break;
      case KernelShape::ShortRows:
        inside_parallel([&] {
          const int64_t length = 1 + below(34);
          builder_.loop(LoopMark::Vector, c(length), [&](LoopVar v) {
            inside({v, length}, [&] { inner_body(below(4) == 0); });
          });
        });
        break;
      case KernelShape::Row:
        inside_parallel([&] {
          constant_rows_ = below(3) == 0;
          const int64_t length = constant_rows_ ? 1 + below(34) : extent();
          for (int64_t i = below(3); i >= 0; --i) reduce(LoopMark::Vector, length);
          if (below(4) != 0) inner_loop(LoopMark::Vector, length, false);
          store_scalar();
        });
        break;
      case KernelShape::LongRow:  // costly first passes
        kernel_.outer = 1 + below(7);
        same_rows_ = slot(extent());
        inside_parallel([&] {
          const int64_t length = kernel_.ints[static_cast<size_t>(same_rows_->value)];
          if (below(4) == 0) fill_body();
          costly_ = 3 + below(3);
          for (int64_t i = below(3); i >= 0; --i) {
            reduce(LoopMark::Vector, length);
            costly_ = 0;
            if (below(4) == 0) store_scalar();
            if (below(2) == 0) compute();
          }
          if (below(4) != 0) inner_loop(LoopMark::Vector, length, false);
          if (below(3) == 0) store_scalar();
        });
        break;
      case KernelShape::Column:
        kernel_.inner = std::min<int64_t>(kernel_.inner, 200);
        inside_parallel([&] { inner_loop(LoopMark::ParallelInner, kernel_.inner, true); });
        break;
      case KernelShape::Nested:
        inside_parallel([&] {
          const int64_t steps = 1 + below(3);
          loop(LoopMark::Serial, steps, [&] {
            reduce(LoopMark::Serial, extent());
            inner_loop(LoopMark::Vector, extent(), below(2) == 0);
            store_scalar();
          });
        });
        break;
      case KernelShape::Tree:
        inside_parallel([&] {
          reduce(LoopMark::Serial, below(2) == 0 ? below(9) : extent(), ir::ReduceOrder::Tree);
          store_scalar();
        });
        break;
    }
    kernel_.program = builder_.finish();
    return kernel_;
  }

 private:
  struct OpenLoop {
    LoopVar variable;
    int64_t extent;
  };

  int64_t below(int64_t bound) {
    return static_cast<int64_t>(random_() % static_cast<uint64_t>(bound));
  }
  template <class T>
  T pick(std::initializer_list<T> items) {
    return *(items.begin() + below(static_cast<int64_t>(items.size())));
  }
  int64_t extent() {
    return pick<int64_t>({0,  1,  2,  3,  4,   7,   8,   9,    15,   16,   17,   31,   32,
                          33, 63, 64, 65, 100, 127, 257, 1023, 1024, 1025, 2049, 3000, 5121});
  }
  DType dtype() {
    return pick({DType::Float32, DType::Float32, DType::Float32, DType::Float64, DType::BFloat16,
                 DType::Float16, DType::Int32, DType::Int64, DType::Int16, DType::Int8,
                 DType::UInt8, DType::Bool});
  }
  IntOperand extent_of(int64_t value) {
    return same_rows_ ? *same_rows_ : constant_rows_ ? c(value) : slot(value);
  }
  IntOperand slot(int64_t value) {
    kernel_.ints.push_back(value);
    return builder_.slot();
  }
  int new_buffer(DType type, bool is_output, int64_t elements, int64_t limit = 0) {
    kernel_.elements.push_back(elements);
    kernel_.index_limit.push_back(limit);
    return builder_.buffer(type, is_output);
  }

  template <class Body>
  void inside_parallel(const Body& body) {
    loop(LoopMark::Parallel, kernel_.outer, body);
  }
  template <class Body>
  void loop(LoopMark mark, int64_t extent, const Body& body) {
    const DigitsFrom from = digits_from(mark);
    builder_.loop(mark, mark == LoopMark::Vector && same_rows_ ? *same_rows_ : slot(extent),
                  [&](LoopVar v) { inside_digits({v, extent}, from, body); });
  }

  /// Whether the next loop's variable is counted in digits, and from what.
  struct DigitsFrom {
    bool any = false;
    ValueId value = -1;
    int64_t number = 0;
  };
  DigitsFrom digits_from(LoopMark mark) {
    DigitsFrom from;
    from.any =
        (mark == LoopMark::Vector || mark == LoopMark::Serial) && below(3) == 0 && !same_rows_;
    if (!from.any || below(3) != 0) return from;
    from.number = below(70);
    from.value = builder_.constant(DType::Int64, from.number);
    return from;
  }
  /// As `inside`: the digits are the open loops, if there are any.
  template <class Body>
  void inside_digits(OpenLoop open, DigitsFrom from, const Body& body) {
    constexpr int64_t kLongest = 1100;  // a block of a reduction and some more
    if (!from.any || open.extent > kLongest) {
      inside(open, body);
      return;
    }
    std::vector<int64_t> extents;
    int64_t product = 1;
    // Buffers grow with the product: it stays near the loop's extent.
    for (int64_t i = below(2); i >= 0 && product <= open.extent; --i) {
      extents.push_back(pick<int64_t>({1, 2, 3, 5, 7, 16, 31, 32, 33, 49, 64, 100, 300}));
      product *= extents.back();
    }
    const OpenLoop first{builder_.digit(c(0)), (from.number + open.extent + product - 1) / product};
    if (from.value >= 0) builder_.digits_from(from.value);
    const size_t outside = open_.size();
    open_.push_back(first);
    for (const int64_t extent : extents) open_.push_back({builder_.digit(slot(extent)), extent});
    const size_t visible = values_.size();
    body();
    values_.resize(visible);
    open_.resize(outside);
  }
  /// Runs `body` with one more loop open; what it made is out of scope afterwards.
  template <class Body>
  void inside(OpenLoop open, const Body& body) {
    open_.push_back(open);
    const size_t visible = values_.size();
    body();
    values_.resize(visible);
    open_.pop_back();
  }

  /// An index over the open loops. Of outputs no two iterations meet.
  LoopIndex index(bool is_output, int64_t& elements) {
    LoopIndex out;
    if (transposed_ && !is_output && below(2) == 0) {
      const int64_t stride = kernel_.outer + below(3);
      out.terms = {at(open_[0].variable), at(open_[1].variable, slot(stride))};
      out.offset = c(0);
      elements = kernel_.inner == 0 ? 0 : kernel_.outer + (kernel_.inner - 1) * stride;
      return out;
    }
    int64_t reach = 0;
    int64_t first = 0;  // of an index that runs backwards
    int64_t block = 1;
    bool empty = false;
    for (size_t i = open_.size(); i-- > 0;) {
      const auto [variable, extent] = open_[i];
      empty |= extent == 0;
      const bool innermost = i + 1 == open_.size();
      // Long passes are of vectors whose elements lie side by side.
      const int64_t kind = innermost && same_rows_ ? 3 : below(4);
      if (!is_output && kind == 0) continue;  // does not move with this loop
      int64_t stride = block;
      if (innermost && !is_output && kind == 3 && !same_rows_ && below(2) == 0) {
        out.terms.push_back(at(variable, c(-1)));
        first = std::max<int64_t>(extent - 1, 0);
      } else if (innermost && kind == 2) {
        stride = 2;  // a part of pairs
        out.terms.push_back(at(variable, c(stride)));
      } else if (innermost && kind != 1) {
        out.terms.push_back(at(variable));
      } else {
        stride *= 1 + below(3);
        out.terms.push_back(at(variable, slot(stride)));
      }
      reach += std::max<int64_t>(extent - 1, 0) * stride;
      block = stride * std::max<int64_t>(extent, 1);
    }
    const int64_t offset = below(3);
    out.offset = below(2) == 0 ? c(offset + first) : slot(offset + first);
    elements = empty ? 0 : reach + offset + 1;
    return out;
  }

  ValueId load() {
    if (!same_rows_ && below(10) == 0) {  // at an index that is itself loaded
      const int64_t limit = 50;
      int64_t count = 0;
      const LoopIndex at_index = index(false, count);
      const ValueId position =
          builder_.load(new_buffer(DType::Int64, false, count, limit), at_index);
      return builder_.load(new_buffer(dtype(), false, 2 * limit),
                           LoopIndex{{}, {{position, slot(2)}}, c(0)}, maybe_mask());
    }
    int64_t count = 0;
    const LoopIndex at_index = index(false, count);
    return builder_.load(new_buffer(dtype(), false, count), at_index, maybe_mask());
  }

  ValueId maybe_mask() {
    if (below(5) != 0) return -1;
    return find(DType::Bool);
  }
  /// A visible value of `type`, or -1.
  ValueId find(DType type) {
    std::vector<ValueId> fitting;
    for (const ValueId id : values_)
      if (builder_.dtype(id) == type) fitting.push_back(id);
    return fitting.empty()
               ? -1
               : fitting[static_cast<size_t>(below(static_cast<int64_t>(fitting.size())))];
  }
  ValueId any() {
    return values_[static_cast<size_t>(below(static_cast<int64_t>(values_.size())))];
  }

  void compute() {
    const ValueId a = any();
    const DType type = builder_.dtype(a);
    const int64_t kind = below(6);
    if (kind == 0) {
      values_.push_back(builder_.convert(dtype(), a));
      return;
    }
    const auto op = static_cast<CoreOp>(below(static_cast<int64_t>(CoreOp::MulHigh) + 1));
    // A NaN's payload is not defined, so that its bits may not become a number.
    if (op == CoreOp::Bitcast || op == CoreOp::Convert) return;
    if (op == CoreOp::Select) {
      const ValueId condition = find(DType::Bool);
      if (condition >= 0)
        values_.push_back(builder_.compute(core_row(op), type, {condition, a, find(type)}));
      return;
    }
    // On 16-bit floats every operation is done in float32 and rounded.
    const DType operand = compute_dtype(type);
    const DType result = ir::Emitter::result_dtype(op, operand);
    try {
      ir::core_function(op, result, operand);
    } catch (const InternalError&) {
      return;
    }
    const DType kept = is_half(type) && result == operand ? type : result;
    switch (ir::core_arity(op)) {
      case 1:
        values_.push_back(builder_.compute(core_row(op), kept, {a}));
        return;
      case 2:
        values_.push_back(builder_.compute(core_row(op), kept, {a, find(type)}));
        return;
      default:
        values_.push_back(builder_.compute(core_row(op), kept, {a, find(type), find(type)}));
        return;
    }
  }

  void fill_body() {
    for (int64_t i = below(3); i >= 0; --i) values_.push_back(load());
    if (below(3) == 0)
      values_.push_back(
          builder_.index({at(open_.back().variable, below(2) == 0 ? c(1) : slot(3))}));
    if (below(3) == 0) {
      values_.push_back(builder_.constant(dtype(), pick<Scalar>({0.0, 1.0, -2.5, 3.0, 1e9})));
    }
    if (below(4) == 0) {
      const double number = 1.25;
      int64_t bits;
      std::memcpy(&bits, &number, sizeof bits);
      values_.push_back(builder_.number(DType::Float64, slot(bits)));
    }
    for (int64_t i = below(12); i >= 0; --i) compute();
    if (costly_ == 0) return;
    ValueId value = builder_.convert(DType::Float32, any());
    for (int64_t i = 0; i < costly_; ++i)
      value = builder_.row(ir::find_primitive("erf"), DType::Float32, {value});
    values_.push_back(value);
  }

  void inner_loop(LoopMark mark, int64_t extent, bool with_reduce) {
    loop(mark, extent, [&] { inner_body(with_reduce); });
  }
  void inner_body(bool with_reduce) {
    fill_body();
    if (with_reduce) {
      reduce(LoopMark::Serial, extent());
      compute();
    }
    for (int64_t i = below(2); i >= 0; --i) store(any());
  }

  void store(ValueId value) {
    int64_t count = 0;
    const LoopIndex at_index = index(true, count);
    const DType type = builder_.dtype(value);
    const int buffer = new_buffer(type, true, count);
    // In place, sometimes.
    if (below(4) == 0) {
      const ValueId old = builder_.load(buffer, at_index);
      value =
          builder_.compute(core_row(is_bool(type) ? CoreOp::Xor : CoreOp::Add), type, {value, old});
    }
    if (nontemporal_ < 0) nontemporal_ = static_cast<int>(slot(below(3)).value);
    builder_.store(buffer, at_index, value, maybe_mask(), below(2) == 0 ? nontemporal_ : -1);
  }
  void store_scalar() { store(values_.empty() ? builder_.constant(DType::Float32, 1) : any()); }

  void reduce(LoopMark mark, int64_t extent, ir::ReduceOrder order = ir::ReduceOrder::Blocks) {
    const auto op = pick(
        {CoreOp::Add, CoreOp::Add, CoreOp::Max, CoreOp::Min, CoreOp::Mul, CoreOp::And, CoreOp::Or});
    const DigitsFrom from = digits_from(mark);
    const ValueId result = builder_.reduce(
        op, mark, extent_of(extent),
        [&](LoopVar v) {
          ValueId yield = -1;
          inside_digits({v, extent}, from, [&] {
            fill_body();
            yield = any();
            const DType type = builder_.dtype(yield);
            if (is_half(type)) yield = builder_.convert(DType::Float32, yield);
            if (is_float(type) && (op == CoreOp::And || op == CoreOp::Or))
              yield = builder_.convert(DType::Bool, yield);
          });
          return yield;
        },
        order);
    values_.push_back(result);
  }

  std::mt19937_64 random_;
  LoopBuilder builder_;
  RandomKernel kernel_;
  bool transposed_ = false;              ///< loads may lie across the vectors
  int nontemporal_ = -1;                 ///< the slot that says whether stores go past the caches
  bool constant_rows_ = false;           ///< the extents of reductions are part of the code
  std::optional<IntOperand> same_rows_;  ///< the extent of all passes over a row
  int64_t costly_ = 0;                   ///< operations of many instructions in a body
  std::vector<OpenLoop> open_;
  std::vector<ValueId> values_;  ///< in scope
};

}  // namespace flambeau::test
