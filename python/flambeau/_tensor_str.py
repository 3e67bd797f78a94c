"""How tensors are printed, for a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from flambeau import _C, set_printoptions
from flambeau._absent import attribute

__all__ = ["printoptions"]


@contextlib.contextmanager
def printoptions(**kwargs: Any) -> Iterator[None]:
    """set_printoptions within it."""
    before = _C._print_options()
    set_printoptions(**kwargs)
    try:
        yield
    finally:
        _C._set_print_options(*before)


__getattr__ = attribute(__name__)
