#include <llvm/IR/Intrinsics.h>

#include "codegen/contraction_emit.h"
#include "codegen/transpose.h"

namespace flambeau::codegen {

using llvm::Value;

void ContractionEmitter::emit_pack(const std::string& name, DType source, PackStride unit,
                                   bool columns) {
  llvm::Function* f = begin_function(name, "piiiiipi");
  Pack pack{.from = source,
            .type = type_of(source),
            .apart = columns ? tile_.columns() : tile_.rows(RowLayout::UnitRow),
            .width = columns ? tile_.columns() : tile_.packed_rows,
            .source = f->getArg(0),
            .lane_stride = f->getArg(1),
            .k_stride = f->getArg(2),
            .k = f->getArg(5),
            .panel = f->getArg(6),
            .panel_stride = f->getArg(7),
            .readable = f->getArg(4)};
  Value* lanes = f->getArg(3);
  Value* panels =
      builder_.CreateUDiv(builder_.CreateAdd(lanes, integer(pack.apart - 1)), integer(pack.apart));
  Value* first = integer(0);
  if (unit == PackStride::Lane) {
    // Panels all of whose lanes exist; 0 <= readable.
    Value* whole = builder_.CreateSDiv(
        builder_.CreateAdd(pack.readable, integer(pack.apart - pack.width)), integer(pack.apart));
    whole = builder_.CreateIntrinsic(llvm::Intrinsic::smin, {whole->getType()}, {whole, panels});
    whole =
        builder_.CreateIntrinsic(llvm::Intrinsic::smax, {whole->getType()}, {whole, integer(0)});
    emit_pack_lanes(pack, whole);
    first = whole;
  }
  Value* lane = builder_.CreateMul(first, integer(pack.apart));
  Values carried{at(pack.type, pack.source, builder_.CreateMul(lane, pack.lane_stride)),
                 at(step_, pack.panel, builder_.CreateMul(first, pack.panel_stride)),
                 builder_.CreateSub(pack.readable, lane)};
  emit_loop(builder_.CreateSub(panels, first), carried, [&](Value*) {
    Pack one = pack;
    one.source = carried[0];
    one.panel = carried[1];
    one.readable = carried[2];
    if (unit == PackStride::K)
      emit_pack_transposed(one);
    else
      emit_pack_elements(one, integer(0));
    carried[0] =
        at(pack.type, carried[0], builder_.CreateMul(pack.lane_stride, integer(pack.apart)));
    carried[1] = at(step_, carried[1], pack.panel_stride);
    carried[2] = builder_.CreateSub(carried[2], integer(pack.apart));
  });
  builder_.CreateRetVoid();
}

void ContractionEmitter::emit_pack_lanes(const Pack& pack, Value* panels) {
  const llvm::Align align(size_of(pack.from));
  auto* from_vector = llvm::FixedVectorType::get(pack.type, static_cast<unsigned>(tile_.lanes));
  // Rows of the source outside, panels inside: a row is read in one go, because its neighbours in
  // a panel may be pages apart.
  Values rows{pack.source, pack.panel};
  emit_steps(pack, integer(0), rows, [&](bool whole) {
    Values inner{rows[0], rows[1]};
    emit_loop(panels, inner, [&](Value*) {
      const auto load = [&](Value* row, int64_t lane) {
        return builder_.CreateAlignedLoad(from_vector, at(pack.type, row, lane), align);
      };
      for (int64_t lane = 0; lane < pack.width; lane += tile_.lanes) {
        Value* next = llvm::Constant::getNullValue(from_vector);
        if (in_pairs() && whole) next = load(at(pack.type, inner[0], pack.k_stride), lane);
        builder_.CreateAlignedStore(to_steps(load(inner[0], lane), next, pack.from),
                                    at(step_, inner[1], lane), alignment_);
      }
      inner[0] = at(pack.type, inner[0], pack.apart);
      inner[1] = at(step_, inner[1], pack.panel_stride);
    });
    rows[0] = at(pack.type, rows[0], builder_.CreateMul(pack.k_stride, integer(tile_.step)));
    rows[1] = at(step_, rows[1], pack.width);
  });
}

void ContractionEmitter::emit_steps(const Pack& pack, Value* first, Values& carried,
                                    const std::function<void(bool)>& body) {
  Value* steps = builder_.CreateUDiv(pack.k, integer(tile_.step));
  emit_loop(builder_.CreateSub(steps, first), carried, [&](Value*) { body(true); });
  if (in_pairs())
    emit_loop(builder_.CreateURem(pack.k, integer(tile_.step)), carried,
              [&](Value*) { body(false); });
}

void ContractionEmitter::emit_pack_transposed(const Pack& pack) {
  const int piece = piece_length();
  Value* k_pieces = builder_.CreateUDiv(pack.k, integer(piece * tile_.step));
  for (int64_t first = 0; first < pack.width; first += tile_.lanes) {
    const Values rows = lane_rows(pack.type, pack.source, pack.lane_stride, first, pack.readable);
    Values carried{integer(0), at(step_, pack.panel, first)};
    emit_loop(k_pieces, carried, [&](Value*) {
      const Values vectors = load_transposed(rows, carried[0], pack.from);
      for (int r = 0; r < piece; ++r)
        builder_.CreateAlignedStore(vectors[static_cast<size_t>(r)],
                                    at(step_, carried[1], r * pack.width), alignment_);
      carried[0] = builder_.CreateAdd(carried[0], integer(piece * tile_.step));
      carried[1] = at(step_, carried[1], piece * pack.width);
    });
  }
  emit_pack_elements(pack, builder_.CreateMul(k_pieces, integer(piece)));
}

ContractionEmitter::Values ContractionEmitter::lane_rows(llvm::Type* type, Value* base,
                                                         Value* stride, int64_t first,
                                                         Value* readable) {
  Value* last = builder_.CreateSub(readable, integer(1));
  Values rows;
  for (int i = 0; i < tile_.lanes; ++i) {
    Value* lane = integer(first + i);
    lane = builder_.CreateSelect(builder_.CreateICmpSLT(lane, last), lane, last);
    rows.push_back(at(type, base, builder_.CreateMul(lane, stride)));
  }
  return rows;
}

ContractionEmitter::Values ContractionEmitter::load_transposed(const Values& rows, Value* offset,
                                                               DType from) {
  const int piece = piece_length();
  llvm::Type* type = type_of(from);
  const llvm::Align align(size_of(from));
  const auto load_piece = [&](Value* address) -> Value* {
    const auto load = [&](llvm::Type* element, int count) {
      auto* vector = llvm::FixedVectorType::get(element, static_cast<unsigned>(count));
      return builder_.CreateAlignedLoad(vector, address, align);
    };
    if (!in_pairs()) return widen(load(type, piece), from);
    if (from == DType::BFloat16) return load(step_, piece);
    Value* both = load(type, 2 * piece);
    std::vector<int> even, odd;
    for (int i = 0; i < 2 * piece; i += 2) {
      even.push_back(i);
      odd.push_back(i + 1);
    }
    return to_steps(builder_.CreateShuffleVector(both, even),
                    builder_.CreateShuffleVector(both, odd), from);
  };
  return transpose_rows(builder_, tile_.lanes, [&](int lane) {
    return load_piece(at(type, rows[static_cast<size_t>(lane)], offset));
  });
}

void ContractionEmitter::emit_pack_elements(const Pack& pack, Value* first) {
  const llvm::Align align(size_of(pack.from));
  Value* lanes = builder_.CreateIntrinsic(llvm::Intrinsic::smin, {pack.readable->getType()},
                                          {pack.readable, integer(pack.width)});
  Value* k_stride = builder_.CreateMul(pack.k_stride, integer(tile_.step));
  Values outer{at(pack.type, pack.source, builder_.CreateMul(first, k_stride)),
               at(step_, pack.panel, builder_.CreateMul(first, integer(pack.width)))};
  emit_steps(pack, first, outer, [&](bool whole) {
    Values inner{outer[0]};
    emit_loop(lanes, inner, [&](Value* lane) {
      Value* value = builder_.CreateAlignedLoad(pack.type, inner[0], align);
      Value* next = llvm::Constant::getNullValue(pack.type);
      if (in_pairs() && whole)
        next = builder_.CreateAlignedLoad(pack.type, at(pack.type, inner[0], pack.k_stride), align);
      builder_.CreateAlignedStore(to_steps(value, next, pack.from), at(step_, outer[1], lane),
                                  alignment_);
      inner[0] = at(pack.type, inner[0], pack.lane_stride);
    });
    outer[0] = at(pack.type, outer[0], k_stride);
    outer[1] = at(step_, outer[1], pack.width);
  });
}

void ContractionEmitter::emit_pack_window(const std::string& name, DType source, bool unit,
                                          bool columns) {
  llvm::Function* f = begin_function(name, "pppip");
  llvm::Type* type = type_of(source);
  const llvm::Align align(size_of(source));
  const int64_t width = columns ? tile_.columns() : tile_.packed_rows;
  const auto lanes = static_cast<unsigned>(tile_.lanes);
  auto* vector = llvm::FixedVectorType::get(type, lanes);
  auto* offsets = llvm::FixedVectorType::get(builder_.getInt64Ty(), lanes);
  const auto load_offset = [&](Value* table) {
    return builder_.CreateAlignedLoad(builder_.getInt64Ty(), table, llvm::Align(8));
  };
  // What is added to a row's address: one offset, or each lane's.
  Values lane_offsets;
  for (int64_t lane = 0; lane < width; lane += tile_.lanes) {
    Value* table = at(builder_.getInt64Ty(), f->getArg(1), unit ? 0 : lane);
    if (unit) {
      lane_offsets.push_back(builder_.CreateAdd(load_offset(table), integer(lane)));
    } else {
      lane_offsets.push_back(builder_.CreateAlignedLoad(offsets, table, llvm::Align(8)));
    }
  }
  const auto load = [&](Value* row, Value* offset) -> Value* {
    Value* address = builder_.CreateGEP(type, row, offset);
    if (unit) return builder_.CreateAlignedLoad(vector, address, align);
    return builder_.CreateMaskedGather(vector, address, align);
  };
  Pack pack{};
  pack.k = f->getArg(3);
  Values carried{f->getArg(2), f->getArg(4)};
  emit_steps(pack, integer(0), carried, [&](bool whole) {
    Value* row = at(type, f->getArg(0), load_offset(carried[0]));
    Value* next_row = nullptr;
    if (in_pairs() && whole)
      next_row = at(type, f->getArg(0), load_offset(at(builder_.getInt64Ty(), carried[0], 1)));
    for (size_t v = 0; v < lane_offsets.size(); ++v) {
      Value* next = llvm::Constant::getNullValue(vector);
      if (next_row != nullptr) next = load(next_row, lane_offsets[v]);
      builder_.CreateAlignedStore(to_steps(load(row, lane_offsets[v]), next, source),
                                  at(step_, carried[1], static_cast<int64_t>(v) * tile_.lanes),
                                  alignment_);
    }
    carried[0] = at(builder_.getInt64Ty(), carried[0], tile_.step);
    carried[1] = at(step_, carried[1], width);
  });
  builder_.CreateRetVoid();
}

}  // namespace flambeau::codegen
