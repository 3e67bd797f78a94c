"""Dtypes that programs name and compare with, and that no tensor of this version has."""

from __future__ import annotations

__all__ = ["cdouble", "cfloat", "complex64", "complex128"]


class AbsentDType:
    """A dtype of PyTorch without kernels here: passing it to a function raises TypeError."""

    is_floating_point = False
    is_signed = True

    def __init__(self, name: str, itemsize: int, *, is_complex: bool) -> None:
        self.name = name
        self.itemsize = itemsize
        self.is_complex = is_complex

    def __repr__(self) -> str:
        return f"torch.{self.name}"


complex64 = cfloat = AbsentDType("complex64", 8, is_complex=True)
complex128 = cdouble = AbsentDType("complex128", 16, is_complex=True)
