"""Names of backends. What is registered is not called, of which flambeau.compile warns."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from flambeau._compile import _registered, backends
from flambeau.compiler import list_backends

__all__ = ["list_backends", "register_backend"]


def register_backend(
    compiler_fn: Callable[..., Any] | None = None,
    name: str | None = None,
    tags: Sequence[str] = (),
) -> Any:
    """Makes a name, that of the function without one, a backend. Usable as a decorator."""
    if compiler_fn is None:
        return functools.partial(register_backend, name=name, tags=tags)
    if not callable(compiler_fn):
        raise AssertionError(
            f"register_backend: expected a callable, got {type(compiler_fn).__name__}"
        )
    name = name or compiler_fn.__name__
    if name in backends():
        raise AssertionError(f"duplicate name: {name}")
    compiler_fn._tags = tuple(tags)  # type: ignore[attr-defined]
    _registered[name] = compiler_fn
    return compiler_fn
