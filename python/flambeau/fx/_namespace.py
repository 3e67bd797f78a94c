"""Names of nodes and of what generated code refers to, each given once."""

from __future__ import annotations

import builtins
import collections
import keyword
import re
from typing import Any, NamedTuple

import flambeau

__all__ = ["BUILTINS", "Namespace", "snake_case"]


class _Builtin(NamedTuple):
    """What every generated function can refer to: the import that makes it, and the object."""

    import_str: str
    obj: Any


def _builtins() -> dict[str, _Builtin]:
    import flambeau.fx._pytree as fx_pytree
    from flambeau.utils import _pytree as pytree

    # Under which name this package is imported.
    package = __name__.partition(".")[0]
    return {
        "inf": _Builtin("from math import inf", float("inf")),
        "nan": _Builtin("from math import nan", float("nan")),
        "NoneType": _Builtin("NoneType = type(None)", type(None)),
        "torch": _Builtin(
            "import torch" if package == "torch" else f"import {package} as torch", flambeau
        ),
        "device": _Builtin(f"from {package} import device", flambeau.device),
        "fx_pytree": _Builtin(f"import {package}.fx._pytree as fx_pytree", fx_pytree),
        "pytree": _Builtin(f"import {package}.utils._pytree as pytree", pytree),
    }


BUILTINS = _builtins()

_ILLEGAL = re.compile("[^0-9a-zA-Z_]+")
_NUMBERED = re.compile(r"(.*)_(\d+)$")


def snake_case(text: str) -> str:
    """BatchNorm as batch_norm."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", text).lower()


class Namespace:
    """Gives names that are Python's and that nothing else has."""

    def __init__(self) -> None:
        self._names: dict[Any, str] = {}
        self._used: set[str] = set()
        self._counts: dict[str, int] = collections.defaultdict(int)

    def create_name(self, candidate: str, obj: Any) -> str:
        """A name like `candidate`, numbered where that is taken; the same for the same `obj` that is not None."""
        if obj is not None and obj in self._names:
            return self._names[obj]
        candidate = _ILLEGAL.sub("_", candidate) or "_unnamed"
        if candidate[0].isdigit():
            candidate = f"_{candidate}"
        numbered = _NUMBERED.match(candidate)
        base, number = (numbered[1], int(numbered[2])) if numbered else (candidate, 0)
        if numbered:
            candidate = f"{base}_{number}"
        number = number or self._counts[base]
        while candidate in self._used or self._is_illegal(candidate, obj):
            number += 1
            candidate = f"{base}_{number}"
        self._used.add(candidate)
        self._counts[base] = number
        if obj is not None:
            self._names[obj] = candidate
        return candidate

    def associate_name_with_obj(self, name: str, obj: Any) -> None:
        assert obj not in self._names or self._names[obj] == name
        self._names[obj] = name
        self._used.add(name)

    def _is_illegal(self, name: str, obj: Any) -> bool:
        if keyword.iskeyword(name):
            return True
        if name in builtins.__dict__:
            return obj is not builtins.__dict__[name]
        return name in BUILTINS and obj is not BUILTINS[name].obj
