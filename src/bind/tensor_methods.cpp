#include "bind/tensor_methods.h"

#include "autograd/grad_mode.h"
#include "autograd/node.h"
#include "autograd/vmap.h"
#include "bind/constants.h"
#include "bind/construct.h"
#include "bind/convert.h"
#include "bind/dlpack.h"
#include "bind/keywords.h"
#include "bind/overrides.h"
#include "bind/storage_type.h"
#include "bind/tensor_type.h"
#include "compile/recorder.h"
#include "ops/registry.h"
#include "tensor/print.h"

namespace flambeau::bind {
namespace {

Object integer(int64_t value) { return checked(PyLong_FromLongLong(value)); }
Object boolean(bool value) { return checked(PyBool_FromLong(value)); }

/// A method without arguments, from a function of a tensor.
template <auto function>
PyObject* no_arguments(PyObject* self, PyObject* /*unused*/) {
  return guarded([&] { return Object(function(tensor_of(self))).release(); });
}

PyObject* size(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  return guarded([&] {
    const auto [dim] = parameters<1>("size", {"dim"}, args, count, keywords);
    const Tensor tensor = tensor_of(self);
    if (!given(dim)) return size_object(tensor.sizes()).release();
    return integer(tensor.size(require_int(dim, "size", "dim"))).release();
  });
}

PyObject* stride(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  return guarded([&] {
    const auto [dim] = parameters<1>("stride", {"dim"}, args, count, keywords);
    const Tensor tensor = tensor_of(self);
    if (!given(dim)) return int_tuple(tensor.strides()).release();
    return integer(tensor.stride(require_int(dim, "stride", "dim"))).release();
  });
}

PyObject* is_contiguous(PyObject* self, PyObject* const* args, Py_ssize_t count,
                        PyObject* keywords) {
  return guarded([&] {
    const auto [format] = parameters<1>("is_contiguous", {"memory_format"}, args, count, keywords);
    std::string word = "contiguous_format";
    check<TypeError>(!given(format) || memory_format_from(format, word), [&] {
      return concat("is_contiguous(): argument 'memory_format' must be torch.memory_format, not ",
                    type_name(format));
    });
    check<NotImplementedError>(word == "contiguous_format", [&] {
      return concat("is_contiguous: the memory format ", word, " is not supported");
    });
    return boolean(tensor_of(self).is_contiguous()).release();
  });
}

PyObject* requires_grad_(PyObject* self, PyObject* const* args, Py_ssize_t count,
                         PyObject* keywords) {
  return guarded([&] {
    const auto [value] = parameters<1>("requires_grad_", {"requires_grad"}, args, count, keywords);
    bool wanted = true;
    check<TypeError>(value == nullptr || bool_from(value, wanted), [&] {
      return concat("requires_grad_(): argument 'requires_grad' must be bool, not ",
                    type_name(value));
    });
    // To ask for what a computed tensor has is no change.
    if (!wanted || is_leaf(tensor_of(self))) set_requires_grad(tensor_of(self), wanted);
    return Object::borrow(self).release();
  });
}

void check_exportable(const Tensor& tensor, const char* function) {
  check(!requires_grad(tensor), [&] {
    return concat("Can't call ", function, "() on Tensor that requires grad. Use tensor.detach().",
                  function, "() instead.");
  });
}

PyObject* numpy(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  return guarded([&] {
    const auto [forced] = parameters<1>("numpy", {"force"}, args, count, keywords);
    bool force = false;
    if (forced != nullptr) bool_from(forced, force);
    Tensor tensor = tensor_of(self);
    // Where no history is made, an array can miss none.
    if (!grad_enabled()) force = true;
    check<TypeError>(!tensor.is_meta(), [] {
      return std::string(
          "can't convert meta device type tensor to numpy. Use Tensor.cpu() to copy the tensor to "
          "host memory first.");
    });
    if (force)
      tensor = tensor.detach();
    else
      check_exportable(tensor, "numpy");
    check<TypeError>(format_of(tensor.dtype()) != nullptr, [&] {
      return concat("Got unsupported ScalarType ", info(tensor.dtype()).name);
    });
    const Object source = checked(wrap(tensor));
    static PyObject* as_array = imported("numpy", "asarray").release();
    const Object view = checked(PyMemoryView_FromObject(source.get()));
    return checked(PyObject_CallOneArg(as_array, view.get())).release();
  });
}

PyObject* make_subclass(PyObject* /*self*/, PyObject* const* args, Py_ssize_t count,
                        PyObject* keywords) {
  return guarded([&] {
    const auto [type, data, needs_grad] =
        parameters<3>("_make_subclass", {"cls", "data", "require_grad"}, args, count, keywords);
    check<TypeError>(
        type != nullptr && PyType_Check(type) &&
            PyType_IsSubtype(reinterpret_cast<PyTypeObject*>(type), tensor_type) != 0 &&
            data != nullptr && is_tensor(data),
        [] { return std::string("_make_subclass(): needs a subclass of Tensor and a Tensor"); });
    const Tensor result = tensor_of(data).detach();
    Object object = checked(wrap_as(result, reinterpret_cast<PyTypeObject*>(type)));
    if (needs_grad != nullptr && needs_grad == Py_True) set_requires_grad(result, true);
    return object.release();
  });
}

PyObject* storage_of(const Tensor& tensor) { return wrap_storage(tensor->storage); }

// ---- attributes
// ----------------------------------------------------------------------------------

template <auto function>
PyObject* attribute(PyObject* self, void* /*unused*/) {
  return guarded([&] { return Object(function(tensor_of(self))).release(); });
}
template <auto function>
PyObject* borrowed_attribute(PyObject* self, void* /*unused*/) {
  return guarded([&] { return Object::borrow(function(tensor_of(self))).release(); });
}

int set_requires_grad_attribute(PyObject* self, PyObject* value, void* /*unused*/) {
  return guarded_int([&] {
    bool wanted = false;
    check<TypeError>(value != nullptr && bool_from(value, wanted),
                     [] { return std::string("requires_grad must be a bool"); });
    set_requires_grad(tensor_of(self), wanted);
    return 0;
  });
}

int set_grad_attribute(PyObject* self, PyObject* value, void* /*unused*/) {
  return guarded_int([&] {
    const Tensor tensor = tensor_of(self);
    if (!given(value)) {
      set_grad(tensor, {});
      return 0;
    }
    check<TypeError>(is_tensor(value), [&] {
      return concat("assigned grad expected to be a Tensor or None but got grad of type ",
                    type_name(value));
    });
    check(value != self, [] { return std::string("can't assign Variable as its own grad"); });
    const Tensor gradient = tensor_of(value);
    check(gradient.sizes() == tensor.sizes(), [&] {
      return concat("assigned grad has data of a different size: got ", list_text(gradient.sizes()),
                    ", expected ", list_text(tensor.sizes()));
    });
    check(gradient.dtype() == tensor.dtype(), [&] {
      return concat("assigned grad has data of a different type: got ", info(gradient.dtype()).name,
                    ", expected ", info(tensor.dtype()).name);
    });
    set_grad(tensor, gradient);
    return 0;
  });
}

int set_data_attribute(PyObject* self, PyObject* value, void* /*unused*/) {
  return guarded_int([&] {
    check<TypeError>(value != nullptr && is_tensor(value), [&] {
      return concat("Variable data has to be a tensor, but got ",
                    value != nullptr ? type_name(value) : "nothing");
    });
    const Tensor target = tensor_of(self);
    const Tensor source = tensor_of(value);
    check(is_inexact(source.dtype()) || !requires_grad(target), [&] {
      return concat("data set to a tensor that requires gradients must be floating point, got ",
                    info(source.dtype()).name);
    });
    static_cast<TensorInfo&>(*target.impl()) = source.info();
    target->storage = source->storage;
    target->offset = source->offset;
    forget_old_accumulate(target);
    return 0;
  });
}

Object int_from_pointer(const void* pointer) {
  return checked(PyLong_FromUnsignedLongLong(reinterpret_cast<uintptr_t>(pointer)));
}

int64_t byte_count(const Tensor& tensor) {
  return tensor.numel() * static_cast<int64_t>(size_of(tensor.dtype()));
}

/// Tensors of vmap have no memory of their own either, but those behind them have.
bool is_meta(const Tensor& tensor) { return tensor.is_meta() && find_batched(tensor) == nullptr; }

Tensor detached(const Tensor& tensor) {
  const Batched* batched = find_batched(tensor);
  if (batched == nullptr) return tensor.detach();
  return make_batched(batched->physical.detach(), {batched->levels.data(), batched->levels.size()});
}

void check_one_member(const Tensor& tensor, const char* what) {
  check(find_batched(tensor) == nullptr, [&] {
    return concat("vmap: It looks like you're calling .", what,
                  " on a Tensor, or using one in data-dependent control flow. Within vmap a tensor "
                  "has a value for each member; please use other operations (torch.where)");
  });
}

Object number(const Tensor& tensor, DTypeCategory kind) {
  check_one_member(tensor, "item()");
  check<ValueError>(tensor.numel() == 1, [] {
    return std::string("only one element tensors can be converted to Python scalars");
  });
  const Scalar item = tensor.item();
  check(item.imag() == 0, [&] {
    return concat("value cannot be converted to type ",
                  kind == DTypeCategory::Float ? "double" : "int64_t", " without overflow");
  });
  const Object value = number_object(item.is_complex() ? Scalar(item.to_double()) : item);
  return checked(kind == DTypeCategory::Float ? PyNumber_Float(value.get())
                                              : PyNumber_Long(value.get()));
}

/// A function with METH_FASTCALL | METH_KEYWORDS as the table's type has it.
PyCFunction fast(PyObject* (*function)(PyObject*, PyObject* const*, Py_ssize_t, PyObject*)) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

std::array methods{
    PyMethodDef{"size", fast(size), METH_FASTCALL | METH_KEYWORDS, "size(dim=None) -> Size or int"},
    PyMethodDef{"stride", fast(stride), METH_FASTCALL | METH_KEYWORDS,
                "stride(dim=None) -> tuple of ints or int, in elements"},
    PyMethodDef{"is_contiguous", fast(is_contiguous), METH_FASTCALL | METH_KEYWORDS,
                "True if the elements lie in row-major order."},
    PyMethodDef{"requires_grad_", fast(requires_grad_), METH_FASTCALL | METH_KEYWORDS,
                "requires_grad_(requires_grad=True) -> Tensor"},
    PyMethodDef{"numpy", fast(numpy), METH_FASTCALL | METH_KEYWORDS,
                "numpy(*, force=False) -> ndarray on the same memory"},
    PyMethodDef{"_make_subclass", fast(make_subclass), METH_FASTCALL | METH_KEYWORDS | METH_STATIC,
                "_make_subclass(cls, data, require_grad=False): data as an instance of cls"},
    PyMethodDef{"dim", no_arguments<[](const Tensor& t) { return integer(t.dim()); }>, METH_NOARGS,
                "The number of axes."},
    PyMethodDef{"ndimension", no_arguments<[](const Tensor& t) { return integer(t.dim()); }>,
                METH_NOARGS, "The number of axes."},
    PyMethodDef{"numel", no_arguments<[](const Tensor& t) { return integer(t.numel()); }>,
                METH_NOARGS, "The number of elements."},
    PyMethodDef{"nelement", no_arguments<[](const Tensor& t) { return integer(t.numel()); }>,
                METH_NOARGS, "The number of elements."},
    PyMethodDef{"element_size", no_arguments<[](const Tensor& t) {
                  return integer(static_cast<int64_t>(size_of(t.dtype())));
                }>,
                METH_NOARGS, "Bytes of one element."},
    PyMethodDef{"storage_offset", no_arguments<[](const Tensor& t) {
                  compiler::Recorder::of_thread().note_offset(t);
                  return integer(t->offset);
                }>,
                METH_NOARGS, "Place of the first element in the storage, in elements."},
    PyMethodDef{"data_ptr", no_arguments<[](const Tensor& t) {
                  return int_from_pointer(t.numel() > 0 && !t.is_meta() ? t.data_ptr() : nullptr);
                }>,
                METH_NOARGS, "Address of the first element."},
    PyMethodDef{"untyped_storage", no_arguments<[](const Tensor& t) {
                  compiler::Recorder::of_thread().note_offset(t);
                  return checked(storage_of(t));
                }>,
                METH_NOARGS, "The storage."},
    PyMethodDef{"item", no_arguments<[](const Tensor& t) {
                  check_one_member(t, "item()");
                  return number_object(t.item());
                }>,
                METH_NOARGS, "The only element as a Python number."},
    PyMethodDef{"tolist", no_arguments<list_of>, METH_NOARGS,
                "The elements as nested lists, or a number."},
    PyMethodDef{"detach", no_arguments<[](const Tensor& t) { return checked(wrap(detached(t))); }>,
                METH_NOARGS, "The same memory without history."},
    PyMethodDef{"is_floating_point",
                no_arguments<[](const Tensor& t) { return boolean(is_float(t.dtype())); }>,
                METH_NOARGS, "True for floating point dtypes."},
    PyMethodDef{"is_complex",
                no_arguments<[](const Tensor& t) { return boolean(is_complex(t.dtype())); }>,
                METH_NOARGS, "True for complex dtypes."},
    PyMethodDef{"is_conj", no_arguments<[](const Tensor&) { return boolean(false); }>, METH_NOARGS,
                "True if a conjugation is pending: never."},
    PyMethodDef{"is_neg", no_arguments<[](const Tensor&) { return boolean(false); }>, METH_NOARGS,
                "True if a negation is pending: never."},
    PyMethodDef{"__complex__", no_arguments<[](const Tensor& t) {
                  check<ValueError>(t.numel() == 1, [] {
                    return std::string(
                        "only one element tensors can be converted to Python scalars");
                  });
                  return number_object(t.item().to_complex());
                }>,
                METH_NOARGS, "The only element as a complex number."},
    PyMethodDef{"is_signed",
                no_arguments<[](const Tensor& t) { return boolean(info(t.dtype()).is_signed); }>,
                METH_NOARGS, "True if the dtype has negative numbers."},
    PyMethodDef{"is_inference",
                no_arguments<[](const Tensor& t) { return boolean(t->is_inference); }>, METH_NOARGS,
                "True if made in inference mode."},
    PyMethodDef{"get_device", no_arguments<[](const Tensor&) { return integer(-1); }>, METH_NOARGS,
                "The number of the GPU; -1 on the CPU."},
    PyMethodDef{"retain_grad", no_arguments<[](const Tensor& t) {
                  retain_grad(t);
                  return Object::borrow(Py_None);
                }>,
                METH_NOARGS, "Keeps the gradient of a tensor that is no leaf."},
    PyMethodDef{"_dlpack_capsule", no_arguments<[](const Tensor& t) {
                  check_exportable(t, "__dlpack__");
                  return to_dlpack(t);
                }>,
                METH_NOARGS, "A DLPack capsule of the same memory."},
    PyMethodDef{nullptr, nullptr, 0, nullptr},
};

std::array attributes{
    PyGetSetDef{"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, nullptr, nullptr},
    PyGetSetDef{"shape", attribute<[](const Tensor& t) { return size_object(t.sizes()); }>, nullptr,
                "The size.", nullptr},
    PyGetSetDef{"dtype",
                borrowed_attribute<[](const Tensor& t) { return dtype_object(t.dtype()); }>,
                nullptr, "The element type.", nullptr},
    PyGetSetDef{"device", attribute<[](const Tensor& tensor) {
                  return device_object(is_meta(tensor) ? "meta" : "cpu");
                }>,
                nullptr, "Where the memory is.", nullptr},
    PyGetSetDef{"layout", borrowed_attribute<[](const Tensor&) { return layout_object(); }>,
                nullptr, "torch.strided", nullptr},
    PyGetSetDef{"ndim", attribute<[](const Tensor& t) { return integer(t.dim()); }>, nullptr,
                "The number of axes.", nullptr},
    PyGetSetDef{"itemsize", attribute<[](const Tensor& t) {
                  return integer(static_cast<int64_t>(size_of(t.dtype())));
                }>,
                nullptr, "Bytes of one element.", nullptr},
    PyGetSetDef{"nbytes", attribute<[](const Tensor& t) { return integer(byte_count(t)); }>,
                nullptr, "Bytes of all elements.", nullptr},
    PyGetSetDef{"requires_grad",
                attribute<[](const Tensor& t) { return boolean(requires_grad(t)); }>,
                set_requires_grad_attribute, "Whether gradients are computed for it.", nullptr},
    PyGetSetDef{"grad", attribute<[](const Tensor& t) { return checked(wrap(grad(t))); }>,
                set_grad_attribute, "The gradient, or None.", nullptr},
    PyGetSetDef{"is_leaf", attribute<[](const Tensor& t) { return boolean(is_leaf(t)); }>, nullptr,
                "True if it was not made by a recorded operation.", nullptr},
    PyGetSetDef{"data", attribute<[](const Tensor& t) { return checked(wrap(t.variable_data())); }>,
                set_data_attribute, "The same memory, unknown to autograd.", nullptr},
    PyGetSetDef{"_version", attribute<[](const Tensor& t) {
                  compiler::Recorder::of_thread().note_version(t);
                  return integer(static_cast<int64_t>(t.version()));
                }>,
                nullptr, "How often it was written in place.", nullptr},
    PyGetSetDef{"is_cpu", attribute<[](const Tensor& tensor) { return boolean(!is_meta(tensor)); }>,
                nullptr, nullptr, nullptr},
    PyGetSetDef{"is_cuda", attribute<[](const Tensor&) { return boolean(false); }>, nullptr,
                nullptr, nullptr},
    PyGetSetDef{"is_meta", attribute<[](const Tensor& tensor) { return boolean(is_meta(tensor)); }>,
                nullptr, nullptr, nullptr},
    PyGetSetDef{"is_sparse", attribute<[](const Tensor&) { return boolean(false); }>, nullptr,
                nullptr, nullptr},
    PyGetSetDef{"is_quantized", attribute<[](const Tensor&) { return boolean(false); }>, nullptr,
                nullptr, nullptr},
    PyGetSetDef{nullptr, nullptr, nullptr, nullptr, nullptr},
};

}  // namespace

PyMethodDef* tensor_methods() { return overridable_methods<methods>(); }
PyGetSetDef* tensor_attributes() { return overridable_attributes<attributes>(); }

PyObject* tensor_repr(PyObject* self) {
  return guarded([&] {
    const Tensor tensor = tensor_of(self);
    PrintContext context{.default_dtype = ops::default_dtype()};
    const std::string type = type_name(self);
    // PyTorch shows these two classes alike.
    if (type != "Tensor" && type != "Parameter") context.prefix = type + "(";
    if (const auto node = grad_fn(tensor))
      context.suffixes.push_back("grad_fn=<" + node->name() + ">");
    else if (requires_grad(tensor))
      context.suffixes.emplace_back("requires_grad=True");
    return to_python(text_of(tensor, print_options(), context)).release();
  });
}

Py_ssize_t tensor_length(PyObject* self) {
  const Tensor tensor = tensor_of(self);
  if (tensor.dim() > 0) return tensor.sizes()[0];
  PyErr_SetString(PyExc_TypeError, "len() of a 0-d tensor");
  return -1;
}

int tensor_bool(PyObject* self) {
  return guarded_int([&] {
    const Tensor tensor = tensor_of(self);
    check_one_member(tensor, "__bool__()");
    check(tensor.numel() == 1, [&] {
      return std::string(tensor.numel() == 0
                             ? "Boolean value of Tensor with no values is ambiguous"
                             : "Boolean value of Tensor with more than one value is ambiguous");
    });
    return tensor.item().to_bool() ? 1 : 0;
  });
}

PyObject* tensor_int(PyObject* self) {
  return guarded([&] { return number(tensor_of(self), DTypeCategory::Integer).release(); });
}

PyObject* tensor_float(PyObject* self) {
  return guarded([&] { return number(tensor_of(self), DTypeCategory::Float).release(); });
}

PyObject* tensor_index(PyObject* self) {
  return guarded([&] {
    const Tensor tensor = tensor_of(self);
    check<TypeError>(!is_inexact(tensor.dtype()) && tensor.numel() == 1, [] {
      return std::string("only integer tensors of a single element can be converted to an index");
    });
    return number(tensor, DTypeCategory::Integer).release();
  });
}

/// What a Py_buffer of a tensor points to.
struct LentBuffer {
  explicit LentBuffer(Ref<Storage> memory) : storage(std::move(memory)) { storage->add_export(); }
  ~LentBuffer() { storage->remove_export(); }
  LentBuffer(const LentBuffer&) = delete;
  LentBuffer& operator=(const LentBuffer&) = delete;

