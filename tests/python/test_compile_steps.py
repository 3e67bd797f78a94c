"""Compiled generators and coroutines: each step is recorded, and they are what they were to Python."""

from __future__ import annotations

import asyncio
import gc
import inspect
import weakref
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any

import flambeau as torch
import pytest
from flambeau import nn
from flambeau._collected import reports


def programs_of(function: Callable[[], Any]) -> list[int]:
    """The numbers of runs in each program that `function` makes."""
    told: list[int] = []
    with reports.told_to(lambda programs: told.extend(p["runs"] for p in programs)):
        function()
        torch.compiler.flush()
    return told


def test_each_step_of_a_generator_is_a_program() -> None:
    @torch.compile
    def parts(x: Any) -> Iterator[Any]:
        for i in range(3):
            yield (x * i).exp() + 1

    x = torch.randn(3)
    made: list[Any] = []
    assert programs_of(lambda: made.extend(parts(x))) == [3, 3, 3]
    for i, part in enumerate(made):
        assert part.tolist() == ((x * i).exp() + 1).tolist()


def test_what_is_sent_thrown_and_returned() -> None:
    seen = []

    @torch.compile
    def function(x: Any) -> Generator[Any, Any, Any]:
        try:
            while True:
                try:
                    x = x + (yield x)
                except KeyError as error:
                    seen.append(str(error))
                    x = x * 2
                if x.sum() > 50:
                    return x
        finally:
            seen.append("closed")

    steps = function(torch.ones(2))
    assert inspect.isgenerator(steps)
    assert next(steps).tolist() == [1, 1]
    assert steps.send(torch.ones(2)).tolist() == [2, 2]
    assert steps.throw(KeyError("k")).tolist() == [4, 4]
    with pytest.raises(StopIteration) as end:
        steps.send(40.0)
    assert end.value.value.tolist() == [44, 44]
    assert seen == ["'k'", "closed"]
    steps = function(torch.ones(2))
    next(steps)
    steps.close()
    assert seen == ["'k'", "closed", "closed"]
    with pytest.raises(ZeroDivisionError):
        next(torch.compile(lambda: (1 / 0 for _ in [0]))())


def test_an_error_that_is_thrown_holds_no_tensor() -> None:
    @torch.compile
    def function() -> Iterator[Any]:
        x = torch.ones(2)
        held.append(weakref.ref(x))
        with pytest.raises(KeyError):
            yield x
        yield 1

    held: list[Any] = []
    gc.collect()
    gc.disable()
    try:
        steps: Any = function()
        next(steps)
        steps.throw(KeyError())
        del steps
        assert held[0]() is None
    finally:
        gc.enable()


def test_generators_of_others_stay_what_they_are() -> None:
    numbers = iter([1])
    made = (n for n in numbers)
    next(made)
    assert torch.compile(lambda: made)() is made


@pytest.mark.parametrize("wrap", [lambda f: f, torch.compile])
def test_coroutines_and_asynchronous_generators(wrap: Callable[..., Any]) -> None:
    @wrap
    async def double(x: Any) -> Any:
        y = x * 2 + 1
        await asyncio.sleep(0)
        return y.exp()

    @wrap
    async def parts(x: Any) -> AsyncIterator[Any]:
        try:
            yield await double(x)
        except ValueError:
            yield x
        yield await double(x + 1)

    async def main() -> Any:
        found = [part async for part in parts(torch.ones(2))]
        steps: Any = parts(torch.ones(2))
        await steps.asend(None)
        thrown = await steps.athrow(ValueError())
        await steps.aclose()
        return torch.stack([*found, thrown, *await asyncio.gather(*map(double, found))])

    assert inspect.iscoroutinefunction(double)
    x = torch.ones(2)
    found = [(x * 2 + 1).exp(), ((x + 1) * 2 + 1).exp()]
    want = torch.stack([*found, x, *((f * 2 + 1).exp() for f in found)])
    assert torch.equal(asyncio.run(main()), want)
    if wrap is torch.compile:
        assert 2 in programs_of(lambda: asyncio.run(double(x)))


def test_a_module_whose_forward_is_a_generator() -> None:
    class Parts(nn.Module):
        def forward(self, x: Any) -> Iterator[Any]:
            yield x + 1
            yield (x * 2).exp()

    x = torch.ones(2)
    held: list[Any] = []
    assert programs_of(lambda: held.extend(torch.compile(Parts())(x))) == [1, 2]
    assert held[1].tolist() == (x * 2).exp().tolist()
