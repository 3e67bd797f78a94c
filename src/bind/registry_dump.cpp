#include "bind/registry_dump.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include "bind/casters.h"
#include "ops/registry.h"

namespace nb = nanobind;

namespace flambeau::bind {
namespace {

nb::object default_object(const ops::Argument& value) {
  if (const auto* number = std::get_if<Scalar>(&value))
    return nb::steal(number_object(*number).release());
  if (const auto* ints = std::get_if<Ints>(&value)) return nb::cast(*ints);
  if (const auto* text = std::get_if<std::string>(&value)) return nb::cast(*text);
  if (const auto* dtype = std::get_if<DType>(&value)) return nb::cast(*dtype);
  if (const auto* list = std::get_if<std::vector<double>>(&value)) return nb::cast(*list);
  return nb::none();
}

nb::dict sample_tensor_dict(const ops::SampleTensor& sample) {
  nb::dict result;
  result["shape"] = nb::cast(sample.shape);
  result["low"] = sample.low;
  result["high"] = sample.high;
  result["dtype"] = sample.dtype ? nb::cast(*sample.dtype) : nb::none();
  return result;
}

nb::object sample_object(const ops::SampleValue& value) {
  if (const auto* tensor = std::get_if<ops::SampleTensor>(&value))
    return sample_tensor_dict(*tensor);
  if (const auto* number = std::get_if<Scalar>(&value))
    return nb::steal(number_object(*number).release());
  if (const auto* reals = std::get_if<std::vector<double>>(&value)) return nb::cast(*reals);
  if (const auto* ints = std::get_if<Ints>(&value)) return nb::cast(*ints);
  if (const auto* dtype = std::get_if<DType>(&value)) return nb::cast(*dtype);
  if (const auto* text = std::get_if<std::string>(&value)) return nb::cast(*text);
  if (const auto* tensors = std::get_if<std::vector<ops::SampleTensor>>(&value)) {
    nb::list list;
    for (const ops::SampleTensor& tensor : *tensors) list.append(sample_tensor_dict(tensor));
    return list;
  }
  return nb::none();
}

nb::list samples_list(const ops::Definition& op) {
  nb::list list;
  if (op.samples == nullptr) return list;
  for (const ops::Sample& sample : op.samples()) {
    nb::list positional;
    for (const ops::SampleValue& value : sample.positional) positional.append(sample_object(value));
    nb::dict keyword;
    for (const auto& [name, value] : sample.keyword) keyword[name.c_str()] = sample_object(value);
    list.append(nb::make_tuple(positional, keyword));
  }
  return list;
}

nb::dict parameter_dict(const ops::Definition& op, size_t index) {
  const ops::Parameter& parameter = op.parsed.parameters[index];
  nb::dict result;
  result["name"] = parameter.name;
  result["type"] = ops::name_of(parameter.type);
  result["optional"] = parameter.optional;
  result["optional_items"] = parameter.optional_items;
  result["keyword_only"] = parameter.keyword_only;
  result["has_default"] = parameter.has_default;
  result["default"] = default_object(parameter.default_value);
  result["list_length"] = parameter.list_length;
  result["written"] = parameter.written;
  result["number_allowed"] = op.traits[index].number_allowed;
  return result;
}

nb::dict definition_dict(const ops::Definition& op) {
  nb::dict result;
  result["name"] = op.parsed.name;
  result["overload"] = op.parsed.overload;
  result["schema"] = op.parsed.text();
  result["doc"] = op.doc;
  result["function"] = op.variants.function;
  result["method"] = op.variants.method;
  result["in_place"] = op.variants.in_place;
  result["out"] = op.variants.out;
  result["aliases"] = op.variants.aliases;
  result["differentiable"] = op.differentiable;
  result["writes"] = op.returns == ops::Returns::Self;
  nb::list parameters;
  for (size_t i = 0; i < op.parsed.parameters.size(); ++i) parameters.append(parameter_dict(op, i));
  result["parameters"] = parameters;
  nb::list returns;
  for (const ops::ReturnType& type : op.parsed.returns)
    returns.append(nb::make_tuple(ops::name_of(type.type), type.name));
  result["returns"] = returns;
  // Arguments that the operation takes; a tensor is a dict of its shape, range and dtype.
  result["samples"] = samples_list(op);
  return result;
}

}  // namespace

void add_registry_dump(nb::module_& module) {
  module.def(
      "_registry",
      [] {
        nb::list list;
        for (const ops::Definition* op : ops::all_definitions()) list.append(definition_dict(*op));
        return list;
      },
      "Every operation as a dict, for tools.");
}

}  // namespace flambeau::bind
