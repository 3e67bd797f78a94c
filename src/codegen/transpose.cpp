#include "codegen/transpose.h"

#include <llvm/IR/DerivedTypes.h>

namespace flambeau::codegen {

using llvm::Value;

namespace {

int length_of(Value* vector) {
  return static_cast<int>(llvm::cast<llvm::FixedVectorType>(vector->getType())->getNumElements());
}

/// All parts, a power of 2, one behind the other.
Value* join(llvm::IRBuilder<>& builder, std::vector<Value*> parts) {
  while (parts.size() > 1) {
    std::vector<Value*> pairs;
    for (size_t i = 0; i < parts.size(); i += 2) {
      std::vector<int> indices;
      for (int j = 0; j < 2 * length_of(parts[i]); ++j) indices.push_back(j);
      pairs.push_back(builder.CreateShuffleVector(parts[i], parts[i + 1], indices));
    }
    parts = std::move(pairs);
  }
  return parts[0];
}

/// Transposes the elements of vectors, as many as a 128-bit lane has elements, in every such lane.
void transpose_in_lanes(llvm::IRBuilder<>& builder, std::vector<Value*>& vectors) {
  const int piece = static_cast<int>(vectors.size());
  const int length = length_of(vectors[0]);
  // Halving the distance: interleaves `distance` elements of vectors that lie `distance` apart.
  for (int distance = 1; distance < piece; distance *= 2) {
    std::vector<Value*> next(vectors.size());
    for (int r = 0; r < piece; ++r) {
      if ((r & distance) != 0) continue;
      Value* low = vectors[static_cast<size_t>(r)];
      Value* high = vectors[static_cast<size_t>(r + distance)];
      for (int side = 0; side < 2; ++side) {
        std::vector<int> indices;
        for (int i = 0; i < length; ++i) {
          const int base = i / piece * piece, in = i % piece;
          const int block = in / distance;
          const int element = (block / 2) * 2 * distance + side * distance + in % distance;
          indices.push_back(base + element + (block % 2 != 0 ? length : 0));
        }
        next[static_cast<size_t>(r + side * distance)] =
            builder.CreateShuffleVector(low, high, indices);
      }
    }
    vectors = std::move(next);
  }
}

}  // namespace

std::vector<Value*> transpose_rows(llvm::IRBuilder<>& builder, int lanes,
                                   FunctionRef<Value*(int lane)> load_piece) {
  // Vectors are put together from 16-byte pieces of rows, so that only the transpose inside
  // 128-bit lanes is left to shuffles. Vector r: piece after piece, the rows r, r + piece,
  // r + 2 * piece, ...
  std::vector<Value*> pieces;
  for (int lane = 0; lane < lanes; ++lane) pieces.push_back(load_piece(lane));
  const int length = length_of(pieces[0]);
  std::vector<Value*> mixed;
  for (int r = 0; r < length; ++r) {
    std::vector<Value*> parts;
    for (int lane = r; lane < lanes; lane += length)
      parts.push_back(pieces[static_cast<size_t>(lane)]);
    mixed.push_back(join(builder, std::move(parts)));
  }
  transpose_in_lanes(builder, mixed);
  return mixed;
}

}  // namespace flambeau::codegen
