#include "bind/storage_type.h"

#include <array>
#include <cstring>

#include "base/error.h"
#include "bind/constants.h"
#include "io/file.h"

namespace flambeau::bind {
namespace {

struct StorageObject {
  PyObject_HEAD Storage* storage;
};

PyTypeObject* storage_type = nullptr;

Storage* storage_of(PyObject* self) { return reinterpret_cast<StorageObject*>(self)->storage; }

void dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  delete storage_of(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* byte_count(PyObject* self, PyObject* /*unused*/) {
  return PyLong_FromSize_t(storage_of(self)->bytes());
}
Py_ssize_t length(PyObject* self) { return static_cast<Py_ssize_t>(storage_of(self)->bytes()); }
PyObject* data_pointer(PyObject* self, PyObject* /*unused*/) {
  return guarded([&] {
    const Storage& storage = *storage_of(self);
    return PyLong_FromVoidPtr(storage.is_meta() ? nullptr : storage.data());
  });
}
PyObject* device(PyObject* self, void* /*unused*/) {
  return guarded(
      [&] { return device_object(storage_of(self)->is_meta() ? "meta" : "cpu").release(); });
}
/// A storage of this many bytes without memory.
PyObject* meta(PyObject* /*type*/, PyObject* bytes) {
  return guarded([&] {
    const size_t count = PyLong_AsSize_t(bytes);
    if (PyErr_Occurred() != nullptr) throw PythonError();
    const WithoutMemory size_alone;
    return wrap_storage(make_ref<Storage>(count));
  });
}

/// A part of a storage as a storage of its own, on the same memory.
Ref<Storage> window(const Ref<Storage>& whole, size_t start, size_t count) {
  const Sharing sharing = whole->read_only() ? Sharing::ReadOnly : Sharing::Shared;
  if (count == 0) return make_ref<Storage>(nullptr, size_t{0}, [] {}, sharing);
  // Each is memory of somebody else to what is recorded on the other.
  whole->add_export();
  auto* data = static_cast<std::byte*>(whole->data()) + start;
  return make_ref<Storage>(data, count, [whole] { whole->remove_export(); }, sharing);
}

/// A storage with a copy of the bytes.
PyObject* from_bytes(PyObject* /*type*/, PyObject* bytes) {
  return guarded([&] {
    Py_buffer view;
    checked(PyObject_GetBuffer(bytes, &view, PyBUF_SIMPLE));
    const Ref<Storage> storage = make_ref<Storage>(static_cast<size_t>(view.len));
    if (view.len > 0) std::memcpy(storage->data(), view.buf, storage->bytes());
    PyBuffer_Release(&view);
    return wrap_storage(storage);
  });
}

/// A private mapping of a file: what is written stays in this process.
PyObject* from_file(PyObject* /*type*/, PyObject* args, PyObject* kwargs) {
  return guarded([&] {
    static const char* const names[] = {"filename", "shared", "nbytes", nullptr};
    PyObject* path = nullptr;
    int shared = 0;
    Py_ssize_t bytes = 0;
    if (PyArg_ParseTupleAndKeywords(args, kwargs, "O&|pn:from_file", const_cast<char**>(names),
                                    PyUnicode_FSConverter, &path, &shared, &bytes) == 0)
      throw PythonError();
    const Object encoded = Object::steal(path);
    check<NotImplementedError>(shared == 0, [] {
      return std::string(
          "UntypedStorage.from_file: Flambeau does not have shared=True yet, in which writes reach "
          "the file");
    });
    const Ref<Storage> file = io::map_file(PyBytes_AsString(path), false);
    check(bytes >= 0 && static_cast<size_t>(bytes) <= file->bytes(), [&] {
      return concat("UntypedStorage.from_file: the file has ", file->bytes(), " bytes, fewer than ",
                    bytes);
    });
    return wrap_storage(window(file, 0, bytes == 0 ? file->bytes() : static_cast<size_t>(bytes)));
  });
}

PyObject* byte_at(const Storage& storage, Py_ssize_t place) {
  return PyLong_FromLong(static_cast<const unsigned char*>(storage.readable_data())[place]);
}

/// For iteration, which ends at the IndexError.
PyObject* item(PyObject* self, Py_ssize_t place) {
  return guarded([&] {
    const Storage& storage = *storage_of(self);
    check<IndexError>(place >= 0 && static_cast<size_t>(place) < storage.bytes(), [&] {
      return concat("UntypedStorage: index ", place, " is out of range for ", storage.bytes(),
                    " bytes");
    });
    return byte_at(storage, place);
  });
}

/// storage[2:5], the same memory; storage[2], a byte.
PyObject* get_item(PyObject* self, PyObject* key) {
  return guarded([&] {
    const Ref<Storage> storage(storage_of(self));
    const auto size = static_cast<Py_ssize_t>(storage->bytes());
    if (PySlice_Check(key) != 0) {
      Py_ssize_t start = 0;
      Py_ssize_t stop = 0;
      Py_ssize_t step = 0;
      checked(PySlice_Unpack(key, &start, &stop, &step));
      const Py_ssize_t count = PySlice_AdjustIndices(size, &start, &stop, step);
      check(step == 1,
            [&] { return concat("UntypedStorage: the step of a slice must be 1, got ", step); });
      return wrap_storage(window(storage, static_cast<size_t>(start), static_cast<size_t>(count)));
    }
    Py_ssize_t place = PyNumber_AsSsize_t(key, PyExc_IndexError);
    if (place == -1 && PyErr_Occurred() != nullptr) throw PythonError();
    check<IndexError>(place >= -size && place < size, [&] {
      return concat("UntypedStorage: index ", place, " is out of range for ", size, " bytes");
    });
    if (place < 0) place += size;
    return byte_at(*storage, place);
  });
}

// Tensors that share a storage share it again when pickled or copied together: a storage has one
// object, which pickle and deepcopy remember.
PyObject* reduce(PyObject* self, PyObject* /*unused*/) {
  return guarded([&] {
    const Storage* storage = storage_of(self);
    if (storage->is_meta()) {
      const Object make =
          checked(PyObject_GetAttrString(reinterpret_cast<PyObject*>(storage_type), "_meta"));
      return checked(Py_BuildValue("(O(n))", make.get(), static_cast<Py_ssize_t>(storage->bytes())))
          .release();
    }
    const Object bytes = checked(PyBytes_FromStringAndSize(
        static_cast<const char*>(storage->data()), static_cast<Py_ssize_t>(storage->bytes())));
    const Object make =
        checked(PyObject_GetAttrString(reinterpret_cast<PyObject*>(storage_type), "_from_bytes"));
    return checked(Py_BuildValue("(O(O))", make.get(), bytes.get())).release();
  });
}

PyObject* itself(PyObject* self, PyObject* /*unused*/) {
  Py_INCREF(self);
  return self;
}

std::array<PyMethodDef, 8> methods{{
    {"nbytes", byte_count, METH_NOARGS, "The number of bytes."},
    {"data_ptr", data_pointer, METH_NOARGS, "The address."},
    {"_from_bytes", from_bytes, METH_O | METH_STATIC, "A storage with a copy of the bytes."},
    {"_meta", meta, METH_O | METH_STATIC, "A storage of so many bytes that has no memory."},
    {"from_file", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(from_file)),
     METH_VARARGS | METH_KEYWORDS | METH_STATIC,
     "from_file(filename, shared=False, nbytes=0): a file as memory, by mapping."},
    {"untyped", itself, METH_NOARGS, "The storage itself."},
    {"__reduce__", reduce, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
}};
std::array<PyGetSetDef, 2> attributes{{
    {"device", device, nullptr, "Where the memory is.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
}};

}  // namespace

void add_storage_type(PyObject* module) {
  const auto slot = [](auto function) { return reinterpret_cast<void*>(function); };
  std::array<PyType_Slot, 8> slots{{
      {Py_tp_dealloc, slot(dealloc)},
      {Py_tp_methods, methods.data()},
      {Py_tp_getset, attributes.data()},
      {Py_sq_length, slot(length)},
      {Py_sq_item, slot(item)},
      {Py_mp_subscript, slot(get_item)},
      {Py_tp_doc, const_cast<char*>("A block of memory that tensors share.")},
      {0, nullptr},
  }};
  PyType_Spec spec{"flambeau.UntypedStorage", sizeof(StorageObject), 0, Py_TPFLAGS_DEFAULT,
                   slots.data()};
  storage_type = reinterpret_cast<PyTypeObject*>(checked(PyType_FromSpec(&spec)).release());
  storage_type->tp_new = nullptr;  // Tensors make them.
  checked(
      PyObject_SetAttrString(module, "UntypedStorage", reinterpret_cast<PyObject*>(storage_type)));
}

PyObject* wrap_storage(const Ref<Storage>& storage) {
  if (auto* object = static_cast<PyObject*>(storage->wrapper()))
    return Object::borrow(object).release();
  PyObject* object = checked(storage_type->tp_alloc(storage_type, 0)).release();
  reinterpret_cast<StorageObject*>(object)->storage = storage.get();
  Py_INCREF(object);
  storage->set_wrapper(object);
  return object;
}

Ref<Storage> storage_from(PyObject* object) {
  check<TypeError>(Py_TYPE(object) == storage_type, [&] {
    return concat("expected UntypedStorage, not ", Py_TYPE(object)->tp_name);
  });
  return Ref<Storage>(storage_of(object));
}

}  // namespace flambeau::bind
