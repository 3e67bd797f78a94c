"""`flambeau.compile`: a function whose tensor operations are recorded and run as one program."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from . import _C

_MODES = (None, "default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
_NUMERICS = ("exact", "fast")


def compile(
    model: Callable[..., Any] | None = None,
    *,
    fullgraph: bool = False,
    dynamic: bool | None = None,
    backend: str | Callable[..., Any] = "flambeau",
    mode: str | None = None,
    options: dict[str, Any] | None = None,
    disable: bool = False,
    numerics: str = "exact",
    replay: bool = False,
) -> Any:
    """Records what `model`, a function or a Module, does to tensors, and what follows on them
    (backward, clipping, the optimiser's update); runs it as one program when a value is needed.

    The results are those of eager calls, to the bit. Python really runs at every call, so nothing
    is guarded and nothing can break; `fullgraph`, `dynamic`, `backend`, `mode` and `options` are
    taken as torch.compile takes them and change nothing. `numerics="fast"` allows results that
    differ in the last bits; none do yet. Usable as a decorator, with or without arguments.
    """
    if mode not in _MODES:
        raise RuntimeError(
            f"Unrecognized mode={mode}, should be one of: {', '.join(map(str, _MODES[1:]))}"
        )
    if mode is not None and options is not None:
        raise RuntimeError(
            "Either mode or options can be specified, but both can't be specified at the same time."
        )
    if numerics not in _NUMERICS:
        raise ValueError(f"compile: numerics must be one of {_NUMERICS}, got {numerics!r}")
    if replay:
        raise NotImplementedError("compile: replay=True is not available yet")
    if model is None:
        return functools.partial(
            compile,
            fullgraph=fullgraph,
            dynamic=dynamic,
            backend=backend,
            mode=mode,
            options=options,
            disable=disable,
            numerics=numerics,
            replay=replay,
        )
    if not callable(model):
        raise TypeError(f"compile: expected a function or a Module, got {type(model).__name__}")
    if disable:
        return model
    optimized = getattr(type(model), "_optimized", None)  # a Module's
    return recorded(model) if optimized is None else optimized(model)


def recorded(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` with its operations recorded."""
    enter, leave = _C._compile_enter, _C._compile_leave

    @functools.wraps(function)
    def compiled(*args: Any, **kwargs: Any) -> Any:
        enter()
        try:
            return function(*args, **kwargs)
        finally:
            leave()

    return compiled
