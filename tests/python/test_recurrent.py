"""torch.lstm and the like compiled: eager's bits (the values are in golden/recurrent.py)."""

from __future__ import annotations

from typing import Any

import flambeau as torch
import pytest


@pytest.mark.parametrize("name", ["rnn_tanh", "rnn_relu", "lstm", "gru"])
def test_compiled_functions_have_eager_bits(name: str) -> None:
    torch.manual_seed(0)
    rows = {"lstm": 12, "gru": 9}.get(name, 3)
    shapes = [(rows, 4), (rows, 3), (rows,), (rows,)]
    weights = [torch.randn(shape, requires_grad=True) for shape in shapes]
    x, h, c = torch.randn(5, 2, 4), torch.randn(1, 2, 3), torch.randn(1, 2, 3)
    is_lstm = name == "lstm"

    def steps() -> Any:
        hidden = (h, c) if is_lstm else h
        options = (weights, True, 1, 0.0, True, False)
        padded = getattr(torch, name)(x, hidden, *options, False)
        sizes = torch.tensor([2, 2, 1])
        packed = getattr(torch, name)(x.reshape(10, 4)[:5], sizes, hidden, *options)
        first = (h[0], c[0]) if is_lstm else h[0]
        cell = getattr(torch, f"{name}_cell")(x[0], first, *weights)
        results = [*padded, *packed, *(cell if is_lstm else [cell])]
        gradients = torch.autograd.grad(sum(result.sum() for result in results), weights)
        return [result.tolist() for result in (*results, *gradients)]

    compiled = torch.compile(steps)
    expected = steps()
    for _ in range(3):
        assert compiled() == expected
