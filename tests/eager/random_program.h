#pragma once
// Random tensor programs with the arguments that they run on.

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <numeric>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "ir/array.h"
#include "prim/build.h"
#include "tensor/tensor.h"

namespace flambeau::test {

struct RandomProgram {
  ir::Program program;
  std::vector<Tensor> parameters;  ///< of any layout
  std::vector<Scalar> numbers;
  std::vector<int64_t> integers;
};

/// Programs of all rows of the table: chains of elementwise rows, index maps, reductions, gathers,
/// scatters and contractions, on symbolic shapes.
class RandomProgramMaker {
 public:
  explicit RandomProgramMaker(uint64_t seed) : random_(seed) {}

  RandomProgram make() {
    for (int64_t i = 1 + below(3); i > 0; --i) keep(new_parameter(new_sizes(), any_dtype()));
    for (int64_t i = 3 + below(14); i > 0; --i) {
      try {
        add_node();
      } catch (const Error&) {  // operands that the row does not take
      }
    }
    std::vector<ir::Expr> results;
    for (int64_t i = 1 + below(3); i > 0; --i)
      results.push_back(
          values_[values_.size() - 1 -
                  static_cast<size_t>(below(std::min<int64_t>(std::ssize(values_), 6)))]);
    made_.program = builder_.finish(results);
    return std::move(made_);
  }

  /// A tensor of `sizes` whose elements lie in a random order, with gaps or (unless it is to be
  /// written) repeated.
  Tensor any_layout(const Ints& sizes, DType dtype, bool is_written) {
    Ints order(sizes.size());
    std::iota(order.begin(), order.end(), 0);
    if (below(2) == 0) std::shuffle(order.begin(), order.end(), random_);
    Ints strides(sizes.size());
    int64_t elements = 1;
    for (size_t i = order.size(); i-- > 0;) {
      const auto axis = static_cast<size_t>(order[i]);
      if (!is_written && below(8) == 0) continue;
      if (below(5) == 0) elements *= 1 + below(3);
      strides[axis] = elements;
      elements *= std::max<int64_t>(sizes[axis], 1);
    }
    const int64_t offset = below(3) == 0 ? below(5) : 0;
    return Tensor::empty({elements + offset}, dtype).alias(sizes, strides, offset);
  }

 private:
  using Expr = ir::Expr;
  using Dim = ir::Dim;
  using Shape = ir::Shape;

  static constexpr int64_t kMostElements = 20'000;

  int64_t below(int64_t bound) {
    return static_cast<int64_t>(random_() % static_cast<uint64_t>(bound));
  }
  template <class T>
  const T& pick(const std::vector<T>& items) {
    return items[static_cast<size_t>(below(std::ssize(items)))];
  }
  DType any_dtype() {
    static const std::vector<DType> kTypes{
        DType::Float32, DType::Float32, DType::Float32, DType::Float32,  DType::Float64,
        DType::Int64,   DType::Int64,   DType::Int32,   DType::BFloat16, DType::Float16,
        DType::Int16,   DType::Int8,    DType::UInt8,   DType::Bool};
    return pick(kTypes);
  }
  int64_t any_extent() {
    static const std::vector<int64_t> kExtents{0, 1, 1,  2,  3,  3,  4,  5,  7,
                                               8, 9, 15, 16, 17, 31, 33, 64, 70};
    return below(25) == 0 ? 1000 + below(1200) : pick(kExtents);
  }
  Ints new_sizes() {
    Ints sizes;
    int64_t elements = 1;
    for (int64_t rank = below(5); rank > 0; --rank) {
      int64_t extent = any_extent();
      if (elements * extent > kMostElements) extent = 1;
      elements *= std::max<int64_t>(extent, 1);
      sizes.push_back(extent);
    }
    return sizes;
  }

  ir::DimBindings bindings() {
    sizes_.clear();
    for (const Tensor& tensor : made_.parameters) sizes_.push_back(tensor.sizes().data());
    return {sizes_.data(), made_.integers.data()};
  }
  Ints sizes_of(const Expr& value) { return ir::evaluate(value.shape(), bindings()); }
  int64_t extent_of(const Expr& value, int64_t axis) {
    return value.dim(static_cast<int>(axis)).evaluate(bindings());
  }
  bool is_small(const Expr& value) {
    const Ints sizes = sizes_of(value);
    return std::all_of(sizes.begin(), sizes.end(), [](int64_t n) { return n >= 0; }) &&
           ir::element_count(sizes) <= kMostElements;
  }
  void keep(const Expr& value) {
    if (is_small(value)) values_.push_back(value);
  }

