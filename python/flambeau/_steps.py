"""Generators and coroutines of compiled functions: the call only makes them, and what they do happens
in steps, each of which is recorded as a call of its own."""

from __future__ import annotations

import inspect
import types
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import Any

#: call(function, argument) calls the function, recorded.
Call = Callable[[Callable[..., Any], Any], Any]

STEPPED = (types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType)


def with_recorded_steps(made: Any, call: Call) -> Any:
    """What does the same as `made`, of one of STEPPED, with its steps recorded; `made` itself if it
    has begun: another function made it."""
    if isinstance(made, types.GeneratorType):
        begun = inspect.getgeneratorstate(made) != inspect.GEN_CREATED
        return made if begun else _generator(made, call)
    if isinstance(made, types.CoroutineType):
        begun = inspect.getcoroutinestate(made) != inspect.CORO_CREATED
        return made if begun else _coroutine(made, call)
    return made if _has_begun(made) else _asynchronous_generator(made, call)


def _has_begun(made: Any) -> bool:
    frame = made.ag_frame
    return frame is None or getattr(made, "ag_suspended", frame.f_lasti > 0)


def _generator(made: Any, call: Call) -> Generator[Any, Any, Any]:
    step, value = made.send, None
    while True:
        try:
            item = call(step, value)
        except StopIteration as end:
            return end.value
        finally:
            value = None  # an error and the frames that it knows would hold each other
        try:
            step, value = made.send, (yield item)
        except GeneratorExit:
            call(lambda _: made.close(), None)
            raise
        except BaseException as error:
            step, value = made.throw, error


async def _coroutine(made: Any, call: Call) -> Any:
    return await _awaitable(made, call)


_awaitable: Callable[[Any, Call], Coroutine[Any, Any, Any]] = types.coroutine(_generator)


async def _asynchronous_generator(made: Any, call: Call) -> AsyncGenerator[Any, Any]:
    step, value = made.asend, None
    while True:
        try:
            item = await _awaitable(step(value), call)
        except StopAsyncIteration:
            return
        finally:
            value = None
        try:
            step, value = made.asend, (yield item)
        except GeneratorExit:
            await _awaitable(made.aclose(), call)
            raise
        except BaseException as error:
            step, value = made.athrow, error
