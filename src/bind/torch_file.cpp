#include "bind/torch_file.h"

#include <nanobind/stl/set.h>
#include <nanobind/stl/string.h>

#include <cstring>

#include "base/error.h"
#include "bind/casters.h"
#include "bind/constants.h"
#include "bind/storage_type.h"
#include "bind/tensor_type.h"
#include "io/file.h"
#include "io/torch_file.h"

namespace nb = nanobind;

namespace flambeau::bind {
namespace {

using io::Meaning;
using io::Step;
using io::StepKind;

/// Carries out the steps of a checkpoint, in their order, with what each means.
class Builder {
 public:
  /// `allowed` are the objects of names that the user allowed; `classes` has the package's own:
  /// OrderedDict, Counter, Parameter and others by their names.
  Builder(const io::TorchFile& file, const nb::dict& allowed, const nb::dict& classes)
      : file_(file), allowed_(allowed), classes_(classes) {}

  nb::object build() {
    const auto& steps = file_.pickle.steps;
    values_.resize(steps.size());
    for (uint32_t id = 0; id < steps.size(); ++id) values_[id] = value(id);
    return values_[file_.pickle.result];
  }

 private:
  const Step& step(uint32_t id) const { return file_.pickle.steps[id]; }
  std::span<const uint32_t> operands(uint32_t id) const {
    return file_.pickle.operands_of(step(id));
  }
  nb::object operand(uint32_t id, size_t number) const { return values_[operands(id)[number]]; }
  /// Argument `number` of a call.
  nb::object argument(uint32_t id, size_t number) const { return item(operand(id, 1), number); }
  size_t argument_count(uint32_t id) const { return nb::len(operand(id, 1)); }

  nb::object value(uint32_t id) {
    const io::StepMeaning& meaning = file_.meanings[id];
    switch (meaning.meaning) {
      case Meaning::Plain:
        return plain(id);
      case Meaning::OrderedDict:
        return filled(id, "OrderedDict", true);
      case Meaning::Counter:
        return filled(id, "Counter", true);
      case Meaning::PlainSet:
        return filled(id, "set", false);
      case Meaning::Named:
        return named(id);
      case Meaning::Size:
        return classes_["Size"](argument(id, 0));
      case Meaning::Device:
        if (argument_count(id) > 1) return classes_["device"](argument(id, 0), argument(id, 1));
        return classes_["device"](argument(id, 0));
      case Meaning::DType:
        return nb::borrow(dtype_object(static_cast<DType>(meaning.index)));
      case Meaning::NamedDType:
        return classes_["dtypes"](text(step(id).name));
      case Meaning::Layout:
        return nb::borrow(layout_object());
      case Meaning::PlainBytes:
        return argument(id, 0).attr("encode")("latin-1");
      case Meaning::ByteArray:
        return classes_["bytearray"](*nb::borrow<nb::args>(operand(id, 1)));
      case Meaning::ComplexNumber:
        return complex_number(id);
      case Meaning::Storage:
        return nb::steal(wrap_storage(file_.storages[meaning.index]));
      case Meaning::Tensor:
        return tensor(id, meaning.index);
      case Meaning::Parameter:
        return parameter(id);
      case Meaning::Unused:
        break;
    }
    return nb::none();
  }

  static nb::object item(nb::handle sequence, size_t number) {
    return checked_object(PySequence_GetItem(sequence.ptr(), static_cast<Py_ssize_t>(number)));
  }
  static nb::object text(std::string_view text) {
    return checked_object(
        PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "surrogatepass"));
  }
  static nb::object checked_object(PyObject* object) {
    if (object == nullptr) throw PythonError();
    return nb::steal(object);
  }

