"""`compile(replay=True)`: a call is recorded once for each signature, then run again without Python.

A call is one that was recorded if its arguments have the same structure, dtypes, sizes and strides,
and everything that the function uses (what its closure, its globals and its modules' attributes
hold) is the same. Tensors may have other values, and parameters other memory. Anything that a
replayed call could not do again is refused while the call is recorded.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import pickle
import random
import sys
import types
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from . import _C

_ATTEMPTS = 3  # recordings of calls that do more than a replayed one would
_MAX_PROGRAMS = 32
_PACKAGE = __name__.partition(".")[0]
_PLAIN = (int, float, complex, str, bytes, bool, type(None), type, types.ModuleType)


def replayed(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, called without Python where a call like it was recorded."""
    programs = _C._Replays(_MAX_PROGRAMS)
    refused = 0

    @functools.wraps(function)
    def compiled(*args: Any, **kwargs: Any) -> Any:
        nonlocal refused
        arguments = (args, kwargs)
        result = programs.call(arguments)
        if result is not NotImplemented:
            return result
        if _C._is_capturing():
            return function(*args, **kwargs)
        result, program, why = _record(function, arguments)
        if program is not None:
            programs.keep(program)
            refused = 0
            return result
        refused += 1
        if refused >= _ATTEMPTS:
            raise RuntimeError(
                f"compile: replay=True cannot be had for {_name(function)}: {why}; a replayed call "
                "would not do that"
            )
        return result

    return compiled


def _record(function: Callable[..., Any], arguments: tuple[Any, Any]) -> tuple[Any, Any, str]:
    """What the call returns; what replays it, or None and the reason."""
    used = _used(function, arguments)
    capture = _C._Capture(arguments, used.holders, list(used.tensors.values()))
    # What a region around the call has converted is not among what a replayed call has.
    cache = _C._FreshAutocastCache()
    try:
        with _RandomWatch(used.generators):
            box = [function(*arguments[0], **arguments[1])]
        _C.clear_autocast_cache()
        changes = capture.close(box)
        # What the tape and other cycles hold is held by nobody.
        if capture.held():
            gc.collect()
        changes += [f"something outside holds {text}" for text in capture.held()]
    except BaseException:
        capture.abort()
        raise
    finally:
        cache.close()
    result, program, why = capture.finish()
    if changes:
        return result, None, "; ".join(changes[:3])
    return result, program, why


def _name(function: Any) -> str:
    if isinstance(function, types.MethodWrapperType):  # the call of a module
        return type(function.__self__).__name__
    return getattr(function, "__qualname__", type(function).__name__)


class _RandomWatch:
    """Refuses draws from Python's generators, where they are made, and from NumPy's."""

    def __init__(self, generators: list[Any]) -> None:
        self._generators = generators
        if "numpy.random" in sys.modules:
            self._generators = [*generators, sys.modules["numpy.random"].mtrand._rand]

    def _states(self) -> list[bytes]:
        engines = [getattr(g, "bit_generator", None) or g._bit_generator for g in self._generators]
        return [pickle.dumps(engine.state) for engine in engines]

    def __enter__(self) -> None:
        self._before = sys.getprofile()
        self._states_before = self._states()

        def watch(frame: types.FrameType, event: str, callee: Any) -> None:
            if event == "c_call" and isinstance(getattr(callee, "__self__", None), random.Random):
                raise _drawn(callee.__name__, "Python")

        sys.setprofile(watch)

    def __exit__(self, kind: type | None, *exception: object) -> None:
        sys.setprofile(self._before)
        # NumPy's functions are not seen by a profiler.
        if kind is None and self._states() != self._states_before:
            raise _drawn("the function", "NumPy")


def _drawn(who: str, whose: str) -> RuntimeError:
    return RuntimeError(
        f"compile: replay=True cannot be had here: {who} draws from a generator of {whose}; a "
        "replayed call would not draw again"
    )


def _used(function: Any, arguments: Any) -> _Walk:
    """What holds the objects that a call may use, and what is among these."""
    walk = _Walk()
    walk.visit(function, _name(function))
    for i, value in enumerate(arguments[0]):
        walk.visit_argument(value, f"argument {i}")
    for name, value in arguments[1].items():
        walk.visit_argument(value, f"argument {name}")
    walk.finish()
    return walk


