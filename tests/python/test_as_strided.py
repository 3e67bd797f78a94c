"""Gradients of as_strided, of tensors of any strides."""

import itertools
from collections.abc import Callable
from typing import Any

import flambeau as torch
import pytest

COUNT = 24
BASES: dict[str, Callable[[Any], Any]] = {
    "whole": lambda y: y,
    "matrix": lambda y: y.view(4, 6),
    "transposed": lambda y: y.view(4, 6).t(),
    "from an offset": lambda y: y[5:],
    "every other": lambda y: y[1::2],
    "columns": lambda y: y.view(4, 6)[:, 2:5],
    "one place several times": lambda y: y[3:7].view(4, 1).expand(4, 3),
    "interleaved": lambda y: y.as_strided((2, 3), (3, 2)),
}
WINDOWS: list[tuple[tuple[int, ...], tuple[int, ...], int | None]] = [
    ((), (), 3),
    ((3,), (2,), None),
    ((2, 3), (7, 2), 1),
    ((3, 3), (1, 2), 0),  # places come up several times
    ((2, 2), (0, 5), 4),
    ((0, 2), (2, 1), 2),
]


def places(sizes: tuple[int, ...], strides: tuple[int, ...], start: int) -> list[int]:
    return [
        start + sum(i * stride for i, stride in zip(index, strides))
        for index in itertools.product(*map(range, sizes))
    ]


@pytest.mark.parametrize("run", ["eager", "compiled"])
@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("base", BASES)
def test_a_place_gets_what_is_read_there(base: str, window: Any, run: str) -> None:
    sizes, strides, offset = window

    def gradient(x: Any) -> Any:
        y = x * 2
        view = BASES[base](y)
        window = view.as_strided(sizes, strides, offset)
        weights = torch.arange(1.0, 1 + window.numel()).view(window.shape)
        return torch.autograd.grad((window * weights).sum(), x)[0]

    x = torch.arange(float(COUNT), requires_grad=True)
    numbers = BASES[base](torch.arange(COUNT))
    start = numbers.storage_offset() if offset is None else offset
    wanted = [0.0] * COUNT
    for weight, place in enumerate(places(sizes, strides, start), 1):
        # What lies outside of the view comes from nowhere.
        wanted[place] += 2.0 * weight * (place in numbers.flatten().tolist())
    function = torch.compile(gradient) if run == "compiled" else gradient
    torch.testing.assert_close(function(x), torch.tensor(wanted))


@pytest.mark.parametrize("base", BASES)
def test_a_write_reaches_places_outside_of_the_view(base: str) -> None:
    x = torch.arange(float(COUNT), requires_grad=True)
    y = x * 2
    BASES[base](y).as_strided((2, 3), (7, 2), 1).mul_(3)
    written = places((2, 3), (7, 2), 1)
    factors = [2.0 * (3 if place in written else 1) for place in range(COUNT)]
    assert y.tolist() == [place * factors[place] for place in range(COUNT)]
    y.backward(torch.arange(float(COUNT)))
    assert x.grad.tolist() == [place * factors[place] for place in range(COUNT)]


def test_second_gradients_and_numbers_of_every_kind() -> None:
    x = torch.arange(6.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(
        lambda x: (x * x)[1:].view(5, 1).expand(5, 2).as_strided((2, 2), (1, 2), 1) ** 3, (x,)
    )
    for dtype in (torch.bool, torch.int8, torch.float16, torch.complex64):
        numbers = torch.arange(6).to(dtype)
        assert numbers[2:].as_strided((2,), (3,), 1).equal(numbers[[1, 4]])
    with pytest.raises(RuntimeError, match="storage_offset must not be negative, got -1"):
        x.as_strided((2,), (1,), -1)
