"""Autograd does what PyTorch 2.7.1 did (autograd/cases.py, golden.txt)."""

import contextlib
import io
import pathlib
import re
import runpy

import pytest

FOLDER = pathlib.Path(__file__).parent / "autograd"
NUMBER = re.compile(r"-?\d+\.\d+(?:e[+-]?\d+)?|-?\d+e[+-]?\d+")


def split(line: str) -> tuple[str, list[float]]:
    return NUMBER.sub("#", line), [float(n) for n in NUMBER.findall(line)]


def output() -> list[str]:
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        runpy.run_path(str(FOLDER / "cases.py"), run_name="cases")
    return text.getvalue().splitlines()


GOLDEN = (FOLDER / "golden.txt").read_text().splitlines()
ACTUAL = dict(enumerate(output()))


def test_every_case_ran() -> None:
    assert len(ACTUAL) == len(GOLDEN)


@pytest.mark.parametrize("number", range(len(GOLDEN)), ids=lambda n: GOLDEN[n].split(" |")[0])
def test_case(number: int) -> None:
    wanted_text, wanted_numbers = split(GOLDEN[number])
    text, numbers = split(ACTUAL[number])
    assert text == wanted_text
    # Second derivatives of saturated functions lose digits to cancellation.
    assert numbers == pytest.approx(wanted_numbers, rel=2e-4, abs=1e-9)
