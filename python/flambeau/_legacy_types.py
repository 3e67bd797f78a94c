"""FloatTensor, LongTensor and the others: a dtype as a type, from before dtypes. `isinstance` asks for the
dtype, a call makes a tensor.
"""

from __future__ import annotations

from typing import Any

from . import _C
from ._tensor import _TYPE_NAMES

__all__ = [*_TYPE_NAMES.values(), "set_default_tensor_type"]


class _TypeOfTensors(type):
    dtype: Any

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, _C.Tensor) and instance.dtype is cls.dtype

    def __call__(cls, *args: Any, **kwargs: Any) -> _C.Tensor:
        if (
            len(args) == 1
            and isinstance(args[0], (list, tuple))
            and not isinstance(args[0], _C.Size)
        ):
            return _C._tensor(args[0], cls.dtype, False)
        return _C.Tensor(*args, **kwargs).to(cls.dtype)


def _made(name: str, dtype: Any) -> _TypeOfTensors:
    package = __name__.partition(".")[0]
    made = _TypeOfTensors(name, (), {"dtype": dtype, "__module__": package})
    made.__doc__ = f"Tensors of {dtype} on the CPU."
    return made


for _dtype, _name in _TYPE_NAMES.items():
    globals()[_name] = _made(_name, _dtype)


def set_default_tensor_type(t: Any) -> None:
    """Makes the dtype of a type of tensors ("torch.FloatTensor") the default dtype."""
    if isinstance(t, str):
        t = globals()[t.rpartition(".")[2]]
    _C.set_default_dtype(t.dtype)
