"""`flambeau.compiler.explain`: which programs a function became. `_explain_text` and `_explain_page`
show them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import _C, _explain_page, _explain_text
from ._collected import reports

# What programs and regions that are the same have in common.
_OF_PROGRAM = ("recording", "ended", "runs", "unneeded")
_OF_REGION = ("apart", "program", "launches", "bytes", "merged")
_LISTS = ("ops", "reads", "writes", "begins", "ends")


class Programs:
    """Gathers programs as they come; those that are the same are kept once."""

    def __init__(self) -> None:
        self._programs: dict[tuple[object, ...], _Program] = {}
        self._texts: dict[str, str] = {}

    def add(self, programs: list[dict[str, Any]]) -> None:
        for program in programs:
            regions = program["regions"]
            steps = [step for region in regions for step in region["steps"]]
            for part in (program, *regions, *steps):
                for name, value in part.items():
                    if isinstance(value, str):  # programs share many
                        part[name] = self._texts.setdefault(value, value)
            same = (
                *(program[name] for name in _OF_PROGRAM),
                *program["storages"],
                *(region[name] for region in regions for name in _OF_REGION),
                *(tuple(region[name]) for region in regions for name in _LISTS),
                *(step["text"] for step in steps),
            )
            if same not in self._programs:
                self._programs[same] = _Program(program)
            self._programs[same].ran(regions)

    def explanation(self) -> Explanation:
        return Explanation([program.told() for program in self._programs.values()])


class _Program:
    def __init__(self, first: dict[str, Any]) -> None:
        self.first = first
        self.times = 0
        # Of each region: its own, then those of its steps.
        self.seconds = [[_Figures() for _ in _timed(region)] for region in first["regions"]]

    def ran(self, regions: list[dict[str, Any]]) -> None:
        self.times += 1
        for region, figures in zip(regions, self.seconds):
            for part, seconds in zip(_timed(region), figures):
                seconds.add(part["seconds"])

    def told(self) -> dict[str, Any]:
        regions = []
        for region, (own, *of_steps) in zip(self.first["regions"], self.seconds):
            steps = [step | times.told() for step, times in zip(region["steps"], of_steps)]
            regions.append(region | own.told() | {"steps": steps})
        return self.first | {"times": self.times, "regions": regions}


def _timed(region: dict[str, Any]) -> list[dict[str, Any]]:
    return [region, *region["steps"]]


class _Figures:
    """The sum and the median of many figures, without keeping them: the median is that of every
    n-th, fewer than 128 in all."""

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self._some: list[float] = []
        self._step = 1

    def add(self, figure: float) -> None:
        if self.count % self._step == 0:
            self._some.append(figure)
            if len(self._some) == 128:
                del self._some[1::2]
                self._step *= 2
        self.count += 1
        self.total += figure

    def told(self) -> dict[str, float]:
        median = sorted(self._some)[(len(self._some) - 1) // 2]
        return {"seconds": median, "total_seconds": self.total}


@dataclass(frozen=True)
class Explanation:
    """The programs that ran, those that are the same as one that ran several `times`. Each has its
    `recording` as text, why it `ended`, the `storages` that it touches (text, bytes, and if the
    program makes their memory), and its regions: `ops` they do, `launches` of kernels and
    contractions, `bytes` read and written, `seconds` taken (the median of all times, and
    `total_seconds`), the same of each of their `steps` (0 seconds where it did not run by itself,
    as a kernel was not compiled yet), the `program` as text, and why the region is `apart`. A
    region `reads` and `writes` parts of storages (number, first byte, last byte + 1, bytes of
    elements), from it on some storages are held (`begins`) or no more (`ends`), which leaves
    `live_bytes`, and its steps make `temporaries` (text, bytes, first step, last step)."""

    programs: list[dict[str, Any]]

    @property
    def launches(self) -> int:
        return sum(p["times"] * r["launches"] for p in self.programs for r in p["regions"])

    @property
    def graph_count(self) -> int:
        return sum(p["times"] for p in self.programs)

    @property
    def graph_break_count(self) -> int:
        """0: nothing breaks a recording."""
        return 0

    @property
    def break_reasons(self) -> list[Any]:
        return []

    @property
    def ops_per_graph(self) -> list[list[str]]:
        """The names of the operations of each program that ran."""
        return [
            [op for region in p["regions"] for op in region["ops"]]
            for p in self.programs
            for _ in range(p["times"])
        ]

    @property
    def op_count(self) -> int:
        return sum(map(len, self.ops_per_graph))

    def __str__(self) -> str:
        return _explain_text.text_of(self.programs)

    def html(self) -> str:
        """One self-contained page: a timeline, the memory over it, the graph, and each region."""
        return _explain_page.page_of(self.programs)

    def save(self, path: str | Path) -> None:
        # Names of files may be none that UTF-8 knows.
        Path(path).write_text(self.html(), encoding="utf-8", errors="backslashreplace")


def explain(function: Callable[..., Any]) -> Callable[..., Explanation]:
    """`explain(function)(*args)` calls `function` compiled, twice, so that kernels are there the
    second time, and tells of the programs of the second call and of what it left pending."""
    from ._compile import compile

    if inspect.iscoroutinefunction(function):
        raise TypeError(
            f"explain: {function.__qualname__} is async; explain a function that runs it, as "
            "`lambda *args: asyncio.run(function(*args))` does"
        )
    compiled = compile(function)

    def explained(*args: Any, **kwargs: Any) -> Explanation:
        # Results that nobody holds would not be computed.
        result = compiled(*args, **kwargs)
        _C._compile_flush()
        _C._compile_wait()
        programs = Programs()
        with reports.told_to(programs.add):
            result = compiled(*args, **kwargs)
            _C._compile_flush()
        del result
        return programs.explanation()

    return explained
