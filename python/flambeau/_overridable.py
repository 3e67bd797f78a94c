"""What makes Python functions ask `__torch_function__` first, and Tensor's own answer."""

from __future__ import annotations

import types
from collections.abc import Iterable, MutableMapping
from typing import Any

from . import _C
from ._C import Tensor

__all__: list[str] = []

_ALL, _MODES_ONLY, _NONE = 0, 1, 2


class _Allowing:
    """Within it, only some take part in calls."""

    allowed = _NONE

    def __enter__(self) -> None:
        self._before = _C._set_overrides(max(self.allowed, _C._get_overrides()))

    def __exit__(self, *exception: object) -> None:
        _C._set_overrides(self._before)


class DisableTorchFunctionSubclass(_Allowing):
    """Within it, subclasses of Tensor are ordinary tensors; modes take part."""

    allowed = _MODES_ONLY


class DisableTorchFunction(_Allowing):
    """Within it, neither subclasses nor modes take part."""


class EnableTorchFunction(_Allowing):
    """Within it, all take part again."""

    def __enter__(self) -> None:
        self._before = _C._set_overrides(_ALL)


for _class in (DisableTorchFunctionSubclass, DisableTorchFunction):
    setattr(_C, _class.__name__, _class)
_C._EnableTorchFunction = EnableTorchFunction  # type: ignore[attr-defined]
_C._is_torch_function_enabled = lambda: _C._get_overrides() == _ALL  # type: ignore[attr-defined]
_C._is_torch_function_all_disabled = lambda: _C._get_overrides() == _NONE  # type: ignore[attr-defined]
_C._is_torch_function_mode_enabled = lambda: (  # type: ignore[attr-defined]
    _C._len_torch_function_stack() > 0 and _C._get_overrides() != _NONE
)


def make_overridable(
    namespace: MutableMapping[str, Any], names: Iterable[str], modes_only: bool = False
) -> None:
    """Functions of these names ask modes and the types of their arguments before they run."""
    for name in names:
        if isinstance(namespace.get(name), types.FunctionType):
            namespace[name] = _named(namespace[name], name)
            if modes_only:
                _C._report(namespace[name], None)


def _named(function: Any, name: str, owner: str = "") -> Any:
    """The function, asking first, with the name that the public knows it by."""
    if function.__name__ != name:
        function.__name__ = name
        function.__qualname__ = owner + name
    return _C._overridable(function)


def autocasts(policy: str) -> Any:
    """A decorator: how autocast converts a function's tensors. For functions of several operations that PyTorch
    lists as one; operations say it in their definition.
    """

    def mark(function: Any) -> Any:
        function._autocast = policy
        return function

    return mark


def add_to_tensor(attributes: dict[str, Any]) -> None:
    """Gives Tensor these methods, properties and values; the first two ask first."""
    for name, value in attributes.items():
        if _C._is_overridable(value):
            setattr(Tensor, name, _C._overridable(value.__wrapped__))  # Another than the function.
        elif isinstance(value, types.FunctionType):
            setattr(Tensor, name, _named(value, name, "Tensor."))
        elif isinstance(value, property):
            get = _C._overridable(value.fget)
            put = None if value.fset is None else _C._overridable(value.fset)
            attribute = property(get, put, doc=value.__doc__)
            setattr(Tensor, name, attribute)
            _C._report(get, attribute.__get__)
            if put is not None:
                _C._report(put, attribute.__set__)
        else:
            setattr(Tensor, name, value)


def convert(result: Any, cls: type) -> Any:
    """The tensors of a result as instances of `cls`."""
    if cls is Tensor:
        return result
    if isinstance(result, Tensor) and not isinstance(result, cls):
        return result.as_subclass(cls)
    if isinstance(result, (tuple, list)) and type(result) is not _C.Size:
        items = [convert(item, cls) for item in result]
        return type(result)(*items) if hasattr(result, "_fields") else type(result)(items)
    return result


def not_converted() -> set[Any]:
    """Functions whose results keep their type."""
    attributes: Any = Tensor
    return {attributes.__dict__[name].__get__ for name in ("_base", "grad", "_grad")}


_not_converted: set[Any] = set()


@classmethod  # type: ignore[misc]
def _torch_function(
    cls: type, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
) -> Any:
    """The function as it is for tensors; those of its result become instances of `cls`."""
    if not all(issubclass(cls, each) for each in types):
        return NotImplemented
    if not _not_converted:
        _not_converted.update(not_converted())
    with DisableTorchFunctionSubclass():
        result = func(*args, **({} if kwargs is None else kwargs))
        return result if func in _not_converted else convert(result, cls)


Tensor.__torch_function__ = _torch_function  # type: ignore[attr-defined]
