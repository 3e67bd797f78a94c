"""What finds a program that gives other bits than its operations: FLAMBEAU_CHECK=1, bisect, and the
interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import flambeau as torch
import pytest
from flambeau import nn

F = nn.functional
FILE = Path(__file__).name


@pytest.fixture
def broken() -> Iterator[Callable[..., None]]:
    """Makes programs wrong that hold some operations in a row, by an ulp."""

    def break_merges(*ops: str) -> None:
        torch.compiler.reset()
        torch._C._compile_break_merges(list(ops))

    yield break_merges
    break_merges()


def chain(x: Any) -> Any:
    y = torch.sin(x) + 1
    y = torch.relu(y)
    y = y * 3
    return torch.exp(y).sum(1)


def line_of(text: str) -> int:
    lines = Path(__file__).read_text(encoding="utf-8").split("\n")
    return next(i for i, line in enumerate(lines, 1) if line.strip() == text)


def test_bisect_names_the_fewest_operations(broken: Callable[..., None]) -> None:
    x = torch.randn(7, 33)
    assert torch.compiler.bisect(chain)(x) is None
    broken("relu", "mul")
    found = torch.compiler.bisect(chain)(x)
    assert found is not None
    assert [op for op, _ in found.smallest] == ["relu", "mul"]
    assert found.smallest[1][1].endswith(f"{FILE}:{line_of('y = y * 3')}")
    assert [op for op, _ in found.region] == ["sin", "add", "relu", "mul", "exp", "sum"]
    assert "f32[7, 33]" in found.what
    assert "elements differ" in found.what
    assert "select" in found.program
    assert f"mul at {Path(__file__)}" in str(found)


def test_calls_in_each_other(broken: Callable[..., None]) -> None:
    inner = []

    def outer(x: Any) -> Any:
        inner.append(torch.compiler.bisect(torch.neg)(x))
        torch.compiler.explain(torch.neg)(x)
        return chain(x)

    broken("relu", "mul")
    found = torch.compiler.bisect(outer)(torch.randn(7, 33))
    assert found is not None and [op for op, _ in found.smallest] == ["relu", "mul"]
    assert inner == [None]


def test_bisect_of_a_train_step(broken: Callable[..., None]) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 8), nn.GELU(), nn.LayerNorm(8), nn.Dropout(0.2))
    optimizer = torch.optim.AdamW(net.parameters(), fused=True)

    def step(x: Any) -> Any:
        loss = net(x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        return loss

    for _ in range(3):
        assert torch.compiler.bisect(step)(torch.randn(4, 5)) is None
    broken("layer_norm", "_functional_dropout")
    found = torch.compiler.bisect(step)(torch.randn(4, 5))
    assert found is not None
    assert [op for op, _ in found.smallest] == ["layer_norm", "_functional_dropout"]


def test_in_place_writes_and_views_are_followed() -> None:
    def step(x: Any, y: Any) -> Any:
        x[1:].mul_(2)
        row = x[0]
        row += y
        x.t().add_(1)
        y.copy_(x[1] * row)
        return (x * x).sum(), torch.empty(3, 3).fill_(2)[1:] + y

    for _ in range(2):
        assert torch.compiler.bisect(step)(torch.randn(3, 3), torch.randn(3)) is None


SCRIPT = """
import sys, flambeau as torch
torch._C._compile_break_merges(sys.argv[1:])
def step(x):
    y = torch.sin(x) + 1
    y = torch.relu(y)
    return y * 3
print(torch.compile(step)(torch.ones(4)).tolist()[0] > 0)
"""


@pytest.mark.parametrize("ops", [[], ["relu", "mul"]])
def test_flambeau_check_raises(ops: list[str], tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script), *ops],
        env=os.environ | {"FLAMBEAU_CHECK": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if not ops:
        assert done.stdout == "True\n", done.stderr
        return
    assert done.returncode == 1
    assert "RuntimeError: " in done.stderr
    assert "gives other bits than its operations one by one: f32[4]: 4 of 4" in done.stderr
    assert f"fewest that differ:\n  relu at {script}:6\n  mul at {script}:7" in done.stderr


def test_the_interpreter_gives_the_bits() -> None:
    def program() -> list[Any]:
        torch.manual_seed(1)
        x = torch.randn(4, 6, requires_grad=True)
        y = F.softmax(x @ x.t(), -1) + torch.sin(x).sum(1)
        z = F.dropout(F.layer_norm(y, [4]), 0.3)
        z[0].mul_(2)
        z.cumsum(0).sum().backward()
        c = torch.view_as_complex(torch.randn(3, 2)) * (1 + 2j)
        return [z.tolist(), x.grad.tolist(), c.tolist(), torch.randn(3, dtype=torch.bfloat16)]

    seen = []
    wanted = program()
    got = torch.compiler.interpreted(
        lambda: seen.append(torch.add(torch.ones(1), 1)) or program()
    )()
    assert repr(got) == repr(wanted)


def test_two_results_of_one_block() -> None:
    # A norm in training gives the mean to the caller and, as another window of it, to its backward.
    norm = torch.nn.BatchNorm1d(16)

    def step(x: Any) -> Any:
        return norm(x.requires_grad_())

    assert torch.compiler.bisect(step)(torch.randn(6, 16)) is None
    assert torch.compiler.bisect(step)(torch.randn(6, 16)) is None
