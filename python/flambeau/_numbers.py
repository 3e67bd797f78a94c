"""Constants, and the limits of dtypes."""

from __future__ import annotations

import math
from typing import Any

from . import _C

__all__ = ["e", "finfo", "iinfo", "inf", "nan", "newaxis", "pi"]

e = math.e
inf = math.inf
nan = math.nan
pi = math.pi
newaxis = None

# dtype: mantissa bits without the hidden one, smallest exponent, largest number, decimal digits.
_FLOATS = {
    _C.float16: (10, -14, 65504.0, 0.001),
    _C.bfloat16: (7, -126, (2 - 2.0**-7) * 2.0**127, 0.01),
    _C.float32: (23, -126, (2 - 2.0**-23) * 2.0**127, 1e-6),
    _C.float64: (52, -1022, (2 - 2.0**-52) * 2.0**1023, 1e-15),
    _C.float8_e4m3fn: (3, -6, 448.0, 1.0),
    _C.float8_e4m3fnuz: (3, -7, 240.0, 1.0),
    _C.float8_e5m2: (2, -14, 57344.0, 1.0),
    _C.float8_e5m2fnuz: (3, -15, 57344.0, 1.0),
    _C.float8_e8m0fnu: (0, -127, 2.0**127, 1.0),
}
_INTEGERS = {
    _C.uint8, _C.int8, _C.int16, _C.int32, _C.int64, _C.uint16, _C.uint32, _C.uint64
}  # fmt: skip


class finfo:
    """Limits of a floating point dtype, of a complex one's parts, or of the default dtype."""

    def __init__(self, type: Any = None) -> None:
        dtype = _C.get_default_dtype() if type is None else type
        if isinstance(dtype, _C.dtype) and dtype.is_complex:
            dtype = dtype.to_real()
        if dtype not in _FLOATS:
            raise TypeError(
                "torch.finfo() requires a floating point input type. Use torch.iinfo to handle "
                f"'{dtype}'"
            )
        bits, exponent, self.max, self.resolution = _FLOATS[dtype]
        self.min = -self.max if dtype.is_signed else 2.0**exponent
        self.eps = 2.0**-bits
        self.tiny = self.smallest_normal = 2.0**exponent
        self.bits = dtype.itemsize * 8
        self.dtype = dtype.name

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, "
            f"eps={self.eps:g}, smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, "
            f"dtype={self.dtype})"
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, finfo) and other.dtype == self.dtype

    def __hash__(self) -> int:
        return hash(self.dtype)


class iinfo:
    """Limits of an integer dtype."""

    def __init__(self, type: Any) -> None:
        if type not in _INTEGERS:
            raise TypeError(
                f"torch.iinfo() requires an integer input type. Use torch.finfo to handle '{type}'"
            )
        self.bits = type.itemsize * 8
        self.max = 2 ** (self.bits - type.is_signed) - 1
        self.min = -self.max - 1 if type.is_signed else 0
        self.dtype = type.name

    def __repr__(self) -> str:
        return f"iinfo(min={self.min:g}, max={self.max:g}, dtype={self.dtype})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, iinfo) and other.dtype == self.dtype

    def __hash__(self) -> int:
        return hash(self.dtype)