  nb::object plain(uint32_t id) {
    const Step& made = step(id);
    switch (made.kind) {
      case StepKind::None:
        return nb::none();
      case StepKind::False:
        return nb::bool_(false);
      case StepKind::True:
        return nb::bool_(true);
      case StepKind::Int:
        return nb::int_(made.integer);
      case StepKind::LongInt:
        return long_integer(made.text);
      case StepKind::Float:
        return nb::float_(made.number);
      case StepKind::Text:
        return text(made.text);
      case StepKind::Bytes:
        return nb::bytes(made.text.data(), made.text.size());
      case StepKind::Tuple:
        return tuple(id);
      case StepKind::List:
        return nb::list();
      case StepKind::Dict:
        return nb::dict();
      case StepKind::Set:
        return checked_object(PySet_New(nullptr));
      case StepKind::FrozenSet:
        return checked_object(PyFrozenSet_New(tuple(id).ptr()));
      case StepKind::Append:
        for (size_t i = 1; i < operands(id).size(); ++i)
          operand(id, 0).attr("append")(operand(id, i));
        return nb::none();
      case StepKind::SetItems:
        for (size_t i = 1; i + 1 < operands(id).size(); i += 2)
          if (PyObject_SetItem(operand(id, 0).ptr(), operand(id, i).ptr(),
                               operand(id, i + 1).ptr()) < 0)
            throw PythonError();
        return nb::none();
      case StepKind::AddItems:
        for (size_t i = 1; i < operands(id).size(); ++i) add_to_set(operand(id, 0), operand(id, i));
        return nb::none();
      case StepKind::SetState:
        set_state(operand(id, 0), operand(id, 1));
        return nb::none();
      case StepKind::Global:
      case StepKind::Persistent:
      case StepKind::Call:
      case StepKind::New:
        break;
    }
    throw InternalError("a step of a checkpoint that has no meaning");
  }

  static void add_to_set(const nb::object& set, const nb::object& item) {
    check<ValueError>(PySet_Check(set.ptr()) != 0,
                      [] { return std::string("torch.load: items of a set for what is none"); });
    checked(PySet_Add(set.ptr(), item.ptr()));
  }

  nb::object complex_number(uint32_t id) const {
    return checked_object(PyComplex_FromDoubles(PyFloat_AsDouble(argument(id, 0).ptr()),
                                                PyFloat_AsDouble(argument(id, 1).ptr())));
  }

  nb::object tuple(uint32_t id) const {
    const auto items = operands(id);
    const nb::object made = checked_object(PyTuple_New(static_cast<Py_ssize_t>(items.size())));
    for (size_t i = 0; i < items.size(); ++i)
      PyTuple_SET_ITEM(made.ptr(), static_cast<Py_ssize_t>(i), values_[items[i]].inc_ref().ptr());
    return made;
  }

  static nb::object long_integer(std::string_view bytes) {
    const nb::object type = nb::borrow(reinterpret_cast<PyObject*>(&PyLong_Type));
    return type.attr("from_bytes")(nb::bytes(bytes.data(), bytes.size()), "little",
                                   nb::arg("signed") = true);
  }

  /// True for what takes no longer to hash than to read.
  bool is_key(nb::handle object, bool allow_tuple) const {
    PyObject* item = object.ptr();
    if (PyTuple_CheckExact(item) != 0 && allow_tuple) {
      for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(item); ++i)
        if (!is_key(PyTuple_GET_ITEM(item, i), false)) return false;
      return true;
    }
    return item == Py_None || PyBool_Check(item) != 0 || PyLong_CheckExact(item) != 0 ||
           PyFloat_CheckExact(item) != 0 || PyUnicode_CheckExact(item) != 0 ||
           PyBytes_CheckExact(item) != 0;
  }

  /// A container of the items of the call's argument: keys, or, in a mapping, pairs of key and
  /// value.
  nb::object filled(uint32_t id, const char* type, bool is_mapping) {
    nb::object made = classes_[type]();
    if (argument_count(id) == 0) return made;
    nb::object given = argument(id, 0);
    const bool pairs = is_mapping && (nb::isinstance<nb::dict>(given) || type[0] == 'O');
    if (nb::isinstance<nb::dict>(given) && is_mapping) given = given.attr("items")();
    for (nb::handle entry : given) {
      const bool is_pair =
          (PyTuple_CheckExact(entry.ptr()) != 0 || PyList_CheckExact(entry.ptr()) != 0) &&
          nb::len(entry) == 2;
      check<ValueError>(is_pair || !pairs, [] {
        return std::string("torch.load: a dict is made of what are no pairs");
      });
      const nb::object key = pairs ? item(entry, 0) : nb::borrow(entry);
      check<ValueError>(is_key(key, true), [] {
        return std::string(
            "torch.load: a key of a dict or set is no number, text or tuple of these");
      });
      if (pairs)
        made[key] = item(entry, 1);
      else if (is_mapping)
        made[key] = made.attr("get")(key, 0) + nb::int_(1);
      else
        add_to_set(made, key);
    }
    return made;
  }

