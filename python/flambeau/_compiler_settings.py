"""What PyTorch's compiler takes: its settings, which are kept and change nothing, and names of its
backends and logs. tools/dump_compiler_settings.py writes them from PyTorch.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import types
from collections.abc import Iterator
from typing import Any


@functools.cache
def table() -> dict[str, Any]:
    import json  # here, as few programs need it
    from pathlib import Path

    file = Path(__file__).with_name("_compiler_settings.json")
    return json.loads(file.read_text(encoding="utf-8"))


def settings(name: str) -> Settings:
    """The module of this name, which is PyTorch's."""
    made = Settings(name, table()["configs"][name])
    sys.modules[name.replace("torch", __name__.partition(".")[0], 1)] = made
    return made


class Settings(types.ModuleType):
    """`config.name = value`; parts have dots in their names (`triton.cudagraphs`). A module, as
    programs import it as one. It has the names that PyTorch has, and no others."""

    _aliases: dict[str, str]

    def __init__(self, name: str, entries: dict[str, Any]) -> None:
        super().__init__(name)
        own = vars(self)
        own["_aliases"] = {}
        parts: dict[str, dict[str, Any]] = {}
        for path, entry in entries.items():
            first, _, rest = path.partition(".")
            if rest:
                parts.setdefault(first, {})[rest] = entry
            elif isinstance(entry, str):
                self._aliases[first] = entry
            else:
                own[first] = entry[1]
        own.update((part, Settings(f"{name}.{part}", within)) for part, within in parts.items())

    def __getattr__(self, name: str) -> Any:
        if name in self._aliases:
            return getattr(self, self._aliases[name])
        raise AttributeError(f"{self.__name__}.{name} does not exist", name=name, obj=self)

    def __setattr__(self, name: str, value: Any) -> None:
        name = self._aliases.get(name, name)
        if name not in vars(self) and not name.startswith("__"):  # Python itself sets __path__.
            raise AttributeError(f"{self.__name__}.{name} does not exist", name=name, obj=self)
        super().__setattr__(name, value)

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
        places = [self._place(name) for name in settings]
        before = [getattr(holder, last) for holder, last in places]
        for (holder, last), value in zip(places, settings.values()):
            setattr(holder, last, value)
        try:
            yield
        finally:
            for (holder, last), value in zip(reversed(places), reversed(before)):
                setattr(holder, last, value)
