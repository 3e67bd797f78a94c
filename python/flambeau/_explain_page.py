"""Compiled programs as one page that needs nothing else."""

from __future__ import annotations

import html
from collections import defaultdict
from typing import Any

from ._explain_flow import Flow, Memory, flow_of, memory_of
from ._explain_graph import Edge, Edges, Node, Part, parts_of, svg_of
from ._explain_text import (
    bytes_text,
    given_bytes,
    kind_of,
    name_of,
    peak_lines,
    step_bytes,
    step_time,
    text_of,
    time_text,
    times_text,
)

_LISTED = 40  # values where memory is at its peak

_STYLE = """
body{font:14px/1.4 system-ui,sans-serif;margin:2em auto;max-width:90em;padding:0 1em;color:#222}
.bar{display:flex;height:2.2em;border:1px solid #bbb;margin:.5em 0}
.bar a{display:block;min-width:2px;border-right:1px solid #fff;background:#4a7fb5}
.bar a.contract{background:#b5654a}.bar a.scan{background:#7a5ab5}.bar a:hover{background:#222}
svg.memory{width:100%;height:6em;border:1px solid #bbb;background:#f7f7f7}
.drawing{overflow:auto;max-height:85vh;border:1px solid #bbb;padding:.5em}
svg.graph{font:11px monospace;display:block}
.graph path{fill:none;stroke:#999;stroke-opacity:.45}
.graph path:hover,.graph path.lit{stroke:#222;stroke-opacity:1;stroke-width:2}
.graph rect{fill:#fff;stroke:#4a7fb5}.graph .contract rect{stroke:#b5654a}
.graph .scan rect{stroke:#7a5ab5}.graph .repeat rect{stroke:#222;stroke-width:2}
.graph .node:hover rect{stroke:#222}.graph rect.time{fill:#4a7fb5;stroke:none}.graph text{fill:#222}
.graph text.edge{text-anchor:middle;fill:#666;paint-order:stroke;stroke:#fff;stroke-width:3px}
details.region{border-left:4px solid #4a7fb5}details{padding:.2em .8em;margin:.3em 0}
details:target{border-color:#222}
pre{overflow-x:auto;background:#f7f7f7;padding:.6em}.apart{color:#666}
td{font-family:monospace;padding-right:1.5em}td.number{text-align:right}
"""
# A bar or node leads to its region, and opens it. What is read by a node, or reads it, is shown.
_SCRIPT = """
function show(hash) {
  const part = hash && document.querySelector(hash)
  for (let each = part; each; each = each.parentElement) if (each.tagName == 'DETAILS') each.open = true
  if (part) part.scrollIntoView()
}
addEventListener('click', event => {
  const link = event.target.closest('.bar a, .graph a')
  if (link) show(link.getAttribute('href'))
})
for (const [type, lit] of [['mouseover', true], ['mouseout', false]])
  addEventListener(type, event => {
    const node = event.target.closest && event.target.closest('.graph a')
    if (!node) return
    const number = node.dataset.node
    const edges = `[data-from="${number}"],[data-to="${number}"]`
    for (const path of node.parentNode.querySelectorAll(edges)) path.classList.toggle('lit', lit)
  })
show(location.hash)
"""


def page_of(programs: list[dict[str, Any]]) -> str:
    body = "".join(_program(i, p) for i, p in enumerate(programs))
    return (
        "<!doctype html><meta charset='utf-8'><title>Flambeau: programs</title>"
        f"<style>{_STYLE}</style><h1>Programs</h1>{body or f'<p>{text_of([])}.</p>'}"
        f"<script>{_SCRIPT}</script>"
    )


def _program(number: int, program: dict[str, Any]) -> str:
    regions = program["regions"]
    memory = memory_of(program)
    again = f"<p>It {times_text(program)}.</p>" if program["times"] > 1 else ""
    details = "".join(_region(f"r{number}-{i}", i, region) for i, region in enumerate(regions))
    return (
        f"<h2>Program {number}: {program['runs']} runs, {len(regions)} regions, "
        f"{time_text(sum(r['seconds'] for r in regions))}</h2>{again}"
        f"<p>Ended by {html.escape(program['ended'] or 'the thread')}.</p>"
        f"{_timeline(number, regions, memory)}{_peak(number, program, memory)}"
        f"{_graphs(number, regions)}<h3>Regions</h3>{details}"
        f"<details><summary>What was recorded</summary><pre>{html.escape(program['recording'])}"
        "</pre></details>"
    )


def _timeline(number: int, regions: list[dict[str, Any]], memory: Memory) -> str:
    total = sum(r["seconds"] for r in regions) or 1.0
    most = memory.most or 1.0
    bars, held, both, at = [], ["0,100"], ["0,100"], 0.0
    for i, region in enumerate(regions):
        share = 100 * region["seconds"] / total
        bars.append(
            f"<a class='{kind_of(region)}' href='#r{number}-{i}' style='width:{share:.3f}%' "
            f"title='{html.escape(name_of(region))}: {time_text(region['seconds'])}'></a>"
        )
        # Until it has run there may be as much as while it runs.
        within = memory.held[i] + memory.within[i]
        both += [f"{x:.3f},{100 - 95 * within / most:.2f}" for x in (at, at + share)]
        at += share
        held.append(f"{at:.3f},{100 - 95 * memory.held[i] / most:.2f}")
    return (
        f"<div class='bar'>{''.join(bars)}</div>"
        f"<p>Memory that it holds (darker), and its steps with it, at most "
        f"{bytes_text(memory.most)}:</p>"
        "<svg class='memory' viewBox='0 0 100 100' preserveAspectRatio='none'>"
        f"<polygon fill='#d5e3f0' points='{' '.join(both)} 100,100'/>"
        f"<polygon fill='#9dbbd8' points='{' '.join(held)} 100,100'/></svg>"
    )


