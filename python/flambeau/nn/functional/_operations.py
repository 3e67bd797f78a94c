"""The core's operations under `nn.functional.NAME`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau import _C

_PREFIX = "nn.functional."

OPERATIONS: dict[str, Callable[..., Any]] = {
    path[len(_PREFIX) :]: function
    for path, function in _C._functions.items()
    if path.startswith(_PREFIX)
}


def in_place(name: str) -> Callable[..., Any]:
    """The operation that writes its first argument."""
    found = OPERATIONS.get(name + "_")
    return _C._functions[f"_ops.{name}_"] if found is None else found
