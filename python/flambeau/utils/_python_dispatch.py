"""Modes that see operations rather than the functions that call them.

    class Print(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            print(func)
            return func(*args, **(kwargs or {}))

    with Print():
        torch.nn.functional.gelu(torch.ones(2))

`func` is an operation of torch.ops.aten under the name that the program calls it by; what gradients run is not seen.
"""

from __future__ import annotations

from typing import Any

from flambeau import _C, Tensor
from flambeau.ops import operation_of
from flambeau.overrides import TorchFunctionMode

__all__ = ["TorchDispatchMode", "is_traceable_wrapper_subclass"]


class _Watching(TorchFunctionMode):
    """Lets functions run until they get to operations, which go to the mode."""

    def __init__(self, mode: TorchDispatchMode) -> None:
        self.mode = mode

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = {} if kwargs is None else kwargs
        body = getattr(func, "__wrapped__", None)
        if body is not None and _C._is_overridable(func):
            with self:
                return body(*args, **kwargs)
        operation = operation_of(func)
        if operation is None:
            return func(*args, **kwargs)
        return self.mode.__torch_dispatch__(operation, types, args, kwargs)


class TorchDispatchMode:
    """A context in which every operation comes to `__torch_dispatch__` of the mode. While it answers, the mode is
    not active, so that it may call the operation.
    """

    def __init__(self, _dispatch_key: Any = None) -> None:
        self._entered: list[_Watching] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        raise NotImplementedError

    def __enter__(self) -> Any:
        watching = _Watching(self)
        self.__dict__.setdefault("_entered", []).append(watching)
        watching.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._entered.pop().__exit__(*exception)

    @classmethod
    def push(cls, *args: Any, **kwargs: Any) -> Any:
        return cls(*args, **kwargs)


def is_traceable_wrapper_subclass(t: Any) -> bool:
    """Whether a tensor's class says what it is made of (`__tensor_flatten__`, `__tensor_unflatten__`)."""
    return (
        isinstance(t, Tensor)
        and type(t) is not Tensor
        and hasattr(t, "__tensor_flatten__")
        and hasattr(t, "__tensor_unflatten__")
    )