def _peak(number: int, program: dict[str, Any], memory: Memory) -> str:
    if not memory.there:
        return ""
    lines = "\n".join(peak_lines(memory.there, _LISTED))
    return (
        f"<details><summary>What there is of {bytes_text(memory.most)} in "
        f"<a href='#r{number}-{memory.region}'>region {memory.region}</a>, where it is most "
        f"({bytes_text(given_bytes(program))} are given to the program besides)</summary>"
        f"<pre>{html.escape(lines)}</pre></details>"
    )


def _graphs(number: int, regions: list[dict[str, Any]]) -> str:
    """The program with repeated parts as one node each; each of these; and all regions."""
    flow = flow_of(regions)
    nodes = [_node(number, i, region, flow) for i, region in enumerate(regions)]
    every = _drawing(nodes, _edges(flow, range(len(regions))))
    parts = parts_of([_kind(region) for region in regions])
    repeated = [part for part in parts if part.count > 1]
    if not repeated:
        return f"<details open><summary>Graph</summary>{every}</details>"
    whole = [
        nodes[part.first] if part.count == 1 else _repeat_node(number, part, regions)
        for part in parts
    ]
    part_of = [i for i, part in enumerate(parts) for _ in range(part.first, part.end)]
    once = "".join(
        f"<details id='g{number}-{part.first}'><summary>{_span(part)}, the first time</summary>"
        + _drawing(
            nodes[part.first : part.first + part.period],
            _edges(
                flow,
                [
                    i - part.first if part.first <= i < part.first + part.period else -1
                    for i in range(len(regions))
                ],
            ),
        )
        + "</details>"
        for part in repeated
    )
    return (
        "<details open><summary>Graph, with what is repeated as one</summary>"
        f"{_drawing(whole, _edges(flow, part_of))}</details>{once}"
        f"<details><summary>Graph of all regions</summary>{every}</details>"
    )


def _drawing(nodes: list[Node], edges: Edges) -> str:
    return f"<div class='drawing'>{svg_of(nodes, edges)}</div>"


def _edges(flow: Flow, node_of: Any) -> Edges:
    """Between nodes; -1: the region has none."""
    sums: dict[tuple[int, int], float] = defaultdict(float)
    passed: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for (writer, reader), size in flow.edges.items():
        ends = node_of[writer], node_of[reader]
        if -1 not in ends and ends[0] != ends[1]:
            sums[ends] += size
            passed[ends].append((writer, reader))
    edges = {}
    for ends, size in sums.items():
        writers, readers = zip(*passed[ends])
        title = f"{bytes_text(size)}: {_numbers(writers)} to {_numbers(readers)}"
        edges[ends] = Edge(size, title)
    return edges


def _numbers(regions: tuple[int, ...]) -> str:
    first, last = min(regions), max(regions)
    return f"region {first}" if first == last else f"regions {first} to {last}"


def _kind(region: dict[str, Any]) -> tuple[object, ...]:
    steps = (step["text"] for step in region["steps"])
    return (*region["ops"], region["program"], *steps, region["bytes"])


def _node(number: int, i: int, region: dict[str, Any], flow: Flow) -> Node:
    figures = f"{bytes_text(region['bytes'])}, {region['launches']} launches"
    title = (
        f"region {i}: {name_of(region)}\n{time_text(region['seconds'])}, {figures}; "
        f"{bytes_text(flow.given[i])} of what it reads were given to the program\n"
        f"apart: {region['apart']}"
    )
    lines = [f"{i}: {time_text(region['seconds'])}", name_of(region), figures]
    return Node(lines, title, f"#r{number}-{i}", kind_of(region), region["seconds"])


def _repeat_node(number: int, part: Part, regions: list[dict[str, Any]]) -> Node:
    seconds = sum(region["seconds"] for region in regions[part.first : part.end])
    names = " | ".join(name_of(region) for region in regions[part.first :][: part.period])
    lines = [f"{part.first}-{part.end - 1}: {time_text(seconds)}", names, f"{part.count} times"]
    title = f"{_span(part)}: {names}"
    return Node(lines, title, f"#g{number}-{part.first}", "repeat", seconds)


def _span(part: Part) -> str:
    return f"Regions {part.first} to {part.end - 1}, {part.count} times the same {part.period}"


def _region(identity: str, number: int, region: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td class='number'>{step_time(step)}</td>"
        f"<td class='number'>{step_bytes(step)}</td>"
        f"<td>{html.escape(step['text'])}</td></tr>"
        if step["launches"]
        else f"<tr><td></td><td></td><td>{html.escape(step['text'])}</td></tr>"
        for step in region["steps"]
    )
    return (
        f"<details class='region' id='{identity}'><summary>{number}: "
        f"{html.escape(name_of(region))} &middot; {time_text(region['seconds'])} "
        f"&middot; {bytes_text(region['bytes'])} &middot; {region['launches']} launches</summary>"
        f"<p class='apart'>Apart from its neighbours: {html.escape(region['apart'])}.</p>"
        f"<table>{rows}</table>"
        f"<pre>{html.escape(region['program'])}</pre></details>"
    )
