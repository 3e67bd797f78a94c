"""Autograd does what PyTorch 2.7.1 did: the programs of autograd/ and what they printed there."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import flambeau
import pytest

FOLDER = Path(__file__).parent / "autograd"
NUMBER = re.compile(r"-?\d+\.\d+(?:e[+-]?\d+)?|-?\d+e[+-]?\d+")

_spec = importlib.util.spec_from_file_location("autograd_programs", FOLDER / "programs.py")
assert _spec is not None
assert _spec.loader is not None
programs = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(programs)

GOLDEN = {path.stem: path.read_text().splitlines() for path in sorted(FOLDER.glob("*.txt"))}
ACTUAL: dict[str, list[str]] = {}


def lines(program: str) -> list[str]:
    if program not in ACTUAL:
        ACTUAL[program] = programs.run(program, flambeau)
    return ACTUAL[program]


def split(line: str) -> tuple[str, list[float]]:
    return NUMBER.sub("#", line), [float(n) for n in NUMBER.findall(line)]


@pytest.mark.parametrize("program", GOLDEN)
def test_every_case_ran(program: str) -> None:
    assert len(lines(program)) == len(GOLDEN[program])


CASES = [(name, number) for name, golden in GOLDEN.items() for number in range(len(golden))]


@pytest.mark.parametrize(
    ("program", "number"), CASES, ids=[f"{p}: {GOLDEN[p][n].split(' |')[0]}" for p, n in CASES]
)
def test_case(program: str, number: int) -> None:
    wanted_text, wanted_numbers = split(GOLDEN[program][number])
    text, numbers = split(lines(program)[number])
    assert text == wanted_text
    # Second derivatives of saturated functions lose digits to cancellation.
    assert numbers == pytest.approx(wanted_numbers, rel=2e-4, abs=1e-9)


def test_a_graph_that_saved_nothing_may_run_backward_again() -> None:
    x = flambeau.ones(3, requires_grad=True)
    total = (x + 1).sum()
    total.backward()
    total.backward()
    assert x.grad.tolist() == [2.0, 2.0, 2.0]
