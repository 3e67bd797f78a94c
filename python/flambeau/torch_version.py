"""A version that compares as versions do: `TorchVersion("2.10.0") > "2.9"`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

__all__ = ["TorchVersion"]


class TorchVersion(str):
    """A text that compares with texts and tuples as a version: numbers first, then a suffix."""

    __slots__ = ()

    @staticmethod
    def _key(version: Any) -> tuple[Any, ...]:
        if not isinstance(version, str) and isinstance(version, Iterable):
            version = ".".join(str(part) for part in version)
        public = str(version).partition("+")[0].lstrip("vV")
        match = re.match(r"\d+(?:\.\d+)*", public)
        if match is None:
            raise ValueError(f"Invalid version: '{version}'")
        numbers = [int(number) for number in match.group().split(".")]
        while len(numbers) > 1 and numbers[-1] == 0:
            numbers.pop()
        suffix = public[match.end() :].lstrip(".-_")
        # Releases come after what leads to them (a, b, rc, dev) and before what follows (post).
        rank = 0 if not suffix else 1 if suffix.startswith("post") else -1
        return numbers, rank, suffix

    def __lt__(self, other: Any) -> bool:
        return self._key(self) < self._key(other)

    def __le__(self, other: Any) -> bool:
        return self._key(self) <= self._key(other)

    def __gt__(self, other: Any) -> bool:
        return self._key(self) > self._key(other)

    def __ge__(self, other: Any) -> bool:
        return self._key(self) >= self._key(other)

    def __eq__(self, other: object) -> bool:
        try:
            return self._key(self) == self._key(other)
        except ValueError:
            return False

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__
