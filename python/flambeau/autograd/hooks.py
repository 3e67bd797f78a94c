"""Handles by which hooks are removed."""

from __future__ import annotations

from typing import Any, Callable

__all__ = ["RemovableHandle"]


class RemovableHandle:
    """What registering a hook gives: `remove()` takes the hook away; also as a context manager."""

    def __init__(self, remove: Callable[[], None]) -> None:
        self._remove: Callable[[], None] | None = remove

    def remove(self) -> None:
        if self._remove is not None:
            self._remove()
            self._remove = None

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *_: Any) -> None:
        self.remove()
