#include "bind/constants.h"

#include <structmember.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstring>

#include "base/error.h"
#include "bind/size_type.h"

namespace flambeau::bind {
namespace {

/// A dtype, layout or memory format: an object that is only its name.
struct NamedObject {
  PyObject_HEAD PyObject* name;
  int value;
};

struct DeviceObject {
  PyObject_HEAD PyObject* type;
  PyObject* index;  // None or int
};

PyTypeObject* dtype_type = nullptr;
PyTypeObject* layout_type = nullptr;
PyTypeObject* memory_format_type = nullptr;
PyTypeObject* device_type = nullptr;
std::array<PyObject*, kDTypeCount> dtype_objects{};
PyObject* strided_object = nullptr;

NamedObject* named(PyObject* self) { return reinterpret_cast<NamedObject*>(self); }
DeviceObject* device(PyObject* self) { return reinterpret_cast<DeviceObject*>(self); }

PyObject* named_repr(PyObject* self) { return PyUnicode_FromFormat("torch.%U", named(self)->name); }
// Pickled by name: the constant of the package.
PyObject* named_reduce(PyObject* self, PyObject* /*unused*/) {
  Py_INCREF(named(self)->name);
  return named(self)->name;
}

/// What PyTorch has names for and Flambeau has no tensors of. Programs compare with them. Their
/// values follow those of the dtypes.
struct NamedOnly {
  const char* name;
  uint8_t size;
  bool is_float;
  bool is_signed;
};
constexpr std::array<NamedOnly, 11> kNamedOnly{{
    {"uint16", 2, false, false},
    {"uint32", 4, false, false},
    {"uint64", 8, false, false},
    {"float8_e4m3fn", 1, true, true},
    {"float8_e4m3fnuz", 1, true, true},
    {"float8_e5m2", 1, true, true},
    {"float8_e5m2fnuz", 1, true, true},
    {"float8_e8m0fnu", 1, true, false},
    {"qint8", 1, false, true},
    {"quint8", 1, false, false},
    {"qint32", 4, false, true},
}};
const NamedOnly* named_only(PyObject* self) {
  const int index = named(self)->value - kDTypeCount;
  return index < 0 ? nullptr : &kNamedOnly.at(static_cast<size_t>(index));
}

PyObject* dtype_is_float(PyObject* self, void* /*unused*/) {
  if (const NamedOnly* only = named_only(self)) return PyBool_FromLong(only->is_float);
  return PyBool_FromLong(is_float(dtype_of(self)));
}
PyObject* dtype_is_complex(PyObject* self, void* /*unused*/) {
  return PyBool_FromLong(named_only(self) == nullptr && is_complex(dtype_of(self)));
}
PyObject* dtype_to_complex(PyObject* self, PyObject* /*unused*/) {
  return guarded([&] {
    const DType dtype = dtype_of(self);
    check<RuntimeError>(is_inexact(dtype), [&] {
      return concat("to_complex: no complex dtype has parts of ", info(dtype).name);
    });
    return Object::borrow(dtype_object(complex_dtype(dtype))).release();
  });
}
PyObject* dtype_to_real(PyObject* self, PyObject* /*unused*/) {
  if (named_only(self) != nullptr) return Object::borrow(self).release();
  return Object::borrow(dtype_object(real_dtype(dtype_of(self)))).release();
}
PyObject* dtype_is_signed(PyObject* self, void* /*unused*/) {
  if (const NamedOnly* only = named_only(self)) return PyBool_FromLong(only->is_signed);
  return PyBool_FromLong(info(dtype_of(self)).is_signed);
}
PyObject* dtype_item_size(PyObject* self, void* /*unused*/) {
  if (const NamedOnly* only = named_only(self)) return PyLong_FromLong(only->size);
  return PyLong_FromLong(info(dtype_of(self)).size);
}
PyObject* dtype_name(PyObject* self, void* /*unused*/) {
  Py_INCREF(named(self)->name);
  return named(self)->name;
}

std::array<PyMethodDef, 2> named_methods{{
    {"__reduce__", named_reduce, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
}};
std::array<PyMethodDef, 4> dtype_methods{{
    {"__reduce__", named_reduce, METH_NOARGS, nullptr},
    {"to_complex", dtype_to_complex, METH_NOARGS, "The complex type with parts of this one."},
    {"to_real", dtype_to_real, METH_NOARGS, "The type of a complex type's parts."},
    {nullptr, nullptr, 0, nullptr},
}};
std::array<PyGetSetDef, 6> dtype_attributes{{
    {"is_floating_point", dtype_is_float, nullptr, "True for floating point types.", nullptr},
    {"is_complex", dtype_is_complex, nullptr, "True for complex types.", nullptr},
    {"is_signed", dtype_is_signed, nullptr, "True if negative numbers can be held.", nullptr},
    {"itemsize", dtype_item_size, nullptr, "Bytes of one element.", nullptr},
    {"name", dtype_name, nullptr, "The name, as in flambeau.NAME.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
}};

template <class Function>
void* slot(Function function) {
  return reinterpret_cast<void*>(function);
}

PyTypeObject* make_named_type(PyObject* module, const char* full_name, PyGetSetDef* attributes,
                              PyMethodDef* methods = named_methods.data()) {
  std::array<PyType_Slot, 4> slots{{
      {Py_tp_repr, slot(named_repr)},
      {Py_tp_methods, methods},
      {attributes != nullptr ? Py_tp_getset : 0, attributes},
      {0, nullptr},
  }};
  PyType_Spec spec{full_name, sizeof(NamedObject), 0, Py_TPFLAGS_DEFAULT, slots.data()};
  Object type = checked(PyType_FromSpec(&spec));
  // Only the constants exist: the class cannot be called.
  reinterpret_cast<PyTypeObject*>(type.get())->tp_new = nullptr;
  checked(PyObject_SetAttrString(module, full_name + std::strlen("flambeau."), type.get()));
  return reinterpret_cast<PyTypeObject*>(type.release());
}

PyObject* add_named(PyObject* module, PyTypeObject* type, std::string_view name, int value) {
  PyObject* object = checked(type->tp_alloc(type, 0)).release();
  named(object)->name = interned(name);
  named(object)->value = value;
  checked(PyObject_SetAttr(module, named(object)->name, object));
  return object;
}

// ---- device ------------------------------------------------------------------------------------

constexpr std::array<std::string_view, 4> kDeviceTypes{"cpu", "cuda", "mps", "meta"};

struct Device {
  std::string type;
  int64_t index = -1;
};

Device parse_device(const std::string& text) {
  const size_t colon = text.find(':');
  Device result{text.substr(0, colon)};
  const bool known =
      std::find(kDeviceTypes.begin(), kDeviceTypes.end(), result.type) != kDeviceTypes.end();
  check(known, [&] {
    return concat(
        "device: Expected one of cpu, cuda, mps, meta device type at start of device "
        "string: ",
        text);
  });
  if (colon == std::string::npos) return result;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + colon + 1, end, result.index);
  check(error == std::errc() && stop == end && result.index >= 0,
        [&] { return concat("device: Invalid device string: '", text, "'"); });
  return result;
}

PyObject* device_make(PyTypeObject* /*type*/, PyObject* args, PyObject* kwargs) {
  return guarded([&]() -> PyObject* {
    static const char* const names[] = {"type", "index", nullptr};
    PyObject* type = nullptr;
    PyObject* index = Py_None;
    if (PyArg_ParseTupleAndKeywords(args, kwargs, "O|O:device", const_cast<char**>(names), &type,
                                    &index) == 0)
      throw PythonError();
    if (is_device(type)) return Object::borrow(type).release();
    if (PyLong_Check(type)) return device_object("cuda", PyLong_AsLongLong(type)).release();
    check<TypeError>(PyUnicode_Check(type) != 0, [&] {
      return concat("device(): argument 'type' must be str, not ", type_name(type));
    });
    Device parsed = parse_device(text_of(type));
    if (index != Py_None) {
      check(parsed.index < 0, [&] {
        return concat(
            "device: type (string) must not include an index because index was passed "
            "explicitly: ",
            text_of(type));
      });
      parsed.index = PyLong_AsLongLong(index);
      if (PyErr_Occurred() != nullptr) throw PythonError();
      check(parsed.index >= 0, [&] {
        return concat("device: Device index must not be negative, got ", parsed.index);
      });
    }
    return device_object(parsed.type, parsed.index).release();
  });
}

void device_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  Py_XDECREF(device(self)->type);
  Py_XDECREF(device(self)->index);
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* device_repr(PyObject* self) {
  if (device(self)->index == Py_None)
    return PyUnicode_FromFormat("device(type='%U')", device(self)->type);
  return PyUnicode_FromFormat("device(type='%U', index=%S)", device(self)->type,
                              device(self)->index);
}

PyObject* device_str(PyObject* self) {
  if (device(self)->index == Py_None) return PyUnicode_FromFormat("%U", device(self)->type);
  return PyUnicode_FromFormat("%U:%S", device(self)->type, device(self)->index);
}

PyObject* device_compare(PyObject* self, PyObject* other, int operation) {
  if (!is_device(other) || (operation != Py_EQ && operation != Py_NE)) Py_RETURN_NOTIMPLEMENTED;
  const int equal = PyUnicode_Compare(device(self)->type, device(other)->type) == 0
                        ? PyObject_RichCompareBool(device(self)->index, device(other)->index, Py_EQ)
                        : 0;
  if (equal < 0) return nullptr;
  return PyBool_FromLong((equal != 0) == (operation == Py_EQ));
}

Py_hash_t device_hash(PyObject* self) {
  PyObject* pair = PyTuple_Pack(2, device(self)->type, device(self)->index);
  if (pair == nullptr) return -1;
  const Py_hash_t result = PyObject_Hash(pair);
  Py_DECREF(pair);
  return result;
}

PyObject* device_reduce(PyObject* self, PyObject* /*unused*/) {
  if (device(self)->index == Py_None)
    return Py_BuildValue("(O(O))", device_type, device(self)->type);
  return Py_BuildValue("(O(OO))", device_type, device(self)->type, device(self)->index);
}

/// The default devices of this thread, the innermost last: `with` adds one.
std::vector<std::string>& default_devices() {
  static thread_local std::vector<std::string> devices{"cpu"};
  return devices;
}

PyObject* device_enter(PyObject* self, PyObject* /*unused*/) {
  return guarded([&] {
    std::string type;
    device_from(self, type);
    default_devices().push_back(type);
    return Object::borrow(self).release();
  });
}
PyObject* device_exit(PyObject* /*self*/, PyObject* /*unused*/) {
  if (default_devices().size() > 1) default_devices().pop_back();
  Py_RETURN_NONE;
}
PyObject* set_default_device(PyObject* /*module*/, PyObject* device) {
  return guarded([&] {
    std::string type = "cpu";
    check<TypeError>(device == Py_None || device_from(device, type), [&] {
      return concat("set_default_device(): argument 'device' must be torch.device, not ",
                    type_name(device));
    });
    default_devices().back() = type;
    return Object::borrow(Py_None).release();
  });
}
PyObject* get_default_device(PyObject* /*module*/, PyObject* /*unused*/) {
  return guarded([] { return device_object(default_device()).release(); });
}

std::array<PyMethodDef, 3> device_functions{{
    {"_set_default_device", set_default_device, METH_O,
     "Where tensors are made from now on; None for the CPU."},
    {"_get_default_device", get_default_device, METH_NOARGS, "Where tensors are made."},
    {nullptr, nullptr, 0, nullptr},
}};

std::array<PyMethodDef, 4> device_methods{{
    {"__reduce__", device_reduce, METH_NOARGS, nullptr},
    {"__enter__", device_enter, METH_NOARGS, "Tensors are made there until __exit__."},
    {"__exit__", device_exit, METH_VARARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
}};
std::array<PyMemberDef, 3> device_members{{
    {"type", T_OBJECT_EX, offsetof(DeviceObject, type), READONLY, "\"cpu\" or \"cuda\"."},
    {"index", T_OBJECT_EX, offsetof(DeviceObject, index), READONLY, "The number, or None."},
    {nullptr, 0, 0, 0, nullptr},
}};

void add_device_type(PyObject* module) {
  std::array<PyType_Slot, 10> slots{{
      {Py_tp_new, slot(device_make)},
      {Py_tp_dealloc, slot(device_dealloc)},
      {Py_tp_repr, slot(device_repr)},
      {Py_tp_str, slot(device_str)},
      {Py_tp_richcompare, slot(device_compare)},
      {Py_tp_hash, slot(device_hash)},
      {Py_tp_methods, device_methods.data()},
      {Py_tp_members, device_members.data()},
      {Py_tp_doc, const_cast<char*>("Where a tensor's memory is: device('cpu').")},
      {0, nullptr},
  }};
  PyType_Spec spec{"flambeau.device", sizeof(DeviceObject), 0, Py_TPFLAGS_DEFAULT, slots.data()};
  device_type = reinterpret_cast<PyTypeObject*>(checked(PyType_FromSpec(&spec)).release());
  checked(PyObject_SetAttrString(module, "device", reinterpret_cast<PyObject*>(device_type)));
  checked(PyModule_AddFunctions(module, device_functions.data()));
}

bool word_from(PyObject* object, PyTypeObject* type, std::string& word) {
  if (Py_TYPE(object) != type) return false;
  word = text_of(named(object)->name);
  return true;
}

}  // namespace

void add_constants(PyObject* module) {
  add_size_type(module);
  dtype_type =
      make_named_type(module, "flambeau.dtype", dtype_attributes.data(), dtype_methods.data());
  layout_type = make_named_type(module, "flambeau.layout", nullptr);
  memory_format_type = make_named_type(module, "flambeau.memory_format", nullptr);
  for (int i = 0; i < kDTypeCount; ++i)
    dtype_objects[static_cast<size_t>(i)] =
        add_named(module, dtype_type, info(static_cast<DType>(i)).name, i);
  for (int i = 0; i < static_cast<int>(kNamedOnly.size()); ++i)
    add_named(module, dtype_type, kNamedOnly.at(static_cast<size_t>(i)).name, kDTypeCount + i);
  strided_object = add_named(module, layout_type, "strided", 0);
  for (const char* word :
       {"sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc", "jagged"})
    add_named(module, layout_type, word, 1);
  for (const char* word :
       {"contiguous_format", "preserve_format", "channels_last", "channels_last_3d"})
    add_named(module, memory_format_type, word, 0);
  add_device_type(module);
}

PyObject* dtype_object(DType dtype) { return dtype_objects[static_cast<size_t>(dtype)]; }
bool is_dtype(PyObject* object) { return Py_TYPE(object) == dtype_type; }
DType dtype_of(PyObject* object) {
  check<NotImplementedError>(named_only(object) == nullptr, [&] {
    return concat("torch.", text_of(named(object)->name),
                  ": Flambeau has no tensors of this dtype yet");
  });
  return static_cast<DType>(named(object)->value);
}

namespace {

/// The dtype that one of Python's own types stands for.
std::optional<DType> dtype_of_type(PyObject* object) {
  if (object == reinterpret_cast<PyObject*>(&PyFloat_Type)) return DType::Float64;
  if (object == reinterpret_cast<PyObject*>(&PyLong_Type)) return DType::Int64;
  if (object == reinterpret_cast<PyObject*>(&PyBool_Type)) return DType::Bool;
  if (object == reinterpret_cast<PyObject*>(&PyComplex_Type)) return DType::Complex128;
  return std::nullopt;
}

}  // namespace

bool names_dtype(PyObject* object) { return is_dtype(object) || dtype_of_type(object).has_value(); }

bool dtype_from(PyObject* object, DType& result) {
  if (is_dtype(object)) {
    result = dtype_of(object);
    return true;
  }
  const std::optional<DType> dtype = dtype_of_type(object);
  if (dtype) result = *dtype;
  return dtype.has_value();
}

DType DTypeArgument::dtype() const {
  DType result{};
  dtype_from(object, result);
  return result;
}

Object device_object(const std::string& type, int64_t index) {
  Object object = checked(device_type->tp_alloc(device_type, 0));
  device(object.get())->type = interned(type);
  device(object.get())->index =
      index < 0 ? Object::borrow(Py_None).release() : checked(PyLong_FromLongLong(index)).release();
  return object;
}

bool is_device(PyObject* object) { return Py_TYPE(object) == device_type; }

bool device_from(PyObject* object, std::string& type) {
  if (is_device(object))
    type = text_of(device(object)->type);
  else if (PyUnicode_Check(object))
    type = parse_device(text_of(object)).type;
  else
    return false;
  check(type == "cpu" || type == "meta", [&] {
    return concat("device: '", type, "' is not available: this build of Flambeau runs on the CPU");
  });
  return true;
}

const std::string& default_device() { return default_devices().back(); }

bool layout_from(PyObject* object, std::string& word) {
  return word_from(object, layout_type, word);
}
bool memory_format_from(PyObject* object, std::string& word) {
  return word_from(object, memory_format_type, word);
}
PyObject* layout_object() { return strided_object; }

}  // namespace flambeau::bind
