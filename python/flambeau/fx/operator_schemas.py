"""Arguments of functions by the names of their parameters."""

from __future__ import annotations

import inspect
from typing import Any, Callable, NamedTuple

__all__ = ["ArgsKwargsPair", "normalize_function", "normalize_module"]


class ArgsKwargsPair(NamedTuple):
    """Arguments by position and by name."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def _bind(
    target: Any, args: tuple[Any, ...], kwargs: dict[str, Any], names_only: bool
) -> ArgsKwargsPair | None:
    try:
        bound = inspect.signature(target).bind(*args, **kwargs)
    except (TypeError, ValueError):
        return None
    bound.apply_defaults()
    if not names_only:
        return ArgsKwargsPair(bound.args, bound.kwargs)
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.POSITIONAL_ONLY)
    if any(p.kind in kinds for p in bound.signature.parameters.values()):
        return None
    return ArgsKwargsPair((), dict(bound.arguments))


def normalize_function(
    target: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any] | None = None,
    arg_types: Any = None,
    kwarg_types: Any = None,
    normalize_to_only_use_kwargs: bool = False,
) -> ArgsKwargsPair | None:
    """The arguments of a call as its parameters take them, with defaults; None where they are not known."""
    del arg_types, kwarg_types  # One name has one signature here.
    return _bind(target, args, kwargs or {}, normalize_to_only_use_kwargs)


def normalize_module(
    root: Any,
    target: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any] | None = None,
    normalize_to_only_use_kwargs: bool = False,
) -> ArgsKwargsPair | None:
    """The same for a call of the module of `root` at a path."""
    module = root.get_submodule(target)
    return _bind(module.forward, args, kwargs or {}, normalize_to_only_use_kwargs)