  Ref<Storage> storage;
  std::vector<Py_ssize_t> geometry;  ///< sizes, then strides in bytes
};

int tensor_get_buffer(PyObject* self, Py_buffer* view, int flags) {
  view->obj = nullptr;
  return guarded_int([&] {
    const Tensor tensor = tensor_of(self);
    const char* format = format_of(tensor.dtype());
    const bool writable = !tensor->storage->read_only();
    const char* refusal = nullptr;
    if (requires_grad(tensor))
      refusal = "a Tensor that requires grad has no buffer; use tensor.detach()";
    else if (format == nullptr)
      refusal = "a Tensor of a dtype that NumPy lacks (bfloat16, complex32) has no buffer";
    else if (!writable && (flags & PyBUF_WRITABLE) != 0)
      refusal = "the Tensor's memory is read-only";
    else if ((flags & PyBUF_STRIDES) != PyBUF_STRIDES && !tensor.is_contiguous())
      refusal = "the Tensor is not contiguous";
    if (refusal != nullptr) {
      PyErr_SetString(PyExc_BufferError, refusal);
      throw PythonError();
    }
    const auto rank = static_cast<size_t>(tensor.dim());
    const auto element = static_cast<Py_ssize_t>(size_of(tensor.dtype()));
    auto lent = std::make_unique<LentBuffer>(tensor->storage);
    lent->geometry.resize(2 * rank + 1);
    Py_ssize_t* const geometry = lent->geometry.data();
    for (size_t i = 0; i < rank; ++i) {
      geometry[i] = tensor.sizes()[i];
      geometry[rank + i] = tensor.strides()[i] * element;
    }
    view->buf = tensor.data_ptr();
    view->len = byte_count(tensor);
    view->itemsize = element;
    view->readonly = writable ? 0 : 1;
    view->ndim = tensor.dim();
    view->format = (flags & PyBUF_FORMAT) != 0 ? const_cast<char*>(format) : nullptr;
    view->shape = (flags & PyBUF_ND) != 0 ? geometry : nullptr;
    view->strides = (flags & PyBUF_STRIDES) == PyBUF_STRIDES ? geometry + rank : nullptr;
    view->suboffsets = nullptr;
    view->internal = lent.release();
    view->obj = Object::borrow(self).release();
    return 0;
  });
}

void tensor_release_buffer(PyObject* /*self*/, Py_buffer* view) {
  delete static_cast<LentBuffer*>(view->internal);
}

}  // namespace flambeau::bind
