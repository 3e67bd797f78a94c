"""`flambeau.compiler.explain`: which programs a function became, as text and as a page."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import _C
from ._collected import reports

# What regions have in common that are the same.
_SAME = ("apart", "program", "steps", "launches", "bytes", "merged")


class Programs:
    """Gathers programs as they come; those that are the same are kept once."""

    def __init__(self) -> None:
        self._programs: dict[tuple[object, ...], _Program] = {}
        self._texts: dict[str, str] = {}

    def add(self, programs: list[dict[str, Any]]) -> None:
        for program in programs:
            regions = program["regions"]
            for part in (program, *regions):
                for name, value in part.items():
                    if isinstance(value, str):  # programs share many
                        part[name] = self._texts.setdefault(value, value)
            same = (
                *(program[name] for name in ("recording", "ended", "runs", "unneeded")),
                *((*region["ops"], *(region[name] for name in _SAME)) for region in regions),
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
        self.seconds = [_Figures() for _ in first["regions"]]

    def ran(self, regions: list[dict[str, Any]]) -> None:
        self.times += 1
        for kept, region, seconds in zip(self.first["regions"], regions, self.seconds):
            seconds.add(region["seconds"])
            kept["live_bytes"] = max(kept["live_bytes"], region["live_bytes"])

    def told(self) -> dict[str, Any]:
        regions = [
            region | {"seconds": seconds.median(), "total_seconds": seconds.total}
            for region, seconds in zip(self.first["regions"], self.seconds)
        ]
        return self.first | {"times": self.times, "regions": regions}


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

    def median(self) -> float:
        return sorted(self._some)[(len(self._some) - 1) // 2]


@dataclass(frozen=True)
class Explanation:
    """The programs that ran, those that are the same as one that ran several `times`. Each has its
    `recording` as text, why it `ended` and its regions: `ops` they do, `launches` of kernels and
    contractions, `bytes` read and written, `seconds` taken (the median of all times, and
    `total_seconds`), `live_bytes` made by the program and held afterwards, the `program` and its
    `steps` as text, and why the region is `apart`."""

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

    def __str__(self) -> str:
        if not self.programs:
            return "no compiled program ran"
        lines = []
        for number, program in enumerate(self.programs):
            regions = program["regions"]
            lines.append(
                f"program {number}: {program['runs']} runs ({program['unneeded']} unneeded) in "
                f"{len(regions)} regions, {sum(r['launches'] for r in regions)} launches, "
                f"{_bytes(sum(r['bytes'] for r in regions))}, "
                f"{_time(sum(r['seconds'] for r in regions))}, "
                f"at most {_bytes(max((r['live_bytes'] for r in regions), default=0))} held"
            )
            if program["times"] > 1:
                lines.append(f"  {_times(program)}")
            lines.append(f"  ended by {program['ended'] or 'the thread'}")
            for region in regions:
                state = "" if region["merged"] or len(region["ops"]) == 1 else " (compiling)"
                blocks = " in blocks" if "scan" in region["steps"] else ""
                lines.append(
                    f"  {_time(region['seconds']):>9} {_bytes(region['bytes']):>9}  "
                    f"{region['launches']} launches{blocks}  {' + '.join(region['ops'])}{state}"
                )
                lines.append(f"{'':23}apart: {region['apart']}")
        return "\n".join(lines)

    def html(self) -> str:
        """One self-contained page: a timeline, the memory over it, and each region's program."""
        body = "".join(_program_html(i, p) for i, p in enumerate(self.programs))
        body = body or f"<p>{self}.</p>"
        return (
            "<!doctype html><meta charset='utf-8'><title>Flambeau: programs</title>"
            f"<style>{_STYLE}</style><h1>Programs</h1>{body}<script>{_SCRIPT}</script>"
        )

    def save(self, path: str | Path) -> None:
        # Names of files may be none that UTF-8 knows.
        Path(path).write_text(self.html(), encoding="utf-8", errors="backslashreplace")


_STYLE = """
body{font:14px/1.4 system-ui,sans-serif;margin:2em auto;max-width:70em;padding:0 1em;color:#222}
.bar{display:flex;height:2.2em;border:1px solid #bbb;margin:.5em 0}
.bar a{display:block;min-width:2px;border-right:1px solid #fff;background:#4a7fb5}
.bar a.contract{background:#b5654a}.bar a:hover{background:#222}
svg{width:100%;height:6em;border:1px solid #bbb;background:#f7f7f7}
details{border-left:4px solid #4a7fb5;padding:.2em .8em;margin:.3em 0}
details:target{border-color:#222}
pre{overflow-x:auto;background:#f7f7f7;padding:.6em}.apart{color:#666}
"""
# A bar leads to its region, and opens it.
_SCRIPT = """
function show(hash) { const part = hash && document.querySelector(hash); if (part) part.open = true }
addEventListener('click', event => { const bar = event.target.closest('.bar a'); if (bar) show(bar.hash) })
show(location.hash)
"""


def _program_html(number: int, program: dict[str, Any]) -> str:
    regions = program["regions"]
    total = sum(r["seconds"] for r in regions) or 1.0
    most = max((r["live_bytes"] for r in regions), default=0) or 1.0
    bars, points, details, at = [], ["0,100"], [], 0.0
    for i, region in enumerate(regions):
        name = html.escape(" + ".join(region["ops"]))
        kind = "contract" if "contract" in region["steps"] else ""
        share = 100 * region["seconds"] / total
        bars.append(
            f"<a class='{kind}' href='#r{number}-{i}' style='width:{share:.3f}%' "
            f"title='{name}: {_time(region['seconds'])}'></a>"
        )
        at += share
        points.append(f"{at:.3f},{100 - 95 * region['live_bytes'] / most:.2f}")
        details.append(
            f"<details id='r{number}-{i}'><summary>{name} &middot; {_time(region['seconds'])} "
            f"&middot; {_bytes(region['bytes'])} &middot; {region['launches']} launches</summary>"
            f"<p class='apart'>Apart from its neighbours: {html.escape(region['apart'])}.</p>"
            f"<pre>{html.escape(region['steps'])}</pre>"
            f"<pre>{html.escape(region['program'])}</pre></details>"
        )
    points.append("100,100")
    again = f"<p>It {_times(program)}.</p>" if program["times"] > 1 else ""
    return (
        f"<h2>Program {number}: {program['runs']} runs, {len(regions)} regions, "
        f"{_time(total)}</h2>{again}<p>Ended by {html.escape(program['ended'] or 'the thread')}.</p>"
        f"<div class='bar'>{''.join(bars)}</div>"
        f"<p>Memory that it holds, at most {_bytes(most)}:</p>"
        f"<svg viewBox='0 0 100 100' preserveAspectRatio='none'><polygon fill='#9dbbd8' "
        f"points='{' '.join(points)}'/></svg>{''.join(details)}"
        f"<details><summary>What was recorded</summary><pre>{html.escape(program['recording'])}"
        "</pre></details>"
    )


def _times(program: dict[str, Any]) -> str:
    regions = program["regions"]
    return (
        f"ran {program['times']} times: {_time(sum(r['seconds'] for r in regions))} each (median), "
        f"{_time(sum(r['total_seconds'] for r in regions))} in all"
    )


def _time(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e3:.2f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.1f} us"


def _bytes(count: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} B"


def explain(function: Callable[..., Any]) -> Callable[..., Explanation]:
    """`explain(function)(*args)` calls `function` compiled, twice, so that kernels are there the
    second time, and tells of the programs of the second call and of what it left pending."""
    from ._compile import compile

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
