"""One number for all axes, or one each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["pair", "quadruple", "single", "triple"]


def _ntuple(count: int) -> Callable[[Any], tuple[Any, ...]]:
    def as_tuple(value: Any) -> tuple[Any, ...]:
        return tuple(value) if isinstance(value, Iterable) else (value,) * count

    return as_tuple


single = _single = _ntuple(1)
pair = _pair = _ntuple(2)
triple = _triple = _ntuple(3)
quadruple = _quadruple = _ntuple(4)


def _reverse_repeat_tuple(values: Iterable[int], count: int) -> tuple[int, ...]:
    """Each value `count` times, the last one first: what pad() takes."""
    return tuple(value for value in reversed([*values]) for _ in range(count))
