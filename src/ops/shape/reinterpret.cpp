// The bytes of a tensor read as another dtype.

#include "ops/registry.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

TensorInfo reinterpreted(const Call& call) {
  TensorInfo result = call.tensor("self");
  const DType dtype = call.dtype_or("dtype", result.dtype);
  const auto from = static_cast<int64_t>(size_of(result.dtype));
  const auto to = static_cast<int64_t>(size_of(dtype));
  result.dtype = dtype;
  if (from == to) return result;
  const auto other_size = [&](auto... found) {
    return concat(" to view ", info(call.tensor("self").dtype).word, " as ", info(dtype).word,
                  " (different element sizes)", found...);
  };
  check(result.dim() > 0,
        [&] { return concat(call.name(), ": self.dim() cannot be 0", other_size()); });
  check(result.strides.back() == 1, [&] {
    return concat(call.name(), ": self.stride(-1) must be 1",
                  other_size(", but got ", result.strides.back()));
  });
  check(result.sizes.back() * from % to == 0, [&] {
    return concat(call.name(), ": the last dimension of ", result.sizes.back(), " elements of ",
                  from, " bytes is no multiple of ", to, " bytes");
  });
  result.sizes.back() = result.sizes.back() * from / to;
  for (size_t i = 0; i + 1 < result.strides.size(); ++i) {
    check(result.strides[i] * from % to == 0, [&] {
      return concat(call.name(), ": stride ", result.strides[i], " does not fit the new dtype");
    });
    result.strides[i] = result.strides[i] * from / to;
  }
  return result;
}

/// The integers that hold the bits of elements of this many bytes.
DType bits_dtype(size_t size) {
  if (size == 1) return DType::UInt8;
  if (size == 2) return DType::Int16;
  return size == 4 ? DType::Int32 : DType::Int64;
}

/// [..., n] with the `parts` of each element, in their order in memory: [..., parts * n].
Expr interleaved(const std::vector<Expr>& parts) {
  const int rank = parts[0].rank();
  std::vector<Expr> columns;
  for (const Expr& part : parts) columns.push_back(unsqueeze(part, rank));
  Shape shape = parts[0].shape();
  shape.back() = shape.back() * static_cast<int64_t>(parts.size());
  return reshape(concatenate(columns, rank), shape);
}
/// Every `step`-th element of the last axis, from number `first`.
Expr every(const Expr& x, int64_t first, int64_t step) {
  return slice(x, x.rank() - 1, first, x.dim(-1).floor_div(step), step);
}

/// The bits of `x`, whose dtype is `dtype`, as integers; of complex numbers those of their parts.
Expr to_bits(const Expr& x, DType dtype) {
  if (is_complex(dtype)) {
    const DType part = real_dtype(dtype);
    return interleaved({to_bits(real(x), part), to_bits(imag(x), part)});
  }
  const Expr value = convert(x, is_bool(dtype) ? DType::UInt8 : dtype);
  return bitcast(value, bits_dtype(size_of(dtype)));
}

/// The same bits in integers of `size` bytes, the first in memory being the lowest.
Expr regrouped(const Expr& bits, size_t size) {
  const size_t own = size_of(bits.dtype());
  const auto number = [&](int64_t value) { return constant(bits, DType::Int64, Scalar(value)); };
  if (own == size) return bits;
  if (own > size) {
    std::vector<Expr> parts;
    for (size_t i = 0; i < own / size; ++i) {
      const Expr shifted =
          shift_right(convert(bits, DType::Int64), number(static_cast<int64_t>(8 * size * i)));
      parts.push_back(convert(shifted, bits_dtype(size)));
    }
    return interleaved(parts);
  }
  const auto count = static_cast<int64_t>(size / own);
  const auto width = static_cast<int64_t>(8 * own);
  Expr whole;
  for (int64_t i = 0; i < count; ++i) {
    const Expr part = logical_and(convert(every(bits, i, count), DType::Int64),
                                  number((int64_t{1} << width) - 1));
    const Expr placed = shift_left(part, number(width * i));
    whole = i == 0 ? placed : logical_or(whole, placed);
  }
  return convert(whole, bits_dtype(size));
}

Expr from_bits(const Expr& bits, DType dtype) {
  if (is_complex(dtype)) {
    const DType part = real_dtype(dtype);
    const Expr parts = convert(from_bits(bits, part), compute_dtype(part));
    return complex(every(parts, 0, 2), every(parts, 1, 2));
  }
  const Expr grouped = regrouped(bits, size_of(dtype));
  return is_bool(dtype) ? ne(grouped, 0.0) : bitcast(grouped, dtype);
}

const Register kViewDtype({
    .schema = "view.dtype(Tensor(a) self, ScalarType dtype) -> Tensor(a)",
    .doc = "The same bytes read as another dtype; one of another size changes the last extent.",
    .variants = {.function = false},
    .returns = Returns::View,
    .shape = [](const Call& call, ResultInfos& results) { results.push_back(reinterpreted(call)); },
    .lower =
        [](Lowering& l) {
          const DType own = l.call().tensor("self").dtype;
          const DType dtype = l.call().dtype_or("dtype", own);
          const Expr x = l["self"];
          if (dtype == own) return l.result(x);
          if (x.rank() == 0) {
            const Expr value = from_bits(to_bits(unsqueeze(x, 0), own), dtype);
            return l.result(squeeze(value, Ints{0}));
          }
          l.result(from_bits(to_bits(x, own), dtype));
        },
    .alias =
        [](const Call& call, AliasInfo& alias) {
          const TensorInfo info = reinterpreted(call);
          alias.sizes = info.sizes;
          alias.strides = info.strides;
          alias.offset = alias.offset * static_cast<int64_t>(size_of(call.tensor("self").dtype)) /
                         static_cast<int64_t>(size_of(info.dtype));
        },
    .differentiable = false,
    .samples =
        [] {
          return SampleList{{{typed({2, 3}, DType::Float32, -2, 2), DType::Int32}},
                            {{typed({2, 3}, DType::Int16, 0, 100), DType::BFloat16}},
                            {{typed({}, DType::Float64, -2, 2), DType::Int64}},
                            {{typed({2, 4}, DType::Float32, -2, 2), DType::Float64}},
                            {{typed({2, 8}, DType::UInt8, 0, 255), DType::Int64}},
                            {{typed({2, 2}, DType::Float64, -2, 2), DType::BFloat16}},
                            {{typed({2, 2}, DType::Complex64, -2, 2), DType::Int16}},
                            {{typed({4}, DType::Float32, -2, 2), DType::Complex64}},
                            {{typed({4}, DType::Bool, 0, 2), DType::UInt8}},
                            {{typed({0, 2}, DType::Int32, 0, 2), DType::Int64}}};
        },
    .errors =
        [] {
          return std::vector<ErrorSample>{{{{typed({2, 3}, DType::Float32, -2, 2), DType::Float64}},
                                           "RuntimeError",
                                           "is no multiple of 8 bytes"},
                                          {{{typed({}, DType::Float32, -2, 2), DType::Float64}},
                                           "RuntimeError",
                                           "self.dim() cannot be 0"}};
        },
});

}  // namespace
}  // namespace flambeau::ops
