"""PyTorch's `__torch_function__` protocol: who answers a call in place of the operation.

    class Metadata(torch.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            print(func.__name__)
            return super().__torch_function__(func, types, args, kwargs)

Operations, methods and attributes of Tensor, and the functions of `torch`, `nn.functional`, `nn.init` and `linalg`
ask the types of their arguments, and the innermost mode.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import types
from collections.abc import Iterable, Iterator
from typing import Any, Callable

import flambeau
from flambeau import _C, _overridable

__all__ = [
    "BaseTorchFunctionMode",
    "TorchFunctionMode",
    "enable_reentrant_dispatch",
    "get_default_nowrap_functions",
    "get_ignored_functions",
    "get_overridable_functions",
    "get_testing_overrides",
    "handle_torch_function",
    "has_torch_function",
    "has_torch_function_unary",
    "has_torch_function_variadic",
    "is_tensor_like",
    "is_tensor_method_or_property",
    "resolve_name",
    "wrap_torch_function",
]

has_torch_function_variadic = _C._has_torch_function_variadic


def has_torch_function(relevant_args: Iterable[Any]) -> bool:
    """Whether one of the arguments, or a mode, answers in place of a function."""
    return has_torch_function_variadic(*relevant_args)


def has_torch_function_unary(arg: Any) -> bool:
    """has_torch_function of one argument."""
    return has_torch_function_variadic(arg)


def _get_overloaded_args(
    relevant_args: Iterable[Any], get_type_fn: Callable[[Any], type] | None = None
) -> list[Any]:
    """One argument of each type that answers, subclasses before their bases, else in order."""
    type_of = type if get_type_fn is None else get_type_fn
    found: dict[type, Any] = {}
    order: list[type] = []
    if _C._get_overrides() != 0:
        return []
    for arg in relevant_args:
        kind = type_of(arg)
        method = getattr(kind, "__torch_function__", None)
        if kind in found or kind is flambeau.Tensor or method is None:
            continue
        if method is _C._disabled_torch_function_impl:
            continue
        found[kind] = arg
        place = next((i for i, other in enumerate(order) if issubclass(kind, other)), len(order))
        order.insert(place, kind)
    return [found[kind] for kind in order]


def handle_torch_function(
    public_api: Any, relevant_args: Iterable[Any], *args: Any, **kwargs: Any
) -> Any:
    """What the innermost mode, or the first of the arguments' types that does not decline, answers."""
    overloaded = _get_overloaded_args(relevant_args)
    kinds = tuple(map(type, overloaded))
    if _C._is_torch_function_mode_enabled():
        with _pop_mode_temporarily() as mode:
            result = mode.__torch_function__(public_api, kinds, args, kwargs)
        if result is not NotImplemented:
            return result
    for arg in overloaded:
        result = arg.__torch_function__(public_api, kinds, args, kwargs)
        if result is not NotImplemented:
            return result
    name = f"{public_api.__module__}.{public_api.__name__}"
    raise TypeError(
        f"no implementation found for '{name}' on types that implement __torch_function__: "
        f"{list(kinds)}"
    )


def wrap_torch_function(dispatcher: Callable[..., Iterable[Any]]) -> Any:
    """A decorator: the function asks those of its arguments that `dispatcher` gives."""

    def decorate(function: Any) -> Any:
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            relevant = tuple(dispatcher(*args, **kwargs))
            if has_torch_function(relevant):
                return handle_torch_function(wrapped, relevant, *args, **kwargs)
            return function(*args, **kwargs)

        return wrapped

    return decorate


# -- modes --------------------------------------------------------------------------------------


class TorchFunctionMode:
    """A context in which every overridable call comes to `__torch_function__` of the mode first. While it
    answers, the mode is not active, so that it may call the function.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        raise NotImplementedError

    def __enter__(self) -> Any:
        _push_mode(self)
        return self

    def __exit__(self, *exception: object) -> None:
        _pop_mode()

    @classmethod
    def push(cls, *args: Any, **kwargs: Any) -> Any:
        return cls(*args, **kwargs)


class BaseTorchFunctionMode(TorchFunctionMode):
    """A mode that changes nothing."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return func(*args, **({} if kwargs is None else kwargs))


def _push_mode(mode: TorchFunctionMode) -> None:
    _C._push_on_torch_function_stack(mode)


def _pop_mode() -> Any:
    return _C._pop_torch_function_stack()


def _get_current_function_mode() -> Any:
    count = _C._len_torch_function_stack()
    return _C._get_function_stack_at(count - 1) if count else None


