#include "bind/arguments.h"

#include <algorithm>
#include <array>

#include "bind/constants.h"
#include "bind/convert.h"
#include "bind/generator_type.h"
#include "bind/overrides.h"
#include "bind/tensor_type.h"

namespace flambeau::bind {
namespace {

using ops::Argument;
using ops::ArgumentType;
using ops::Parameter;

/// NumPy's names for parameters, which PyTorch takes, too.
constexpr std::array<std::pair<std::string_view, std::string_view>, 5> kNumpyNames{{
    {"dim", "axis"},
    {"keepdim", "keepdims"},
    {"input", "x"},
    {"self", "x"},
    {"other", "x2"},
}};

/// PyTorch's word for a type in signatures and messages.
std::string_view word(ArgumentType type) {
  switch (type) {
    case ArgumentType::Tensor:
      return "Tensor";
    case ArgumentType::TensorList:
      return "tuple of Tensors";
    case ArgumentType::Number:
      return "Number";
    case ArgumentType::NumberList:
      return "tuple of Scalars";
    case ArgumentType::Int:
      return "int";
    case ArgumentType::IntList:
      return "tuple of ints";
    case ArgumentType::Float:
      return "float";
    case ArgumentType::FloatList:
      return "tuple of floats";
    case ArgumentType::Bool:
      return "bool";
    case ArgumentType::BoolList:
      return "tuple of bools";
    case ArgumentType::String:
      return "str";
    case ArgumentType::DType:
      return "torch.dtype";
    case ArgumentType::Device:
      return "torch.device";
    case ArgumentType::Layout:
      return "torch.layout";
    case ArgumentType::MemoryFormat:
      return "torch.memory_format";
    case ArgumentType::Generator:
      return "torch.Generator";
  }
  throw InternalError("arguments: unknown type");
}

std::string default_text(const Argument& value) {
  if (const auto* number = std::get_if<Scalar>(&value)) {
    if (number->category() == DTypeCategory::Bool) return number->to_bool() ? "True" : "False";
    return text_of(checked(PyObject_Repr(number_object(*number).get())).get());
  }
  if (const auto* ints = std::get_if<Ints>(&value)) return list_text(*ints);
  if (const auto* text = std::get_if<std::string>(&value)) return "\"" + *text + "\"";
  if (const auto* dtype = std::get_if<DType>(&value)) return concat("torch.", info(*dtype).name);
  return "None";
}

bool equals(PyObject* name, std::string_view text) {
  Py_ssize_t size = 0;
  const char* given = PyUnicode_AsUTF8AndSize(name, &size);
  return given != nullptr && std::string_view(given, static_cast<size_t>(size)) == text;
}

/// Index of the parameter that the keyword `name` means, or -1.
int find_parameter(const Overload& overload, PyObject* name) {
  const auto& parameters = overload.op->parsed.parameters;
  for (size_t i = 0; i < parameters.size(); ++i)
    if (overload.names[i] == name) return static_cast<int>(i);
  for (size_t i = 0; i < parameters.size(); ++i) {
    if (equals(name, text_of(overload.names[i]))) return static_cast<int>(i);
    for (const auto& [ours, numpys] : kNumpyNames)
      if (parameters[i].name == ours && equals(name, numpys)) return static_cast<int>(i);
  }
  return -1;
}

bool add_tensor(PyObject* value, BoundArguments& bound, const TensorInfo*& info) {
  if (!is_tensor(value)) return false;
  bound.subclass |= Py_TYPE(value) != tensor_type;
  info = bound.alive.emplace_back(value).impl();
  return true;
}

bool bind_tensor_list(const Parameter& parameter, PyObject* value, BoundArguments& bound) {
  if (!PyTuple_Check(value) && !PyList_Check(value)) return false;
  ops::TensorRefs refs;
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(value); ++i) {
    PyObject* item = PySequence_Fast_GET_ITEM(value, i);
    const TensorInfo* info = nullptr;
    const bool none = item == Py_None && parameter.optional_items;
    if (!none && !is_tensor(item) && overrides(item)) return false;
    check<TypeError>(none || add_tensor(item, bound, info), [&] {
      return concat("expected Tensor as element ", i, " in argument '", parameter.name,
                    "', but got ", type_name(item));
    });
    refs.push_back(info);
  }
  bound.arguments.emplace_back(std::move(refs));
  return true;
}

template <class Item, class From>
bool bind_doubles(PyObject* value, BoundArguments& bound, const From& from) {
  if (!PyTuple_Check(value) && !PyList_Check(value)) return false;
  std::vector<double> items;
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(value); ++i) {
    Item item{};
    if (!from(PySequence_Fast_GET_ITEM(value, i), item)) return false;
    items.push_back(static_cast<double>(item));
  }
  bound.arguments.emplace_back(std::move(items));
  return true;
}

