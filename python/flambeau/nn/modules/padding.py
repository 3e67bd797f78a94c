"""Padding as modules. `padding` is one number, or (left, right, top, bottom, front, back)."""

from __future__ import annotations

from typing import Any

from flambeau import Tensor
from flambeau.nn import functional as F
from flambeau.nn.modules.module import Module
from flambeau.nn.modules.utils import _ntuple

__all__ = [
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
]


class _PadNd(Module):
    __constants__ = ["padding"]
    mode: str
    rank: int

    def __init__(self, padding: Any) -> None:
        super().__init__()
        self.padding = _ntuple(2 * type(self).rank)(padding)

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPadNd(_PadNd):
    __constants__ = ["padding", "value"]
    mode = "constant"
    value: float

    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPadNd):
    """`value` around the last axis."""

    rank = 1


class ConstantPad2d(_ConstantPadNd):
    """`value` around the last two axes."""

    rank = 2


class ConstantPad3d(_ConstantPadNd):
    """`value` around the last three axes."""

    rank = 3


class ZeroPad1d(ConstantPad1d):
    """Zeros around the last axis."""

    def __init__(self, padding: Any) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad2d(ConstantPad2d):
    """Zeros around the last two axes."""

    def __init__(self, padding: Any) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad3d(ConstantPad3d):
    """Zeros around the last three axes."""

    def __init__(self, padding: Any) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ReflectionPad1d(_PadNd):
    """The last axis mirrored at its ends, which are not repeated."""

    mode = "reflect"
    rank = 1


class ReflectionPad2d(_PadNd):
    """The last two axes mirrored at their ends, which are not repeated."""

    mode = "reflect"
    rank = 2


class ReflectionPad3d(_PadNd):
    """The last three axes mirrored at their ends, which are not repeated."""

    mode = "reflect"
    rank = 3


class ReplicationPad1d(_PadNd):
    """The last axis with its ends repeated."""

    mode = "replicate"
    rank = 1


class ReplicationPad2d(_PadNd):
    """The last two axes with their ends repeated."""

    mode = "replicate"
    rank = 2


class ReplicationPad3d(_PadNd):
    """The last three axes with their ends repeated."""

    mode = "replicate"
    rank = 3


class CircularPad1d(_PadNd):
    """The last axis going round."""

    mode = "circular"
    rank = 1


class CircularPad2d(_PadNd):
    """The last two axes going round."""

    mode = "circular"
    rank = 2


class CircularPad3d(_PadNd):
    """The last three axes going round."""

    mode = "circular"
    rank = 3
