#include "ops/definition.h"

#include <algorithm>

namespace flambeau::ops {
namespace {

[[noreturn]] void wrong_type(const Call& call, std::string_view parameter,
                             std::string_view wanted) {
  throw TypeError(concat(call.name(), ": argument '", parameter, "' must be ", wanted));
}

template <class T>
const T& get(const Call& call, std::string_view parameter, std::string_view wanted) {
  const auto* value = std::get_if<T>(&call[parameter]);
  if (value == nullptr) wrong_type(call, parameter, wanted);
  return *value;
}

}  // namespace

const std::string& Call::name() const { return definition_->parsed.name; }

const Argument& Call::operator[](std::string_view parameter) const {
  return arguments_[static_cast<size_t>(definition_->parsed.index_of(parameter))];
}

bool Call::is_none(std::string_view parameter) const {
  return std::holds_alternative<std::monostate>((*this)[parameter]);
}

const TensorInfo& Call::tensor(std::string_view parameter) const {
  const TensorInfo* info = get<const TensorInfo*>(*this, parameter, "Tensor");
  if (info == nullptr) wrong_type(*this, parameter, "Tensor, not None");
  return *info;
}

const TensorInfo* Call::optional_tensor(std::string_view parameter) const {
  return is_none(parameter) ? nullptr : get<const TensorInfo*>(*this, parameter, "Tensor or None");
}

const TensorRefs& Call::tensors(std::string_view parameter) const {
  return get<TensorRefs>(*this, parameter, "a list of Tensors");
}

Scalar Call::number(std::string_view parameter) const {
  return get<Scalar>(*this, parameter, "Number");
}
int64_t Call::integer(std::string_view parameter) const {
  return get<Scalar>(*this, parameter, "int").to_int();
}
double Call::real(std::string_view parameter) const {
  return get<Scalar>(*this, parameter, "float").to_double();
}
bool Call::boolean(std::string_view parameter) const {
  return get<Scalar>(*this, parameter, "bool").to_bool();
}
const Ints& Call::integers(std::string_view parameter) const {
  return get<Ints>(*this, parameter, "tuple of ints");
}
const std::string& Call::string(std::string_view parameter) const {
  return get<std::string>(*this, parameter, "str");
}
DType Call::dtype_or(std::string_view parameter, DType otherwise) const {
  return is_none(parameter) ? otherwise : get<DType>(*this, parameter, "dtype");
}

int64_t Call::axis(int64_t dim, int64_t rank) const {
  const int64_t range = std::max<int64_t>(rank, 1);
  check<IndexError>(dim >= -range && dim < range, [&] {
    return concat(name(), ": Dimension out of range (expected to be in range of [", -range, ", ",
                  range - 1, "], but got ", dim, ")");
  });
  return dim < 0 ? dim + range : dim;
}

Ints Call::axes(const Ints& dims, int64_t rank, bool empty_is_all) const {
  Ints axes;
  if (dims.empty() && empty_is_all) {
    for (int64_t i = 0; i < rank; ++i) axes.push_back(i);
    return axes;
  }
  for (const int64_t dim : dims) {
    const int64_t wrapped = axis(dim, rank);
    check(std::find(axes.begin(), axes.end(), wrapped) == axes.end(), [&] {
      return concat(name(), ": dim ", wrapped, " appears multiple times in the list of dims");
    });
    axes.push_back(wrapped);
  }
  return axes;
}

Ints Call::broadcast(std::span<const Ints> shapes) const {
  Ints result;
  for (const Ints& shape : shapes) {
    if (shape.size() > result.size()) {
      Ints longer(shape.size() - result.size(), 1);
      longer.append(result.begin(), result.end());
      result = longer;
    }
    const size_t shift = result.size() - shape.size();
    for (size_t i = 0; i < shape.size(); ++i) {
      int64_t& extent = result[shift + i];
      check(extent == shape[i] || extent == 1 || shape[i] == 1, [&] {
        return concat(name(), ": The size of tensor a (", extent,
                      ") must match the size of tensor b (", shape[i],
                      ") at non-singleton dimension ", shift + i);
      });
      if (extent == 1) extent = shape[i];
    }
  }
  return result;
}

const LoweredParameter& Lowering::parameter(std::string_view name) const {
  return parameters_[static_cast<size_t>(call_.definition().parsed.index_of(name))];
}

Expr Lowering::number(std::string_view name) const {
  const LoweredParameter& p = parameter(name);
  return p.values.empty() ? Expr() : p.values.front();
}

Expr Lowering::operator[](std::string_view name) const {
  const Expr value = number(name);
  const bool is_number = std::holds_alternative<Scalar>(call_[name]);
  return is_number && value.valid() ? prim::convert(value, compute()) : value;
}

std::vector<Expr> Lowering::tensors(std::string_view name) const { return parameter(name).values; }

Dim Lowering::integer(std::string_view name) const {
  const LoweredParameter& p = parameter(name);
  require(p.dims.size() == 1, "a lowering reads an int that is not in `dynamic`");
  return p.dims.front();
}

std::vector<Dim> Lowering::integers(std::string_view name) const { return parameter(name).dims; }

Definition::Role Definition::role(size_t parameter, const Argument& argument) const {
  const Role role = traits[parameter].role;
  if (std::holds_alternative<std::monostate>(argument)) return Role::Static;
  if (role == Role::Tensor && std::holds_alternative<Scalar>(argument)) {
    const Scalar& value = std::get<Scalar>(argument);
    return is_special(parsed.parameters[parameter].name, value) ? Role::Static : Role::Number;
  }
  if (role == Role::Number &&
      is_special(parsed.parameters[parameter].name, std::get<Scalar>(argument)))
    return Role::Static;
  return role;
}

bool Definition::is_special(std::string_view parameter, const Scalar& value) const {
  if (value.is_complex()) return false;
  for (const auto& [name, values] : special)
    if (name == parameter &&
        std::find(values.begin(), values.end(), value.to_double()) != values.end())
      return true;
  return false;
}

}  // namespace flambeau::ops