bool bind_word(PyObject* value, bool (*from)(PyObject*, std::string&), BoundArguments& bound) {
  std::string text;
  if (!from(value, text)) return false;
  bound.arguments.emplace_back(std::move(text));
  return true;
}

template <class T>
bool bind_number(PyObject* value, bool (*from)(PyObject*, T&), BoundArguments& bound) {
  T number{};
  if (!from(value, number)) return false;
  bound.arguments.emplace_back(Scalar(number));
  return true;
}

/// Appends the argument; false if `value` is not of the parameter's type.
bool bind_fitting(const Overload& overload, size_t index, PyObject* value, BoundArguments& bound) {
  const Parameter& parameter = overload.op->parsed.parameters[index];
  if (parameter.type == ArgumentType::Tensor && is_tensor(value)) {
    bound.subclass |= Py_TYPE(value) != tensor_type;
    bound.arguments.emplace_back(bound.alive.emplace_back(value).impl());
    return true;
  }
  if (value == Py_None && parameter.optional) {
    bound.arguments.emplace_back(std::monostate());
    return true;
  }
  switch (parameter.type) {
    case ArgumentType::Tensor: {
      if (overload.op->traits[index].number_allowed)
        return bind_number<Scalar>(value, scalar_from, bound);
      Scalar number;
      if (!overload.reflected || !scalar_from(value, number)) return false;
      bound.arguments.emplace_back(bound.alive.emplace_back(Tensor::from_scalar(number)).impl());
      return true;
    }
    case ArgumentType::TensorList:
      return bind_tensor_list(parameter, value, bound);
    case ArgumentType::Number:
      return bind_number<Scalar>(value, scalar_from, bound);
    case ArgumentType::Int:
      return bind_number<int64_t>(value, int_from, bound);
    case ArgumentType::Float:
      return bind_number<double>(value, double_from, bound);
    case ArgumentType::Bool:
      return bind_number<bool>(value, bool_from, bound);
    case ArgumentType::IntList: {
      Ints ints;
      int64_t one = 0;
      if (!ints_from(value, ints)) {
        if (parameter.list_length == 0 || !int_from(value, one)) return false;
        ints.resize(static_cast<size_t>(parameter.list_length), one);
      }
      bound.arguments.emplace_back(std::move(ints));
      return true;
    }
    case ArgumentType::FloatList:
    case ArgumentType::NumberList: {
      double one = 0;
      if (parameter.list_length > 0 && double_from(value, one)) {
        bound.arguments.emplace_back(
            std::vector<double>(static_cast<size_t>(parameter.list_length), one));
        return true;
      }
      return bind_doubles<double>(value, bound, double_from);
    }
    case ArgumentType::BoolList:
      return bind_doubles<bool>(value, bound, bool_from);
    case ArgumentType::String:
      if (PyUnicode_Check(value) == 0) return false;
      bound.arguments.emplace_back(text_of(value));
      return true;
    case ArgumentType::DType: {
      DType dtype{};
      if (!dtype_from(value, dtype)) return false;
      bound.arguments.emplace_back(dtype);
      return true;
    }
    case ArgumentType::Device:
      return bind_word(value, device_from, bound) && (device_from(value, bound.device), true);
    case ArgumentType::Layout:
      return bind_word(value, layout_from, bound);
    case ArgumentType::MemoryFormat:
      return bind_word(value, memory_format_from, bound);
    case ArgumentType::Generator: {
      void* generator = generator_from(value);
      if (generator == nullptr) return false;
      bound.arguments.emplace_back(generator);
      return true;
    }
  }
  return false;
}

bool bind_out(PyObject* value, BoundArguments& bound) {
  if (value == Py_None) return true;
  if (is_tensor(value)) {
    bound.subclass |= Py_TYPE(value) != tensor_type;
    bound.out.push_back(tensor_of(value));
    return true;
  }
  if (!PyTuple_Check(value) && !PyList_Check(value)) return false;
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(value); ++i) {
    PyObject* item = PySequence_Fast_GET_ITEM(value, i);
    if (!is_tensor(item)) return false;
    bound.out.push_back(tensor_of(item));
  }
  return true;
}

