"""The programs of golden/ print what PyTorch 2.7.1 printed for them (golden/make.py)."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import pytest

FOLDER = pathlib.Path(__file__).parent / "golden"
NAMES = sorted(path.stem for path in FOLDER.glob("*.txt"))
NUMBER = re.compile(r"-?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|inf\b)|\bnan\b")

# Each in a process of its own, where `torch` is Flambeau.
PROGRAM = """
import sys
import flambeau.nn, flambeau.optim.optimizer, flambeau.utils.data
for name in [*sys.modules]:
    if name == "flambeau" or name.startswith("flambeau."):
        sys.modules["torch" + name[len("flambeau"):]] = sys.modules[name]
import {name}, common
print(chr(10).join(common.lines()))
"""


def split(line: str) -> tuple[str, list[float]]:
    # Our package's name is the only difference that is wanted.
    line = line.replace("flambeau", "torch")
    return NUMBER.sub("#", line), [float(n) for n in NUMBER.findall(line)]


@pytest.mark.parametrize("name", NAMES)
def test_program(name: str) -> None:
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM.format(name=name)],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    actual = result.stdout.splitlines()
    wanted = (FOLDER / f"{name}.txt").read_text().splitlines()
    assert not [line for line in wanted if "| raised " in line], "a program that PyTorch refuses"
    wrong = []
    for number, (got, want) in enumerate(zip(actual, wanted), 1):
        text, numbers = split(got)
        wanted_text, wanted_numbers = split(want)
        if text != wanted_text or numbers != pytest.approx(
            wanted_numbers, rel=2e-4, abs=2e-5, nan_ok=True
        ):
            wrong.append(f"line {number}\n  got    {got}\n  wanted {want}")
    assert not wrong, "\n".join(wrong[:40])
    assert len(actual) == len(wanted)
