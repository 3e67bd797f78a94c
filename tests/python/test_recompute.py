"""Saved values give their memory back once Python lets go of them, and nobody can tell."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import flambeau as torch
import pytest

functional = torch.nn.functional
SIDE = 512  # of matrices of 1 MiB


def allocated() -> int:
    return torch._C._memory_stats()["allocated_bytes"]


def look_again() -> None:
    """Calls after which values that were saved before are looked at again."""
    other = torch.ones(SIDE, SIDE, requires_grad=True)
    (functional.gelu(other) * other).sum()


class Layer:
    """y = linear(gelu(x), w)."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.x = torch.randn(SIDE, SIDE, requires_grad=True)
        self.w = torch.randn(SIDE, SIDE, requires_grad=True)
        self.inner = self.x * 1.5
        self.hidden = functional.gelu(self.inner)
        self.y = functional.linear(self.hidden, self.w)

    def gradient(self, of: Any) -> Any:
        return torch.autograd.grad(self.y.sum(), of, retain_graph=True)[0]


def test_memory_goes_with_the_last_reference_of_python() -> None:
    layer = Layer()
    look_again()
    before = allocated()
    assert torch.equal(layer.hidden, functional.gelu(layer.inner.detach()))
    del layer.hidden
    look_again()
    assert allocated() <= before - SIDE * SIDE * 4


def test_a_sequence_of_modules_keeps_one_of_two() -> None:
    model = torch.nn.Sequential(
        *(torch.nn.Sequential(torch.nn.Linear(SIDE, SIDE), torch.nn.GELU()) for _ in range(8)),
        torch.nn.Linear(SIDE, SIDE),
    )
    x = torch.randn(SIDE, SIDE)
    before = allocated()
    y = model(x)
    assert allocated() - before < (8 + 4) * SIDE * SIDE * 4
    y.sum().backward()
    assert model[0][0].weight.grad.isfinite().all()


def test_gradients_are_the_same_bits() -> None:
    held = Layer()
    layer = Layer()
    del layer.hidden
    look_again()
    assert torch.equal(layer.gradient(layer.w), held.gradient(held.w))
    assert torch.equal(layer.gradient(layer.x), held.gradient(held.x))


@pytest.mark.parametrize("how", ["in place", "data", "numpy", "buffer held before"])
def test_what_it_is_computed_from_may_be_written(how: str) -> None:
    held = Layer()
    layer = Layer()
    array = layer.inner.detach().numpy() if how == "buffer held before" else None
    del layer.hidden
    look_again()
    with torch.no_grad():
        if how == "in place":
            layer.inner.mul_(2)
        elif how == "data":
            layer.inner.data.mul_(2)
        elif array is None:
            layer.inner.detach().numpy()[:] = 3
        else:
            array[:] = 3
    assert torch.equal(layer.gradient(layer.w), held.gradient(held.w))


def test_a_saved_value_may_be_written_by_its_data() -> None:
    layer = Layer()
    layer.hidden.data.fill_(2)
    del layer.hidden
    look_again()
    assert torch.equal(layer.gradient(layer.w), torch.full((SIDE, SIDE), 2.0 * SIDE))


def test_weak_references_and_attributes_of_nodes_see_the_value() -> None:
    layer = Layer()
    expected = layer.hidden.clone()
    weak = weakref.ref(layer.hidden)
    del layer.hidden
    look_again()
    gc.collect()
    value = weak()
    assert value is not None
    assert torch.equal(value, expected)


def test_compiled_functions_read_it() -> None:
    layer = Layer()
    held = Layer()
    del layer.hidden
    look_again()

    @torch.compile
    def gradient() -> Any:
        return layer.gradient(layer.w) * 1

    assert torch.equal(gradient(), held.gradient(held.w))