/// Keywords of factories that no schema needs: there is one layout, and one kind of memory.
constexpr std::array<std::string_view, 4> kOptions{"layout", "device", "pin_memory",
                                                   "requires_grad"};

bool is_option(PyObject* keyword) {
  return std::any_of(kOptions.begin(), kOptions.end(),
                     [&](std::string_view option) { return equals(keyword, option); });
}

bool bind_option(const std::string& option, PyObject* value, BoundArguments& bound) {
  if (value == Py_None) return true;
  std::string word;
  bool flag = false;
  if (option == "requires_grad") return bool_from(value, bound.requires_grad);
  if (option == "device") return device_from(value, bound.device);
  if (option != "layout") return bool_from(value, flag);
  if (!layout_from(value, word)) return false;
  check<NotImplementedError>(value == layout_object(), [&] {
    return concat("torch.", word, ": Flambeau has no tensors of this layout yet");
  });
  return true;
}

template <class Text>
bool fail(Mismatch& mismatch, const Text& text) {
  if (mismatch.wanted) mismatch.text = text();
  return false;
}

std::string missing_text(const Overload& overload, std::span<PyObject* const> values) {
  int count = 0;
  std::string names;
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i] != nullptr || overload.op->parsed.parameters[i].has_default) continue;
    names += (count++ > 0 ? ", \"" : "\"") + text_of(overload.names[i]) + "\"";
  }
  return concat(overload.op->parsed.name, "() missing ", count,
                " required positional arguments: ", names);
}

[[noreturn]] void size_overflows(const Overload& overload, size_t index, Py_ssize_t position) {
  throw TypeError(concat(overload.op->parsed.name, "(): argument '", text_of(overload.names[index]),
                         "' failed to unpack the object at pos ", position,
                         " with error \"Overflow when unpacking long\""));
}

/// True for what int_from takes, and for integers that int64 cannot hold.
bool is_int(PyObject* object) {
  try {
    int64_t value = 0;
    return int_from(object, value);
  } catch (const IntOverflow&) {
    return true;
  }
}
bool overflows(PyObject* object) {
  try {
    int64_t value = 0;
    int_from(object, value);
    return false;
  } catch (const IntOverflow&) {
    return true;
  }
}

/// bind_fitting with PyTorch's errors for integers that int64 cannot hold.
bool bind_value(const Overload& overload, size_t index, PyObject* value, BoundArguments& bound) {
  try {
    return bind_fitting(overload, index, value, bound);
  } catch (const IntOverflow&) {
    const ArgumentType type = overload.op->parsed.parameters[index].type;
    const bool list = PyTuple_Check(value) || PyList_Check(value);
    if (type == ArgumentType::Int || (type == ArgumentType::IntList && !list)) throw;
    if (type == ArgumentType::IntList)
      for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(value); ++i)
        if (overflows(PySequence_Fast_GET_ITEM(value, i))) size_overflows(overload, index, i + 1);
    const uint64_t number = wide_int_from(value);
    bound.wide.emplace_back(bound.arguments.size(), number);
    bound.arguments.emplace_back(Scalar(static_cast<int64_t>(number)));
    return true;
  }
}

/// The dtype that numbers of the call are brought to, as far as it matters to those that int64
/// cannot hold: that of `dtype=`, or the common one of the tensors.
DType target_of_numbers(const Overload& overload, const BoundArguments& bound) {
  std::optional<DType> tensors;
  for (const ops::Argument& argument : bound.arguments) {
    if (const auto* dtype = std::get_if<DType>(&argument)) return *dtype;
    const auto* tensor = std::get_if<const TensorInfo*>(&argument);
    if (tensor == nullptr || *tensor == nullptr ||
        !overload.op->traits[static_cast<size_t>(&argument - bound.arguments.data())].promoted)
      continue;
    tensors = tensors ? promote_types(*tensors, (*tensor)->dtype) : (*tensor)->dtype;
  }
  if (overload.op->promotion == ops::Promotion::ToFloat && !(tensors && is_inexact(*tensors)))
    return ops::default_dtype();
  if (!tensors && !bound.alive.empty()) return bound.alive[0].impl()->dtype;
  return tensors.value_or(DType::Int64);
}

