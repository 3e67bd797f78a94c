// Pointwise kernels with operands that lie across the vectors, as x.t() + y has them: the loops run
// tile by tile, and such an operand's part of the tile is first transposed into a place on the
// stack. So each cache line of it is read once, by vectors.

#include "codegen/loop_control.h"
#include "codegen/target.h"
#include "codegen/transpose.h"

namespace flambeau::codegen {

using llvm::Value;

namespace {

constexpr int64_t kTransposeBytes = 32;
constexpr int64_t kPieceBytes = 16;
constexpr int64_t kLine = 64;

}  // namespace

void LoopCodegen::emit_tiles(const Statement& outer) {
  const Statement& inner = outer.body[0];
  for (const Statement* load : analysis_.transposed) {
    tiles_.places.push_back(stack_slot(emitter_.memory_type(load->dtype), kTile * kTile));
    tiles_.places.back()->setAlignment(llvm::Align(kLine));
  }
  const auto limit = [&](Value* begin, Value* end) {
    return builder_.CreateBinaryIntrinsic(llvm::Intrinsic::smin,
                                          builder_.CreateAdd(begin, number(kTile)), end);
  };
  Value *end0 = function_->getArg(3), *end1 = function_->getArg(5);
  counted_loop(function_->getArg(2), end0, kTile, [&](Value* begin0) {
    Value* tile_end0 = limit(begin0, end0);
    counted_loop(function_->getArg(4), end1, kTile, [&](Value* begin1) {
      Value* tile_end1 = limit(begin1, end1);
      tiles_.begin0 = begin0;
      tiles_.begin1 = begin1;
      for (const Statement* load : analysis_.transposed)
        fill_tile(*load, begin0, tile_end0, begin1, tile_end1);
      counted_loop(begin0, tile_end0, 1, [&](Value* i) {
        bound_.variables[static_cast<size_t>(outer.variable)] = tiles_.row = i;
        emit_vector_loop(inner, begin1, tile_end1);
      });
    });
  });
}

void LoopCodegen::fill_tile(const Statement& load, Value* begin0, Value* end0, Value* begin1,
                            Value* end1) {
  const auto size = static_cast<int64_t>(size_of(load.dtype));
  const int64_t lanes = kTransposeBytes / size;
  const int64_t piece = kPieceBytes / size;
  llvm::Type* element = emitter_.memory_type(load.dtype);
  llvm::Type* piece_type = emitter_.memory_type(load.dtype, static_cast<unsigned>(piece));
  const llvm::Align align(static_cast<uint64_t>(size));
  llvm::AllocaInst* place = tiles_.places[analysis_.transposed_number(load)];

  // The address of (v0, v1) is base + v0 + v1 * stride.
  Value* stride = nullptr;
  Value* base = operand(load.index.offset);
  for (const auto& term : load.index.terms)
    if (term.coefficient.is_slot) stride = operand(term.coefficient);
  const auto source = [&](Value* v0, Value* v1) {
    Value* offset = builder_.CreateAdd(base, builder_.CreateMul(v1, stride));
    return element_pointer(load.buffer, builder_.CreateAdd(offset, v0));
  };
  const auto target = [&](Value* v0, Value* v1) {
    Value* row = builder_.CreateMul(builder_.CreateSub(v0, begin0), number(kTile));
    return builder_.CreateGEP(element, place,
                              builder_.CreateAdd(row, builder_.CreateSub(v1, begin1)));
  };
  const auto whole = [&](Value* begin, Value* end, int64_t step) {
    Value* length = builder_.CreateSub(end, begin);
    return builder_.CreateAdd(begin, builder_.CreateAnd(length, number(-step)));
  };
  Value* whole_end0 = whole(begin0, end0, piece);
  Value* whole_end1 = whole(begin1, end1, lanes);

  counted_loop(begin1, whole_end1, static_cast<uint64_t>(lanes), [&](Value* v1) {
    std::vector<Value*> rows;
    for (int64_t lane = 0; lane < lanes; ++lane) {
      rows.push_back(source(begin0, builder_.CreateAdd(v1, number(lane))));
      // Rows may be pages apart, where hardware does not look ahead: the next tile's lines.
      Value* ahead =
          builder_.CreateGEP(element, rows.back(), builder_.CreateMul(stride, number(kTile)));
      for (int64_t line = 0; line < kTile * size; line += kLine)
        prefetch(
            builder_,
            builder_.CreateConstGEP1_64(builder_.getInt8Ty(), ahead, static_cast<uint64_t>(line)),
            false);
    }
    counted_loop(begin0, whole_end0, static_cast<uint64_t>(piece), [&](Value* v0) {
      Value* offset = builder_.CreateSub(v0, begin0);
      const std::vector<Value*> columns =
          transpose_rows(builder_, static_cast<int>(lanes), [&](int lane) {
            return builder_.CreateAlignedLoad(
                piece_type, builder_.CreateGEP(element, rows[static_cast<size_t>(lane)], offset),
                align);
          });
      for (size_t i = 0; i < columns.size(); ++i)
        builder_.CreateAlignedStore(
            columns[i], target(builder_.CreateAdd(v0, number(static_cast<int64_t>(i))), v1), align);
    });
  });
  // The rest, one by one: columns behind the last whole ones, and the ends of the others.
  const auto copy = [&](Value* from1, Value* to1, Value* from0) {
    counted_loop(from1, to1, 1, [&](Value* v1) {
      counted_loop(from0, end0, 1, [&](Value* v0) {
        builder_.CreateAlignedStore(builder_.CreateAlignedLoad(element, source(v0, v1), align),
                                    target(v0, v1), align);
      });
    });
  };
  copy(begin1, whole_end1, whole_end0);
  copy(whole_end1, end1, begin0);
}

Value* LoopCodegen::load_from_tile(const Statement& load) {
  Value* row = builder_.CreateSub(tiles_.row, tiles_.begin0);
  Value* column = builder_.CreateSub(lanes_.first, tiles_.begin1);
  Value* pointer = builder_.CreateGEP(
      emitter_.memory_type(load.dtype), tiles_.places[analysis_.transposed_number(load)],
      builder_.CreateAdd(builder_.CreateMul(row, number(kTile)), column));
  return emitter_.from_memory(load_contiguous(load, pointer, nullptr), load.dtype);
}

}  // namespace flambeau::codegen
