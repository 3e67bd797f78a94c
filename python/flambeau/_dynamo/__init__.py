"""The names of torch._dynamo that libraries use. `flambeau.compile` records instead of analysing Python, so
there is nothing that these would have to tell it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from flambeau import _explain
from flambeau._absent import attribute, feature
from flambeau._compile import compile
from flambeau._compiler_settings import settings
from flambeau._dynamo.backends.registry import register_backend
from flambeau.compiler import (
    allow_in_graph,
    assume_constant_result,
    disable,
    is_compiling,
    list_backends,
    reset,
)
from flambeau.nn.modules.optimized import OptimizedModule

__all__ = [
    "OptimizedModule", "allow_in_graph", "assume_constant_result", "config", "disable",
    "disallow_in_graph", "exc", "explain", "export", "forbid_in_graph", "graph_break",
    "is_compiling", "list_backends", "mark_dynamic", "mark_static", "mark_static_address",
    "maybe_mark_dynamic", "optimize", "optimize_assert", "register_backend", "reset", "run",
    "substitute_in_graph",
]  # fmt: skip

config = settings("torch._dynamo.config")


def optimize(
    backend: Any = "inductor",
    *,
    nopython: bool = False,
    guard_export_fn: Any = None,
    guard_fail_fn: Any = None,
    disable: bool = False,
    dynamic: bool | None = None,
) -> Any:
    """A decorator: flambeau.compile under its older name. There are no guards, so nothing is told
    of them."""
    return compile(backend=backend, fullgraph=nopython, disable=disable, dynamic=dynamic)


def optimize_assert(backend: Any, **kwargs: Any) -> Any:
    return optimize(backend, nopython=True, **kwargs)


def explain(f: Callable[..., Any], *extra_args: Any, **extra_kwargs: Any) -> Any:
    """`explain(f)(*args)` calls `f` and tells of the programs that it became, as
    flambeau.compiler.explain."""
    explained = _explain.explain(f)
    if not extra_args and not extra_kwargs:
        return explained
    warnings.warn(
        "explain(f, *args, **kwargs) is deprecated, use explain(f)(*args, **kwargs) instead.",
        FutureWarning,
        stacklevel=2,
    )
    return explained(*extra_args, **extra_kwargs)


def export(f: Callable[..., Any], *extra_args: Any, **extra_kwargs: Any) -> Any:
    raise NotImplementedError(
        f"{feature('_dynamo.export')}: torch.fx.symbolic_trace(f) gives a graph"
    )


def _mark(t: Any, index: Any = None, **_: Any) -> None:
    """Nothing: programs serve every size and address."""


mark_dynamic = maybe_mark_dynamic = mark_static = _mark


def mark_static_address(t: Any, guard: bool = True) -> None:
    """Nothing: programs serve every address."""


def _itself(fn: Any) -> Any:
    return fn


disallow_in_graph = forbid_in_graph = run = _itself


def graph_break(msg: str = "") -> None:
    """Nothing: no program is broken."""


def substitute_in_graph(original_fn: Any, **_: Any) -> Any:
    """The decorated function stands for `original_fn` where Python is traced, which it never is."""
    return _itself


__getattr__ = attribute(__name__)
