"""cuDNN: not used on the CPU."""

from __future__ import annotations

from typing import Any

from flambeau.backends._library import flags_of, is_available

__all__ = ["flags", "is_acceptable", "is_available", "version"]

enabled = True
benchmark = False
benchmark_limit = 10
deterministic = False
allow_tf32 = True

flags = flags_of(
    globals(),
    enabled=False,
    benchmark=False,
    benchmark_limit=10,
    deterministic=False,
    allow_tf32=True,
)


def version() -> int | None:
    return None


def is_acceptable(tensor: Any) -> bool:
    return False
