// From a call to its tensor program and the program of its gradients.

#include <algorithm>

#include "ops/functions.h"
#include "ops/registry.h"
#include "prim/vjp.h"

namespace flambeau::ops {
namespace {

/// The extents of tensor number `position`: those of 1 and of the axes `fixed` are constants, the
/// others symbols.
Shape symbolic_shape(const TensorInfo& info, int position, uint64_t fixed) {
  Shape shape;
  for (size_t i = 0; i < info.sizes.size(); ++i)
    shape.push_back(((fixed >> i) & 1) != 0 || info.sizes[i] == 1
                        ? Dim(info.sizes[i])
                        : Dim::size(position, static_cast<int>(i)));
  return shape;
}

/// Axes of elementwise operands that broadcasting makes equal get one symbol, that of the first
/// operand; the result is the broadcast shape.
Shape unify(std::span<const Shape> shapes, SmallVector<Shape, 4>& unified) {
  size_t rank = 0;
  for (const Shape& shape : shapes) rank = std::max(rank, shape.size());
  Shape result(rank, Dim(1));
  for (const Shape& shape : shapes) {
    const size_t shift = rank - shape.size();
    Shape own;
    for (size_t i = 0; i < shape.size(); ++i) {
      if (!shape[i].is_one() && result[shift + i].is_one()) result[shift + i] = shape[i];
      own.push_back(shape[i].is_one() ? shape[i] : result[shift + i]);
    }
    unified.push_back(own);
  }
  return result;
}

Expr to_compute(const Expr& value, DType common) {
  return prim::convert(prim::convert(value, common), compute_dtype(common));
}

/// Sums `gradient` over what broadcasting stretched, to the shape of `like`, in its dtype.
Expr fit_gradient(Expr gradient, const Expr& like) {
  SmallVector<int64_t, 5> leading;
  const int extra = gradient.rank() - like.rank();
  for (int i = 0; i < extra; ++i) leading.push_back(i);
  if (!leading.empty()) gradient = prim::sum(gradient, leading, false);
  SmallVector<int64_t, 5> stretched;
  for (int i = 0; i < like.rank(); ++i)
    if (like.dim(i).is_one() && !gradient.dim(i).is_one()) stretched.push_back(i);
  if (!stretched.empty()) gradient = prim::sum(gradient, stretched, true);
  if (gradient.shape() != like.shape()) gradient = prim::broadcast_to(gradient, like.shape());
  return prim::convert(gradient, like.dtype());
}

std::vector<Expr> widened(std::span<const Expr> values) {
  std::vector<Expr> result;
  for (const Expr& v : values)
    result.push_back(v.valid() ? prim::convert(v, compute_dtype(v.dtype())) : v);
  return result;
}

/// Builds the Lowering of one call.
class LoweringMaker {
 public:
  LoweringMaker(const Call& call, LoweredCall& out)
      : call_(call), d_(call.definition()), out_(out), common_(common_dtype(call)) {}

  Shape run() {
    declare_tensors();
    std::vector<LoweredParameter> parameters(call_.arguments().size());
    size_t next = 0;
    int slot = 0;
    for (size_t i = 0; i < parameters.size(); ++i) lower_argument(i, parameters[i], next, slot);
    Expr key;
    if (d_.random && d_.lower != nullptr) {
      key = out_.builder->number(DType::Int64);
      out_.numbers.push_back(key);
    }
    std::vector<Shape> result_shapes;
    if (d_.result_sizes)
      for (const TensorInfo& info : infer(call_)) {
        Shape shape;
        for (size_t i = 0; i < info.sizes.size(); ++i) shape.push_back(Dim::integer(slot++));
        result_shapes.push_back(shape);
      }
    out_.lowering = std::make_unique<Lowering>(*out_.builder, call_, common_, std::move(parameters),
                                               key, result_shapes);
    return broadcast_;
  }