  void fill(Tensor& tensor, int64_t limit) {
    const DType dtype = tensor.dtype();
    std::normal_distribution<double> normal(0, 2);
    static const std::vector<double> kSpecial{0.0, -0.0, HUGE_VAL, -HUGE_VAL, std::nan(""), 1e-40};
    for (size_t i = 0; i < tensor->storage->bytes() / size_of(dtype); ++i) {
      ir::Container value = 0;
      if (limit > 0)
        value = random_() % static_cast<uint64_t>(limit);
      else if (is_bool(dtype))
        value = random_() & 1;
      else if (!is_float(dtype))
        value = ir::container_of_bits(dtype, below(8) == 0 ? random_() : random_() % 16);
      else
        value = ir::container_of(dtype, below(60) == 0 ? pick(kSpecial) : normal(random_));
      ir::store_element(
          dtype, static_cast<std::byte*>(tensor->storage->data()) + i * size_of(dtype), value);
    }
  }

  /// A parameter whose elements are, with `limit` > 0, in [0, limit). Without `shape` its extents
  /// are its own, but for those of 1.
  Expr new_parameter(const Ints& sizes, DType dtype, int64_t limit = 0,
                     const Shape* shape = nullptr) {
    const auto number = static_cast<int>(made_.parameters.size());
    Tensor tensor = any_layout(sizes, dtype, false);
    fill(tensor, limit);
    made_.parameters.push_back(tensor);
    Shape own;
    for (size_t axis = 0; axis < sizes.size(); ++axis)
      own.push_back(sizes[axis] == 1 ? Dim(1) : Dim::size(number, static_cast<int>(axis)));
    return builder_.parameter(dtype, shape != nullptr ? *shape : own);
  }
  Dim slot(int64_t value) {
    if (below(2) == 0) return value;
    made_.integers.push_back(value);
    return Dim::integer(static_cast<int>(made_.integers.size()) - 1);
  }
  Expr literal(DType dtype) {
    static const std::vector<Scalar> kNumbers{0.0, 1.0, -2.5, 3.0, 0.125};
    if (below(3) != 0) return prim::constant(builder_, dtype, pick(kNumbers));
    made_.numbers.emplace_back(0.75);
    return prim::convert(builder_.number(DType::Float64), dtype);
  }
  Expr any() { return pick(values_); }

  /// A value of `dtype` that broadcasts to the shape of `like`, made to have that shape.
  Expr operand(const Expr& like, DType dtype) {
    const Ints wanted = sizes_of(like);
    std::optional<Expr> found;
    for (int attempt = 0; attempt < 4 && !found; ++attempt) {
      const Expr candidate = any();
      const Ints sizes = sizes_of(candidate);
      bool fits = sizes.size() <= wanted.size();
      for (size_t i = 1; fits && i <= sizes.size(); ++i) {
        const bool stretches = candidate.dim(-static_cast<int>(i)).is_one();
        fits = stretches || sizes[sizes.size() - i] == wanted[wanted.size() - i];
      }
      if (fits) found = candidate;
    }
    return prim::broadcast_to(prim::convert(found ? *found : literal(dtype), dtype), like.shape());
  }

  void add_node() {
    static const std::vector<void (RandomProgramMaker::*)()> kKinds{
        &RandomProgramMaker::elementwise, &RandomProgramMaker::elementwise,
        &RandomProgramMaker::elementwise, &RandomProgramMaker::elementwise,
        &RandomProgramMaker::elementwise, &RandomProgramMaker::elementwise,
        &RandomProgramMaker::convert,     &RandomProgramMaker::broadcast,
        &RandomProgramMaker::permute,     &RandomProgramMaker::slice,
        &RandomProgramMaker::flip,        &RandomProgramMaker::reshape,
        &RandomProgramMaker::pad,         &RandomProgramMaker::concatenate,
        &RandomProgramMaker::reduce,      &RandomProgramMaker::reduce,
        &RandomProgramMaker::reduce,      &RandomProgramMaker::normalise,
        &RandomProgramMaker::gather,      &RandomProgramMaker::take,
        &RandomProgramMaker::scatter,     &RandomProgramMaker::contract,
        &RandomProgramMaker::contract,    &RandomProgramMaker::index};
    (this->*pick(kKinds))();
  }

