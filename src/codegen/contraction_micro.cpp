#include <algorithm>

#include "codegen/contraction_emit.h"
#include "codegen/target.h"

namespace flambeau::codegen {

using llvm::Value;

namespace {

// Steps of k per iteration for the kernels that run most, tall and very low ones; the others are
// remainders, and every kernel costs compile time.
constexpr int kUnroll = 4;
constexpr int kLowTile = 8;  // vectors of accumulators
// Rows that are UnitK share a pointer in groups of this many: [p], [p + s], [p + 2s] are one
// addressing mode each, so that 14 rows need 5 pointers instead of 14.
constexpr int kRowGroup = 3;
constexpr int kWideSplats = 8;  // elements of a in registers of a wide kernel
constexpr int kLine = 64;       // bytes

}  // namespace

void ContractionEmitter::emit_micro_kernel(const std::string& name, const MicroKernelPart& part,
                                           int rows, int vectors) {
  llvm::Function* f = begin_function(name, "pipipiiii");
  Value *a = f->getArg(0), *a_stride = f->getArg(1), *b = f->getArg(2), *b_stride = f->getArg(3),
        *c = f->getArg(4), *c_stride = f->getArg(5), *k = f->getArg(6), *columns = f->getArg(7),
        *accumulate = f->getArg(8);
  const bool whole = part.whole;
  const bool unit_k = part.layout == RowLayout::UnitK;
  const bool transposes = part.columns == ColumnLayout::UnitK;
  Values masks;
  for (int v = 0; v < vectors && !whole; ++v) masks.push_back(lane_mask(columns, v * tile_.lanes));
  // What strides of UnitK operands count.
  llvm::Type* strided = in_pairs() ? builder_.getInt16Ty() : step_;
  llvm::Type* row_type = unit_k ? strided : step_;
  // The rows of b that a vector's lanes read, if columns are UnitK.
  std::vector<Values> lanes;
  for (int v = 0; v < vectors && transposes; ++v)
    lanes.push_back(lane_rows(strided, b, b_stride, v * tile_.lanes, columns));

  const int groups = unit_k ? (rows + kRowGroup - 1) / kRowGroup : 1;
  const auto accumulators = static_cast<size_t>(rows * vectors);
  // Carried: the accumulators, the pointers of the rows, the pointer of the columns (the number of
  // their element, if they are UnitK).
  Values carried(accumulators, llvm::Constant::getNullValue(vector_));
  Value* twice = builder_.CreateShl(a_stride, 1);
  for (int g = 0; g < groups; ++g)
    carried.push_back(
        g == 0 ? a : at(row_type, a, builder_.CreateMul(a_stride, integer(g * kRowGroup))));
  carried.push_back(transposes ? integer(0) : b);

  if (whole && rows == tile_.rows(part.layout)) {
    // The lines of c arrive while the chains run.
    const int per_line =
        std::max(1, kLine / (tile_.lanes * static_cast<int>(size_of(tile_.accumulator))));
    Value* row = c;
    for (int i = 0; i < rows; ++i) {
      for (int v = 0; v < vectors; v += per_line)
        prefetch(builder_, at(element_, row, v * tile_.lanes), true);
      row = at(element_, row, c_stride);
    }
  }

  auto load_vector = [&](Value* row, int v) -> Value* {
    Value* address = at(step_, row, v * tile_.lanes);
    if (whole) return builder_.CreateAlignedLoad(steps_, address, alignment_);
    return builder_.CreateMaskedLoad(steps_, address, *alignment_, masks[static_cast<size_t>(v)],
                                     llvm::Constant::getNullValue(steps_));
  };
  // The vectors of UnitK columns for `count` steps, by step.
  auto load_transposed_columns = [&](int count) {
    std::vector<Values> by_step(static_cast<size_t>(count));
    for (const Values& rows_of_lanes : lanes) {
      Values vectors_of_steps;
      if (count == piece_length()) {
        vectors_of_steps = load_transposed(rows_of_lanes, carried.back(),
                                           in_pairs() ? DType::BFloat16 : tile_.accumulator);
      } else {
        Value* values = llvm::PoisonValue::get(steps_);
        for (size_t i = 0; i < rows_of_lanes.size(); ++i)
          values = builder_.CreateInsertElement(
              values,
              builder_.CreateAlignedLoad(step_, at(strided, rows_of_lanes[i], carried.back()),
                                         step_alignment_),
              i);
        vectors_of_steps = {values};
      }
      for (size_t step = 0; step < by_step.size(); ++step)
        by_step[step].push_back(vectors_of_steps[step]);
    }
    return by_step;
  };
  auto steps = [&](int count) {
    std::vector<Values> transposed;
    if (transposes) transposed = load_transposed_columns(count);
    for (int step = 0; step < count; ++step) {
      Values columns_of_b;
      if (transposes) {
        columns_of_b = transposed[static_cast<size_t>(step)];
      } else {
        Value* b_row = at(step_, carried.back(), builder_.CreateMul(b_stride, integer(step)));
        for (int v = 0; v < vectors; ++v) columns_of_b.push_back(load_vector(b_row, v));
      }
      for (int i = 0; i < rows; ++i) {
        Value* address;
        if (unit_k) {
          Value* group = carried[accumulators + static_cast<size_t>(i / kRowGroup)];
          const int in_group = i % kRowGroup;
          address = in_group == 0 ? group : at(row_type, group, in_group == 1 ? a_stride : twice);
          address = at(step_, address, step);
        } else {
          address = at(step_, carried[accumulators], builder_.CreateMul(a_stride, integer(step)));
          address = at(step_, address, i);
        }
        Value* scalar = builder_.CreateAlignedLoad(step_, address, step_alignment_);
        Value* splat = builder_.CreateVectorSplat(static_cast<unsigned>(tile_.lanes), scalar);
        for (int v = 0; v < vectors; ++v) {
          Value*& sum = carried[static_cast<size_t>(i * vectors + v)];
          sum = multiply_add(splat, columns_of_b[static_cast<size_t>(v)], sum);
        }
      }
    }
    for (int g = 0; g < groups; ++g) {
      Value*& pointer = carried[accumulators + static_cast<size_t>(g)];
      pointer = unit_k ? at(step_, pointer, count)
                       : at(step_, pointer, builder_.CreateMul(a_stride, integer(count)));
    }
    carried.back() = transposes
                         ? builder_.CreateAdd(carried.back(), integer(count * tile_.step))
                         : at(step_, carried.back(), builder_.CreateMul(b_stride, integer(count)));
  };
  const int unroll = transposes ? piece_length() : kUnroll;
  if (transposes || (whole && (rows == tile_.rows(part.layout) || rows * vectors <= kLowTile))) {
    emit_loop(builder_.CreateUDiv(k, integer(unroll)), carried, [&](Value*) { steps(unroll); });
    emit_loop(builder_.CreateURem(k, integer(unroll)), carried, [&](Value*) { steps(1); });
  } else {
    emit_loop(k, carried, [&](Value*) { steps(1); });
  }

  const auto sum_places = [&](const auto& visit) {
    Value* row = c;
    for (int i = 0; i < rows; ++i) {
      for (int v = 0; v < vectors; ++v)
        visit(at(element_, row, v * tile_.lanes), static_cast<size_t>(i * vectors + v),
              whole ? nullptr : masks[static_cast<size_t>(v)]);
      row = at(element_, row, c_stride);
    }
  };
  carried.resize(accumulators);
  // A branch, not a mask: a load that is off still waits for stores to its address, and to those a
  // page apart.
  emit_if(builder_.CreateICmpNE(accumulate, integer(0)), carried, [&] {
    sum_places([&](Value* address, size_t i, Value* mask) {
      Value* before;
      if (whole)
        before = builder_.CreateAlignedLoad(vector_, address, alignment_);
      else
        before = builder_.CreateMaskedLoad(vector_, address, *alignment_, mask,
                                           llvm::Constant::getNullValue(vector_));
      carried[i] = add(before, carried[i]);
    });
  });
  sum_places([&](Value* address, size_t i, Value* mask) {
    if (whole)
      builder_.CreateAlignedStore(carried[i], address, alignment_);
    else
      builder_.CreateMaskedStore(carried[i], address, *alignment_, mask);
  });
  builder_.CreateRetVoid();
}

void ContractionEmitter::emit_wide_kernel(const std::string& name, const MicroKernelPart& part,
                                          int rows) {
  llvm::Function* f = begin_function(name, "pipipiiii");
  Value *a = f->getArg(0), *a_stride = f->getArg(1), *b = f->getArg(2), *b_stride = f->getArg(3),
        *c = f->getArg(4), *c_stride = f->getArg(5), *k = f->getArg(6), *columns = f->getArg(7),
        *accumulate = f->getArg(8);
  const bool unit_k = part.layout == RowLayout::UnitK;
  llvm::Type* strided = unit_k && in_pairs() ? builder_.getInt16Ty() : step_;
  Value* vectors = builder_.CreateUDiv(columns, integer(tile_.lanes));
  llvm::AllocaInst* sums = builder_.CreateAlloca(
      element_, builder_.getInt64(static_cast<uint64_t>(rows) * ContractionTile::kWideColumns));
  sums->setAlignment(llvm::Align(kLine));
  const auto sum_at = [&](int row, Value* v) {
    Value* column = builder_.CreateMul(v, integer(tile_.lanes));
    return at(element_, sums,
              builder_.CreateAdd(column, integer(row * ContractionTile::kWideColumns)));
  };
  Values none;
  emit_loop(vectors, none, [&](Value* v) {
    for (int i = 0; i < rows; ++i)
      builder_.CreateAlignedStore(llvm::Constant::getNullValue(vector_), sum_at(i, v), alignment_);
  });

  // `count` steps of all columns. Carried: the pointers of a and b.
  Values carried{a, b};
  const auto pass = [&](int count) {
    std::vector<Values> splats(static_cast<size_t>(rows));
    for (int i = 0; i < rows; ++i)
      for (int step = 0; step < count; ++step) {
        Value* address =
            unit_k
                ? at(step_, at(strided, carried[0], builder_.CreateMul(a_stride, integer(i))), step)
                : at(step_, at(step_, carried[0], builder_.CreateMul(a_stride, integer(step))), i);
        splats[static_cast<size_t>(i)].push_back(builder_.CreateVectorSplat(
            static_cast<unsigned>(tile_.lanes),
            builder_.CreateAlignedLoad(step_, address, step_alignment_)));
      }
    emit_loop(vectors, none, [&](Value* v) {
      Values sum;
      for (int i = 0; i < rows; ++i)
        sum.push_back(builder_.CreateAlignedLoad(vector_, sum_at(i, v), alignment_));
      Value* column = at(step_, carried[1], builder_.CreateMul(v, integer(tile_.lanes)));
      for (int step = 0; step < count; ++step) {
        Value* row = at(step_, column, builder_.CreateMul(b_stride, integer(step)));
        Value* elements = builder_.CreateAlignedLoad(steps_, row, alignment_);
        // What the next pass reads, whose first lines hardware does not foresee.
        if (count > 1)
          prefetch(builder_, at(step_, row, builder_.CreateMul(b_stride, integer(count))), false);
        for (int i = 0; i < rows; ++i) {
          const auto r = static_cast<size_t>(i);
          sum[r] = multiply_add(splats[r][static_cast<size_t>(step)], elements, sum[r]);
        }
      }
      for (int i = 0; i < rows; ++i)
        builder_.CreateAlignedStore(sum[static_cast<size_t>(i)], sum_at(i, v), alignment_);
    });
    carried[0] = unit_k ? at(step_, carried[0], count)
                        : at(step_, carried[0], builder_.CreateMul(a_stride, integer(count)));
    carried[1] = at(step_, carried[1], builder_.CreateMul(b_stride, integer(count)));
  };
  const int count = kWideSplats / rows;
  emit_loop(builder_.CreateUDiv(k, integer(count)), carried, [&](Value*) { pass(count); });
  emit_loop(builder_.CreateURem(k, integer(count)), carried, [&](Value*) { pass(1); });

  emit_loop(vectors, none, [&](Value* v) {
    for (int i = 0; i < rows; ++i) {
      Value* row = at(element_, c, builder_.CreateMul(c_stride, integer(i)));
      Value* address = at(element_, row, builder_.CreateMul(v, integer(tile_.lanes)));
      Values sum{builder_.CreateAlignedLoad(vector_, sum_at(i, v), alignment_)};
      emit_if(builder_.CreateICmpNE(accumulate, integer(0)), sum, [&] {
        sum[0] = add(builder_.CreateAlignedLoad(vector_, address, alignment_), sum[0]);
      });
      builder_.CreateAlignedStore(sum[0], address, alignment_);
    }
  });
  builder_.CreateRetVoid();
}

}  // namespace flambeau::codegen
