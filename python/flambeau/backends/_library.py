"""Settings of libraries that are not there: they can be set and read, and change nothing."""

from __future__ import annotations

import contextlib
import types
from collections.abc import Iterator
from typing import Any

__all__ = ["flags_of", "is_available"]


def is_available() -> bool:
    return False


def flags_of(module: dict[str, Any], **defaults: Any) -> Any:
    """A context manager like torch.backends.cudnn.flags for variables of a module."""

    @contextlib.contextmanager
    def flags(**values: Any) -> Iterator[None]:
        unknown = sorted(values.keys() - defaults.keys())
        if unknown:
            raise TypeError(f"flags() got an unexpected keyword argument '{unknown[0]}'")
        saved = {name: module[name] for name in defaults}
        module.update(defaults | values)
        try:
            yield
        finally:
            module.update(saved)

    return flags


Settings = types.SimpleNamespace