  static std::vector<const ir::Primitive*> rows_of(ir::PrimitiveClass cls) {
    std::vector<const ir::Primitive*> rows;
    // Which bits a NaN has is not defined, so that they may not become a number.
    for (const ir::Primitive* row : ir::all_primitives())
      if (row->cls == cls && !row->raw_halves) rows.push_back(row);
    return rows;
  }

  void elementwise() {
    static const std::vector<const ir::Primitive*> kRows = rows_of(ir::PrimitiveClass::Elementwise);
    const ir::Primitive* row = pick(kRows);
    const Expr first = any();
    std::vector<Expr> arguments;
    for (int i = 0; i < row->arity; ++i) {
      // The condition of a choice is the first of three.
      const bool condition = i == 0 && row->arity == 3 && below(2) == 0;
      arguments.push_back(condition ? operand(first, DType::Bool) : operand(first, first.dtype()));
    }
    if (row->arity != 3 || arguments[0].dtype() != DType::Bool)
      arguments[static_cast<size_t>(below(row->arity))] = first;
    keep(builder_.add(row, arguments, {.index = static_cast<int>(1 + below(3))}));
  }

  void convert() { keep(prim::convert(any(), any_dtype())); }

  void broadcast() {
    const Expr a = any();
    if (a.rank() > 3) return;
    const int64_t extent = 1 + below(5);
    Shape shape = a.shape();
    std::vector<int64_t> axes;
    const int64_t at = below(a.rank() + 1);
    for (int64_t axis = 0; axis < a.rank(); ++axis) axes.push_back(axis < at ? axis : axis + 1);
    Shape larger;
    for (int64_t axis = 0; axis <= a.rank(); ++axis)
      larger.push_back(axis == at ? slot(extent) : shape[static_cast<size_t>(axis - (axis > at))]);
    keep(prim::broadcast(a, axes, larger));
  }

  void permute() {
    const Expr a = any();
    std::vector<int64_t> axes(static_cast<size_t>(a.rank()));
    std::iota(axes.begin(), axes.end(), 0);
    std::shuffle(axes.begin(), axes.end(), random_);
    keep(prim::permute(a, axes));
  }

  void slice() {
    const Expr a = any();
    if (a.rank() == 0) return;
    const int64_t axis = below(a.rank());
    const int64_t extent = extent_of(a, axis);
    const int64_t start = below(extent + 1);
    const int64_t step = 1 + below(3);
    const int64_t length = below((extent - start + step - 1) / step + 1);
    keep(prim::slice(a, static_cast<int>(axis), slot(start), slot(length), slot(step)));
  }

  std::vector<int64_t> some_axes(const Expr& a) {
    std::vector<int64_t> axes;
    for (int64_t axis = 0; axis < a.rank(); ++axis)
      if (below(2) == 0) axes.push_back(axis);
    return axes;
  }

  void flip() {
    const Expr a = any();
    keep(prim::flip(a, some_axes(a)));
  }

  void reshape() {
    const Expr a = any();
    const Shape shape = a.shape();
    Shape result;
    if (below(3) == 0) result.push_back(Dim(1));
    if (below(3) == 0 || a.rank() < 2) {
      result.push_back(ir::element_count(shape));
    } else {
      const int64_t at = below(a.rank() - 1);
      for (int64_t axis = 0; axis < a.rank(); ++axis) {
        if (axis == at + 1)
          result.back() = result.back() * shape[static_cast<size_t>(axis)];
        else
          result.push_back(shape[static_cast<size_t>(axis)]);
      }
    }
    keep(prim::reshape(a, result));
  }

  void pad() {
    const Expr a = any();
    std::vector<Dim> low, high, interior;
    for (int i = 0; i < a.rank(); ++i) {
      low.push_back(below(2) == 0 ? Dim(0) : slot(below(4)));
      high.push_back(below(2) == 0 ? Dim(0) : slot(below(4)));
      interior.push_back(below(3) == 0 ? slot(below(3)) : Dim(0));
    }
    keep(prim::pad(a, literal(a.dtype()), low, high, interior));
  }

  void concatenate() {
    const Expr a = any();
    if (a.rank() == 0) return;
    const Expr parts[] = {a, operand(a, a.dtype()), prim::flip(a, some_axes(a))};
    keep(prim::concatenate(std::span(parts).first(static_cast<size_t>(1 + below(3))),
                           static_cast<int>(below(a.rank()))));
  }

