"""The names of torch._inductor that programs use: there is another compiler here."""

from __future__ import annotations

from typing import Any

from flambeau._absent import attribute
from flambeau._compiler_settings import Settings

__all__ = ["config", "list_mode_options", "list_options"]

config = Settings(
    "torch._inductor.config",
    max_autotune=False, coordinate_descent_tuning=False, epilogue_fusion=True, fx_graph_cache=True,
    freezing=False, fallback_random=False, shape_padding=True, force_fuse_int_mm_with_mul=False,
    triton=Settings("torch._inductor.config.triton", cudagraphs=False, unique_kernel_names=False),
    cpp=Settings("torch._inductor.config.cpp", threads=-1, simdlen=None),
)  # fmt: skip


def list_mode_options(mode: str | None = None, dynamic: bool | None = None) -> dict[str, Any]:
    """Modes change nothing."""
    return {} if mode is not None else {"default": {}, "reduce-overhead": {}, "max-autotune": {}}


def list_options() -> list[str]:
    """The names that `options=` of flambeau.compile takes and that count."""
    return ["activation_memory_budget"]


__getattr__ = attribute(__name__)
