#include "codegen/contraction_emit.h"

namespace flambeau::codegen {

using llvm::Value;

void ContractionEmitter::emit_pack(const std::string& name, DType source, PackStride unit,
                                   int vectors) {
  llvm::Function* f = begin_function(name, "piiiip");
  const PackArguments arguments{f->getArg(0), f->getArg(1), f->getArg(2),
                                f->getArg(3), f->getArg(4), f->getArg(5)};
  switch (unit) {
    case PackStride::Lane:
      emit_pack_lanes(arguments, source, vectors);
      break;
    case PackStride::K:
      emit_pack_transposed(arguments, source, vectors);
      break;
    case PackStride::None:
      emit_pack_elements(arguments, source, vectors, integer(0));
      break;
  }
  builder_.CreateRetVoid();
}

void ContractionEmitter::emit_pack_lanes(const PackArguments& arguments, DType source,
                                         int vectors) {
  llvm::Type* from = type_of(source);
  const llvm::Align align(size_of(source));
  const int64_t width = vectors * tile_.lanes;
  auto* whole = llvm::BasicBlock::Create(context_, "whole", function_);
  auto* partial = llvm::BasicBlock::Create(context_, "partial", function_);
  auto* done = llvm::BasicBlock::Create(context_, "done", function_);
  builder_.CreateCondBr(builder_.CreateICmpSGE(arguments.lanes, integer(width)), whole, partial);

  builder_.SetInsertPoint(whole);
  auto* from_vector = llvm::FixedVectorType::get(from, static_cast<unsigned>(tile_.lanes));
  Values carried{arguments.source, arguments.panel};
  emit_loop(arguments.k, carried, [&](Value*) {
    for (int v = 0; v < vectors; ++v) {
      Value* values =
          builder_.CreateAlignedLoad(from_vector, at(from, carried[0], v * tile_.lanes), align);
      builder_.CreateAlignedStore(widen(values, source), at(element_, carried[1], v * tile_.lanes),
                                  alignment_);
    }
    carried[0] = at(from, carried[0], arguments.k_stride);
    carried[1] = at(element_, carried[1], width);
  });
  builder_.CreateBr(done);

  builder_.SetInsertPoint(partial);
  emit_pack_elements(arguments, source, vectors, integer(0));
  builder_.CreateBr(done);
  builder_.SetInsertPoint(done);
}

void ContractionEmitter::emit_pack_transposed(const PackArguments& arguments, DType source,
                                              int vectors) {
  // Vectors are put together from 16-byte pieces of rows, so that only the transpose inside
  // 128-bit lanes is left to shuffles.
  llvm::Type* from = type_of(source);
  const llvm::Align align(size_of(source));
  const int piece = 16 / static_cast<int>(size_of(accumulator_));  // elements of k at a time
  const int pieces = tile_.lanes / piece;                          // per vector
  const int64_t width = vectors * tile_.lanes;
  auto* piece_type = llvm::FixedVectorType::get(from, static_cast<unsigned>(piece));

  // Lanes past the last repeat it: their values are never used, and nothing outside is read.
  Value* last = builder_.CreateSub(arguments.lanes, integer(1));
  Value* k_pieces = builder_.CreateUDiv(arguments.k, integer(piece));
  for (int v = 0; v < vectors; ++v) {
    Values rows;
    for (int i = 0; i < tile_.lanes; ++i) {
      Value* lane = integer(v * tile_.lanes + i);
      lane = builder_.CreateSelect(builder_.CreateICmpSLT(lane, last), lane, last);
      rows.push_back(at(from, arguments.source, builder_.CreateMul(lane, arguments.lane_stride)));
    }
    Values carried{integer(0), at(element_, arguments.panel, v * tile_.lanes)};
    emit_loop(k_pieces, carried, [&](Value*) {
      // Vector r: piece after piece, the rows r, r + piece, r + 2 * piece, ...
      Values mixed;
      for (int r = 0; r < piece; ++r) {
        Values parts;
        for (int p = 0; p < pieces; ++p)
          parts.push_back(
              widen(builder_.CreateAlignedLoad(
                        piece_type, at(from, rows[static_cast<size_t>(r + p * piece)], carried[0]),
                        align),
                    source));
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
      // Transpose of piece x piece elements in every 128-bit lane, halving the distance.
      for (int distance = 1; distance < piece; distance *= 2) {
        // Interleaves `distance` elements of vectors that lie `distance` apart.
        Values next(mixed.size());
        for (int r = 0; r < piece; ++r) {
          if (r & distance) continue;
          Value* low = mixed[static_cast<size_t>(r)];
          Value* high = mixed[static_cast<size_t>(r + distance)];
          for (int side = 0; side < 2; ++side) {
            std::vector<int> indices;
            for (int i = 0; i < tile_.lanes; ++i) {
              const int base = i / piece * piece, in = i % piece;
              const int block = in / distance;
              const int element = (block / 2) * 2 * distance + side * distance + in % distance;
              indices.push_back(base + element + (block % 2 ? tile_.lanes : 0));
            }
            next[static_cast<size_t>(r + side * distance)] =
                builder_.CreateShuffleVector(low, high, indices);
          }
        }
        mixed = std::move(next);
      }
      for (int r = 0; r < piece; ++r)
        builder_.CreateAlignedStore(mixed[static_cast<size_t>(r)],
                                    at(element_, carried[1], r * width), alignment_);
      carried[0] = builder_.CreateAdd(carried[0], integer(piece));
      carried[1] = at(element_, carried[1], piece * width);
    });
  }
  emit_pack_elements(arguments, source, vectors, builder_.CreateMul(k_pieces, integer(piece)));
}

void ContractionEmitter::emit_pack_elements(const PackArguments& arguments, DType source,
                                            int vectors, Value* first) {
  llvm::Type* from = type_of(source);
  const llvm::Align align(size_of(source));
  const int64_t width = vectors * tile_.lanes;
  Values outer{at(from, arguments.source, builder_.CreateMul(first, arguments.k_stride)),
               at(element_, arguments.panel, builder_.CreateMul(first, integer(width)))};
  emit_loop(builder_.CreateSub(arguments.k, first), outer, [&](Value*) {
    Values inner{outer[0]};
    emit_loop(arguments.lanes, inner, [&](Value* lane) {
      Value* value = builder_.CreateAlignedLoad(from, inner[0], align);
      builder_.CreateAlignedStore(widen(value, source), at(element_, outer[1], lane), alignment_);
      inner[0] = at(from, inner[0], arguments.lane_stride);
    });
    outer[0] = at(from, outer[0], arguments.k_stride);
    outer[1] = at(element_, outer[1], width);
  });
}

}  // namespace flambeau::codegen
