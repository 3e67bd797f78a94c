"""`compile(replay=True)`: a call is recorded once for each signature, then run again without Python.

A call is one that was recorded if its arguments have the same structure, dtypes, sizes and strides,
and everything that the function uses (`_reachable`) is the same. Tensors may have other values, and
parameters other memory. Anything that a replayed call could not do again is refused while the call
is recorded.
"""

from __future__ import annotations

import functools
import gc
import pickle
import random
import sys
import types
from collections.abc import Callable
from typing import Any

from . import _C, _watched
from ._reachable import Reachable, iterator_state

_ATTEMPTS = 3  # recordings of calls that do more than a replayed one would
_MAX_PROGRAMS = 32


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
        if _C._replay_is_watched() or _watched.pauses:
            return function(*args, **kwargs)
        result, program, why = _record(function, arguments)
        if why is None:
            return result
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


def _record(
    function: Callable[..., Any], arguments: tuple[Any, Any]
) -> tuple[Any, Any, str | None]:
    """What the call returns; what replays it, or None and the reason; no reason if there is nothing
    to run."""
    used = _used(function, arguments)
    if used.too_large:
        why = (
            f"it may use {used.too_large} of an array that may change, too many to be compared at each "
            "call (make it a tensor, or read-only)"
        )
        return function(*arguments[0], **arguments[1]), None, why
    capture = _C._Capture(arguments, used.holders, list(used.tensors.values()))
    if not capture.begin():
        return function(*arguments[0], **arguments[1]), None, None
    # What a region around the call has converted is not among what a replayed call has.
    cache = _C._FreshAutocastCache()
    try:
        with _Watch(used):
            box = [function(*arguments[0], **arguments[1])]
        _C.clear_autocast_cache()
        changes = capture.close(box)
        # What the tape and other cycles hold is held by nobody.
        if capture.held():
            gc.collect()
        changes += [f"something outside holds {text}" for text in capture.held()]
        capture.check_refused()
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


class _Watch:
    """Refuses what a replayed call would not do again and nothing else sees: draws from Python's
    generators of random numbers and from NumPy's, steps of iterators that were there before."""

    def __init__(self, used: Reachable) -> None:
        self._generators = used.generators
        if "numpy.random" in sys.modules:
            self._generators = [*self._generators, sys.modules["numpy.random"].mtrand._rand]
        self._iterators = used.iterators
        self._refused: RuntimeError | None = None
        self._frames = {
            id(iterator.gi_frame): (iterator.gi_frame, where)
            for iterator, where in used.iterators
            if isinstance(iterator, types.GeneratorType) and iterator.gi_frame is not None
        }

    def _states(self) -> list[bytes]:
        engines = [getattr(g, "bit_generator", None) or g._bit_generator for g in self._generators]
        return [pickle.dumps(engine.state) for engine in engines]

    def _positions(self) -> list[Any]:
        return [iterator_state(iterator) for iterator, _ in self._iterators]

    def __enter__(self) -> None:
        self._before = sys.getprofile()
        self._states_before = self._states()
        self._positions_before = self._positions()

        def watch(frame: types.FrameType, event: str, callee: Any) -> None:
            if event == "c_call" and isinstance(getattr(callee, "__self__", None), random.Random):
                self._refused = _drawn(callee.__name__, "Python")
                raise self._refused
            if event == "call" and id(frame) in self._frames:
                self._refused = _gone_on(self._frames[id(frame)][1])
                raise self._refused

        sys.setprofile(watch)

    def __exit__(self, kind: type | None, *exception: object) -> None:
        sys.setprofile(self._before)
        if kind is not None:
            return
        if self._refused is not None:  # the function caught it
            raise self._refused
        # NumPy's functions are not seen by a profiler, nor are steps of Python's own iterators.
        if self._states() != self._states_before:
            raise _drawn("the function", "NumPy")
        for (_, where), before, now in zip(
            self._iterators, self._positions_before, self._positions()
        ):
            if before != now:
                raise _gone_on(where)


def _gone_on(where: str) -> RuntimeError:
    return RuntimeError(
        f"compile: replay=True cannot be had here: the function takes from the iterator {where}, "
        "which was made before; a replayed call would not take the next item"
    )


def _drawn(who: str, whose: str) -> RuntimeError:
    return RuntimeError(
        f"compile: replay=True cannot be had here: {who} draws from a generator of {whose}; a "
        "replayed call would not draw again"
    )


def _used(function: Any, arguments: Any) -> Reachable:
    """What holds the objects that a call may use, and what is among these."""
    used = Reachable()
    used.visit(function, _name(function))
    for i, value in enumerate(arguments[0]):
        used.visit_argument(value, f"argument {i}")
    for name, value in arguments[1].items():
        used.visit_argument(value, f"argument {name}")
    used.finish()
    return used
