#include "ir/order.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "ir/array.h"

namespace flambeau::ir {

Container reduce_block(CoreOp combine, DType dtype, Container identity,
                       std::span<const Container> values) {
  const CoreFunction function = core_function(combine, dtype, dtype);
  std::array<Container, kReduceLanes> lanes;
  lanes.fill(identity);
  for (size_t i = 0; i < values.size(); ++i) {
    Container& lane = lanes[i % lanes.size()];
    lane = function(lane, values[i], 0);
  }
  for (size_t half = lanes.size() / 2; half > 0; half /= 2)
    for (size_t j = 0; j < half; ++j) lanes[j] = function(lanes[j], lanes[j + half], 0);
  return lanes[0];
}

Container reduce_tree(CoreOp combine, DType dtype, Container identity,
                      std::span<const Container> values) {
  if (values.empty()) return identity;
  const CoreFunction function = core_function(combine, dtype, dtype);
  std::vector<Container> level(values.begin(), values.end());
  while (level.size() > 1) {
    std::vector<Container> next;
    for (size_t i = 0; i + 1 < level.size(); i += 2)
      next.push_back(function(level[i], level[i + 1], 0));
    if (level.size() % 2 != 0) next.push_back(level.back());
    level = std::move(next);
  }
  return level[0];
}

Container reduce_in_order(CoreOp combine, DType dtype, Container identity,
                          std::span<const Container> values) {
  constexpr size_t kBlock = kReduceBlock;
  std::vector<Container> blocks;
  for (size_t begin = 0; begin < values.size(); begin += kBlock)
    blocks.push_back(reduce_block(combine, dtype, identity,
                                  values.subspan(begin, std::min(kBlock, values.size() - begin))));
  return reduce_tree(combine, dtype, identity, blocks);
}

ArrayValue reduce_array(const ArrayValue& array, std::span<const int64_t> axes, CoreOp combine,
                        const Scalar& identity) {
  const DType dtype = compute_dtype(array.dtype);
  const Ints strides = strides_of(array.shape);
  Ints kept_shape, kept_strides, reduced_shape, reduced_strides;
  for (size_t axis = 0; axis < array.shape.size(); ++axis) {
    const bool reduced =
        std::find(axes.begin(), axes.end(), static_cast<int64_t>(axis)) != axes.end();
    (reduced ? reduced_shape : kept_shape).push_back(array.shape[axis]);
    (reduced ? reduced_strides : kept_strides).push_back(strides[axis]);
  }
  ArrayValue out(array.dtype, kept_shape);
  const Container start = container_of(dtype, identity);
  std::vector<Container> values;
  int64_t position = 0;
  for_each_index(kept_shape, [&](const Ints& kept) {
    values.clear();
    const int64_t base = offset_of(kept, kept_strides);
    for_each_index(reduced_shape, [&](const Ints& reduced) {
      const Container value = element(array, base + offset_of(reduced, reduced_strides));
      values.push_back(convert_element(dtype, array.dtype, value));
    });
    const Container result = reduce_in_order(combine, dtype, start, values);
    set_element(out, position++, convert_element(array.dtype, dtype, result));
  });
  return out;
}

RunningScan::RunningScan(const Primitive& row, DType dtype, const Attributes& attributes) {
  SmallVector<Operand, 4> operands;
  for (int i = 0; i <= row.arity; ++i) {
    operands.push_back({static_cast<uint32_t>(i), dtype});
    cells_.push_back(0);
  }
  CellEmitter emitter(cells_, instructions_);
  result_ = emit_elementwise(row, emitter, dtype, operands, attributes).id;
}

Container RunningScan::combine(Container so_far, std::span<const Container> elements) {
  cells_[0] = so_far;
  std::copy(elements.begin(), elements.end(), cells_.begin() + 1);
  run(instructions_, cells_);
  return cells_[result_];
}

Container RunningScan::next(std::span<const Container> elements) {
  const int64_t position = position_++;
  if (elements.size() > 1) {
    value_ = position == 0 ? elements.back() : combine(value_, elements);
    return value_;
  }
  if (position % kReduceBlock == 0) {
    before_ = value_;
    block_ = elements[0];
  } else {
    block_ = combine(block_, elements);
  }
  value_ = position < kReduceBlock ? block_ : combine(before_, {&block_, 1});
  return value_;
}

ArrayValue scan_array(const Primitive& row, std::span<const ArrayValue> operands,
                      const Attributes& attributes) {
  const ArrayValue& first = operands[0];
  const auto axis = static_cast<size_t>(attributes.axes[0]);
  const int64_t length = first.shape[axis];
  const int64_t stride = strides_of(first.shape)[axis];
  RunningScan scan(row, first.dtype, attributes);
  ArrayValue out(first.dtype, first.shape);
  for (int64_t start = 0; start < first.size(); ++start) {
    if (start / stride % length != 0) continue;
    scan.restart();
    for (int64_t i = 0; i < length; ++i) {
      const int64_t place = start + stride * (attributes.index == 0 ? i : length - 1 - i);
      SmallVector<Container, 3> elements;
      for (const ArrayValue& operand : operands) elements.push_back(element(operand, place));
      set_element(out, place, scan.next(elements));
    }
  }
  return out;
}

namespace {

/// The sum over k of a[k * a_step] * b[k * b_step].
Container contract_element(DType dtype, std::span<const Container> a, size_t a_step,
                           std::span<const Container> b, size_t b_step, size_t extent) {
  constexpr size_t kBlock = kContractBlock;
  const CoreFunction add = core_function(CoreOp::Add, dtype, dtype);
  const CoreFunction multiply = core_function(CoreOp::Mul, dtype, dtype);
  const CoreFunction fma = is_float(dtype) ? core_function(CoreOp::Fma, dtype, dtype) : nullptr;
  Container total = 0;
  for (size_t begin = 0; begin < extent; begin += kBlock) {
    Container block = 0;
    for (size_t k = begin; k < std::min(begin + kBlock, extent); ++k) {
      const Container x = a[k * a_step];
      const Container y = b[k * b_step];
      block = fma != nullptr ? fma(x, y, block) : add(block, multiply(x, y, 0), 0);
    }
    total = begin == 0 ? block : add(total, block, 0);
  }
  return total;
}

float flushed(float value) {
  return std::fpclassify(value) == FP_SUBNORMAL ? std::copysign(0.0f, value) : value;
}

/// A multiply-add of VDPBF16PS; x and y are bfloat16 values.
float pair_multiply_add(float x, float y, float sum) {
  x = flushed(x);
  y = flushed(y);
  // Near the least normal number a double holds the result exactly. What is less than half a unit
  // (of float32 with any exponent) below it rounds up to it.
  const double exact = double{x} * y + double{sum};
  if (std::abs(exact) < 0x1p-126 - 0x1p-151) return std::copysign(0.0f, static_cast<float>(exact));
  return std::fma(x, y, sum);
}

/// contract_element() in pairs.
Container contract_pairs(std::span<const Container> a, size_t a_step, std::span<const Container> b,
                         size_t b_step, size_t extent) {
  const auto value = [](Container bits) {
    return std::bit_cast<float>(static_cast<uint32_t>(bits));
  };
  float total = 0;
  for (size_t begin = 0; begin < extent; begin += kContractBlock) {
    float block = 0;
    for (size_t k = begin; k < std::min<size_t>(begin + kContractBlock, extent); k += 2) {
      const bool has_next = k + 1 < extent;
      block = pair_multiply_add(has_next ? value(a[(k + 1) * a_step]) : 0.0f,
                                has_next ? value(b[(k + 1) * b_step]) : 0.0f, block);
      block = pair_multiply_add(value(a[k * a_step]), value(b[k * b_step]), block);
    }
    total = begin == 0 ? block : total + block;
  }
  return std::bit_cast<uint32_t>(total);
}

std::vector<Container> containers_of(const ArrayValue& array, DType dtype) {
  std::vector<Container> out(static_cast<size_t>(array.size()));
  for (size_t i = 0; i < out.size(); ++i)
    out[i] = convert_element(dtype, array.dtype, element(array, static_cast<int64_t>(i)));
  return out;
}

}  // namespace

ArrayValue contract_in_order(const ArrayValue& a, const ArrayValue& b, DType result, bool pairs) {
  const size_t rank = a.shape.size();
  require(rank >= 2 && b.shape.size() == rank && a.dtype == b.dtype &&
              a.shape[rank - 1] == b.shape[rank - 2] &&
              std::equal(a.shape.begin(), a.shape.end() - 2, b.shape.begin()),
          "contract: the operands do not fit");
  const DType dtype = compute_dtype(a.dtype);
  require(!pairs || dtype == DType::Float32, "contract: pairs are of bfloat16 values");
  const auto m = static_cast<size_t>(a.shape[rank - 2]);
  const auto k = static_cast<size_t>(a.shape[rank - 1]);
  const auto n = static_cast<size_t>(b.shape[rank - 1]);
  Ints shape = a.shape;
  shape[rank - 1] = b.shape[rank - 1];
  ArrayValue out(result, shape);
  const std::vector<Container> x = containers_of(a, dtype);
  const std::vector<Container> y = containers_of(b, dtype);
  const std::span<const Container> xs = x;
  const std::span<const Container> ys = y;
  for (size_t position = 0; position < static_cast<size_t>(out.size()); ++position) {
    const size_t batch = position / (m * n);
    const size_t row = position / n % m;
    const size_t column = position % n;
    Container sum = 0;
    if (k > 0) {
      const auto of_row = xs.subspan((batch * m + row) * k);
      const auto of_column = ys.subspan(batch * k * n + column);
      sum = pairs ? contract_pairs(of_row, 1, of_column, n, k)
                  : contract_element(dtype, of_row, 1, of_column, n, k);
    }
    set_element(out, static_cast<int64_t>(position), convert_element(result, dtype, sum));
  }
  return out;
}

}  // namespace flambeau::ir
