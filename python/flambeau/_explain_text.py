"""Compiled programs as text."""

from __future__ import annotations

from typing import Any

from ._explain_flow import Value, memory_of

_BAR = 16  # characters
_MOST = 12  # values that are listed where memory is at its peak


def text_of(programs: list[dict[str, Any]]) -> str:
    if not programs:
        return "no compiled program ran"
    return "\n".join(
        line for number, program in enumerate(programs) for line in _lines_of(number, program)
    )


def _lines_of(number: int, program: dict[str, Any]) -> list[str]:
    regions = program["regions"]
    memory = memory_of(program)
    lines = [
        f"program {number}: {program['runs']} runs ({program['unneeded']} unneeded) in "
        f"{len(regions)} regions, {sum(r['launches'] for r in regions)} launches, "
        f"{bytes_text(sum(r['bytes'] for r in regions))}, "
        f"{time_text(sum(r['seconds'] for r in regions))}, at most {bytes_text(memory.most)} held"
    ]
    if program["times"] > 1:
        lines.append(f"  {times_text(program)}")
    lines.append(f"  ended by {program['ended'] or 'the thread'}")
    if regions:
        lines.append(f"  {'region':>6} {'time':>9} {'bytes':>9} {'held':>9}")
    for i, region in enumerate(regions):
        blocks = " in blocks" if kind_of(region) == "scan" else ""
        bar = _bar(memory.held[i], memory.within[i], memory.most)
        lines.append(
            f"  {i:>6} {time_text(region['seconds']):>9} {bytes_text(region['bytes']):>9} "
            f"{bytes_text(memory.held[i]):>9} {bar}  {region['launches']} launches{blocks}  "
            f"{name_of(region)}{'' if is_compiled(region) else ' (compiling)'}"
        )
        lines.append(f"{'':40}apart: {region['apart']}")
        lines += [
            f"{'':9}{step_time(step):>9} {step_bytes(step):>9}{'':11}{step['text']}"
            for step in region["steps"]
            if step["launches"]
        ]
    if memory.there:
        lines.append(
            f"  most memory of its own, {bytes_text(memory.most)}, in region {memory.region}"
            f" (# held, + between steps): {bytes_text(given_bytes(program))} are given to it besides"
        )
        lines += [f"    {line}" for line in peak_lines(memory.there, _MOST)]
    return lines


def peak_lines(there: list[Value], most: int) -> list[str]:
    lines = [f"{bytes_text(v.bytes):>9}  {v.text}, {_whence(v)}" for v in there[:most]]
    if rest := there[most:]:
        lines.append(f"{bytes_text(sum(v.bytes for v in rest)):>9}  of {len(rest)} other kinds")
    return lines


def _whence(value: Value) -> str:
    makers = value.makers
    if not makers:
        return "between steps"
    if len(makers) == 1:
        return f"of region {makers[0]}"
    return f"{len(makers)} of regions {min(makers)} to {max(makers)}"


def _bar(held: float, within: float, most: float) -> str:
    full = round(_BAR * held / most) if most else 0
    both = round(_BAR * (held + within) / most) if most else 0
    return ("#" * full + "+" * (both - full)).ljust(_BAR)


def given_bytes(program: dict[str, Any]) -> float:
    return float(sum(size for _, size, made in program["storages"] if not made))


def kind_of(region: dict[str, Any]) -> str:
    """Its greatest kind of step."""
    kinds = {step["text"].split()[0] for step in region["steps"]}
    return next((kind for kind in ("scan", "contract", "kernel") if kind in kinds), "")


def name_of(region: dict[str, Any]) -> str:
    return " + ".join(region["ops"])


def is_compiled(region: dict[str, Any]) -> bool:
    """False where operations ran one by one, as a kernel was not compiled yet."""
    return bool(region["merged"]) or len(region["ops"]) == 1


def step_time(step: dict[str, Any]) -> str:
    """ "-": it did not run by itself, or an earlier run has made its values for all later ones."""
    return time_text(step["seconds"]) if step["seconds"] else "-"


def step_bytes(step: dict[str, Any]) -> str:
    return bytes_text(step["bytes"]) if step["bytes"] else "-"


def times_text(program: dict[str, Any]) -> str:
    regions = program["regions"]
    return (
        f"ran {program['times']} times: {time_text(sum(r['seconds'] for r in regions))} each "
        f"(median), {time_text(sum(r['total_seconds'] for r in regions))} in all"
    )


def time_text(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e3:.2f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.1f} us"


def bytes_text(count: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} B"
