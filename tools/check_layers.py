#!/usr/bin/env python3
"""Checks the rules that keep the code base in layers; part of `make lint`.

* A file of a layer includes only headers of its own layer and of those before it (LAYERS).
* Nothing outside src/ops includes a header of src/ops other than its index (OPS_INDEX), or calls
  into namespace `flambeau::ops`.
* Outside src/ops and the front ends (FRONT_ENDS; tests, examples, benchmarks, docs and Python are
  front ends too), no string literal and no enumerator equals the name of an operation. The names
  are read from the schemas of src/ops: string literals of the form "name(...) -> ..." or
  "name.overload(...) -> ...". A name that an operation shares with a primitive (the first literal
  of a RegisterPrimitive of src/prim) or with a core operation (`enum class CoreOp`) is a word of the two IRs as well and
  may stand in VOCABULARY_LAYERS. WORDS lists the few everyday words that are let through.
* No hand-written file has more than MAX_LINES lines, none says that something is left to do.

Usage: check_layers.py [root]. Prints `file:line: message` for each violation.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

# Each group may include itself and the groups before it.
LAYERS = (
    ("base",), ("ir",), ("prim",), ("ops",), ("lower",), ("codegen",), ("runtime",), ("tensor",),
    ("eager",), ("autograd",), ("compile",), ("nn", "optim", "data", "amp", "dist", "io"), ("bind",),
)  # fmt: skip
RANK = {name: rank for rank, group in enumerate(LAYERS) for name in group}
FRONT_ENDS = {"nn", "optim", "data", "amp", "dist", "io"}
VOCABULARY_LAYERS = {"ir", "prim", "lower", "codegen"}
# Words of a layer's own that happen to be operations' names, too.
WORDS = {
    "ir": {"index", "view", "scatter"},  # of nodes and statements
    "prim": {"any"},  # any dtype
    "lower": {"full"},  # the full range of the reduced loops
    "bind": {"index"},  # of a device
}
OPS_INDEX = {"ops/registry.h"}
CPP_SUFFIXES = {".h", ".cpp"}
MAX_LINES = 800
CODE_SUFFIXES = CPP_SUFFIXES | {
    ".py",
    ".pyi",
    ".cmake",
    ".sh",
    ".md",
    ".txt",
    ".toml",
    ".yml",
    ".yaml",
}
GENERATED = (
    "include/flambeau/functions.h",
    "python/flambeau/_C",
    "python/flambeau/__init__.pyi",
    "src/nn/functional/functions.cpp",
    "tests/golden/",
)
LEFT_OVER = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")


class Violation(NamedTuple):
    path: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


# One pass over C++ text: comments, raw strings, strings, characters.
_TOKEN = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(?P<d>[^()\s\\]{0,16})\((?P<raw>.*?)\)(?P=d)"'
    r"|\"(?P<str>(?:\\.|[^\"\\\n])*)\"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'",
    re.S,
)


class Source:
    """A C++ file: its code without comments and literals, and its string literals.

    `code` has the length and the lines of the text; `literals` holds (line, value), adjacent
    literals joined as the compiler joins them.
    """

    def __init__(self, text: str):
        self.literals: list[tuple[int, str]] = []
        pieces: list[str] = []
        end = 0
        joined_at = -1
        for match in _TOKEN.finditer(text):
            between = text[end : match.start()]
            pieces += [between, re.sub(r"[^\n]", " ", match.group())]
            end = match.end()
            value = match["raw"] if match["raw"] is not None else match["str"]
            if value is None:
                joined_at = joined_at if not between.strip() else -1
                continue
            if match["str"] is not None and re.search(r"#\s*include\s*$", between):
                pieces[-1] = match.group()  # The path of an #include stays in the code.
                continue
            if joined_at == len(self.literals) - 1 >= 0 and not between.strip():
                line, before = self.literals[-1]
                self.literals[-1] = (line, before + value)
            else:
                self.literals.append((text.count("\n", 0, match.start()) + 1, value))
            joined_at = len(self.literals) - 1
        pieces.append(text[end:])
        self.code = "".join(pieces)

    def find(self, pattern: str) -> Iterator[tuple[int, re.Match[str]]]:
        for match in re.finditer(pattern, self.code):
            yield self.code.count("\n", 0, match.start()) + 1, match

    def enumerators(self, enum_name: str = r"\w+") -> Iterator[tuple[int, str]]:
        for _, match in self.find(
            r"\benum\s+(?:class\s+|struct\s+)?" + enum_name + r"\b[^;{]*\{([^}]*)\}"
        ):
            for item in re.finditer(r"(?:^|,)\s*(\w+)", match[1]):
                line = self.code.count("\n", 0, match.start(1) + item.start(1)) + 1
                yield line, snake_case(item[1])


def snake_case(name: str) -> str:
    """`kLogSoftmax`, `LogSoftmax`, `LOG_SOFTMAX` -> `log_softmax`."""
    if re.match(r"k[A-Z]", name):
        name = name[1:]
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def layer_of(path: str) -> str:
    """The layer of a file of src/ or include/; a public header belongs to the front ends."""
    parts = path.split("/")
    return parts[1] if parts[0] == "src" else "nn"


def included_layer(header: str) -> str | None:
    first = header.split("/")[0]
    return "nn" if first == "flambeau" else first if first in RANK else None


class Tree:
    """The C++ files of a checkout, parsed once."""

    def __init__(self, root: Path, paths: list[str]):
        self.sources = {
            path: Source((root / path).read_text())
            for path in paths
            if path.startswith(("src/", "include/")) and Path(path).suffix in CPP_SUFFIXES
        }

    def operation_names(self) -> set[str]:
        names = set()
        for path, source in self.sources.items():
            if path.startswith("src/ops/") and path.endswith(".cpp"):
                for _, text in source.literals:
                    if match := re.match(r"(\w+)(?:\.\w+)?\(.*\)\s*->", text, re.S):
                        names.add(match[1])
        return names

    def primitive_names(self) -> set[str]:
        names = set()
        for path, source in self.sources.items():
            if path.startswith("src/prim/"):
                for line, _ in source.find(r"\bRegisterPrimitive\s+\w+\s*\{"):
                    names.add(next((text for at, text in source.literals if at >= line), ""))
            if path.startswith("src/ir/"):
                names.update(name for _, name in source.enumerators("CoreOp"))
        return names


def check_includes(tree: Tree) -> Iterator[Violation]:
    for path, source in tree.sources.items():
        layer = layer_of(path)
        if layer not in RANK:
            yield Violation(
                path, 1, f"src/{layer} is not in the list of layers (tools/check_layers.py)"
            )
            continue
        for line, match in source.find(r'#\s*include\s*"([^"]+)"'):
            header = match[1]
            other = included_layer(header)
            if other is None:
                continue
            if RANK[other] > RANK[layer]:
                yield Violation(
                    path, line, f"layer {layer} includes {header} of the later layer {other}"
                )
            if other == "ops" and layer != "ops" and header not in OPS_INDEX:
                yield Violation(
                    path, line, f"includes {header}; only {sorted(OPS_INDEX)[0]} is public"
                )


def check_operation_names(tree: Tree) -> Iterator[Violation]:
    operations = tree.operation_names()
    vocabulary = tree.primitive_names()
    for path, source in tree.sources.items():
        layer = layer_of(path)
        if layer == "ops":
            continue
        for line, match in source.find(r"\bops::(\w+)"):
            if match[1] in operations:
                yield Violation(path, line, f"calls ops::{match[1]}")
        if layer in FRONT_ENDS:
            continue
        forbidden = operations - WORDS.get(layer, set())
        if layer in VOCABULARY_LAYERS:
            forbidden -= vocabulary
        words = [(line, text, "string literal") for line, text in source.literals]
        words += [(line, name, "enumerator") for line, name in source.enumerators()]
        for line, word, kind in words:
            if word in forbidden:
                yield Violation(
                    path, line, f"the {kind} '{word}' names an operation outside src/ops"
                )


def check_text(root: Path, paths: list[str]) -> Iterator[Violation]:
    for path in paths:
        if Path(path).suffix not in CODE_SUFFIXES:
            continue
        lines = (root / path).read_text().splitlines()
        if any(GENERATED in line for line in lines[:3]):
            continue
        if len(lines) > MAX_LINES:
            yield Violation(path, MAX_LINES, f"{len(lines)} lines; a file has at most {MAX_LINES}")
        for number, line in enumerate(lines, 1):
            if match := LEFT_OVER.search(line):
                yield Violation(path, number, f"says {match[1]}")


def tracked_files(root: Path) -> list[str]:
    """Files of the checkout that git tracks or would track."""
    command = ["git", "-C", str(root), "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return sorted(name for name in names if (root / name).is_file())


def check(root: Path, paths: list[str]) -> list[Violation]:
    tree = Tree(root, paths)
    found = [*check_includes(tree), *check_operation_names(tree), *check_text(root, paths)]
    return sorted(set(found))


def main() -> int:
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent).resolve()
    violations = check(root, tracked_files(root))
    for violation in violations:
        print(violation)
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
