#pragma once
// The interpreter of tensor programs: slow, obvious, and the definition of their meaning to the
// bit. Every backend is tested against it.

#include <vector>

#include "ir/program.h"

namespace flambeau::ir {

/// A contiguous row-major array of one dtype.
struct ArrayValue {
  DType dtype = DType::Float32;
  Ints shape;
  std::vector<std::byte> data;

  ArrayValue() = default;
  /// Zeros.
  ArrayValue(DType dtype, Ints shape);
  int64_t size() const;  ///< number of elements
  template <class T>
  T* as() {
    return reinterpret_cast<T*>(data.data());
  }
  template <class T>
  const T* as() const {
    return reinterpret_cast<const T*>(data.data());
  }
};

/// The results of `program` on `parameters`, scalar parameters `numbers` and integer arguments
/// `integers`. InternalError if the arguments do not fit the program.
std::vector<ArrayValue> interpret(const Program& program, std::span<const ArrayValue> parameters,
                                  std::span<const Scalar> numbers,
                                  std::span<const int64_t> integers);

/// The fixed order of sums, on one array of `values` of one dtype (64-bit containers as the
/// ArrayEmitter holds them): blocks of 1,024 in row-major order; in a block, lane i mod 32 combines
/// in ascending order starting from the identity; lanes combine by halving (lane j with lane j+16,
/// then 8, 4, 2, 1); block results combine by a binary tree of adjacent pairs, level by level, an
/// odd last one passing up. An empty range gives the identity.
inline constexpr int64_t kReduceBlock = 1024;
inline constexpr int64_t kReduceLanes = 32;
/// Ascending k in blocks of this many; each block one chain of fused multiply-adds from zero.
inline constexpr int64_t kContractBlock = 256;

}  // namespace flambeau::ir
