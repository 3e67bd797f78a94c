"""assert_close raises what PyTorch raises, with its text."""

from __future__ import annotations

import math
from typing import Any

import flambeau as torch
import pytest

T = torch.tensor

# Arguments, and how the error's text begins or what it holds.
CASES: list[tuple[Any, Any, dict[str, Any], type[Exception], str]] = [
    (
        T([1.0, 2, 3]),
        T([1.0, 2, 3.1]),
        {},
        AssertionError,
        "Tensor-likes are not close!\n\nMismatched elements: 1 / 3 (33.3%)\n"
        "Greatest absolute difference: 0.09999990463256836 at index (2,) (up to 1e-05 allowed)\n"
        "Greatest relative difference: 0.032258033752441406 at index (2,) (up to 1.3e-06 allowed)",
    ),
    (
        T([1, 2]),
        T([1, 3]),
        {},
        AssertionError,
        "Tensor-likes are not equal!\n\nMismatched elements: 1 / 2 (50.0%)\n"
        "Greatest absolute difference: 1 at index (1,)\n"
        "Greatest relative difference: 0.3333333432674408 at index (1,)",
    ),
    (
        1.0,
        1.1,
        {},
        AssertionError,
        "Scalars are not close!\n\nExpected 1.1 but got 1.0.\n"
        "Absolute difference: 0.10000000000000009 (up to 1e-07 allowed)\n"
        "Relative difference: 0.09090909090909098 (up to 1e-07 allowed)",
    ),
    (1, 2, {}, AssertionError, "Scalars are not equal!\n\nExpected 2 but got 1.\n"),
    ([1.0, T([1.0])], [1.0, T([2.0])], {}, AssertionError, "The failure occurred for item [1]"),
    ({"a": 1}, {"b": 1}, {}, AssertionError, "Missing keys in the actual mapping: ['b']"),
    ([1], [1, 2], {}, AssertionError, "The length of the sequences mismatch: 1 != 2"),
    (
        T([1.0]),
        T([1.0], dtype=torch.float64),
        {},
        AssertionError,
        "The values for attribute 'dtype' do not match: torch.float32 != torch.float64.",
    ),
    (
        T([1.0]),
        T([1.0, 2.0]),
        {},
        AssertionError,
        "The values for attribute 'shape' do not match: torch.Size([1]) != torch.Size([2]).",
    ),
    (T([math.nan]), T([math.nan]), {}, AssertionError, "Greatest absolute difference: nan"),
    (T([1.0]), T([2.0]), {"rtol": 1.0}, ValueError, "Both 'rtol' and 'atol' must be either"),
    (T([1.0]), T([2.0]), {"msg": "mine"}, AssertionError, "mine"),
    (T([1.0]), T([2.0]), {"msg": lambda text: "mine: " + text}, AssertionError, "mine: Tensor"),
    (T([1.0]), 1.0, {}, TypeError, "No comparison pair was able to handle inputs of type"),
    ("a", "a", {}, TypeError, "No comparison pair was able to handle inputs of type"),
]


@pytest.mark.parametrize("number", range(len(CASES)))
def test_refuses(number: int) -> None:
    actual, expected, options, kind, text = CASES[number]
    with pytest.raises(kind) as raised:
        torch.testing.assert_close(actual, expected, **options)
    assert text in str(raised.value)


def test_accepts() -> None:
    close = torch.testing.assert_close
    close(T([1.0, 2.0]), T([1.0, 2.000001]))
    close(T([math.nan]), T([math.nan]), equal_nan=True)
    close(T([1.0]), T([1.0], dtype=torch.float64), check_dtype=False)
    close(T([1.0]), T([1.5]), rtol=0.5, atol=0.0)
    close({"a": [1, 2.0, None]}, {"a": [1, 2.0, None]})
    close(torch.zeros(0, 3), torch.zeros(0, 3))
