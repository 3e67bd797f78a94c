"""Methods of Tensor by which a tensor becomes another window: transpose_, resize_, set_ and others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Callable

from . import _C
from ._C import Tensor
from ._overridable import add_to_tensor

__all__ = ["as_strided_", "detach_", "resize_as_"]

_VIEWS = (
    "squeeze",
    "swapaxes",
    "swapdims",
    "t",
    "transpose",
    "unsqueeze",
)


def _in_place(name: str) -> Callable[..., Tensor]:
    view = getattr(Tensor, name)

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        _C._become_view(self, view(self, *args, **kwargs), name + "_")
        return self

    method.__name__ = method.__qualname__ = name + "_"
    method.__doc__ = f"{name}() of the tensor itself, which has the new shape afterwards."
    return method


def detach_(self: Tensor) -> Tensor:
    """Takes the tensor out of its graph: it is a leaf that needs no gradient."""
    _C._detach_in_place(self)
    return self


def _sizes(op: str, size: tuple[Any, ...]) -> tuple[int, ...]:
    if len(size) == 1 and isinstance(size[0], Sequence):
        size = tuple(size[0])
    if any(extent < 0 for extent in size):
        raise RuntimeError(f"{op}: Trying to create tensor with negative dimension: {list(size)}")
    return tuple(int(extent) for extent in size)


def _strides(size: Sequence[int]) -> list[int]:
    strides: list[int] = []
    step = 1
    for extent in reversed(size):
        strides.insert(0, step)
        step *= max(extent, 1)
    return strides


def _window(storage: Any, like: Tensor, offset: int, size: Any, stride: Any) -> Tensor:
    """A window of `storage`, or of a longer one that begins with the same bytes."""
    item = like.element_size()
    last = 0 if 0 in size else 1 + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if (offset + last) * item > storage.nbytes():
        longer = _C._functions["empty"]((offset + last,), dtype=like.dtype)
        kept = storage.nbytes() // item
        if kept:
            longer[:kept].copy_(_C._from_storage(storage, 0, (kept,), (1,), like.dtype))
        storage = longer.untyped_storage()
    return _C._from_storage(storage, offset, tuple(size), tuple(stride), like.dtype)


def _resize_(self: Tensor, *size: Any, memory_format: Any = None) -> Tensor:
    """The first elements of the memory in another shape; more memory, whose elements are not
    initialised, where it is too little. Other tensors on the old memory keep that.
    """
    extents = _sizes("resize_", size)
    if self.requires_grad:
        raise RuntimeError("resize_: cannot resize variables that require grad")
    if extents != tuple(self.shape):
        window = _window(
            self.untyped_storage(), self, self.storage_offset(), extents, _strides(extents)
        )
        _C._become_window(self, window, "resize_")
    return self


def resize_as_(self: Tensor, the_template: Tensor, *, memory_format: Any = None) -> Tensor:
    """resize_() to the shape of another tensor."""
    return _resize_(self, *the_template.shape)


def _set_(
    self: Tensor,
    source: Any = None,
    storage_offset: int = 0,
    size: Any = None,
    stride: Any = None,
) -> Tensor:
    """The tensor becomes a window on the memory of a tensor or storage; of nothing without one."""
    if source is None:
        source = _C._functions["empty"]((0,), dtype=self.dtype)
    if isinstance(source, Tensor) and size is None:
        _C._become_window(self, source, "set_")
        return self
    if isinstance(source, Tensor) or hasattr(source, "untyped"):
        source = source.untyped_storage() if isinstance(source, Tensor) else source.untyped()
    if size is None:
        size = (source.nbytes() // self.element_size(),)
    stride = _strides(size) if stride is None else stride
    window = _window(source, self, storage_offset, tuple(size), tuple(stride))
    _C._become_window(self, window, "set_")
    return self


def _is_set_to(self: Tensor, tensor: Tensor) -> bool:
    """True if both are the same window of the same memory."""
    return (
        self.untyped_storage().data_ptr() == tensor.untyped_storage().data_ptr()
        and self.storage_offset() == tensor.storage_offset()
        and self.shape == tensor.shape
        and self.stride() == tensor.stride()
    )


def _is_same_size(self: Tensor, other: Tensor) -> bool:
    """True if both have one shape."""
    return self.shape == other.shape


def _fill_diagonal_(self: Tensor, fill_value: Any, wrap: bool = False) -> Tensor:
    """Writes a number to the places whose indices are all equal; with `wrap`, in tall matrices
    again after each square.
    """
    if self.dim() < 2:
        raise RuntimeError("fill_diagonal_: dimensions must larger than 1")
    if self.dim() > 2 and len(set(self.shape)) > 1:
        raise RuntimeError("fill_diagonal_: all dimensions of input must be of equal length")
    step = sum(self.stride())
    self.as_strided((min(self.shape),), (step,), self.storage_offset()).fill_(fill_value)
    if wrap and self.dim() == 2:
        rows, columns = self.shape
        for first in range(columns + 1, rows, columns + 1):
            self[first:].fill_diagonal_(fill_value)
    return self


def _map_(self: Tensor, tensor: Tensor, callable: Callable[[Any, Any], Any]) -> Tensor:
    """Writes what a Python function gives for each pair of elements."""
    other = tensor.expand_as(self)
    values = [
        callable(a, b)
        for a, b in zip(self.flatten().tolist(), other.flatten().tolist(), strict=True)
    ]
    return self.copy_(_C._tensor(values, self.dtype, False).view(self.shape))


def _apply_(self: Tensor, callable: Callable[[Any], Any]) -> Tensor:
    """Writes what a Python function gives for each element."""
    values = [callable(value) for value in self.flatten().tolist()]
    return self.copy_(_C._tensor(values, self.dtype, False).view(self.shape))


def _geometric_(self: Tensor, p: float, *, generator: Any = None) -> Tensor:
    """Numbers of trials up to the first success of probability p."""
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_: expects p to be in (0, 1), but got p={p}")
    uniform = _C._functions["rand"](tuple(self.shape), dtype=_C.float64, generator=generator)
    return self.copy_(uniform.log_().div_(math.log1p(-p)).ceil_())


def _cauchy_(self: Tensor, median: float = 0, sigma: float = 1, *, generator: Any = None) -> Tensor:
    """Numbers of the Cauchy distribution."""
    if not self.is_floating_point():
        raise RuntimeError(f"cauchy_: expects a floating point tensor, got {self.dtype}")
    if sigma <= 0:
        raise RuntimeError(f"cauchy_: expects sigma > 0.0, but found sigma={sigma}")
    uniform = _C._functions["rand"](tuple(self.shape), dtype=_C.float64, generator=generator)
    return self.copy_(uniform.sub_(0.5).mul_(math.pi).tan_().mul_(sigma).add_(median))


def _log_normal_(self: Tensor, mean: float = 1, std: float = 2, *, generator: Any = None) -> Tensor:
    """Numbers whose logarithms are normal with this mean and deviation."""
    if not self.is_floating_point():
        raise RuntimeError(f"log_normal_: expects a floating point tensor, got {self.dtype}")
    if std <= 0:
        raise RuntimeError(f"log_normal_: expects std > 0.0, but found std={std}")
    return self.normal_(mean, std, generator=generator).exp_()


def _new(self: Tensor, *args: Any, device: Any = None) -> Tensor:
    """A tensor of this dtype: of these sizes, or of the data of a sequence or tensor."""
    if len(args) == 1 and isinstance(args[0], (list, tuple)) and not hasattr(args[0], "numel"):
        return self.new_tensor(args[0])
    if len(args) == 1 and isinstance(args[0], Tensor):
        return args[0].detach()
    size = args[0] if len(args) == 1 and not isinstance(args[0], int) else args
    return self.new_empty(tuple(size) if size else (0,))


def _pin_memory(self: Tensor, device: Any = None) -> Tensor:
    """The tensor itself: memory is pinned for devices that are not there."""
    return self


def _record_stream(self: Tensor, stream: Any) -> None:
    """Nothing: there is no stream but the host's."""


as_strided_ = _in_place("as_strided")
add_to_tensor({name + "_": _in_place(name) for name in _VIEWS})
add_to_tensor(
    {
        "as_strided_": as_strided_,
        "apply_": _apply_,
        "cauchy_": _cauchy_,
        "detach_": detach_,
        "fill_diagonal_": _fill_diagonal_,
        "geometric_": _geometric_,
        "is_same_size": _is_same_size,
        "is_set_to": _is_set_to,
        "log_normal_": _log_normal_,
        "map_": _map_,
        "new": _new,
        "pin_memory": _pin_memory,
        "record_stream": _record_stream,
        "resize_": _resize_,
        "resize_as_": resize_as_,
        "set_": _set_,
    }
)
