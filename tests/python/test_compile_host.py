"""Host kernels inside compiled programs, and what ends a program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flambeau as torch
import pytest

F = torch.nn.functional


def host_kernels(x: Any) -> list[Any]:
    y = x.exp() * 2
    values, places = y.sort(-1, descending=True)
    top = torch.topk(y + 1, 2)
    special = torch.special.bessel_j0(y.sigmoid())
    inverse = torch.linalg.inv_ex(y @ y.mT + 9 * torch.eye(4))[0]
    found = torch.searchsorted(torch.tensor([0.5, 1.0, 2.0]), y.contiguous())
    hot = F.one_hot(places, 5)
    return [values.sum(0) * 2, places + 1, top[0] * 2, top[1], special + 1, inverse, found, hot * 2]


def test_host_kernels_are_launches_of_the_program() -> None:
    x = torch.randn(4, 5, requires_grad=True)
    wanted = host_kernels(x)
    wanted[0].sum().backward()
    wanted_grad, x.grad = x.grad, None
    got = torch.compile(host_kernels)(x)
    got[0].sum().backward()
    for a, b in zip([*got, x.grad], [*wanted, wanted_grad]):
        assert torch.equal(a, b)
    told = torch.compiler.explain(host_kernels)(x.detach())
    # one_hot looks at the indices when it is called.
    assert told.graph_count == 2, told
    ops = [region["ops"] for region in told.programs[0]["regions"]]
    assert ["sort"] in ops, ops
    assert all(r["launches"] > 0 for p in told.programs for r in p["regions"])


def test_host_kernels_take_numbers_and_sizes_of_their_call() -> None:
    def spread(x: Any, low: float, high: float, k: int) -> list[Any]:
        y = x * 2
        return [torch.histc(y, 4, low, high) + 1, torch.topk(y, k)[0] + 1]

    compiled = torch.compile(spread)
    for n, low, high, k in ((5, -1.0, 1.0, 2), (9, -2.0, 0.5, 2), (9, 0.0, 3.0, 4), (5, -1, 1, 2)):
        x = torch.randn(n)
        for a, b in zip(compiled(x, low, high, k), spread(x, low, high, k)):
            assert torch.equal(a, b)


def error_of(call: Callable[[], Any]) -> str:
    with pytest.raises(RuntimeError) as caught:
        call()
    return str(caught.value).split(":")[0]


def test_values_that_a_host_kernel_refuses_raise_where_it_is_called() -> None:
    @torch.compile
    def tries(x: Any) -> tuple[list[str], Any]:
        y = x * 2
        return [
            error_of(lambda: F.one_hot(y.long() + 7, 3)),
            error_of(lambda: F.one_hot(y.long() - 9)),
            error_of(lambda: torch.histc(y / 0, 3)),
            error_of(lambda: torch.histc(y, 3, 2, 1)),
        ], y + 1

    errors, y = tries(torch.ones(3))
    assert errors == ["one_hot", "one_hot", "histc", "histc"]
    assert y.tolist() == [3, 3, 3]


def test_what_a_generator_writes_ends_no_recording() -> None:
    def noise(x: Any) -> Any:
        y = x * 2
        y.normal_()
        return y + torch.rand_like(y) + torch.randint_like(x, 9)

    torch.manual_seed(1)
    wanted = noise(torch.ones(3))
    torch.manual_seed(1)
    assert torch.equal(torch.compile(noise)(torch.ones(3)), wanted)
    assert torch.compiler.explain(noise)(torch.ones(3)).graph_count == 1


def test_explain_says_what_ended_a_program_and_where() -> None:
    def shapes(x: Any) -> Any:
        y = x * 2
        places = y.nonzero()
        if (y + 1).sum() > 0:
            y = y + 1
        return y, places

    told = torch.compiler.explain(shapes)(torch.ones(3))
    first = shapes.__code__.co_firstlineno
    ends = [program["ended"] for program in told.programs]
    assert len(ends) == 3
    assert ends[0] == f"nonzero: a value is read at {__file__}:{first + 2}"
    assert "a value is read" in ends[1]
    assert f"{__file__}:{first + 3}" in ends[1]
    assert ends[2].startswith("flush")
    assert f"ended by {ends[0]}" in str(told)
    assert "a value is read" in told.html()


@pytest.mark.parametrize("compiled", [False, True])
def test_cond_runs_one_branch(compiled: bool) -> None:
    ran: list[str] = []

    def branch(name: str, factor: float) -> Callable[[Any], Any]:
        return lambda x: (ran.append(name), x * factor)[1]

    def step(x: Any) -> Any:
        return torch.cond(x.sum() > 0, branch("yes", 2.0), branch("no", 3.0), (x,))

    call = torch.compile(step) if compiled else step
    for sign, factor, name in ((1.0, 2.0, "yes"), (-1.0, 3.0, "no"), (1.0, 2.0, "yes")):
        x = torch.full((2,), sign, requires_grad=True)
        call(x).sum().backward()
        assert x.grad.tolist() == [factor, factor]
        assert ran.pop() == name
        assert not ran
    assert torch.cond(torch.tensor([0]), lambda: 1, lambda: 2) == 2
    assert torch.cond(True, lambda d: d["k"], lambda d: 0, [{"k": 5}]) == 5
    with pytest.raises(RuntimeError, match="bool or single-element tensor"):
        torch.cond(torch.ones(2), lambda: 1, lambda: 2)
    with pytest.raises(RuntimeError, match="Expected pred to be bool or tensor, but got yes"):
        torch.cond("yes", lambda: 1, lambda: 2)
