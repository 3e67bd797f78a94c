#!/usr/bin/env python3
"""Writes what works and what does not into docs/bring_your_script.md, from the tests and the refusals.

What works is what tests/compat and the modules marked `supports` test: their docstrings, the tests' names as sentences,
and the texts that tests are parametrised with. What does not is every feature that the code refuses by name:
the calls of `_absent.feature` in python/flambeau, and the texts of NotImplementedErrors in src. (Those in src/ops and src/base are
errors of arguments, which PyTorch has too.)

usage: write_support.py [--check]      with --check nothing is written; exits with 1 if the page differs
"""

from __future__ import annotations

import argparse
import ast
import collections
import contextlib
import io
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "bring_your_script.md"
BEGIN = "<!-- Written by tools/write_support.py from here: -->\n"
END = "<!-- to here. -->\n"
# What src raises, up to its statement's end, and the texts in it: adjacent ones are one text.
NOT_IMPLEMENTED = re.compile(r"NotImplementedError>?\(((?:[^;\"]|\"(?:[^\"\\]|\\.)*\")*);")
LITERAL = re.compile(r"\"((?:[^\"\\]|\\.)*)\"")
# Where a test's name or a text has to be written otherwise than it is spelled in Python.
SPELLINGS = {"pytorch": "PyTorch", "pytorchs": "PyTorch's", "flambeau": "Flambeau"}


class Collected:
    """A pytest plugin that keeps the tests to describe, and runs none."""

    def __init__(self) -> None:
        self.modules: dict[Any, dict[Any, list[str]]] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            if not isinstance(item, pytest.Function):
                continue
            if "compat" not in item.path.parts and item.get_closest_marker("supports") is None:
                continue
            tests = self.modules.setdefault(item.module, {})
            parameters = tests.setdefault(item.function, [])
            values = item.callspec.params.values() if hasattr(item, "callspec") else ()
            parameters += [v for v in values if isinstance(v, str) and v not in parameters]


def collect() -> dict[Any, dict[Any, list[str]]]:
    found = Collected()
    os.environ.pop("FLAMBEAU_LARGE_TESTS", None)
    folders = [str(ROOT / "tests" / "compat"), str(ROOT / "tests" / "python")]
    options = ["--collect-only", "--quiet", "-p", "no:cacheprovider", "-p", "no:xdist"]
    with contextlib.redirect_stdout(io.StringIO()) as said:
        status = pytest.main([*folders, *options, f"--rootdir={ROOT}"], plugins=[found])
    if status != 0:
        raise RuntimeError(f"the tests cannot be collected:\n{said.getvalue()}")
    return found.modules


def paragraph(text: str) -> str:
    """A docstring's first paragraph on one line, without its last full stop."""
    return " ".join(text.split("\n\n")[0].split()).rstrip(".")


def sentence(function: Any) -> str:
    words = function.__name__.removeprefix("test_").split("_")
    return " ".join(SPELLINGS.get(word, word) for word in words)


def what_works(modules: dict[Any, dict[Any, list[str]]]) -> list[str]:
    lines = []
    for module, tests in sorted(modules.items(), key=lambda each: each[0].__name__):
        file = Path(module.__file__).relative_to(ROOT).as_posix()
        lines += [f"* [{paragraph(module.__doc__)}](../{file})", ""]
        for function, parameters in tests.items():
            given = f": {', '.join(f'`{p}`' for p in parameters)}" if parameters else ""
            lines.append(f"    * {sentence(function)}{given}")
        lines.append("")
    return lines


def text_of(node: ast.expr) -> str:
    """A string in the code, with what is only known when it runs as `...`."""
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(v) if isinstance(v, ast.Constant) else "..." for v in node.values)
    return str(node.value) if isinstance(node, ast.Constant) else "..."


def refusals(root: Path = ROOT) -> dict[str, list[str]]:
    """The names of what is refused, by the file that refuses it."""
    found: dict[str, list[str]] = collections.defaultdict(list)
    for path in sorted((root / "python" / "flambeau").rglob("*.py")):
        file = path.relative_to(root).as_posix()
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            if node.func.id == "feature" and node.args:
                found[file].append(f"`torch.{text_of(node.args[0])}`")
    for path in sorted((root / "src").rglob("*.cpp")):
        if path.relative_to(root / "src").parts[0] in ("base", "ops"):
            continue
        for statement in NOT_IMPLEMENTED.findall(path.read_text()):
            statement = re.sub(r'"\s*"', "", statement)
            parts = [part.replace('\\"', '"') for part in LITERAL.findall(statement)]
            text = re.sub(r"(\.\.\.)+", "...", "...".join(parts)).strip(" :")
            if text and "not implemented for" not in text:
                found[path.relative_to(root).as_posix()].append(f"*{text}*")
    return {file: list(dict.fromkeys(names)) for file, names in found.items()}


def what_does_not() -> list[str]:
    return [
        f"* {'; '.join(names)} ([{Path(file).name}](../{file}))"
        for file, names in refusals().items()
    ]


def page(old: str) -> str:
    before, rest = old.split(BEGIN)
    after = rest.split(END)[1]
    lines = [
        "## Tested in every run",
        "",
        *what_works(collect()),
        "## Refused by name",
        "",
        "These names exist where libraries look for them, and raise an error that names what is missing when they are used:",
        "",
        *what_does_not(),
        "",
    ]
    return before + BEGIN + "\n" + "\n".join(lines) + "\n" + END + after


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    old = PAGE.read_text()
    new = page(old)
    if new == old:
        return 0
    if check:
        print(
            f"{PAGE.relative_to(ROOT)} does not follow from the tests; run tools/write_support.py"
        )
        return 1
    PAGE.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
