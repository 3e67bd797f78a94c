"""A program drawn as a graph: layers by dependency, as SVG."""

from __future__ import annotations

import html
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from ._explain_text import bytes_text

_WIDTH = 1400.0  # of a row of nodes
_NODE = 190.0
_HEIGHT = 52.0
_GAP = 16.0
_BETWEEN = 64.0  # rows
_PORT = 62.0  # room for the label of an edge, above its node
_PORTS = 12  # edges that are labelled one by one
_CHARACTER = 6.7  # of 11 px monospace


@dataclass(frozen=True)
class Node:
    lines: list[str]
    title: str
    href: str
    kind: str  # a class
    seconds: float


@dataclass(frozen=True)
class Edge:
    bytes: float
    title: str


@dataclass(frozen=True)
class Box:
    x: float
    y: float
    width: float

    @property
    def center(self) -> float:
        return self.x + self.width / 2


Edges = dict[tuple[int, int], Edge]


def place(count: int, edges: Sequence[tuple[int, int]]) -> list[Box]:
    """Where nodes lie: each behind those that it reads, which have lower numbers, and about below
    them. Layers that are too wide take several rows."""
    sources: list[list[int]] = [[] for _ in range(count)]
    for source, target in edges:
        sources[target].append(source)
    layers: list[list[int]] = []
    layer_of: list[int] = []
    for node, of_node in enumerate(sources):
        layer_of.append(1 + max((layer_of[source] for source in of_node), default=-1))
        if layer_of[node] == len(layers):
            layers.append([])
        layers[layer_of[node]].append(node)
    boxes: dict[int, Box] = {}
    y = _BETWEEN / 2
    for layer in layers:
        wanted = {
            node: sum(boxes[s].center for s in sources[node]) / len(sources[node])
            if sources[node]
            else _WIDTH / 2
            for node in layer
        }
        widths = {node: max(_NODE, _PORT * _ports(len(sources[node]))) for node in layer}
        for row in _rows(layer, widths):
            width = sum(widths[node] + _GAP for node in row) - _GAP
            middle = sum(wanted[node] for node in row) / len(row)
            x = max(0.0, min(middle - width / 2, _WIDTH - width))
            for node in sorted(row, key=wanted.__getitem__):
                boxes[node] = Box(x, y, widths[node])
                x += widths[node] + _GAP
            y += _HEIGHT + _BETWEEN
    return [boxes[node] for node in range(count)]


def _ports(edges: int) -> int:
    return edges if edges <= _PORTS else 1


def _rows(layer: list[int], widths: dict[int, float]) -> list[list[int]]:
    rows: list[list[int]] = []
    left = 0.0
    for node in layer:
        if not rows or left < widths[node]:
            rows.append([])
            left = _WIDTH
        rows[-1].append(node)
        left -= widths[node] + _GAP
    return rows


def svg_of(nodes: list[Node], edges: Edges) -> str:
    boxes = place(len(nodes), list(edges))
    ports: list[list[int]] = [[] for _ in nodes]
    for source, target in edges:
        ports[target].append(source)
    paths, labels, drawn = [], [], []
    longest = max((node.seconds for node in nodes), default=0.0)
    width = max((box.x + box.width for box in boxes), default=0.0)
    for target, of_target in enumerate(ports):
        box = boxes[target]
        count = _ports(len(of_target))
        xs = [box.x + (i + 0.5) * box.width / count for i in range(count)]
        sizes = [0.0] * count
        for i, source in enumerate(sorted(of_target, key=lambda node: boxes[node].center)):
            edge, port, start = edges[source, target], i % count, boxes[source]
            sizes[port] += edge.bytes
            curve, right = _curve(start.center, start.y + _HEIGHT, xs[port], box.y)
            width = max(width, right)
            paths.append(
                f"<path data-from='{source}' data-to='{target}' d='{curve}'>"
                f"<title>{_escaped(edge.title)}</title></path>"
            )
        several = f" from {len(of_target)}" if len(of_target) > count else ""
        labels += [
            f"<text class='edge' x='{x:.1f}' y='{box.y - 5:.1f}'>{bytes_text(size)}{several}</text>"
            for x, size in zip(xs, sizes)
        ]
        share = nodes[target].seconds / longest if longest else 0.0
        drawn.append(_node_svg(target, nodes[target], box, share))
    width += 4
    height = max((box.y for box in boxes), default=0.0) + _HEIGHT + 8
    return (
        f"<svg class='graph' width='{width:.0f}' height='{height:.0f}' "
        f"viewBox='-1 0 {width:.0f} {height:.0f}'>{''.join((*paths, *labels, *drawn))}</svg>"
    )


