"""What follows from a program's report: the values that its regions pass, and its memory."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Flow:
    edges: dict[tuple[int, int], float]  # (region that wrote, region that reads): bytes
    given: list[float]  # per region: bytes that it reads of what the program did not write


def flow_of(regions: list[dict[str, Any]]) -> Flow:
    """A region reads what the last regions before it have written there. Where parts of a storage
    have gaps that is about so."""
    written: dict[int, list[tuple[int, int, int, float]]] = defaultdict(list)
    edges: dict[tuple[int, int], float] = defaultdict(float)
    given = []
    for number, region in enumerate(regions):
        of_others = 0.0
        for storage, begin, end, size in region["reads"]:
            left = size
            for writer, start, stop, of_write in reversed(written[storage]):
                shared = min(min(end, stop) - max(begin, start), of_write, left)
                if shared > 0:
                    edges[writer, number] += shared
                    left -= shared
                if left <= 0:
                    break
            of_others += left
        given.append(of_others)
        for storage, begin, end, size in region["writes"]:
            before = written[storage]
            while before and (
                before[-1][1:3] == (begin, end)
                or (size == end - begin and begin <= before[-1][1] and before[-1][2] <= end)
            ):
                before.pop()  # nothing of it is left
            before.append((number, begin, end, size))
    return Flow(dict(edges), given)


@dataclass(frozen=True)
class Value:
    """Some that are of one size and an operation's."""

    text: str
    bytes: float  # of all of them
    makers: list[int]  # regions; empty: steps of the region at hand


@dataclass(frozen=True)
class Memory:
    """Of memory that a program makes, in bytes."""

    held: list[float]  # when a region has run, what it read last included
    within: list[float]  # at most, per region, of what its steps make for each other
    most: float
    region: int  # where that is
    there: list[Value]  # then, the largest first


def memory_of(program: dict[str, Any]) -> Memory:
    regions = program["regions"]
    held = [region["live_bytes"] for region in regions]
    peaks = [_peak(region["temporaries"]) for region in regions]
    within = [sum(each[1] for each in peak) for peak in peaks]
    sums = [one + other for one, other in zip(held, within)]
    at = max(range(len(sums)), key=sums.__getitem__, default=-1)
    since: dict[int, int] = {}
    for number, region in enumerate(regions[: at + 1]):
        for storage in region["ends"]:
            since.pop(storage, None)
        since.update((storage, number) for storage in region["begins"])
    there = [(*program["storages"][storage][:2], [number]) for storage, number in since.items()]
    if at >= 0:
        there += [(text, size, []) for text, size, _, _ in peaks[at]]
    values: dict[tuple[str, bool], Value] = {}
    for text, size, makers in there:
        before = values.get((text, bool(makers)), Value(text, 0.0, []))
        value = Value(text, before.bytes + size, before.makers + makers)
        values[text, bool(makers)] = value
    largest = sorted(values.values(), key=lambda value: -value.bytes)
    return Memory(held, within, sums[at] if sums else 0.0, at, largest)


def _peak(temporaries: list[tuple[str, float, int, int]]) -> list[tuple[str, float, int, int]]:
    """Those that there are at one time, where these are most bytes."""
    times = [
        [other for other in temporaries if other[2] <= first <= other[3]]
        for _, _, first, _ in temporaries
    ]
    return max(times, key=lambda there: sum(each[1] for each in there), default=[])
