"""When a recording becomes a program: small ones where they come again, FLAMBEAU_PLAN."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PRELUDE = """
import flambeau as torch
F = torch.nn.functional
weight = torch.randn(8, 8)

def made_and_merged():
    stats = torch.compiler.stats()
    return stats["programs_made"], stats["regions_merged"]

def counted(f, *args):
    before = made_and_merged()
    result = f(*args)
    torch.compiler.flush()
    torch._C._compile_wait()
    return result, *(now - then for now, then in zip(made_and_merged(), before))
"""


def run(script: str, plan: str = "again") -> str:
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + script],
        env={**os.environ, "FLAMBEAU_PLAN": plan},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_small_recording_is_planned_where_it_comes_again() -> None:
    script = """
def chain(x):
    return (x @ weight).relu() * 2 + 1

f = torch.compile(chain)
for rows in (4, 5, 6, 7, 8):
    x = torch.randn(rows, 8)
    result, made, merged = counted(f, x)
    assert torch.equal(result, chain(x))
    print(made, merged > 0)
"""
    # Its sizes are others each time: it is the same program. Its kernel is there in the end.
    again = run(script).splitlines()
    assert again[0] == "1 False" and again[1][0] == "1" and again[2:] == ["0 True"] * 3, again
    at_once = run(script, "once").splitlines()
    assert at_once[0][0] == "1" and at_once[1:] == ["0 True"] * 4, at_once


def test_a_large_one_is_planned_at_once() -> None:
    out = run("""
def chain(x):
    return (x + 1).exp() * 2

f = torch.compile(chain)
for _ in range(3):
    print(counted(f, torch.ones(512, 512))[1])
""")
    assert out.split() == ["1", "0", "0"]


def test_sizes_that_were_not_met_before_make_no_programs_of_several_operations() -> None:
    out = run("""
def chain(x, rows):
    padded = torch.nn.functional.pad(x * 2, (rows, 0), mode="reflect")
    return (padded + 1).exp() * 2

f = torch.compile(chain)
x = torch.ones(512, 512)
for rows in (1, 2, 3, 3, 3):
    result, made, merged = counted(f, x, rows)
    assert torch.equal(result, chain(x, rows))
    print(made, merged)
""")
    lines = [line.split() for line in out.splitlines()]
    assert [made for made, _ in lines] == ["1", "1", "1", "1", "0"], lines
    assert int(lines[4][1]) > 0, lines


def test_a_replayed_call_is_planned_at_once() -> None:
    out = run("""
f = torch.compile(lambda x: (x @ weight).relu() * 2 + 1, replay=True)
for _ in range(4):
    print(counted(f, torch.ones(4, 8))[1])
""")
    assert out.split() == ["1", "0", "0", "0"]


def test_explain_shows_what_comes_to_stay() -> None:
    assert "3 runs (0 unneeded) in 1 regions" in run("""
print(torch.compiler.explain(lambda x: (x + 1).exp() * 2)(torch.ones(4)))
""")


def test_what_is_lowered_for_given_sizes_joins_others() -> None:
    """The channels of a convolution are numbers in its program, and symbols in those around it."""
    out = run("""
square = torch.randn(16, 16, 3, 3)
def chain(x):
    return F.max_pool2d(F.conv2d(x * 2, square, padding=1).relu() + 1, 2) * 3

told = torch.compiler.explain(chain)(torch.randn(8, 16, 32, 32)).programs[0]["regions"]
print([region["ops"] for region in told])
f = torch.compile(chain)
for batch in (2, 3, 16, 5, 9):  # 16 is the number of channels, too
    x = torch.randn(batch, 16, 9 + batch, 9)
    assert torch.equal(f(x), chain(x))
""")
    assert out == "[['mul', 'conv2d'], ['relu', 'add', 'max_pool2d', 'mul']]\n"


def test_a_wrong_setting_is_said() -> None:
    with pytest.raises(AssertionError, match="FLAMBEAU_PLAN is 'never', expected again or once"):
        run("counted(torch.compile(lambda x: x + 1), torch.ones(2))", "never")