/// PyTorch's rule for numbers of [2^63, 2^64): floats stay what they are, operands of integers
/// wrap around, and other numbers must fit.
void settle_wide_numbers(const Overload& overload, BoundArguments& bound) {
  const DType target = target_of_numbers(overload, bound);
  for (const auto& [index, number] : bound.wide) {
    const bool operand = overload.op->parsed.parameters[index].type == ArgumentType::Tensor &&
                         overload.op->traits[index].promoted && !overload.op->traits[index].fitting;
    check(!operand || !is_bool(target), [&] {
      return concat(overload.op->parsed.name,
                    ": Promotion for uint16, uint32, uint64 types is not supported, attempted to "
                    "promote Bool and UInt64");
    });
    check(operand || !is_integer(target), [&] {
      return concat(overload.op->parsed.name, ": value cannot be converted to type ",
                    info(target).name, " without overflow");
    });
    if (is_bool(target))
      bound.arguments[index] = Scalar(true);
    else if (is_inexact(target))
      bound.arguments[index] = Scalar(static_cast<double>(number));
  }
}

std::string wrong_type_text(const Overload& overload, size_t index, PyObject* value,
                            bool by_position) {
  const Parameter& parameter = overload.op->parsed.parameters[index];
  const size_t position = index + (overload.method ? 0 : 1);
  std::string text =
      concat(overload.op->parsed.name, "(): argument '", text_of(overload.names[index]), "'");
  if (by_position) text += concat(" (position ", position, ")");
  text += concat(" must be ", word(parameter.type), ", ");
  if (parameter.type == ArgumentType::IntList && (PyTuple_Check(value) || PyList_Check(value))) {
    int64_t item = 0;
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(value); ++i)
      if (!int_from(PySequence_Fast_GET_ITEM(value, i), item))
        return text + concat("but found element of type ",
                             type_name(PySequence_Fast_GET_ITEM(value, i)), " at pos ", i);
  }
  return text + "not " + type_name(value);
}

}  // namespace

Overload::Overload(const ops::Definition& definition, CallForm call_form, bool is_method,
                   bool is_reflected)
    : op(&definition),
      form(call_form),
      method(is_method),
      has_out(call_form == CallForm::Function && definition.variants.out),
      reflected(is_reflected) {
  const auto& parameters = definition.parsed.parameters;
  for (const Parameter& parameter : parameters) {
    if (!parameter.keyword_only) order.push_back(positional++);
    makes_tensors = makes_tensors || (parameter.type == ArgumentType::DType &&
                                      parameter.keyword_only && !definition.differentiable);
    takes_device = takes_device || makes_tensors || parameter.type == ArgumentType::Device;
    const bool input = !method && parameter.name == "self";
    names.push_back(interned(input ? "input" : std::string_view(parameter.name)));
  }
  const size_t first = method ? 1 : 0;
  spreads_ints =
      positional == static_cast<int>(first) + 1 && parameters[first].type == ArgumentType::IntList;
  if (method) {
    const auto self = std::find(order.begin(), order.end(), definition.parsed.index_of("self"));
    std::rotate(order.begin(), self, self + 1);
  }
  if (reflected) std::swap(order[0], order[1]);
}

std::string Overload::signature() const {
  std::string text = "(";
  bool star = false;
  const auto separate = [&] {
    if (text.size() > 1) text += ", ";
  };
  const auto& parameters = op->parsed.parameters;
  for (size_t i = 0; i < parameters.size(); ++i) {
    if (method && static_cast<int>(i) == order[0]) continue;
    if (parameters[i].keyword_only && !star) {
      separate();
      text += "*";
      star = true;
    }
    separate();
    text += concat(word(parameters[i].type), " ", text_of(names[i]));
    if (parameters[i].has_default) text += " = " + default_text(parameters[i].default_value);
  }
  if (has_out || makes_tensors) {
    separate();
    if (!star) text += "*, ";
    if (has_out)
      text += op->parsed.returns.size() > 1 ? "tuple of Tensors out = None" : "Tensor out = None";
    if (makes_tensors) text += has_out ? ", " : "";
    if (makes_tensors)
      text +=
          "torch.layout layout = None, torch.device device = None, bool pin_memory = False, bool "
          "requires_grad = False";
  }
  return text + ")";
}

void BoundArguments::clear() {
  arguments.clear();
  alive.clear();
  out.clear();
  wide.clear();
  requires_grad = false;
  device.clear();
  twins.clear();
  subclass = false;
}

