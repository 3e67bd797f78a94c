"""Compiled, what reads a part of a value runs with what makes it, to the bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flambeau as torch
import flambeau.nn.functional as F
import pytest


def halves(x: Any) -> Any:
    a, b = (torch.tanh(x) * 2).chunk(2, -1)
    return F.silu(a) * b


def transposed(x: Any) -> Any:
    return torch.exp(x).t() + 1


def heads(x: Any) -> Any:
    return torch.softmax((x * 2 + 1).view(x.shape[0], 4, -1).transpose(0, 1), -1)


def rotated(x: Any) -> Any:
    angles = torch.arange(x.shape[-1] // 2) * 0.1
    cos, sin = torch.cos(angles), torch.sin(angles)
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)


def joined(x: Any) -> Any:
    return torch.cat([torch.exp(x), torch.sin(x), x], -1) * 2


def every_second(x: Any) -> Any:
    y = x.square()
    return y[:, ::2] + y[:, 1::2]


def rows_apart(x: Any) -> Any:
    y = torch.sigmoid(x)
    return y[1:] - y[:-1]


def repeated(x: Any) -> Any:
    return torch.exp(x)[:, :1].expand(-1, 3) * x[:, :3]


def one_row(x: Any) -> Any:
    return torch.exp(x)[2] + x


def summed(x: Any) -> Any:
    return torch.exp(x).t().sum(1)


def squeezed(x: Any) -> Any:
    return torch.exp(x)[:, None, :, None].squeeze(1) + x[:, :, None]


# What it does, and as how many regions of several operations.
CASES: dict[str, tuple[Callable[[Any], Any], int]] = {
    function.__name__: (function, 1)
    for function in (
        halves, transposed, heads, joined, every_second, rows_apart, repeated, one_row, summed,
        squeezed,
    )
} | {"rotated": (rotated, 3)}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_views_of_values_are_read_where_they_are_made(name: str) -> None:
    function, regions = CASES[name]
    compiled = torch.compile(function)
    for rows, width in ((64, 96), (12, 40), (8, 8), (64, 48)):
        x = torch.randn(rows, width)
        assert torch.equal(compiled(x), function(x)), (rows, width)
    told = torch.compiler.explain(function)(torch.randn(256, 512)).programs
    assert sum(len(program["regions"]) for program in told) <= regions


@pytest.mark.parametrize("name", CASES)
def test_their_gradients(name: str) -> None:
    function, _ = CASES[name]

    def gradient(x: Any) -> Any:
        leaf = x.clone().requires_grad_()
        y = function(leaf)
        (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
        return leaf.grad

    compiled = torch.compile(gradient)
    for rows, width in ((64, 96), (12, 40), (8, 8)):
        x = torch.randn(rows, width)
        assert torch.equal(compiled(x), gradient(x))


def test_a_view_is_read_before_its_base_is_written() -> None:
    def function(x: Any) -> Any:
        y = torch.exp(x)
        part = y[:, 1:3]
        first = part * 2
        y[:, 1] = 5
        second = part * 3
        y.mul_(0)
        return first, second, part + 1

    x = torch.randn(6, 8)
    for one, other in zip(torch.compile(function)(x), function(x), strict=True):
        assert torch.equal(one, other)


def test_one_program_serves_views_that_begin_elsewhere() -> None:
    def function(x: Any, start: int) -> Any:
        return torch.exp(x)[:, start : start + 4] + 1

    compiled = torch.compile(function)
    x = torch.randn(40, 64)
    made = []
    for start in (1, 2, 7, 30, 60):
        y = compiled(x, start)
        torch.compiler.flush()
        made.append(torch.compiler.stats()["programs_made"])
        assert torch.equal(y, function(x, start))
    assert made[0] == made[-1]


def test_what_is_made_for_some_sizes_alone_stays_apart() -> None:
    """cross is lowered for the sizes at hand; its gradient is read by a softmax's, row by row."""

    def function(x: Any, y: Any, w: Any) -> Any:
        leaf = x.detach().clone().requires_grad_()
        h = torch.linalg.cross(leaf[:1, :3], y)
        h = F.softmax(F.linear(h, w), -1)
        (h * h).sum().backward()
        return leaf.grad

    compiled = torch.compile(function)
    for rows in (4, 9):
        x, y, w = torch.randn(3, 7), torch.randn(rows, 3), torch.randn(3, 3)
        assert torch.equal(compiled(x, y, w), function(x, y, w))


@pytest.mark.parametrize("view", ["unfold", "as_strided"])
def test_what_is_written_to_a_view_that_overlaps_itself_is_read_from_memory(view: str) -> None:
    def step(x: Any) -> Any:
        v = x.unfold(0, 2, 1) if view == "unfold" else x.as_strided((2, 2), (1, 1))
        v.mul_(0.5).add_(1)
        return v * 2

    def steps_apart(x: Any) -> Any:
        v = x.unfold(0, 2, 2)  # the same recording, and no overlap
        v.mul_(0.5).add_(1)
        return v * 2

    compiled, compiled_apart = torch.compile(step), torch.compile(steps_apart)
    for _ in range(3):
        for f, c in ((step, compiled), (steps_apart, compiled_apart)):
            x, y = torch.arange(6.0), torch.arange(6.0)
            result, wanted = c(x), f(y)
            assert result.tolist() == wanted.tolist()
            assert x.tolist() == y.tolist()
            torch._C._compile_wait()
