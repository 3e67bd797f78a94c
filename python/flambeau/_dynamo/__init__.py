"""The names of torch._dynamo that libraries use. `flambeau.compile` records instead of analysing Python, so
there is nothing that these would have to tell it.
"""

from __future__ import annotations

from typing import Any

from flambeau._absent import attribute
from flambeau._compile import compile as optimize
from flambeau._compiler_settings import Settings
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
    "disallow_in_graph", "exc", "forbid_in_graph", "graph_break", "is_compiling", "list_backends",
    "mark_dynamic", "mark_static", "mark_static_address", "maybe_mark_dynamic", "optimize", "reset",
    "run", "substitute_in_graph",
]  # fmt: skip

config = Settings(
    "torch._dynamo.config",
    suppress_errors=False, cache_size_limit=8, recompile_limit=8, accumulated_cache_size_limit=256,
    capture_scalar_outputs=False, capture_dynamic_output_shape_ops=False, automatic_dynamic_shapes=True,
    assume_static_by_default=True, optimize_ddp=True, inline_inbuilt_nn_modules=True, verbose=False,
    allow_unspec_int_on_nn_module=False,
)  # fmt: skip


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
