"""The names of torch._dynamo.utils that programs use."""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Iterator

from flambeau._absent import attribute

__all__ = ["counters", "disable_cache_limit"]

#: What PyTorch counts of frames, graphs and their breaks, which there are none of here.
#: flambeau.compiler.stats() counts what there is.
counters: collections.defaultdict[str, collections.Counter[str]] = collections.defaultdict(
    collections.Counter
)


@contextlib.contextmanager
def disable_cache_limit() -> Iterator[None]:
    """Nothing: there is no limit."""
    yield


__getattr__ = attribute(__name__)