  void reduce() {
    static const std::vector<const ir::Primitive*> kRows = rows_of(ir::PrimitiveClass::Reduce);
    const Expr a = any();
    const ir::Primitive* row = pick(kRows);
    // What tests add to the table has no meaning on complex values.
    if (is_complex(a.dtype()) && row->on_complex == nullptr) return;
    const std::vector<int64_t> axes = some_axes(a);
    ir::Attributes attributes;
    for (const int64_t axis : axes) attributes.axes.push_back(axis);
    keep(builder_.add(row, {&a, 1}, attributes));
  }

  /// Several reductions of one row, and the row by them.
  void normalise() {
    using namespace prim;  // NOLINT(google-build-using-namespace): operators
    const Expr a = any();
    if (a.rank() == 0 || !is_float(a.dtype())) return;
    const int64_t axis[] = {below(a.rank())};
    const Expr e = prim::exp(a - prim::amax(a, axis));
    keep(e / prim::sum(e, axis));
  }

  /// Index arrays of one shape, one for each axis of `source`.
  std::optional<std::vector<Expr>> indices_into(const Expr& source, const Ints& sizes) {
    std::vector<Expr> indices;
    for (int64_t axis = 0; axis < source.rank(); ++axis) {
      const int64_t extent = extent_of(source, axis);
      if (extent == 0) return std::nullopt;
      const Shape shape = indices.empty() ? Shape() : indices[0].shape();
      indices.push_back(
          new_parameter(sizes, DType::Int64, extent, indices.empty() ? nullptr : &shape));
    }
    return indices;
  }

  void gather() {
    const Expr source = any();
    if (source.rank() == 0 || source.rank() > 3) return;
    if (const auto indices = indices_into(source, new_sizes()))
      keep(prim::gather(source, *indices));
  }

  /// Whole slices along one axis, as an embedding takes its rows.
  void take() {
    const Expr source = any();
    if (source.rank() == 0) return;
    const int64_t axis = below(source.rank());
    const int64_t extent = extent_of(source, axis);
    if (extent == 0) return;
    Expr which = new_parameter({1 + below(12)}, DType::Int64, extent);
    if (below(3) == 0) which = prim::minimum(which, prim::extent(builder_, extent - 1));
    Shape shape = source.shape();
    shape[static_cast<size_t>(axis)] = which.dim(0);
    std::vector<Expr> indices;
    for (int64_t i = 0; i < source.rank(); ++i) {
      const int64_t axes[] = {axis};
      indices.push_back(i == axis ? prim::broadcast(which, axes, shape)
                                  : prim::iota(builder_, shape, static_cast<int>(i)));
    }
    keep(prim::gather(source, indices));
  }

  void scatter() {
    const Expr target = any();
    if (target.rank() == 0 || target.rank() > 2) return;
    const auto indices = indices_into(target, {below(40)});
    if (!indices) return;
    const Expr source = operand((*indices)[0], target.dtype());
    keep(below(2) == 0 ? prim::scatter_add(target, *indices, source)
                       : prim::scatter_set(target, *indices, source));
  }

  void contract() {
    using namespace prim;  // NOLINT(google-build-using-namespace): operators
    Expr a = any();
    if (a.rank() < 2 || a.rank() > 3 || !is_float(a.dtype())) return;
    // The other operand is the same one turned round, or a new one.
    if (below(2) == 0) {
      keep(prim::contract(a, prim::transpose(a * 0.5, -1 + a.rank(), -2 + a.rank())));
      return;
    }
    Ints sizes = sizes_of(a);
    sizes[sizes.size() - 2] = sizes.back();
    sizes.back() = 1 + below(40);
    Expr b = new_parameter(sizes, a.dtype());
    if (below(4) == 0) b = prim::flip(b, some_axes(b));
    const Expr product = prim::contract(a, b);
    keep(product);
    if (below(2) == 0 && is_small(product)) keep(product + operand(product, product.dtype()));
  }

  void index() {
    const Shape shape = any().shape();
    if (shape.empty()) return;
    keep(below(2) == 0 ? prim::iota(builder_, shape, static_cast<int>(below(std::ssize(shape))))
                       : prim::linear_index(builder_, shape));
  }

  std::mt19937_64 random_;
  ir::Builder builder_;
  RandomProgram made_;
  std::vector<Expr> values_;
  std::vector<const int64_t*> sizes_;  ///< of the parameters, for bindings()
};

}  // namespace flambeau::test
