"""Operations by namespace: `torch.ops.aten.add`, also with the name of an overload behind it, and what
libraries define (torch.library).
"""

from __future__ import annotations

import functools
from typing import Any

from flambeau import _C

__all__: list[str] = []


_ITEMS = ("__getitem__", "__setitem__")  # Methods that are no one operation.


@functools.lru_cache(None)
def _operations() -> dict[str, Any]:
    """The operations by their names in aten: linear, linalg_norm, special_expit."""
    return {
        path.removeprefix("nn.functional.").replace(".", "_"): function
        for path, function in _C._functions.items()
    }


@functools.lru_cache(None)
def _names() -> dict[Any, str]:
    return {function: name for name, function in _operations().items()}


def operation_of(function: Any) -> Any:
    """The operation of aten that a function of torch or a method of Tensor is; None where it is none."""
    name = _names().get(function)
    if name is None and isinstance(function, _METHODS):
        name = function.__name__
        if name.startswith("__") and name not in _ITEMS:
            return None
    return None if name is None else getattr(_aten(), name, None)


def _aten() -> Any:
    return globals().get("aten") or __getattr__("aten")


_METHODS = (type(_C.Tensor.add), type(_C.Tensor.__getitem__))


class _Operation:
    """All overloads of an operation; each of them is the operation itself, which chooses by its arguments."""

    def __init__(self, name: str, function: Any) -> None:
        self._qualified_op_name = self._qualname = name
        self.__name__ = name.partition("::")[2]
        self._function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)

    def __getattr__(self, overload: str) -> Any:
        if overload.startswith("_"):
            raise AttributeError(overload)
        return self

    def overloads(self) -> list[str]:
        return ["default"]

    def __repr__(self) -> str:
        return f"<OpOverloadPacket(op='{self._qualname.replace('::', '.')}')>"


class _Namespace:
    def __init__(self, name: str) -> None:
        self.name = name

    def __getattr__(self, name: str) -> _Operation:
        operation = _Operation(f"{self.name}::{name}", self._find(name))
        self.__dict__[name] = operation
        return operation

    def _find(self, name: str) -> Any:
        from flambeau.library import _definitions

        if f"{self.name}::{name}" in _definitions:
            return _definitions[f"{self.name}::{name}"]
        if self.name == "aten":
            found = _operations().get(name)
            if found is None and (not name.startswith("__") or name in _ITEMS):
                found = getattr(_C.Tensor, name, None)
            if found is not None:
                return found
        raise AttributeError(f"torch.ops.{self.name}.{name}: there is no such operation")


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    namespace = _Namespace(name)
    globals()[name] = namespace
    return namespace
