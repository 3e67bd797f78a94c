"""Questions about sizes that may be unknown while a graph is made. Here Python always runs, and every size is a number."""

from __future__ import annotations

from typing import Any

from flambeau._absent import attribute

__all__ = [
    "GuardOnDataDependentSymNode",
    "free_symbols",
    "free_unbacked_symbols",
    "guard_or_false",
    "guard_or_true",
    "guard_size_oblivious",
    "has_free_symbols",
    "is_concrete_bool",
    "is_concrete_int",
    "statically_known_true",
]


class GuardOnDataDependentSymNode(RuntimeError):
    """A condition depends on a size that is not known. It never does here."""


def guard_or_false(a: Any) -> bool:
    """The condition; False where it is not known."""
    return bool(a)


def guard_or_true(a: Any) -> bool:
    """The condition; True where it is not known."""
    return bool(a)


def guard_size_oblivious(expr: Any) -> bool:
    return bool(expr)


def statically_known_true(x: Any) -> bool:
    """Whether the condition is known to hold."""
    return bool(x)


def is_concrete_bool(a: Any) -> bool:
    return isinstance(a, bool)


def is_concrete_int(a: Any) -> bool:
    return isinstance(a, int)


def free_symbols(val: Any) -> set[Any]:
    """The unknown sizes in a value: none."""
    return set()


def free_unbacked_symbols(x: Any) -> set[Any]:
    return set()


def has_free_symbols(val: Any) -> bool:
    return False


__getattr__ = attribute(__name__)