def _get_current_function_mode_stack() -> list[Any]:
    return [_C._get_function_stack_at(i) for i in range(_C._len_torch_function_stack())]


@contextlib.contextmanager
def _pop_mode_temporarily() -> Iterator[Any]:
    mode = _pop_mode()
    try:
        yield mode
    finally:
        _push_mode(mode)


@contextlib.contextmanager
def _enable_torch_function() -> Iterator[None]:
    with _overridable.EnableTorchFunction():
        yield


@contextlib.contextmanager
def enable_reentrant_dispatch() -> Iterator[None]:
    """Kept for `__torch_dispatch__`: a call inside of an answer is a call as any other."""
    yield


# -- what there is ------------------------------------------------------------------------------


def _is_overridable(value: Any) -> bool:
    return _C._is_overridable(value) or type(value) in _operation_types()


@functools.lru_cache(None)
def _operation_types() -> tuple[type, ...]:
    return type(_C._functions["add"]), type(flambeau.Tensor.add)


def _places() -> list[tuple[str, Any]]:
    modules = ["", "functional", "nn.functional", "nn.init", "linalg", "fft", "special"]
    found = []
    for name in modules:
        holder: Any = flambeau
        for part in filter(None, name.split(".")):
            holder = getattr(holder, part, None)
        if holder is not None:
            found.append((f"torch.{name}" if name else "torch", holder))
    return [*found, ("torch.Tensor", flambeau.Tensor)]


@functools.lru_cache(None)
def _overridable_functions() -> tuple[dict[Any, list[Any]], dict[Any, str]]:
    by_place: dict[Any, list[Any]] = {}
    names: dict[Any, str] = {}
    getset = (property, types.GetSetDescriptorType)
    for place, holder in _places():
        functions = by_place.setdefault(holder, [])
        for name, value in sorted(vars(holder).items()):
            if holder is flambeau.Tensor and name not in _PYTHONS_OWN:
                if isinstance(value, getset):
                    parts: list[Any] = [value.__get__]
                    if getattr(value, "fset", True) is not None:
                        parts.append(value.__set__)
                    for part in parts:
                        functions.append(part)
                        names[part] = f"{place}.{name}.{part.__name__}"
                    continue
                if isinstance(value, (types.MethodDescriptorType, types.WrapperDescriptorType)):
                    functions.append(value)
                    names.setdefault(value, f"{place}.{name}")
                    continue
            if _is_overridable(value) and not name.startswith("_ops"):
                functions.append(value)
                names.setdefault(value, f"{place}.{name}")
    return by_place, names


_PYTHONS_OWN = {
    "__dict__", "__weakref__", "__new__", "__init__", "__hash__", "__torch_function__", "_make_subclass",
    "__buffer__", "__release_buffer__",
}  # fmt: skip


def get_overridable_functions() -> dict[Any, list[Any]]:
    """The functions that ask, by the module or class that holds them."""
    return {place: list(functions) for place, functions in _overridable_functions()[0].items()}


def get_ignored_functions() -> set[Any]:
    """Public functions that never ask."""
    ignored = set()
    for _, holder in _places():
        for name, value in vars(holder).items():
            if name.startswith("_") or _is_overridable(value):
                continue
            if isinstance(value, (types.FunctionType, types.BuiltinFunctionType)):
                ignored.add(value)
    return ignored


def get_default_nowrap_functions() -> set[Any]:
    """Functions whose results Tensor's own `__torch_function__` leaves as they are."""
    return _overridable.not_converted()


def get_testing_overrides() -> dict[Any, Any]:
    """For each function that asks, a function with its signature that does nothing and gives -1."""
    result = {}
    for functions in get_overridable_functions().values():
        for function in functions:
            result[function] = _dummy(function)
    return result


def _dummy(function: Any) -> Any:
    def dummy(*args: Any, **kwargs: Any) -> int:
        return -1

    with contextlib.suppress(ValueError, TypeError):
        dummy.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    return dummy


def resolve_name(f: Any) -> str | None:
    """ "torch.Tensor.add" of the function that is it; None for what does not ask."""
    try:
        return _overridable_functions()[1].get(f)
    except TypeError:
        return None


def is_tensor_method_or_property(func: Any) -> bool:
    """Whether it is a method of Tensor, or `__get__` or `__set__` of one of its attributes."""
    return (
        func in get_overridable_functions()[flambeau.Tensor]
        or getattr(func, "__name__", None) == "__get__"
    )


def is_tensor_like(inp: Any) -> bool:
    """True for tensors and for what has `__torch_function__`."""
    return type(inp) is flambeau.Tensor or hasattr(inp, "__torch_function__")