 private:
  void declare_tensors() {
    SmallVector<Shape, 4> shapes;
    SmallVector<DType, 4> dtypes;
    const auto add = [&](const TensorInfo* t) {
      if (t == nullptr) return;
      const uint64_t fixed = d_.fixed == nullptr ? 0 : d_.fixed(call_, shapes.size());
      shapes.push_back(symbolic_shape(*t, static_cast<int>(shapes.size()), fixed));
      dtypes.push_back(t->dtype);
    };
    for (const Argument& argument : call_.arguments()) {
      if (const auto* one = std::get_if<const TensorInfo*>(&argument)) add(*one);
      if (const auto* list = std::get_if<TensorRefs>(&argument))
        for (const TensorInfo* t : *list) add(t);
    }
    SmallVector<Shape, 4> unified;
    const bool broadcasts = d_.elementwise() || d_.broadcasts;
    broadcast_ = broadcasts ? unify(shapes, unified) : Shape();
    for (size_t i = 0; i < shapes.size(); ++i)
      out_.parameters.push_back(
          out_.builder->parameter(dtypes[i], broadcasts ? unified[i] : shapes[i]));
  }

  Expr tensor(size_t position, size_t& next) {
    const Expr parameter = out_.parameters[next++];
    const bool own = d_.promotion == Promotion::None || !d_.traits[position].promoted;
    return to_compute(parameter, own ? parameter.dtype() : common_);
  }

  void lower_argument(size_t i, LoweredParameter& p, size_t& next, int& slot) {
    const Argument& argument = call_.arguments()[i];
    if (const auto* one = std::get_if<const TensorInfo*>(&argument)) {
      if (*one != nullptr) p.values.push_back(tensor(i, next));
    } else if (const auto* list = std::get_if<TensorRefs>(&argument)) {
      for (const TensorInfo* t : *list) p.values.push_back(t ? tensor(i, next) : Expr());
    } else if (const auto* number = std::get_if<Scalar>(&argument)) {
      lower_number(i, *number, p, slot);
    } else if (const auto* ints = std::get_if<Ints>(&argument)) {
      if (d_.traits[i].role == Definition::Role::Integer)
        for (const int64_t value : *ints) p.dims.push_back(integer(i, value, slot));
    }
  }

  void lower_number(size_t i, const Scalar& number, LoweredParameter& p, int& slot) {
    if (d_.traits[i].role == Definition::Role::Integer) {
      p.dims.push_back(integer(i, number.to_int(), slot));
      return;
    }
    switch (role_in(call_, i)) {
      case Definition::Role::Number:
        p.values.push_back(number.is_complex() ? add_complex_number() : add_number(number.dtype()));
        break;
      default:
        p.values.push_back(prim::constant(*out_.builder, number.dtype(), number));
        break;
    }
  }

  /// A value of a parameter in `dynamic`.
  Dim integer(size_t parameter, int64_t value, int& slot) const {
    if (role_in(call_, parameter) == Definition::Role::Static) return Dim(value);
    const Dim symbol = Dim::integer(slot++);
    return d_.traits[parameter].has_sign && value == 0 ? Dim(0) : symbol;
  }

  Expr add_number(DType dtype) {
    out_.numbers.push_back(out_.builder->number(dtype));
    return out_.numbers.back();
  }

  Expr add_complex_number() {
    const Expr re = add_number(DType::Float64);
    return prim::complex(re, add_number(DType::Float64));
  }

