"""Gradients that are scatters into zeros are added straight to the gradient that is there."""

from __future__ import annotations

import flambeau as torch
import numpy as np
import pytest

ROWS, WIDTH = 4096, 64
INDICES = [3, 7, 3, 4095, 0, 3]


def tied_step(table: torch.Tensor) -> torch.Tensor:
    indices = torch.tensor(INDICES)
    hidden = torch.nn.functional.embedding(indices, table)
    return torch.nn.functional.linear(hidden, table).tanh().sum()


def gradient_of(**options) -> np.ndarray:
    torch.manual_seed(0)
    table = torch.randn(ROWS, WIDTH, requires_grad=True)
    return torch.autograd.grad(tied_step(table), table, **options)[0].detach().numpy()


def test_the_sum_is_that_of_both_uses() -> None:
    torch.manual_seed(0)
    table = torch.randn(ROWS, WIDTH, requires_grad=True)
    other = table.detach().clone().requires_grad_()
    hidden = torch.nn.functional.embedding(torch.tensor(INDICES), table)
    (hidden @ other.t()).tanh().sum().backward()
    want = table.grad + other.grad
    torch.testing.assert_close(torch.tensor(gradient_of()), want)


def test_bits_are_those_of_a_recorded_backward() -> None:
    assert (gradient_of() == gradient_of(create_graph=True)).all()


@pytest.mark.parametrize("mode", [lambda f: f, torch.compile])
def test_no_gradient_of_its_own_is_made(mode) -> None:
    """The backward of the embedding makes nothing of the table's size."""
    table = torch.randn(ROWS, WIDTH, requires_grad=True)
    step = mode(lambda: torch.autograd.grad(tied_step(table), table)[0])
    step()  # constants of the programs
    gradient = torch.empty(0)
    bytes_of_table = ROWS * WIDTH * 4

    def peak() -> int:
        return torch._C._memory_stats()["peak_bytes"]

    now = torch._C._memory_stats()
    filler = torch.empty(now["peak_bytes"] - now["allocated_bytes"], dtype=torch.uint8)
    before = peak()
    gradient = step()
    gradient[0, 0].item()
    assert bytes_of_table <= peak() - before < 2 * bytes_of_table
    del filler


def test_a_gradient_that_others_hold_is_not_written() -> None:
    table = torch.randn(ROWS, WIDTH, requires_grad=True)
    held = []
    product = table.view_as(table)  # its gradient is that of the table, seen by a hook
    product.register_hook(held.append)
    hidden = torch.nn.functional.embedding(torch.tensor(INDICES), table)
    (hidden.sum() + (product * (product.detach() * 0 + 2)).sum()).backward()
    assert (held[0].numpy() == 2.0).all()
    assert table.grad[3, 0].item() == 5.0


def test_the_sum_differentiates_again() -> None:
    torch.manual_seed(0)
    table = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    indices = torch.tensor([1, 5, 1])

    def twice(table: torch.Tensor) -> torch.Tensor:
        return (table[indices] * table[:3]).sin() + table.index_select(0, indices).cos()

    assert torch.autograd.gradcheck(twice, (table,))
    assert torch.autograd.gradgradcheck(twice, (table,))
