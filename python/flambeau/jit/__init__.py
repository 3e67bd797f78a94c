"""TorchScript's names. Functions and modules run as the Python that they are: what `script` gives is what it
was given, and `flambeau.compile` makes it fast.
"""

from __future__ import annotations

from typing import Any, Final

from flambeau._absent import attribute, feature
from flambeau.nn import Module

__all__ = [
    "Attribute", "Final", "ScriptFunction", "ScriptModule", "annotate", "export", "fork", "freeze",
    "ignore", "interface", "is_scripting", "is_tracing", "isinstance", "load",
    "optimized_execution", "save", "script", "script_if_tracing", "script_method", "trace",
    "trace_module", "unused", "wait",
]  # fmt: skip

_builtin_isinstance = isinstance


class ScriptModule(Module):
    """What PyTorch's TorchScript makes of a module, for isinstance; Flambeau makes none."""


class RecursiveScriptModule(ScriptModule):
    pass


class ScriptFunction:
    """What PyTorch's TorchScript makes of a function, for isinstance; Flambeau makes none."""


def is_scripting() -> bool:
    return False


def is_tracing() -> bool:
    return False


def script(
    obj: Any,
    optimize: Any = None,
    _frames_up: int = 0,
    _rcb: Any = None,
    example_inputs: Any = None,
) -> Any:
    return obj


def script_if_tracing(fn: Any) -> Any:
    return fn


def script_method(fn: Any) -> Any:
    return fn


def export(fn: Any) -> Any:
    return fn


def unused(fn: Any) -> Any:
    return fn


def interface(obj: Any) -> Any:
    return obj


def ignore(drop: Any = False, **kwargs: Any) -> Any:
    """A decorator, with or without arguments, that changes nothing."""
    return drop if callable(drop) else lambda fn: fn


def annotate(the_type: Any, the_value: Any) -> Any:
    return the_value


def Attribute(value: Any, type: Any) -> Any:
    return value


def isinstance(obj: Any, target_type: Any) -> bool:
    return _builtin_isinstance(obj, target_type)


def fork(func: Any, *args: Any, **kwargs: Any) -> Any:
    raise feature("jit.fork")


def wait(future: Any) -> Any:
    raise feature("jit.wait")


def trace(func: Any, *args: Any, **kwargs: Any) -> Any:
    raise feature("jit.trace")


def trace_module(mod: Any, *args: Any, **kwargs: Any) -> Any:
    raise feature("jit.trace_module")


def freeze(mod: Any, *args: Any, **kwargs: Any) -> Any:
    raise feature("jit.freeze")


def load(f: Any, *args: Any, **kwargs: Any) -> Any:
    raise feature("jit.load")


def save(m: Any, f: Any, *args: Any, **kwargs: Any) -> None:
    raise feature("jit.save")


class optimized_execution:
    """A block that changes nothing."""

    def __init__(self, should_optimize: bool) -> None:
        self.should_optimize = should_optimize

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exception: object) -> None:
        return None


__getattr__ = attribute(__name__)
