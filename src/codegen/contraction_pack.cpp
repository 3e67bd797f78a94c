#include <llvm/IR/Intrinsics.h>

#include "codegen/contraction_emit.h"

namespace flambeau::codegen {

using llvm::Value;

void ContractionEmitter::emit_pack(const std::string& name, DType source, PackStride unit,
                                   bool columns) {
  llvm::Function* f = begin_function(name, "piiiiipi");
  Pack pack{.from = source,
            .type = type_of(source),
            .step = columns ? tile_.columns() : tile_.rows(RowLayout::UnitRow),
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
      builder_.CreateUDiv(builder_.CreateAdd(lanes, integer(pack.step - 1)), integer(pack.step));
  Value* first = integer(0);
  if (unit == PackStride::Lane) {
    // Panels all of whose lanes exist; 0 <= readable.
    Value* whole = builder_.CreateSDiv(
        builder_.CreateAdd(pack.readable, integer(pack.step - pack.width)), integer(pack.step));
    whole = builder_.CreateIntrinsic(llvm::Intrinsic::smin, {whole->getType()}, {whole, panels});
    whole =
        builder_.CreateIntrinsic(llvm::Intrinsic::smax, {whole->getType()}, {whole, integer(0)});
    emit_pack_lanes(pack, whole);
    first = whole;
  }
  Value* lane = builder_.CreateMul(first, integer(pack.step));
  Values carried{at(pack.type, pack.source, builder_.CreateMul(lane, pack.lane_stride)),
                 at(element_, pack.panel, builder_.CreateMul(first, pack.panel_stride)),
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
        at(pack.type, carried[0], builder_.CreateMul(pack.lane_stride, integer(pack.step)));
    carried[1] = at(element_, carried[1], pack.panel_stride);
    carried[2] = builder_.CreateSub(carried[2], integer(pack.step));
  });
  builder_.CreateRetVoid();
}

void ContractionEmitter::emit_pack_lanes(const Pack& pack, Value* panels) {
  const llvm::Align align(size_of(pack.from));
  auto* from_vector = llvm::FixedVectorType::get(pack.type, static_cast<unsigned>(tile_.lanes));
  // Rows of the source outside, panels inside: a row is read in one go, because its neighbours in
  // a panel may be pages apart.
  Values rows{pack.source, pack.panel};
  emit_loop(pack.k, rows, [&](Value*) {
    Values inner{rows[0], rows[1]};
    emit_loop(panels, inner, [&](Value*) {
      for (int64_t lane = 0; lane < pack.width; lane += tile_.lanes) {
        Value* values =
            builder_.CreateAlignedLoad(from_vector, at(pack.type, inner[0], lane), align);
        builder_.CreateAlignedStore(widen(values, pack.from), at(element_, inner[1], lane),
                                    alignment_);
      }
      inner[0] = at(pack.type, inner[0], pack.step);
      inner[1] = at(element_, inner[1], pack.panel_stride);
    });
    rows[0] = at(pack.type, rows[0], pack.k_stride);
    rows[1] = at(element_, rows[1], pack.width);
  });
}

void ContractionEmitter::emit_pack_transposed(const Pack& pack) {
  const int piece = piece_length();
  Value* k_pieces = builder_.CreateUDiv(pack.k, integer(piece));
  for (int64_t first = 0; first < pack.width; first += tile_.lanes) {
    const Values rows = lane_rows(pack.type, pack.source, pack.lane_stride, first, pack.readable);
    Values carried{integer(0), at(element_, pack.panel, first)};
    emit_loop(k_pieces, carried, [&](Value*) {
      const Values vectors = load_transposed(rows, carried[0], pack.from);
      for (int r = 0; r < piece; ++r)
        builder_.CreateAlignedStore(vectors[static_cast<size_t>(r)],
                                    at(element_, carried[1], r * pack.width), alignment_);
      carried[0] = builder_.CreateAdd(carried[0], integer(piece));
      carried[1] = at(element_, carried[1], piece * pack.width);
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
  // Vectors are put together from 16-byte pieces of rows, so that only the transpose inside
  // 128-bit lanes is left to shuffles.
  const int piece = piece_length();
  const int pieces = tile_.lanes / piece;  // per vector
  llvm::Type* type = type_of(from);
  const llvm::Align align(size_of(from));
  auto* piece_type = llvm::FixedVectorType::get(type, static_cast<unsigned>(piece));
  // Vector r: piece after piece, the rows r, r + piece, r + 2 * piece, ...
  Values mixed;
  for (int r = 0; r < piece; ++r) {
    Values parts;
    for (int p = 0; p < pieces; ++p) {
      Value* address = at(type, rows[static_cast<size_t>(r + p * piece)], offset);
      parts.push_back(widen(builder_.CreateAlignedLoad(piece_type, address, align), from));
    }
    while (parts.size() > 1) {
      Values pairs;
      for (size_t i = 0; i < parts.size(); i += 2) {
        const auto length =
            llvm::cast<llvm::FixedVectorType>(parts[i]->getType())->getNumElements();
        std::vector<int> indices;
        for (unsigned j = 0; j < 2 * length; ++j) indices.push_back(static_cast<int>(j));
        pairs.push_back(builder_.CreateShuffleVector(parts[i], parts[i + 1], indices));
      }
      parts = std::move(pairs);
    }
    mixed.push_back(parts[0]);
  }
  transpose_pieces(mixed);
  return mixed;
}

void ContractionEmitter::transpose_pieces(Values& mixed) {
  const int piece = static_cast<int>(mixed.size());
  // Transpose of piece x piece elements in every 128-bit lane, halving the distance.
  for (int distance = 1; distance < piece; distance *= 2) {
    // Interleaves `distance` elements of vectors that lie `distance` apart.
    Values next(mixed.size());
    for (int r = 0; r < piece; ++r) {
      if ((r & distance) != 0) continue;
      Value* low = mixed[static_cast<size_t>(r)];
      Value* high = mixed[static_cast<size_t>(r + distance)];
      for (int side = 0; side < 2; ++side) {
        std::vector<int> indices;
        for (int i = 0; i < tile_.lanes; ++i) {
          const int base = i / piece * piece, in = i % piece;
          const int block = in / distance;
          const int element = (block / 2) * 2 * distance + side * distance + in % distance;
          indices.push_back(base + element + (block % 2 != 0 ? tile_.lanes : 0));
        }
        next[static_cast<size_t>(r + side * distance)] =
            builder_.CreateShuffleVector(low, high, indices);
      }
    }
    mixed = std::move(next);
  }
}

void ContractionEmitter::emit_pack_elements(const Pack& pack, Value* first) {
  const llvm::Align align(size_of(pack.from));
  Value* lanes = builder_.CreateIntrinsic(llvm::Intrinsic::smin, {pack.readable->getType()},
                                          {pack.readable, integer(pack.width)});
  Values outer{at(pack.type, pack.source, builder_.CreateMul(first, pack.k_stride)),
               at(element_, pack.panel, builder_.CreateMul(first, integer(pack.width)))};
  emit_loop(builder_.CreateSub(pack.k, first), outer, [&](Value*) {
    Values inner{outer[0]};
    emit_loop(lanes, inner, [&](Value* lane) {
      Value* value = builder_.CreateAlignedLoad(pack.type, inner[0], align);
      builder_.CreateAlignedStore(widen(value, pack.from), at(element_, outer[1], lane),
                                  alignment_);
      inner[0] = at(pack.type, inner[0], pack.lane_stride);
    });
    outer[0] = at(pack.type, outer[0], pack.k_stride);
    outer[1] = at(element_, outer[1], pack.width);
  });
}

}  // namespace flambeau::codegen
