"""`flambeau.compiler.explain`: which programs a function became, as text and as a page."""

from __future__ import annotations

import html
import runpy
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import _C


@dataclass(frozen=True)
class Explanation:
    """The programs that ran, each with its `recording` as text, why it `ended` and its regions: `ops` they do, `launches` of kernels and
    contractions, `bytes` read and written, `seconds` taken, `live_bytes` made by the program and
    held afterwards, the `program` and its `steps` as text, and why the region is `apart`."""

    programs: list[dict[str, Any]]

    @property
    def launches(self) -> int:
        return sum(r["launches"] for p in self.programs for r in p["regions"])

    @property
    def graph_count(self) -> int:
        return len(self.programs)

    @property
    def graph_break_count(self) -> int:
        """0: nothing breaks a recording."""
        return 0

    def __str__(self) -> str:
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
        return (
            "<!doctype html><meta charset='utf-8'><title>Flambeau: programs</title>"
            f"<style>{_STYLE}</style><h1>Programs</h1>{body}"
        )

    def save(self, path: str | Path) -> None:
        Path(path).write_text(self.html(), encoding="utf-8")


_STYLE = """
body{font:14px/1.4 system-ui,sans-serif;margin:2em auto;max-width:70em;padding:0 1em;color:#222}
.bar{display:flex;height:2.2em;border:1px solid #bbb;margin:.5em 0}
.bar a{display:block;min-width:2px;border-right:1px solid #fff;background:#4a7fb5}
.bar a.contract{background:#b5654a}.bar a:target,.bar a:hover{background:#222}
svg{width:100%;height:6em;border:1px solid #bbb;background:#f7f7f7}
details{border-left:4px solid #4a7fb5;padding:.2em .8em;margin:.3em 0}
pre{overflow-x:auto;background:#f7f7f7;padding:.6em}.apart{color:#666}
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
    return (
        f"<h2>Program {number}: {program['runs']} runs, {len(regions)} regions, "
        f"{_time(total)}</h2><p>Ended by {html.escape(program['ended'] or 'the thread')}.</p><div class='bar'>{''.join(bars)}</div>"
        f"<p>Memory that it holds, at most {_bytes(most)}:</p>"
        f"<svg viewBox='0 0 100 100' preserveAspectRatio='none'><polygon fill='#9dbbd8' "
        f"points='{' '.join(points)}'/></svg>{''.join(details)}"
        f"<details><summary>What was recorded</summary><pre>{html.escape(program['recording'])}"
        "</pre></details>"
    )


def _time(seconds: float) -> str:
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
        _C._compile_begin_reports()
        try:
            result = compiled(*args, **kwargs)
            _C._compile_flush()
        finally:
            programs = _C._compile_end_reports()
        del result
        return Explanation(programs)

    return explained


def explain_script(arguments: list[str]) -> tuple[Explanation, BaseException | None]:
    """Runs a script and tells of all compiled programs that it ran, also where it ended by an
    exception, as by sys.exit() and Ctrl-C: the second result."""
    ended: BaseException | None = None
    saved = sys.argv
    sys.argv = arguments
    sys.path.insert(0, str(Path(arguments[0]).resolve().parent))
    _C._compile_begin_reports()
    try:
        runpy.run_path(arguments[0], run_name="__main__")
        _C._compile_flush("the script's end")
    except BaseException as error:
        ended = error.with_traceback(_from_file(error.__traceback__, arguments[0]))
    finally:
        programs = _C._compile_end_reports()
        sys.argv = saved
        sys.path.pop(0)
    return Explanation(programs), ended


def _from_file(traceback: types.TracebackType | None, file: str) -> types.TracebackType | None:
    """What of a traceback begins in the file; all if nothing does, as where it has no syntax."""
    part = traceback
    while part is not None and part.tb_frame.f_code.co_filename != file:
        part = part.tb_next
    return part or traceback
