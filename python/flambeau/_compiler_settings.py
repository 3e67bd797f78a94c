"""Settings of PyTorch's compiler, which programs set and read: they are kept and change nothing."""

from __future__ import annotations

import contextlib
import sys
import types
from collections.abc import Iterator
from typing import Any


class Settings(types.ModuleType):
    """`config.name = value`; parts have dots in their names (`triton.cudagraphs`). A module, as
    programs import it as one; `name` is PyTorch's."""

    def __init__(self, name: str, **settings: Any) -> None:
        super().__init__(name)
        vars(self).update(settings)
        if name.endswith(".config"):
            sys.modules[name.replace("torch", __name__.partition(".")[0], 1)] = self

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{self.__name__}.{name} is not set: Flambeau has no use for it")

    def _place(self, name: str) -> tuple[Any, str]:
        *parts, last = name.split(".")
        holder: Any = self
        for part in parts:
            holder = getattr(holder, part)
        return holder, last

    @contextlib.contextmanager
    def patch(
        self, arg1: str | dict[str, Any] | None = None, arg2: Any = None, **settings: Any
    ) -> Iterator[None]:
        """With other settings: patch("name", value), patch({"name": value}) or patch(name=value), as
        a context or a decorator.
        """
        if isinstance(arg1, dict):
            settings = {**arg1, **settings}
        elif arg1 is not None:
            settings = {arg1: arg2, **settings}
        before: list[Any] = []
        for name, value in settings.items():
            holder, last = self._place(name)
            before.append((holder, last, vars(holder).get(last, before)))
            setattr(holder, last, value)
        try:
            yield
        finally:
            for holder, last, value in reversed(before):
                if value is before:
                    delattr(holder, last)
                else:
                    setattr(holder, last, value)
