"""The names of torch._inductor that programs use: there is another compiler here."""

from __future__ import annotations

from typing import Any

from flambeau._absent import attribute
from flambeau._compile import known_options
from flambeau._compiler_settings import settings

__all__ = ["config", "list_mode_options", "list_options"]

config = settings("torch._inductor.config")


def list_mode_options(mode: str | None = None, dynamic: bool | None = None) -> dict[str, Any]:
    """Modes change nothing."""
    return {} if mode is not None else {"default": {}, "reduce-overhead": {}, "max-autotune": {}}


def list_options() -> list[str]:
    """The names that `options=` of flambeau.compile takes."""
    return list(known_options())


__getattr__ = attribute(__name__)
