"""Utilities: data loading, checkpointing, hooks, exchange with other libraries."""

import copyreg
import weakref

from flambeau import _C
from flambeau._absent import attribute
from flambeau.utils import dlpack

__all__ = ["checkpoint", "data", "dlpack", "hooks", "swap_tensors"]


def swap_tensors(t1: _C.Tensor, t2: _C.Tensor) -> None:
    """Each object becomes what the other was: data, class, attributes and history. Nothing else
    may hold the tensors but what accumulates their gradients."""
    for name, tensor in (("t1", t1), ("t2", t2)):
        if weakref.getweakrefs(tensor):
            raise RuntimeError(f"Cannot swap {name} because it has weakref associated with it")
    slots = copyreg._slotnames(type(t1))  # type: ignore[attr-defined]
    if set(slots) != set(copyreg._slotnames(type(t2))):  # type: ignore[attr-defined]
        raise RuntimeError("Cannot swap t1 and t2 if they have different slots")
    _C._compile_flush()  # What is recorded holds tensors.
    _C._swap_tensors(t1, t2)
    t1.__class__, t2.__class__ = t2.__class__, t1.__class__
    for name in ("__dict__", *slots):
        values = [getattr(tensor, name, _EMPTY) for tensor in (t2, t1)]
        for tensor, value in zip((t1, t2), values):
            if value is not _EMPTY:
                setattr(tensor, name, value)
            elif hasattr(tensor, name):
                delattr(tensor, name)


_EMPTY = object()

# Submodules load when they are first named, so that importing Flambeau stays cheap.
__getattr__ = attribute(__name__)
