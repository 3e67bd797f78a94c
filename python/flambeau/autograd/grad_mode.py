"""Whether calls are recorded: context managers that also decorate functions."""

from __future__ import annotations

import functools
import inspect
import warnings
from typing import Any, Callable

from .. import _C

__all__ = [
    "detect_anomaly",
    "enable_grad",
    "inference_mode",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
]


class _Mode:
    """A context manager; as a decorator it makes a fresh one for each call."""

    def clone(self) -> _Mode:
        return type(self)()

    def __enter__(self) -> Any:
        raise NotImplementedError

    def __exit__(self, *_: Any) -> None:
        raise NotImplementedError

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.isgeneratorfunction(function):
            return self._wrap_generator(function)
        return self._wrap(function)

    def _wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with self.clone():
                return function(*args, **kwargs)

        return wrapper

    def _wrap_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The mode holds while the generator runs, not while its caller does."""

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            generator = function(*args, **kwargs)
            send, value = generator.send, None
            while True:
                try:
                    with self.clone():
                        item = send(value)
                except StopIteration as stop:
                    return stop.value
                try:
                    value = yield item
                    send = generator.send
                except GeneratorExit:
                    generator.close()
                    raise
                except BaseException as error:
                    send, value = generator.throw, error

        return wrapper


class _GradMode(_Mode):
    """Also without parentheses: `@no_grad`."""

    _enabled: bool

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        self = super().__new__(cls)
        return self if function is None else self(function)

    def _wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        set_enabled, enabled = _C._set_grad_enabled, self._enabled

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            previous = set_enabled(enabled)
            try:
                return function(*args, **kwargs)
            finally:
                set_enabled(previous)

        return wrapper

    def __enter__(self) -> None:
        self._previous = _C._set_grad_enabled(self._enabled)

    def __exit__(self, *_: Any) -> None:
        _C._set_grad_enabled(self._previous)


class no_grad(_GradMode):
    """Nothing is recorded."""

    _enabled = False


class enable_grad(_GradMode):
    """Calls are recorded, also inside no_grad."""

    _enabled = True


class set_grad_enabled(_Mode):
    """Sets the mode at once; as a context manager, until its end."""

    def __init__(self, mode: bool) -> None:
        self.mode = bool(mode)
        self._previous = _C._set_grad_enabled(self.mode)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        _C._set_grad_enabled(self._previous)
        return super().__call__(function)

    def clone(self) -> set_grad_enabled:
        return set_grad_enabled(self.mode)

    def __enter__(self) -> None:
        _C._set_grad_enabled(self.mode)

    def __exit__(self, *_: Any) -> None:
        _C._set_grad_enabled(self._previous)


class inference_mode(_Mode):
    """Nothing is recorded, and what is made can never take part in a recording."""

    mode: bool

    def __new__(cls, mode: Any = True) -> Any:
        self = super().__new__(cls)
        if isinstance(mode, bool):
            self.mode = mode
            return self
        self.mode = True
        return self(mode)

    def clone(self) -> inference_mode:
        return inference_mode(self.mode)

    def __enter__(self) -> None:
        self._previous = _C.is_inference_mode_enabled(), _C.is_grad_enabled()
        _C._set_inference_mode(self.mode)
        _C._set_grad_enabled(not self.mode)

    def __exit__(self, *_: Any) -> None:
        inference, grad = self._previous
        _C._set_inference_mode(inference)
        _C._set_grad_enabled(grad)


class set_detect_anomaly(_Mode):
    """Calls keep where they were made, and backward checks for NaN."""

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self._previous = _C.is_anomaly_enabled(), _C.is_anomaly_check_nan_enabled()
        _C._set_anomaly_enabled(mode, check_nan)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: Any) -> None:
        _C._set_anomaly_enabled(*self._previous)


class detect_anomaly(set_detect_anomaly):
    """As set_detect_anomaly(True), for a `with` block."""

    def __init__(self, check_nan: bool = True) -> None:
        super().__init__(True, check_nan)
        warnings.warn(
            "Anomaly Detection has been enabled. This mode will increase the runtime and should "
            "only be enabled for debugging.",
            stacklevel=2,
        )
