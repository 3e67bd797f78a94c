"""Forward mode: tensors that carry a tangent, and calls that carry tangents on."""

from __future__ import annotations

from typing import Any, NamedTuple

from .. import _C

__all__ = [
    "UnpackedDualTensor",
    "dual_level",
    "enter_dual_level",
    "exit_dual_level",
    "make_dual",
    "unpack_dual",
]

_current_level = -1


class UnpackedDualTensor(NamedTuple):
    """A tensor without its tangent; and that, or None."""

    primal: Any
    tangent: Any


def enter_dual_level() -> int:
    """Begins a level, in which tensors may have tangents. One at a time."""
    global _current_level
    _C._enter_dual_level()
    _current_level = 0
    return 0


def exit_dual_level(*, level: int | None = None) -> None:
    """Ends the level: no tensor has a tangent any more."""
    global _current_level
    if level is not None and level != _current_level:
        raise RuntimeError(
            "Trying to exit a forward AD level that was not the last one that was created. This is "
            "not supported."
        )
    _C._exit_dual_level()
    _current_level = -1


class dual_level:
    """A level for a `with` block."""

    def __enter__(self) -> int:
        return enter_dual_level()

    def __exit__(self, *exc: object) -> None:
        exit_dual_level()


def make_dual(tensor: Any, tangent: Any, *, level: int | None = None) -> Any:
    """The tensor with a tangent of its shape: the direction that derivatives are taken in."""
    return _C._make_dual(tensor, tangent)


def unpack_dual(tensor: Any, *, level: int | None = None) -> UnpackedDualTensor:
    """The tensor alone, and its tangent: the derivative, in the direction that make_dual gave."""
    if (_current_level if level is None else level) < 0:
        return UnpackedDualTensor(tensor, None)
    return UnpackedDualTensor(_C._make_dual(tensor, None), _C._tangent(tensor))
