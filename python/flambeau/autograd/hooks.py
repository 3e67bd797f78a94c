"""Handles by which hooks are removed."""

from __future__ import annotations

import itertools
import weakref
from typing import Any

from .. import _C

__all__ = ["RemovableHandle"]


class RemovableHandle:
    """What registering a hook gives: `remove()` takes the hook away; also as a context manager."""

    _ids = itertools.count()
    id: int

    def __init__(self, hooks_dict: Any, *, extra_dict: Any = None) -> None:
        self.id = next(RemovableHandle._ids)
        self._hooks = weakref.ref(hooks_dict)
        extra = [] if extra_dict is None else extra_dict
        self._extra = [*map(weakref.ref, extra if isinstance(extra, list) else [extra])]

    def remove(self) -> None:
        for registry in [self._hooks, *self._extra]:
            hooks = registry()
            if hooks is not None:
                hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


class _CoreHandle(RemovableHandle):
    """Of a hook that C++ holds, which makes these itself."""

    def __init__(self, hook: _C._RemovableHook) -> None:
        self.id = next(RemovableHandle._ids)
        self._hook = hook

    def remove(self) -> None:
        self._hook.remove()