  const Call& call_;
  const Definition& d_;
  LoweredCall& out_;
  DType common_;
  Shape broadcast_;
};

}  // namespace

Definition::Role role_in(const Call& call, size_t i) {
  const Definition& d = call.definition();
  const Definition::Role role = d.role(i, call.arguments()[i]);
  const bool is_fixed =
      role == Definition::Role::Integer && d.fixed != nullptr && d.fixed(call, 0) != 0;
  return is_fixed ? Definition::Role::Static : role;
}

void append_number(SmallVector<Scalar, 2>& numbers, const Scalar& number) {
  if (!number.is_complex()) return numbers.push_back(number);
  numbers.push_back(Scalar(number.to_double()));
  numbers.push_back(Scalar(number.imag()));
}

DynamicValues dynamic_values(const Call& call) {
  const Definition& d = call.definition();
  DynamicValues values;
  for (size_t i = 0; i < call.arguments().size(); ++i) {
    const Argument& argument = call.arguments()[i];
    const Definition::Role role = role_in(call, i);
    if (role == Definition::Role::Number) {
      append_number(values.numbers, std::get<Scalar>(argument));
    } else if (role == Definition::Role::Integer) {
      if (const auto* one = std::get_if<Scalar>(&argument))
        values.integers.push_back(one->to_int());
      else if (const auto* list = std::get_if<Ints>(&argument))
        values.integers.append(list->begin(), list->end());
    }
  }
  if (d.result_sizes)
    for (const TensorInfo& info : infer(call))
      values.integers.append(info.sizes.begin(), info.sizes.end());
  return values;
}

LoweredCall lower(const Call& call) {
  const Definition& d = call.definition();
  LoweredCall out;
  out.builder = std::make_unique<Builder>();
  const Shape broadcast = LoweringMaker(call, out).run();
  const ResultInfos infos = infer(call);
  if (d.lower == nullptr) {
    for (const TensorInfo& info : infos)
      out.results.push_back(out.builder->parameter(
          info.dtype,
          symbolic_shape(info, static_cast<int>(out.parameters.size() + out.results.size()), 0)));
    return out;
  }
  try {
    d.lower(*out.lowering);
  } catch (const NotImplementedError&) {
    // A row that is not defined for complex numbers: the user knows the operation alone.
    throw RuntimeError(
        concat('"', call.name(), "\" not implemented for '", info(common_dtype(call)).word, "'"));
  }
  const std::vector<Expr>& results = out.lowering->results();
  check<InternalError>(results.size() == infos.size(), [&] {
    return concat("operation ", call.name(), ": lower gives ", results.size(),
                  " results, the shape rule ", infos.size());
  });
  for (size_t i = 0; i < results.size(); ++i) {
    Expr result = results[i];
    if (d.elementwise() && result.shape() != broadcast)
      result = prim::broadcast_to(result, broadcast);
    out.results.push_back(prim::convert(result, infos[i].dtype));
  }
  out.saved = out.lowering->saved();
  return out;
}

std::vector<Expr> gradients(const Call& call, LoweredCall& lowered,
                            std::span<const Expr> cotangents, std::span<const bool> wanted) {
  const Definition& d = call.definition();
  std::vector<Expr> result(lowered.parameters.size());
  if (!d.differentiable) return result;
  if (d.vjp != nullptr) {
    const std::vector<Expr> results = widened(lowered.results);
    const std::vector<Expr> saved = widened(lowered.saved);
    std::vector<Expr> seeds = widened(cotangents);
    // Overrides of complex values are holomorphic, as rows are: see prim/vjp.h.
    for (Expr& seed : seeds)
      if (seed.valid()) seed = prim::conj(seed);
    VjpLowering v{*lowered.lowering, results, saved, seeds, {}};
    v.gradients.resize(lowered.parameters.size());
    d.vjp(v);
    for (Expr& gradient : v.gradients)
      if (gradient.valid()) gradient = prim::conj(gradient);
    for (size_t i = 0; i < result.size(); ++i)
      if (wanted[i] && v.gradients[i].valid())
        result[i] = fit_gradient(v.gradients[i], lowered.parameters[i]);
    return result;
  }
  if (d.lower == nullptr) return result;
  std::vector<Expr> outputs;
  std::vector<Expr> seeds;
  for (size_t i = 0; i < lowered.results.size(); ++i)
    if (cotangents[i].valid()) {
      outputs.push_back(lowered.results[i]);
      seeds.push_back(cotangents[i]);
    }
  std::vector<Expr> targets;
  std::vector<size_t> places;
  for (size_t i = 0; i < result.size(); ++i)
    if (wanted[i]) {
      targets.push_back(lowered.parameters[i]);
      places.push_back(i);
    }
  const std::vector<Expr> found = prim::differentiate(*lowered.builder, outputs, seeds, targets);
  for (size_t i = 0; i < places.size(); ++i)
    result[places[i]] =
        // No dependence is a slope of 0, which callers of backward() get to see.
        found[i].valid() || outputs.empty() ? found[i] : full_like(targets[i], 0.0);
  return result;
}

}  // namespace flambeau::ops