def _curve(x: float, y: float, to_x: float, to_y: float) -> tuple[str, float]:
    """And about how far to the right it comes: around the rows that it passes."""
    passed = (to_y - y - _BETWEEN) / (_HEIGHT + _BETWEEN)
    aside = min(_NODE * 0.8 + 10 * passed, 3 * _NODE) if passed > 0.5 else 0.0
    bend = (to_y - y) / (4 if aside else 2)
    curve = (
        f"M{x:.1f},{y:.1f} C{x + aside:.1f},{y + bend:.1f} "
        f"{to_x + aside:.1f},{to_y - bend:.1f} {to_x:.1f},{to_y:.1f}"
    )
    return curve, max(x, to_x) + 0.75 * aside


def _node_svg(number: int, node: Node, box: Box, share: float) -> str:
    most = int((box.width - 14) / _CHARACTER)
    lines = [line if len(line) <= most else line[: most - 1] + "…" for line in node.lines]
    texts = "".join(
        f"<text x='{box.x + 7:.1f}' y='{box.y + 15 + 15 * i:.1f}'>{_escaped(line)}</text>"
        for i, line in enumerate(lines)
    )
    return (
        f"<a class='node {node.kind}' href='{node.href}' data-node='{number}'>"
        f"<title>{_escaped(node.title)}</title>"
        f"<rect x='{box.x:.1f}' y='{box.y:.1f}' width='{box.width:.1f}' height='{_HEIGHT:.0f}'/>"
        f"<rect class='time' x='{box.x:.1f}' y='{box.y + _HEIGHT - 4:.1f}' "
        f"width='{box.width * share:.1f}' height='4'/>{texts}</a>"
    )


def _escaped(text: str) -> str:
    """As text of XML, which knows no control characters."""
    return html.escape("".join(c if c.isprintable() or c == "\n" else "?" for c in text))


@dataclass(frozen=True)
class Part:
    """Nodes first .. first + period * count - 1, `count` times the same `period` of them."""

    first: int
    period: int
    count: int

    @property
    def end(self) -> int:
        return self.first + self.period * self.count


_CANDIDATES = 8  # periods that are tried at each place
_MODULUS = (1 << 61) - 1


def parts_of(kinds: Sequence[Hashable]) -> list[Part]:
    """The nodes in order, with the longest repetitions as one part each."""
    numbers: dict[Hashable, int] = {}
    row = [numbers.setdefault(kind, len(numbers) + 1) for kind in kinds]
    same = _Same(row)
    places: dict[int, list[int]] = {}
    found = []
    for first in reversed(range(len(row))):
        later = places.setdefault(row[first], [])
        for place in reversed(later[-_CANDIDATES:]):
            period = place - first
            count = same.length(first, place) // period + 1
            if count > 1 and period * count > 3:
                found.append(Part(first, period, count))
        later.append(first)
    found.sort(key=lambda part: (part.first - part.end, part.period, part.first))
    taken = [False] * len(row)
    parts = []
    # One that meets a longer one has an end inside of it.
    for part in found:
        if not taken[part.first] and not taken[part.end - 1]:
            taken[part.first : part.end] = [True] * (part.end - part.first)
            parts.append(part)
    parts += [Part(i, 1, 1) for i, is_taken in enumerate(taken) if not is_taken]
    return sorted(parts, key=lambda part: part.first)


class _Same:
    """How far a row is the same from two places on."""

    def __init__(self, row: list[int]) -> None:
        self._size = len(row)
        self._hashes, self._powers = [0], [1]
        for number in row:
            self._hashes.append((self._hashes[-1] * 1_000_003 + number) % _MODULUS)
            self._powers.append(self._powers[-1] * 1_000_003 % _MODULUS)

    def _hash(self, first: int, length: int) -> int:
        before = self._hashes[first] * self._powers[length]
        return (self._hashes[first + length] - before) % _MODULUS

    def length(self, one: int, other: int) -> int:
        low, high = 0, self._size - max(one, other)
        while low < high:
            middle = (low + high + 1) // 2
            if self._hash(one, middle) == self._hash(other, middle):
                low = middle
            else:
                high = middle - 1
        return low
