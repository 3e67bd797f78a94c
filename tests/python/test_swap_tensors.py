"""swap_tensors: an object becomes what another was. Storages are sequences of bytes."""

from __future__ import annotations

import weakref
from typing import Any

import flambeau as torch
import pytest


def test_everything_is_swapped() -> None:
    parameter, tensor = torch.nn.Parameter(torch.ones(2)), torch.zeros(3)
    parameter.note = "kept"
    torch.utils.swap_tensors(parameter, tensor)
    assert type(parameter) is torch.Tensor
    assert type(tensor) is torch.nn.Parameter
    assert parameter.tolist() == [0, 0, 0]
    assert tensor.tolist() == [1, 1]
    assert tensor.note == "kept"
    assert not hasattr(parameter, "note")
    torch.utils.swap_tensors(tensor, tensor)
    assert tensor.tolist() == [1, 1]


def test_the_gradient_goes_to_what_the_graph_used() -> None:
    used, other = torch.ones(2, requires_grad=True), torch.zeros(2)
    loss = (used * 2).sum()
    torch.utils.swap_tensors(used, other)
    loss.backward()
    assert used.grad is None
    assert other.grad is not None
    assert other.grad.tolist() == [2, 2]
    del loss
    alive = weakref.ref(other)
    del other
    assert alive() is None


def test_slots_are_swapped() -> None:
    class Slotted(torch.Tensor):
        __slots__ = ("slot",)

    first, second = Slotted([1.0]), Slotted([2.0])
    first.slot = "kept"
    torch.utils.swap_tensors(first, second)
    assert second.slot == "kept"
    assert not hasattr(first, "slot")
    with pytest.raises(RuntimeError, match="Cannot swap t1 and t2 if they have different slots"):
        torch.utils.swap_tensors(first, torch.ones(1))


def test_what_is_refused() -> None:
    first, second = torch.ones(2), torch.zeros(2)
    view = second.view(2)
    with pytest.raises(RuntimeError, match="Expected use_count of t2 to be 1 or 2 with"):
        torch.utils.swap_tensors(first, second)
    seen = weakref.ref(first)
    with pytest.raises(RuntimeError, match="Cannot swap t1 because it has weakref associated"):
        torch.utils.swap_tensors(first, view)
    assert seen() is first
    number: Any = 3
    with pytest.raises(TypeError, match="t2 must be a Tensor, got int"):
        torch.utils.swap_tensors(torch.ones(1), number)
    assert first.tolist() == [1, 1]
    assert second.tolist() == [0, 0]


def test_what_is_recorded_is_swapped() -> None:
    first, second = torch.ones(2), torch.zeros(2)
    result = torch.compile(lambda x: x * 3)(first)
    torch.utils.swap_tensors(first, second)
    assert result.tolist() == [3, 3]
    assert first.tolist() == [0, 0]
    assert second.tolist() == [1, 1]


def test_views_say_so() -> None:
    x = torch.ones(2)
    assert x[0]._is_view()
    assert not x._is_view()
    assert not x[0].detach()._is_view()


def test_storages_are_sequences_of_bytes() -> None:
    storage = torch.tensor([1, 258], dtype=torch.int16).untyped_storage()
    assert bytes(storage) == b"\x01\x00\x02\x01"
    assert list(storage) == [1, 0, 2, 1]
    assert list(torch.empty(0).untyped_storage()) == []
