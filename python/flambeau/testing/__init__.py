"""Comparisons for tests: ``assert_close``, with PyTorch's tolerances and texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from numbers import Number
from typing import Any

import flambeau as torch
from flambeau import Tensor
from flambeau._absent import attribute

__all__ = ["assert_close"]

# Relative and absolute tolerance by dtype; other dtypes are compared exactly.
_TOLERANCES: dict[Any, tuple[float, float]] = {
    torch.float16: (1e-3, 1e-5),
    torch.bfloat16: (1.6e-2, 1e-5),
    torch.float32: (1.3e-6, 1e-5),
    torch.float64: (1e-7, 1e-7),
}

_Message = str | Callable[[str], str] | None


class _Comparison:
    """The options of one call, and where in the containers the comparison is."""

    def __init__(self, options: dict[str, Any], msg: _Message) -> None:
        self.options = options
        self.msg = msg

    def fail(self, text: str, path: str, kind: type[Exception] = AssertionError) -> None:
        text += f"\n\nThe failure occurred for item {path}" if path else ""
        if callable(self.msg):
            text = self.msg(text)
        elif self.msg is not None:
            text = self.msg
        raise kind(text)

    def compare(self, actual: Any, expected: Any, path: str) -> None:
        if _is_tensor_like(actual) and _is_tensor_like(expected):
            self.compare_tensors(actual, expected, path)
        elif isinstance(actual, Mapping) and isinstance(expected, Mapping):
            if set(actual) != set(expected):
                missing = sorted(set(expected) - set(actual))
                extra = sorted(set(actual) - set(expected))
                self.fail(
                    "The keys of the mappings do not match:\n"
                    f"Missing keys in the actual mapping: {missing}\n"
                    f"Additional keys in the actual mapping: {extra}",
                    path,
                )
            for key in expected:
                self.compare(actual[key], expected[key], f"{path}[{key!r}]")
        elif _is_sequence(actual) and _is_sequence(expected):
            if len(actual) != len(expected):
                self.fail(
                    f"The length of the sequences mismatch: {len(actual)} != {len(expected)}", path
                )
            for i, (a, e) in enumerate(zip(actual, expected)):
                self.compare(a, e, f"{path}[{i}]")
        elif isinstance(actual, Number) and isinstance(expected, Number):
            self.compare_numbers(actual, expected, path)
        elif actual is None or expected is None:
            if actual is not expected:
                self.fail(f"None mismatch: {actual} is not {expected}", path)
        else:
            self.fail(
                "No comparison pair was able to handle inputs of type "
                f"{type(actual)} and {type(expected)}.",
                path,
                TypeError,
            )

    def tolerances(self, *dtypes: Any) -> tuple[float, float]:
        rtol, atol = self.options["rtol"], self.options["atol"]
        if (rtol is None) != (atol is None):
            absent = "rtol" if rtol is None else "atol"
            raise ValueError(
                f"Both 'rtol' and 'atol' must be either specified or omitted, but got no {absent}."
            )
        if rtol is not None:
            return rtol, atol
        known = [_TOLERANCES.get(dtype, (0.0, 0.0)) for dtype in dtypes]
        return max(k[0] for k in known), max(k[1] for k in known)

    def compare_numbers(self, actual: Any, expected: Any, path: str) -> None:
        if self.options["check_dtype"] and type(actual) is not type(expected):
            self.fail(f"The (d)types do not match: {type(actual)} != {type(expected)}.", path)
        exact = not isinstance(actual, float) and not isinstance(expected, float)
        rtol, atol = self.tolerances(torch.int64 if exact else torch.float64)
        if actual == expected:
            return
        if actual != actual and expected != expected and self.options["equal_nan"]:
            return
        difference = abs(actual - expected)
        if not difference <= atol + rtol * abs(expected):
            self.fail(_scalar_mismatch(actual, expected, rtol, atol), path)

    def compare_tensors(self, actual: Any, expected: Any, path: str) -> None:
        actual, expected = torch.as_tensor(actual).detach(), torch.as_tensor(expected).detach()
        if actual.shape != expected.shape:
            self.fail(
                "The values for attribute 'shape' do not match: "
                f"{actual.shape} != {expected.shape}.",
                path,
            )
        if self.options["check_stride"] and actual.stride() != expected.stride():
            self.fail(
                "The values for attribute 'stride()' do not match: "
                f"{actual.stride()} != {expected.stride()}.",
                path,
            )
        rtol, atol = self.tolerances(actual.dtype, expected.dtype)
        if actual.dtype != expected.dtype:
            if self.options["check_dtype"]:
                self.fail(
                    "The values for attribute 'dtype' do not match: "
                    f"{actual.dtype} != {expected.dtype}.",
                    path,
                )
            common = torch.promote_types(actual.dtype, expected.dtype)
            actual, expected = actual.to(common), expected.to(common)
        close = torch.isclose(
            actual, expected, rtol=rtol, atol=atol, equal_nan=self.options["equal_nan"]
        )
        if not close.all().item():
            self.fail(_mismatch(actual, expected, ~close, rtol, atol), path)


def _is_tensor_like(value: Any) -> bool:
    return isinstance(value, Tensor) or (
        type(value).__module__ == "numpy" and hasattr(value, "__array__")
    )


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _scalar_mismatch(actual: Any, expected: Any, rtol: float, atol: float) -> str:
    kind, limits = "equal", ("", "")
    if rtol or atol:
        kind, limits = "close", (f" (up to {atol} allowed)", f" (up to {rtol} allowed)")
    difference = abs(actual - expected)
    relative = difference / abs(expected) if expected else float("inf")
    return (
        f"Scalars are not {kind}!\n\n"
        f"Expected {expected} but got {actual}.\n"
        f"Absolute difference: {difference}{limits[0]}\n"
        f"Relative difference: {relative}{limits[1]}"
    )


def _mismatch(actual: Tensor, expected: Tensor, wrong: Tensor, rtol: float, atol: float) -> str:
    """What differs, by how much and where."""
    if actual.dim() == 0:
        return _scalar_mismatch(actual.item(), expected.item(), rtol, atol)
    count, total = int(wrong.sum().item()), wrong.numel()
    kind = "close" if rtol or atol else "equal"
    text = (
        f"Tensor-likes are not {kind}!\n\n"
        f"Mismatched elements: {count} / {total} ({count / total:.1%})\n"
    )
    if not actual.dtype.is_floating_point:
        actual, expected = actual.long(), expected.long()
    difference = (actual - expected).abs()
    # Where the values are close, or both are NaN, there is nothing to report.
    difference = torch.where(wrong, difference, torch.zeros_like(difference))
    relative = difference / expected.abs()
    relative = torch.where(wrong, relative, torch.zeros_like(relative))
    for name, values, allowed in (("absolute", difference, atol), ("relative", relative, rtol)):
        flat = values.reshape(-1)
        place = int(flat.argmax().item())
        index: list[int] = []
        rest = place
        for extent in reversed(values.shape):
            index.insert(0, rest % extent)
            rest //= extent
        limit = f" (up to {allowed} allowed)" if kind == "close" else ""
        text += f"Greatest {name} difference: {flat[place].item()} at index {tuple(index)}{limit}\n"
    return text.rstrip()


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: _Message = None,
) -> None:
    """Raises AssertionError unless ``|actual - expected| <= atol + rtol * |expected|``.

    Tensors, arrays, numbers, and sequences and mappings of them. Without ``rtol`` and ``atol``, the
    tolerances follow from the dtype. Shapes must be equal, dtypes too with ``check_dtype``. ``msg``
    replaces the text, or makes it from the one that would be raised.
    """
    if not allow_subclasses and type(actual) is not type(expected):
        raise TypeError(f"Cannot compare {type(actual)} with {type(expected)} exactly.")
    del check_device, check_layout  # there is one of each
    options = {
        "rtol": rtol,
        "atol": atol,
        "equal_nan": equal_nan,
        "check_dtype": check_dtype,
        "check_stride": check_stride,
    }
    _Comparison(options, msg).compare(actual, expected, "")


__getattr__ = attribute(__name__)
