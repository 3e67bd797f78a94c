"""What belongs to `flambeau.compile`: when recorded work runs, and the names of torch.compiler."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from . import _C
from ._compile import compile
from ._explain import Explanation, explain

__all__ = [
    "Explanation", "allow_in_graph", "assume_constant_result", "compile",
    "cudagraph_mark_step_begin", "disable", "explain", "flush", "is_compiling", "is_dynamo_compiling", "is_exporting", "list_backends", "reset",
    "set_stance", "stats", "synchronize",
]  # fmt: skip


def flush() -> None:
    """Runs what this thread has recorded. Raises what the recorded operations raise."""
    _C._compile_flush()


def synchronize() -> None:
    """flush(), and waits until it has run."""
    _C._compile_flush()


def is_compiling() -> bool:
    """False: Python always really runs, so there is no time at which it is traced instead."""
    return False


def is_dynamo_compiling() -> bool:
    return False


def is_exporting() -> bool:
    return False


def list_backends(exclude_tags: Any = ("debug", "experimental")) -> list[str]:
    return ["flambeau"]


def reset() -> None:
    """Runs what is recorded and forgets all programs: the next ones are as the first."""
    flush()
    _C._compile_forget()


def stats() -> dict[str, int]:
    """What happened in this process: `runs` of programs; `programs_made`, which cost passes;
    `geometries_bound`, sets of sizes that were new to their program; `regions_merged`, runs of
    several operations as one program, and `regions_one_by_one`, while that was being compiled."""
    return _C._compile_stats()


def allow_in_graph(fn: Any) -> Any:
    """`fn` itself: everything is allowed."""
    return fn


def assume_constant_result(fn: Any) -> Any:
    return fn


def disable(fn: Any = None, recursive: bool = True, *, reason: str | None = None) -> Any:
    """A function that runs what is recorded before it is called, and what it records itself
    before it returns."""
    if fn is None:
        return lambda function: disable(function, recursive, reason=reason)

    @functools.wraps(fn)
    def eager(*args: Any, **kwargs: Any) -> Any:
        flush()
        try:
            return fn(*args, **kwargs)
        finally:
            flush()

    return eager


def cudagraph_mark_step_begin() -> None:
    flush()


class set_stance:
    """torch.compiler's stances concern recompilation, of which there is none."""

    def __init__(self, stance: str = "default", **options: Any) -> None:
        self.stance = stance

    def __call__(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        return fn

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exception: object) -> None:
        return None
