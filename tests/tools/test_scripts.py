"""tools/run_tests counts what fails without saying so; tools/lint knows what a file includes."""

from __future__ import annotations

import importlib.machinery
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

TOOLS = Path(__file__).parents[2] / "tools"


def load(name: str) -> ModuleType:
    """The program tools/NAME, whose file has no suffix, as a module."""
    loader = importlib.machinery.SourceFileLoader(name, str(TOOLS / name))
    spec = importlib.util.spec_from_loader(name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


REPORT = """{"testsuites": [{"testsuite": [
  {"name": "a", "status": "RUN", "result": "COMPLETED"},
  {"name": "b", "status": "RUN", "result": "SKIPPED"},
  {"name": "c", "status": "NOTRUN", "result": "SUPPRESSED"}%s]}]}"""
FAILED = ', {"name": "d", "status": "RUN", "result": "COMPLETED", "failures": [{}]}'


@pytest.mark.parametrize(
    ("report", "status", "expected"),
    [
        (REPORT % "", 0, (1, 0, 1)),
        (REPORT % FAILED, 1, (1, 1, 1)),
        (REPORT % "", 66, (1, 1, 1)),  # ThreadSanitizer found a race, and every test passed
        (None, -11, (2, 1, 0)),  # a crash
    ],
)
def test_results_of_a_binary(
    report: str | None, status: int, expected: tuple[int, int, int], tmp_path: Path
) -> None:
    if report is not None:
        report_file = f"cat >${{2#--gtest_output=json:}} <<'END'\n{report}\nEND\n"
    else:
        report_file = "echo '[       OK ] a'; echo '[       OK ] b'\n"
    end = f"exit {status}" if status >= 0 else f"kill {status} $$"
    binary = tmp_path / "some_tests"
    binary.write_text(f'#!/bin/bash\nset -- "$0" "$@"\n{report_file}{end}\n')
    binary.chmod(0o755)
    assert tuple(load("run_tests").run_gtest(binary, False, tmp_path, 1)) == expected


def test_include_closure(tmp_path: Path) -> None:
    files = {
        "unit.cpp": '#include "a.h"\n#include <vector>\n  #  include "gone.h"\n',
        "a.h": '#include "sub/b.h"\n',
        "sub/b.h": '#include "c.h"\n#include "../a.h"\n',
        "sub/c.h": "",
        "other.h": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    closure = load("lint").IncludeClosure().of(tmp_path / "unit.cpp")
    assert closure == [tmp_path / name for name in ("a.h", "sub/b.h", "sub/c.h")]
