#include "ops/index/rows.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

namespace flambeau::ops {

using namespace prim;

Rows::Rows(const Ints& sizes, int64_t axis) {
  for (size_t i = 0; i < sizes.size(); ++i) {
    const auto position = static_cast<int64_t>(i);
    if (position < axis) outer *= sizes[i];
    if (position == axis) n = sizes[i];
    if (position > axis) inner *= sizes[i];
  }
}

bool comes_before(DType dtype, ir::Container a, ir::Container b) {
  if (!is_float(dtype)) return static_cast<int64_t>(a) < static_cast<int64_t>(b);
  const double x = ir::to_double(dtype, a);
  const double y = ir::to_double(dtype, b);
  return x < y || (std::isnan(y) && !std::isnan(x));
}

namespace {

/// Calls visit(T{}) with the type that the elements of `dtype` are compared as; halves as their
/// bits.
template <class Visit>
void with_type(DType dtype, const Visit& visit) {
  switch (dtype) {
    case DType::Bool:
    case DType::UInt8:
      return visit(uint8_t{});
    case DType::Int8:
      return visit(int8_t{});
    case DType::Int16:
      return visit(int16_t{});
    case DType::Int32:
      return visit(int32_t{});
    case DType::Int64:
      return visit(int64_t{});
    case DType::Float32:
      return visit(float{});
    case DType::Float64:
      return visit(double{});
    default:
      return visit(uint16_t{});
  }
}

/// The bits of a float as a number in the order of the floats; `exponent` is the bits of infinity.
template <class Bits>
uint64_t key_of_float(Bits bits, Bits infinity) {
  constexpr Bits kSign = Bits{1} << (8 * sizeof(Bits) - 1);
  const auto magnitude = static_cast<Bits>(bits & ~kSign);
  if (magnitude > infinity) return std::numeric_limits<Bits>::max();
  if (magnitude == 0) return kSign;
  return static_cast<Bits>((bits & kSign) != 0 ? ~bits : bits | kSign);
}

template <class T>
uint64_t key_of(T value, DType dtype) {
  if constexpr (std::is_same_v<T, float>)
    return key_of_float(std::bit_cast<uint32_t>(value), 0x7f800000U);
  else if constexpr (std::is_same_v<T, double>)
    return key_of_float(std::bit_cast<uint64_t>(value), uint64_t{0x7ff0000000000000});
  else if constexpr (std::is_same_v<T, uint16_t>)
    return key_of_float(value, static_cast<uint16_t>(dtype == DType::Float16 ? 0x7c00 : 0x7f80));
  else if constexpr (std::is_signed_v<T>)
    return static_cast<uint64_t>(static_cast<int64_t>(value)) ^ uint64_t { 1 } << 63;
  else
    return value;
}

/// Sorts by the keys alone, equal ones in their order, digit by digit of what they are above the
/// least; digits that are the same in all of them cost nothing.
void sort_by_digits(std::vector<Ranked>& elements, std::vector<Ranked>& spare) {
  constexpr int kBits = 8;
  constexpr size_t kDigits = 64 / kBits;
  const uint64_t least = std::min_element(elements.begin(), elements.end())->key;
  const auto digit_of = [&](const Ranked& element, size_t digit) {
    return (element.key - least) >> (digit * kBits) & ((1 << kBits) - 1);
  };
  std::array<std::array<uint32_t, 1 << kBits>, kDigits> counts{};
  for (const Ranked& element : elements)
    for (size_t digit = 0; digit < kDigits; ++digit) ++counts[digit][digit_of(element, digit)];
  spare.resize(elements.size());
  for (size_t digit = 0; digit < kDigits; ++digit) {
    auto& starts = counts[digit];
    if (starts[digit_of(elements[0], digit)] == elements.size()) continue;
    uint32_t start = 0;
    for (uint32_t& count : starts) start += std::exchange(count, start);
    for (const Ranked& element : elements) spare[starts[digit_of(element, digit)]++] = element;
    std::swap(elements, spare);
  }
}

}  // namespace

void RowOrder::read(int64_t row) {
  elements_.resize(static_cast<size_t>(rows_.n));
  with_type(tensor_.info.dtype, [&]<class T>(T) {
    const T* from = static_cast<const T*>(tensor_.data) + rows_.at(row, 0);
    for (int64_t i = 0; i < rows_.n; ++i, from += rows_.inner) {
      const uint64_t key = key_of(*from, tensor_.info.dtype);
      elements_[static_cast<size_t>(i)] = {descending_ ? ~key : key, i};
    }
  });
}

std::span<const Ranked> RowOrder::sorted(int64_t row) {
  constexpr int64_t kFew = 128;  // elements that are sorted faster by comparisons
  constexpr int64_t kMost = std::numeric_limits<uint32_t>::max();
  read(row);
  if (rows_.n <= kFew || rows_.n > kMost)
    std::sort(elements_.begin(), elements_.end());
  else
    sort_by_digits(elements_, spare_);
  return elements_;
}

std::span<const Ranked> RowOrder::split_at(int64_t row, int64_t k) {
  read(row);
  std::nth_element(elements_.begin(), elements_.begin() + k, elements_.end());
  return elements_;
}

RowOrder::Nans RowOrder::nans(int64_t row) {
  Nans found;
  if (!is_float(tensor_.info.dtype)) return found;
  read(row);
  with_type(tensor_.info.dtype, [&]<class T>(T) {
    // That of NaN: all bits.
    constexpr uint64_t kKey = ~uint64_t{0} >> (64 - 8 * sizeof(T));
    for (size_t i = elements_.size(); i-- > 0;) {
      if ((descending_ ? ~elements_[i].key : elements_[i].key) != kKey) continue;
      ++found.count;
      found.first = static_cast<int64_t>(i);
    }
  });
  return found;
}

std::span<const Ranked> RowOrder::first(int64_t row, int64_t count) {
  constexpr int64_t kFewest = 32;
  if (count > rows_.n / 4) return sorted(row).first(static_cast<size_t>(count));
  if (count == 0) return {};
  // The best so far and those that may be among them; every now and then the worst are dropped.
  const auto kept = static_cast<size_t>(count);
  const size_t room = std::max(2 * kept, static_cast<size_t>(kFewest) + kept);
  elements_.clear();
  uint64_t limit = std::numeric_limits<uint64_t>::max();
  const auto drop = [&] {
    std::nth_element(elements_.begin(), elements_.begin() + count - 1, elements_.end());
    elements_.resize(kept);
    limit = elements_.back().key;
  };
  with_type(tensor_.info.dtype, [&]<class T>(T) {
    const T* from = static_cast<const T*>(tensor_.data) + rows_.at(row, 0);
    const uint64_t flip = descending_ ? ~uint64_t{0} : 0;
    for (int64_t i = 0; i < rows_.n; ++i, from += rows_.inner) {
      const uint64_t key = key_of(*from, tensor_.info.dtype) ^ flip;
      // An equal one comes later than those that are kept.
      if (key >= limit && elements_.size() >= kept) continue;
      elements_.push_back({key, i});
      if (elements_.size() == room) drop();
    }
  });
  if (elements_.size() > kept) drop();
  std::sort(elements_.begin(), elements_.end());
  return elements_;
}

void for_ordered_rows(HostCall& host, const HostTensor& tensor, const Rows& rows, bool descending,
                      FunctionRef<void(RowOrder& order, int64_t row)> body) {
  constexpr int64_t kCost = 10;  // nanoseconds an element
  host.in_parallel(rows.count(), rows.n * kCost, [&](int64_t begin, int64_t end) {
    RowOrder order(tensor, rows, descending);
    for (int64_t row = begin; row < end; ++row) body(order, row);
  });
}

void copy_element(const HostTensor& from_tensor, int64_t from, const HostTensor& to_tensor,
                  int64_t to) {
  with_type(from_tensor.info.dtype, [&]<class T>(T) {
    static_cast<T*>(to_tensor.data)[to] = static_cast<const T*>(from_tensor.data)[from];
  });
}

Expr put_back(const Expr& like, int axis, const Expr& index, const Expr& cotangent) {
  if (like.rank() == 0) return cotangent;
  return scatter_add(full_like(like, 0.0), along_axis(like, axis, index), cotangent);
}

}  // namespace flambeau::ops
