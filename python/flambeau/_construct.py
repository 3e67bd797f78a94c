"""Tensors from Python values, and how tensors are printed."""

from __future__ import annotations

import warnings
from typing import Any

from . import _C
from ._overridable import make_overridable

__all__ = [
    "as_tensor",
    "asarray",
    "from_dlpack",
    "is_tensor",
    "numel",
    "set_printoptions",
    "tensor",
]


def device_of(function: str, device: Any) -> _C.device:
    """The device of a factory's argument; the default one for None. RuntimeError if it is not there."""
    if device is None:
        return _C._get_default_device()
    kind = device if isinstance(device, _C.device) else _C.device(device)
    if kind.type not in ("cpu", "meta"):
        raise RuntimeError(f"{function}: device '{kind}' is not available in this build")
    return kind


def _placed(function: str, made: _C.Tensor, device: Any) -> _C.Tensor:
    return made.to(device_of(function, device))


def tensor(
    data: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> _C.Tensor:
    """A copy of `data`: nested sequences of numbers, a NumPy array, a number."""
    if isinstance(data, _C.Tensor):
        device = data.device if device is None else device
        warnings.warn(
            "To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() "
            "or sourceTensor.detach().clone().requires_grad_(True), rather than "
            "torch.tensor(sourceTensor).",
            UserWarning,
            stacklevel=2,
        )
        if data.is_meta and device_of("tensor", device).type == "meta":
            return data.detach().clone().to(dtype or data.dtype).requires_grad_(requires_grad)
    made = _placed("tensor", _C._tensor(data, dtype, False), device)
    return made.requires_grad_() if requires_grad else made


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> _C.Tensor:
    """`data` as a tensor, on the same memory where it is a tensor or an array of this dtype."""
    if isinstance(data, _C.Tensor):
        placed = data if device is None else _placed("as_tensor", data, device)
        return placed if dtype is None else placed.to(dtype)
    return _placed("as_tensor", _C._as_tensor(data, dtype), device)


def asarray(
    obj: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    copy: bool | None = None,
    requires_grad: bool = False,
) -> _C.Tensor:
    """`obj` as a tensor; `copy` says whether memory is shared (None: where possible)."""
    if isinstance(obj, _C.Tensor):
        result = obj if dtype is None else obj.to(dtype)
    elif isinstance(obj, _C.UntypedStorage):  # Its bytes as elements, as of any buffer.
        kind = _C.get_default_dtype() if dtype is None else dtype
        result = _C._from_storage(obj, 0, (obj.nbytes() // kind.itemsize,), (1,), kind)
    elif hasattr(obj, "__dlpack__") and all(
        kind.__module__ != "numpy" for kind in type(obj).__mro__
    ):
        result = from_dlpack(obj)
    else:
        result = _C._as_tensor(obj, dtype)
    if device is not None or not isinstance(obj, _C.Tensor):
        result = _placed("asarray", result, device)
    shared = result is obj or not isinstance(obj, (list, tuple, int, float, bool))
    if copy and shared:
        result = result.clone()
    if copy is False and not shared:
        raise ValueError("asarray: cannot make a tensor of this object without a copy")
    return result.requires_grad_() if requires_grad else result


def from_dlpack(ext_tensor: Any) -> _C.Tensor:
    """A tensor on the memory of another library's tensor, or of a DLPack capsule."""
    if hasattr(ext_tensor, "__dlpack__"):
        ext_tensor = ext_tensor.__dlpack__()
    return _C._from_dlpack(ext_tensor)


def is_tensor(obj: Any) -> bool:
    """True if `obj` is a tensor."""
    return isinstance(obj, _C.Tensor)


def numel(input: _C.Tensor) -> int:
    """The number of elements."""
    return input.numel()


# Precision, threshold, edge items, line width.
_PROFILES: dict[str, tuple[float, ...]] = {
    "default": (4, 1000, 3, 80),
    "short": (2, 1000, 2, 80),
    "full": (4, float("inf"), 3, 80),
}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """How tensors are printed, as in PyTorch."""
    current = _C._print_options()[:4] if profile is None else _PROFILES[profile]
    given = (precision, threshold, edgeitems, linewidth)
    chosen = [old if new is None else new for old, new in zip(current, given)]
    chosen[1] = min(chosen[1], 2**62)
    _C._set_print_options(*(int(value) for value in chosen), sci_mode)


make_overridable(globals(), ["numel"])
make_overridable(globals(), ["as_tensor", "asarray", "tensor"], modes_only=True)