  /// What the user allowed: the class or function itself, a call of it, or a new object.
  nb::object named(uint32_t id) {
    const Step& made = step(id);
    if (made.kind == StepKind::Global)
      return nb::borrow(allowed_[concat(made.text, ".", made.name).c_str()]);
    const nb::object callable = operand(id, 0);
    const nb::object arguments = operand(id, 1);
    if (made.kind == StepKind::New)
      return callable.attr("__new__")(callable, *nb::borrow<nb::args>(arguments));
    return callable(*nb::borrow<nb::args>(arguments));
  }

  static void set_state(const nb::object& object, const nb::object& state) {
    if (nb::hasattr(object, "__setstate__")) {
      object.attr("__setstate__")(state);
      return;
    }
    nb::object attributes = state;
    if (nb::isinstance<nb::tuple>(state) && nb::len(state) == 2) {
      attributes = state[0];
      if (nb::isinstance<nb::dict>(state[1]))
        for (const auto& [name, value] : nb::borrow<nb::dict>(state[1]))
          nb::setattr(object, name, value);
    }
    if (!attributes.is_none()) object.attr("__dict__").attr("update")(attributes);
  }

  nb::object tensor(uint32_t id, uint32_t index) {
    const io::RebuiltTensor& rebuilt = file_.tensors[index];
    if (rebuilt.requires_grad) {
      check<ValueError>(is_inexact(rebuilt.tensor.dtype()), [] {
        return std::string("torch.load: a tensor of integers that requires a gradient");
      });
      rebuilt.tensor->requires_grad = true;
    }
    nb::object made = nb::steal(wrap(rebuilt.tensor));
    // _rebuild_from_type_v2(function, type, arguments, attributes)
    if (step(operands(id)[0]).name == "_rebuild_from_type_v2") {
      const nb::object type = argument(id, 1);
      if (PyType_Check(type.ptr()) != 0 && !type.is(made.type()))
        made = made.attr("as_subclass")(type);
      set_attributes(made, argument(id, 3));
    }
    return made;
  }

  nb::object parameter(uint32_t id) {
    nb::object made = classes_["Parameter"](argument(id, 0), argument(id, 1));
    if (argument_count(id) > 3) set_attributes(made, argument(id, 3));
    return made;
  }

  static void set_attributes(const nb::object& object, const nb::object& state) {
    if (nb::isinstance<nb::dict>(state)) object.attr("__dict__").attr("update")(state);
  }

  const io::TorchFile& file_;
  const nb::dict& allowed_;
  const nb::dict& classes_;
  std::vector<nb::object> values_;
};

/// The file at a path, mapped, or a copy of a buffer.
Ref<Storage> bytes_of(const nb::object& source) {
  if (PyUnicode_Check(source.ptr()) != 0) return io::map_file(nb::cast<std::string>(source), false);
  Py_buffer view;
  checked(PyObject_GetBuffer(source.ptr(), &view, PyBUF_SIMPLE));
  const Ref<Storage> bytes = make_ref<Storage>(static_cast<size_t>(view.len));
  if (view.len > 0) std::memcpy(bytes->data(), view.buf, static_cast<size_t>(view.len));
  PyBuffer_Release(&view);
  return bytes;
}

}  // namespace

void add_torch_file(nb::module_& module) {
  module.def("_read_torch_file", [](const nb::object& source, const std::string& name,
                                    const nb::dict& allowed, const nb::dict& classes) {
    io::AllowedNames names;
    for (const auto& [key, value] : allowed) names.insert(nb::cast<std::string>(key));
    const Ref<Storage> bytes = bytes_of(source);
    io::TorchFile file;
    {
      const ReleaseLock others_run;
      file = io::read_torch_file(bytes, names, name);
    }
    return nb::make_tuple(Builder(file, allowed, classes).build(), file.locations);
  });
}

}  // namespace flambeau::bind
