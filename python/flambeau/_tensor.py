"""Methods of Tensor that are not operations and need no speed."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from typing import Any, Callable

from . import _C, _functional, autograd
from ._absent import no_device
from ._C import Tensor
from ._construct import device_of, tensor
from ._overridable import DisableTorchFunctionSubclass, add_to_tensor
from .autograd.hooks import RemovableHandle


def _rebuild_tensor(
    storage: Any, offset: int, size: Any, stride: Any, dtype: Any, requires_grad: bool
) -> Tensor:
    tensor = _C._from_storage(storage, offset, tuple(size), tuple(stride), dtype)
    return tensor.requires_grad_() if requires_grad else tensor


def _reduce_ex(self: Tensor, protocol: int) -> tuple[Any, ...]:
    parts = (
        self.untyped_storage(),
        self.storage_offset(),
        tuple(self.size()),
        self.stride(),
        self.dtype,
        self.requires_grad,
    )
    state = self.__dict__ or None
    if type(self) is Tensor:
        return _rebuild_tensor, parts, state
    return _rebuild_subclass, (type(self), *parts), state


def _rebuild_subclass(cls: type, *parts: Any) -> Tensor:
    *rest, requires_grad = parts
    return Tensor._make_subclass(cls, _rebuild_tensor(*rest, False), requires_grad)  # type: ignore[call-arg]


def _deepcopy(self: Tensor, memo: dict[int, Any]) -> Tensor:
    if id(self) in memo:
        return memo[id(self)]
    if not self.is_leaf:
        raise RuntimeError(
            "Only Tensors created explicitly by the user (graph leaves) support the deepcopy "
            "protocol at the moment"
        )
    rebuild, parts, state = _reduce_ex(self, 2)
    result = rebuild(*copy.deepcopy(parts, memo))
    memo[id(self)] = result
    if self.grad is not None:
        result.grad = copy.deepcopy(self.grad, memo)
    if state is not None:
        result.__dict__.update(copy.deepcopy(state, memo))
    return result


def _format(self: Tensor, spec: str) -> str:
    if self.dim() == 0:
        return format(self.item(), spec)
    return object.__format__(self, spec)


def _array(self: Tensor, dtype: Any = None, copy: bool | None = None) -> Any:
    array = self.numpy()
    return array if dtype is None else array.astype(dtype, copy=False)


def _array_wrap(
    self: Tensor, array: Any, context: Any = None, return_scalar: bool = False
) -> Tensor:
    return _C._as_tensor(array, None)


def _contains(self: Tensor, element: Any) -> bool:
    if isinstance(element, (Tensor, int, float, complex, bool)):
        return bool((element == self).any().item())  # type: ignore[union-attr]
    raise RuntimeError(
        f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {type(element)}."
    )


def _reversed(self: Tensor) -> Tensor:
    return self if self.dim() == 0 else self.flip(0)


def _dlpack(self: Tensor, stream: Any = None, **_: Any) -> Any:
    if self.requires_grad:
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
    return self._dlpack_capsule()


def _dlpack_device(self: Tensor) -> tuple[int, int]:
    return 1, 0


def _register_hook(self: Tensor, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
    return _C._register_hook(self, hook)


def _register_post_accumulate_grad_hook(
    self: Tensor, hook: Callable[[Tensor], None]
) -> RemovableHandle:
    return _C._register_post_accumulate_hook(self, hook)


def _backward(
    self: Tensor,
    gradient: Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Sequence[Tensor] | Tensor | None = None,
) -> None:
    autograd.backward(self, gradient, retain_graph, create_graph, inputs=inputs)


_TYPE_NAMES = {
    _C.float32: "FloatTensor",
    _C.float64: "DoubleTensor",
    _C.float16: "HalfTensor",
    _C.bfloat16: "BFloat16Tensor",
    _C.uint8: "ByteTensor",
    _C.int8: "CharTensor",
    _C.int16: "ShortTensor",
    _C.int32: "IntTensor",
    _C.int64: "LongTensor",
    _C.bool: "BoolTensor",
    _C.complex32: "ComplexHalfTensor",
    _C.complex64: "ComplexFloatTensor",
    _C.complex128: "ComplexDoubleTensor",
}


def _type(self: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
    if dtype is None:
        return ("torch.meta." if self.is_meta else "torch.") + _TYPE_NAMES[self.dtype]
    if isinstance(dtype, str):
        names = {"torch." + name: known for known, name in _TYPE_NAMES.items()}
        if dtype not in names:
            raise ValueError(f"type: invalid type: '{dtype}'")
        dtype = names[dtype]
    return self.to(dtype)


def _as_subclass(self: Tensor, cls: type) -> Tensor:
    """The tensor as an instance of a subclass, with its history and on its memory."""
    with DisableTorchFunctionSubclass():
        result = _C._functions["_ops.alias"](self)
    result.__class__ = cls
    return result


def _convert(self: Tensor, dtype: Any, memory_format: Any = None) -> Tensor:
    if self.dtype is dtype and memory_format is None:
        return self
    _warn_of_lost_part(self, dtype)
    return _to_copy(self, dtype=dtype, memory_format=memory_format)


def _warn_of_lost_part(self: Tensor, dtype: Any) -> None:
    if self.is_complex() and not (dtype is None or dtype is _C.bool or dtype.is_complex):
        warnings.warn(
            "Casting complex values to real discards the imaginary part", UserWarning, stacklevel=4
        )


def _conversion(dtype: Any) -> Callable[..., Tensor]:
    def convert(self: Tensor, memory_format: Any = None) -> Tensor:
        return _convert(self, dtype, memory_format)

    convert.__doc__ = f"As {dtype}; the tensor itself if it is that already."
    return convert


def parse_to(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any, bool, Any]:
    """Device, dtype, non_blocking and memory_format of to()'s arguments; those of Tensor.to may
    also hold `copy`, which is left to it.
    """
    given = dict(kwargs)
    dtype, device = given.pop("dtype", None), given.pop("device", None)
    non_blocking, memory_format = given.pop("non_blocking", False), given.pop("memory_format", None)
    rest = list(args)
    other = given.pop("tensor", None)
    if rest and isinstance(rest[0], Tensor):
        other = rest.pop(0)
    elif rest and isinstance(rest[0], (_C.device, str, int, type(None))):
        device = rest.pop(0)
    if other is not None:
        device, dtype = other.device, other.dtype
    if rest and (rest[0] is None or isinstance(rest[0], (_C.dtype, type))):
        dtype = rest.pop(0)
    if rest and isinstance(rest[0], bool):
        non_blocking = rest.pop(0)
    if rest or given:
        listed = ", ".join([type(arg).__name__ for arg in args] + [f"{key}=" for key in kwargs])
        raise TypeError(
            f"to() received an invalid combination of arguments - got ({listed}), but expected one "
            "of:\n * (torch.device device, torch.dtype dtype = None, bool non_blocking = False, "
            "bool copy = False)\n * (torch.dtype dtype, bool non_blocking = False, bool copy = "
            "False)\n * (Tensor other, bool non_blocking = False, bool copy = False)"
        )
    if device is not None:
        device = device_of("to", device)
    return device, dtype, non_blocking, memory_format


def _to(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """to(dtype), to(device), to(device, dtype), to(other), each with non_blocking= and copy=."""
    copied = kwargs.pop("copy", False)
    if len(args) > 2 and isinstance(args[-1], bool) and isinstance(args[-2], bool):
        *args, copied = args  # type: ignore[assignment]
    if "other" in kwargs:
        kwargs["tensor"] = kwargs.pop("other")
    device, dtype, _, memory_format = parse_to(tuple(args), kwargs)
    stays = device is None or (device.type == "meta") == self.is_meta
    if stays and dtype in (None, self.dtype) and not copied and memory_format is None:
        return self
    _warn_of_lost_part(self, dtype)
    return _to_copy(
        self, dtype=dtype, device=None if stays else device, memory_format=memory_format
    )


def _cpu(self: Tensor, memory_format: Any = None) -> Tensor:
    return _to(self, "cpu")


_to_copy = _C._functions["_to_copy"]

for _name, _dtype in {
    "float": _C.float32,
    "double": _C.float64,
    "half": _C.float16,
    "bfloat16": _C.bfloat16,
    "byte": _C.uint8,
    "char": _C.int8,
    "short": _C.int16,
    "int": _C.int32,
    "long": _C.int64,
    "bool": _C.bool,
    "chalf": _C.complex32,
    "cfloat": _C.complex64,
    "cdouble": _C.complex128,
}.items():
    add_to_tensor({_name: _conversion(_dtype)})


def _part(name: str, doc: str) -> property:
    """The property that reads and writes the real or imaginary part."""
    view = _C._functions[name]

    def assign(self: Tensor, value: Any) -> None:
        if isinstance(value, Tensor):
            view(self).copy_(value)
        else:
            view(self).fill_(value)

    return property(view, assign, doc=doc)


def _hermitian(self: Tensor) -> Tensor:
    if self.dim() not in (0, 2):
        raise RuntimeError(
            "tensor.H is only supported on matrices (2-D tensors). Got "
            f"{self.dim()}-D tensor. For batches of matrices, consider using tensor.mH"
        )
    return _C._functions["conj"](_C._functions["_ops.numpy_T"](self))


def _nonzero(self: Tensor, *, as_tuple: bool = False) -> Any:
    return _functional.nonzero(self, as_tuple=as_tuple)


def _equal(self: Tensor, other: Tensor) -> bool:
    return _functional.equal(self, other)


def _share_memory_(self: Tensor) -> Tensor:
    """Moves the elements to memory that processes forked from now on share with this one."""
    from flambeau import _shared

    return _shared.share_memory_(self)


def _is_shared(self: Tensor) -> bool:
    """True if the elements are in memory that forked processes share."""
    from flambeau import _shared

    return _shared.is_shared(self)


def _is_nonzero(self: Tensor) -> bool:
    return _functional.is_nonzero(self)


def _type_as(self: Tensor, other: Tensor) -> Tensor:
    return _to(self, other.dtype)


def _new_tensor(
    self: Tensor, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    return tensor(data, dtype=dtype or self.dtype, device=device, requires_grad=requires_grad)


def _is_pinned(self: Tensor, device: Any = None) -> bool:
    """False: memory is pinned for devices that are not there."""
    return False


def _to_dense(self: Tensor, dtype: Any = None, *, masked_grad: bool | None = None) -> Tensor:
    """The tensor itself: there is one layout."""
    return self if dtype is None else self.to(dtype)


def _is_elsewhere(self: Tensor) -> bool:
    """False: there are neither other devices nor other layouts."""
    return False


#: Attributes that say of a tensor that it is on some device, or of some layout, which is not there.
_ELSEWHERE = (
    "is_ipu",
    "is_maia",
    "is_mkldnn",
    "is_mps",
    "is_mtia",
    "is_nested",
    "is_sparse_csr",
    "is_vulkan",
    "is_xla",
    "is_xpu",
)

_METHODS: dict[str, Any] = {
    **{name: property(_is_elsewhere) for name in _ELSEWHERE},
    "cuda": no_device("CUDA"),
    "is_distributed": _is_elsewhere,
    "to_dense": _to_dense,
    "is_pinned": _is_pinned,
    "type_as": _type_as,
    "new_tensor": _new_tensor,
    "to": _to,
    "cpu": _cpu,
    "type": _type,
    "nonzero": _nonzero,
    "equal": _equal,
    "is_nonzero": _is_nonzero,
    "share_memory_": _share_memory_,
    "is_shared": _is_shared,
    "backward": _backward,
    "register_hook": _register_hook,
    "register_post_accumulate_grad_hook": _register_post_accumulate_grad_hook,
    "__reduce_ex__": _reduce_ex,
    "__deepcopy__": _deepcopy,
    "__format__": _format,
    "__array__": _array,
    "__array_wrap__": _array_wrap,
    "__array_priority__": 1000,
    "__contains__": _contains,
    "__reversed__": _reversed,
    "__dlpack__": _dlpack,
    "__dlpack_device__": _dlpack_device,
    "T": property(_C._functions["_ops.numpy_T"], doc="The axes in reverse."),
    "mT": property(_C._functions["_ops._mT"], doc="The last two axes exchanged."),
    "H": property(_hermitian, doc="A matrix transposed and conjugated."),
    "mH": property(_C._functions["adjoint"], doc="The last two axes exchanged, and conjugated."),
    "real": _part("real", "The real part, a view; self for real dtypes."),
    "imag": _part("imag", "The imaginary part, a view."),
    "_grad": property(lambda self: self.grad, doc="The gradient, or None."),
    "grad_fn": property(_C._grad_fn, doc="The node that made the tensor, or None."),
    "_base": property(_C._base, doc="The tensor that this is a view of, or None."),
    "_is_view": lambda self: self._base is not None,
    "retains_grad": property(_C._retains_grad, doc="True after retain_grad()."),
    "output_nr": property(_C._output_number, doc="Which output of grad_fn this is."),
}
add_to_tensor(_METHODS)
Tensor.as_subclass = _as_subclass  # type: ignore[method-assign]
