"""Functions that a trace does not enter, and how they are put in other functions' places while it runs."""

from __future__ import annotations

import builtins
import functools
import inspect
from typing import Any, Callable

from .node import map_aggregate
from .proxy import Proxy

__all__ = ["Patcher", "autowrap", "patch_wrapped", "wrap"]

_MISSING = object()
# The names that `wrap` was called with, and the globals that they are in.
_wrapped_fns_to_patch: dict[tuple[int, str], dict[str, Any]] = {}


def wrap(fn_or_name: str | Callable[..., Any]) -> Any:
    """Marks a function of this module, or one that it names, as one call for traces. At a module's top level:

    torch.fx.wrap("len")

    @torch.fx.wrap
    def mine(x): ...
    """
    if not callable(fn_or_name) and not isinstance(fn_or_name, str):
        raise RuntimeError(
            "Unsupported type for global function! Must be either a callable or string name"
        )
    name = fn_or_name if isinstance(fn_or_name, str) else fn_or_name.__name__
    here = inspect.currentframe()
    assert here is not None
    frame = here.f_back
    assert frame is not None
    if frame.f_code.co_name != "<module>":
        raise NotImplementedError("wrap must be called at the top level of a module")
    _wrapped_fns_to_patch[(id(frame.f_globals), name)] = frame.f_globals
    return fn_or_name


class Patcher:
    """Puts values in places of dictionaries and classes, and the old ones back at its end."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []
        self._visited: set[int] = set()

    def __enter__(self) -> Patcher:
        return self

    def __exit__(self, *exception: object) -> None:
        for undo in reversed(self._undo):
            undo()
        self._undo.clear()
        self._visited.clear()

    def patch(self, scope: dict[str, Any], name: str, value: Any) -> None:
        before = scope.get(name, _MISSING)
        scope[name] = value
        if before is _MISSING:
            self._undo.append(functools.partial(scope.pop, name, None))
        else:
            self._undo.append(functools.partial(scope.__setitem__, name, before))

    def patch_method(self, cls: type, name: str, value: Any) -> None:
        before = getattr(cls, name)
        setattr(cls, name, value)
        self._undo.append(functools.partial(setattr, cls, name, before))

    def visit_once(self, thing: Any) -> bool:
        first = id(thing) not in self._visited
        self._visited.add(id(thing))
        return first


def _find_proxy(*values: Any) -> Proxy | None:
    found: list[Proxy] = []

    def note(value: Any) -> None:
        if isinstance(value, Proxy):
            found.append(value)

    map_aggregate(values, note)
    return found[0] if found else None


def _wrapper_of(function: Any) -> Any:
    """The function that is a node where an argument is a proxy."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        proxy = _find_proxy(args, kwargs)
        if proxy is None:
            return function(*args, **kwargs)
        made = proxy.tracer.create_proxy("call_function", function, args, kwargs)
        made.node.meta["is_wrapped"] = True
        return made

    return wrapped


def patch_wrapped(patcher: Patcher) -> None:
    """Puts the functions that `wrap` marked in their places."""
    for (_, name), scope in list(_wrapped_fns_to_patch.items()):
        if name in scope:
            function = scope[name]
        elif hasattr(builtins, name):
            function = getattr(builtins, name)
        else:
            continue
        patcher.patch(scope, name, _wrapper_of(function))


def autowrap(patcher: Patcher, scope: dict[str, Any], functions: set[int]) -> None:
    """The same for the functions of `scope` whose ids are given."""
    if patcher.visit_once(scope):
        for name, value in list(scope.items()):
            if not name.startswith("_") and callable(value) and id(value) in functions:
                patcher.patch(scope, name, _wrapper_of(value))