bool bind_arguments(const Overload& overload, PyObject* const* args, Py_ssize_t count,
                    PyObject* keywords, BoundArguments& bound, Mismatch& mismatch) {
  const auto& parameters = overload.op->parsed.parameters;
  const std::string& name = overload.op->parsed.name;
  SmallVector<PyObject*, 12> values(parameters.size(), nullptr);
  bool spread = false;
  if (count > overload.positional) {
    spread = overload.spreads_ints && is_int(args[overload.positional - 1]);
    if (!spread)
      return fail(mismatch, [&] {
        const int self = overload.method ? 1 : 0;
        return concat(name, "() takes ", overload.positional - self, " positional arguments but ",
                      count - self, " were given");
      });
  }
  for (Py_ssize_t i = 0; i < std::min<Py_ssize_t>(count, overload.positional); ++i)
    values[static_cast<size_t>(overload.order[static_cast<size_t>(i)])] = args[i];
  if (overload.spreads_ints && !spread && count == overload.positional)
    spread = is_int(args[count - 1]);

  const Py_ssize_t keyword_count = keywords != nullptr ? PyTuple_GET_SIZE(keywords) : 0;
  for (Py_ssize_t k = 0; k < keyword_count; ++k) {
    PyObject* keyword = PyTuple_GET_ITEM(keywords, k);
    PyObject* value = args[count + k];
    const int index = find_parameter(overload, keyword);
    if (index >= 0) {
      PyObject*& place = values[static_cast<size_t>(index)];
      if (place != nullptr)
        return fail(mismatch, [&] {
          return concat(name, "() got multiple values for argument '", text_of(keyword), "'");
        });
      place = value;
    } else if (overload.has_out && equals(keyword, "out")) {
      if (!bind_out(value, bound))
        return fail(mismatch, [&] {
          return concat(name, "(): argument 'out' must be Tensor, not ", type_name(value));
        });
    } else if (overload.makes_tensors && is_option(keyword)) {
      if (!bind_option(text_of(keyword), value, bound))
        return fail(mismatch, [&] {
          return concat(name, "(): argument '", text_of(keyword), "' must not be ",
                        type_name(value));
        });
    } else {
      return fail(mismatch, [&] {
        return concat(name, "() got an unexpected keyword argument '", text_of(keyword), "'");
      });
    }
  }

  for (size_t i = 0; i < parameters.size(); ++i) {
    if (values[i] == nullptr) {
      if (!parameters[i].has_default)
        return fail(mismatch,
                    [&] { return missing_text(overload, {values.data(), values.size()}); });
      bound.arguments.emplace_back(parameters[i].default_value);
    } else if (spread && static_cast<int>(i) == overload.positional - 1) {
      Ints ints;
      for (Py_ssize_t k = overload.positional - 1; k < count; ++k) {
        int64_t value = 0;
        if (overflows(args[k])) size_overflows(overload, i, k - overload.positional + 2);
        check<TypeError>(int_from(args[k], value), [&] {
          return concat(name, "(): argument '", parameters[i].name,
                        "' failed to unpack the object at pos ", k - overload.positional + 2,
                        " with error \"type must be tuple of ints,but got ", type_name(args[k]),
                        "\"");
        });
        ints.push_back(value);
      }
      bound.arguments.emplace_back(std::move(ints));
    } else if (!bind_value(overload, i, values[i], bound)) {
      return fail(mismatch,
                  [&] { return wrong_type_text(overload, i, values[i], keyword_count == 0); });
    }
  }
  if (!bound.wide.empty()) settle_wide_numbers(overload, bound);
  if (bound.alive.empty() && !overload.op->numbers.empty() && !overload.op->numbers_alone)
    for (size_t i = 0; i < parameters.size(); ++i)
      if (overload.op->traits[i].number_allowed && parameters[i].type == ArgumentType::Tensor &&
          values[i] != nullptr)
        return fail(mismatch,
                    [&] { return wrong_type_text(overload, i, values[i], keyword_count == 0); });
  return true;
}

std::string return_text(const ops::Definition& op) {
  const auto& returns = op.parsed.returns;
  if (returns.empty()) return "None";
  if (returns.size() == 1) return std::string(word(returns[0].type));
  std::string text = "(";
  for (const ops::ReturnType& type : returns) {
    if (text.size() > 1) text += ", ";
    text += word(type.type);
    if (!type.name.empty()) text += " " + type.name;
  }
  return text + ")";
}

std::string given_types(PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  std::string text;
  const Py_ssize_t keyword_count = keywords != nullptr ? PyTuple_GET_SIZE(keywords) : 0;
  for (Py_ssize_t i = 0; i < count + keyword_count; ++i) {
    if (i > 0) text += ", ";
    if (i >= count) text += text_of(PyTuple_GET_ITEM(keywords, i - count)) + "=";
    text += type_name(args[i]);
  }
  return text;
}

}  // namespace flambeau::bind
