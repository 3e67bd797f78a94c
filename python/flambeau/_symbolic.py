"""Symbolic numbers. Sizes are always numbers here, since Python always really runs: the classes have no
objects, and the functions are those of numbers.
"""

from __future__ import annotations

import builtins
import math
from typing import Any, Callable

from . import _C

__all__ = [
    "SymBool", "SymFloat", "SymInt", "_check", "_check_index", "_check_is_size", "_check_tensor_all",
    "_check_tensor_all_with", "_check_type", "_check_value", "_check_with", "sym_float", "sym_int", "sym_ite", "sym_max",
    "sym_min", "sym_not", "sym_sqrt", "sym_sum",
]  # fmt: skip


class SymInt:
    """An integer that a trace does not know."""


class SymFloat:
    """A number that a trace does not know."""


class SymBool:
    """A truth value that a trace does not know."""


def sym_int(a: Any) -> int:
    return builtins.int(a)


def sym_float(a: Any) -> float:
    return builtins.float(a)


def sym_not(a: Any) -> bool:
    return not a


def sym_max(a: Any, b: Any) -> Any:
    return builtins.max(a, b)


def sym_min(a: Any, b: Any) -> Any:
    return builtins.min(a, b)


def sym_sum(args: Any) -> Any:
    return builtins.sum(args)


def sym_sqrt(a: Any) -> float:
    return math.sqrt(a)


def sym_ite(b: Any, t: Any, f: Any) -> Any:
    return t if b else f


def _check_with(
    error: type[Exception], cond: Any, message: Callable[[], Any] | None = None
) -> None:
    """Raises `error` unless `cond`; `message` makes its text."""
    if not isinstance(cond, bool):
        raise TypeError(f"cond must be a bool, but got {type(cond)}")
    if not cond:
        raise error(
            "Expected cond to be True, but got False. (Could this error message be improved?)"
            if message is None
            else str(message())
        )


def _check(cond: Any, message: Callable[[], Any] | None = None) -> None:
    _check_with(RuntimeError, cond, message)


def _check_index(cond: Any, message: Callable[[], Any] | None = None) -> None:
    _check_with(IndexError, cond, message)


def _check_value(cond: Any, message: Callable[[], Any] | None = None) -> None:
    _check_with(ValueError, cond, message)


def _check_type(cond: Any, message: Callable[[], Any] | None = None) -> None:
    _check_with(TypeError, cond, message)


def _check_is_size(i: Any, message: Callable[[], Any] | None = None, *, max: Any = None) -> None:
    _check(i >= 0, message)


def _check_tensor_all_with(
    error: type[Exception], cond: Any, message: Callable[[], Any] | None = None
) -> None:
    if not isinstance(cond, _C.Tensor):
        raise TypeError(f"cond must be a tensor, but got {type(cond)}")
    if cond.dtype is not _C.bool:
        raise TypeError(f"cond tensor must have dtype torch.bool, but got {cond.dtype}")
    _check_with(error, bool(cond.all().item()), message)


def _check_tensor_all(cond: Any, message: Callable[[], Any] | None = None) -> None:
    _check_tensor_all_with(RuntimeError, cond, message)