class _Walk:
    def __init__(self) -> None:
        self.holders: list[tuple[Any, str]] = []
        self.tensors: dict[int, Any] = {}
        self.generators: list[Any] = []  # NumPy's
        self._seen: dict[int, Any] = {}
        self._waiting: deque[tuple[Any, str]] = deque()

    def visit(self, value: Any, where: str) -> None:
        self._waiting.append((value, where))

    def visit_argument(self, value: Any, where: str) -> None:
        """An argument's tensors, tuples, lists and dicts may be others in each call."""
        if isinstance(value, _C.Tensor):
            return
        if type(value) in (tuple, list):
            for i, item in enumerate(value):
                self.visit_argument(item, f"{where}[{i}]")
        elif type(value) is dict:
            for key, item in value.items():
                self.visit_argument(item, f"{where}[{key!r}]")
        else:
            self.visit(value, where)

    def finish(self) -> None:
        while self._waiting:
            value, where = self._waiting.popleft()
            if isinstance(value, _PLAIN) or id(value) in self._seen:
                continue
            self._seen[id(value)] = value
            self._look(value, where)

    def _look(self, value: Any, where: str) -> None:
        if isinstance(value, _C.Tensor):
            self.tensors[id(value)] = value
        elif isinstance(value, dict):
            self.holders.append((value, where))
            for key, item in list(value.items()):
                if not isinstance(key, _PLAIN):
                    self.visit(key, where)
                self.visit(item, f"{where}.{key}" if isinstance(key, str) else where)
        elif isinstance(value, list):
            self.holders.append((value, where))
            for i, item in enumerate(value):
                self.visit(item, f"{where}[{i}]")
        elif isinstance(value, (tuple, set, frozenset, deque)):
            for i, item in enumerate(value):
                self.visit(item, f"{where}[{i}]")
        elif isinstance(value, types.FunctionType):
            self._look_at_function(value, where)
        elif isinstance(value, types.MethodType):
            self.visit(value.__func__, where)
            self.visit(value.__self__, where)
        elif isinstance(value, types.MethodWrapperType):
            self.visit(value.__self__, where)
        elif isinstance(value, functools.partial):
            self.visit((value.func, value.args, value.keywords), where)
        elif isinstance(value, (weakref.ref, types.BuiltinFunctionType)):
            pass
        else:
            self._look_at_instance(value, where)

    def _look_at_function(self, function: types.FunctionType, where: str) -> None:
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
            self.holders.append((cell, name))
            with contextlib.suppress(ValueError):  # an empty cell
                self.visit(cell.cell_contents, name)
        self.visit((function.__defaults__, function.__kwdefaults__), where)
        self.visit(getattr(function, "__wrapped__", None), where)
        if function.__module__ is None or function.__module__.partition(".")[0] == _PACKAGE:
            return
        for name in set(_names(function.__code__)):
            if name in function.__globals__:
                value = function.__globals__[name]
                if isinstance(value, types.ModuleType):
                    continue
                self.holders.append(((function.__globals__, name), name))
                self.visit(value, name)

    def _look_at_instance(self, value: Any, where: str) -> None:
        if _module(type(value)).startswith("numpy."):
            if hasattr(value, "bit_generator") or hasattr(value, "_bit_generator"):
                self.generators.append(value)
            return
        for kind in type(value).__mro__:
            if _module(kind).partition(".")[0] in (_PACKAGE, "builtins"):
                continue
            for name, member in list(vars(kind).items()):
                if isinstance(member, types.FunctionType):
                    self.visit(member, f"{where}.{name}")
        attributes = getattr(value, "__dict__", None)
        if isinstance(attributes, dict):
            self.visit(attributes, where)


def _module(kind: type) -> str:
    """Where a type is from; its own if it gives each of its instances one, as functions do."""
    name = kind.__module__
    return name if isinstance(name, str) else ""


def _names(code: types.CodeType) -> Iterator[str]:
    """The global names that a function's code may use, its inner functions' included."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)
