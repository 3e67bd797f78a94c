"""What an explanation tells of each program: times of steps, memory, and the graph on its page."""

from __future__ import annotations

import random
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from typing import Any

import flambeau as torch
import pytest
from flambeau._compile import recorded
from flambeau._explain_flow import flow_of, memory_of
from flambeau._explain_graph import Edge, Node, Part, parts_of, svg_of

KIB = 1024.0


def told(function: Callable[..., Any], *arguments: Any) -> tuple[dict[str, Any], str, str]:
    """Its one program once all kernels are there, and the two views of it."""
    torch.compile(function)(*arguments)
    torch._C._compile_wait()
    explanation = torch.compiler.explain(function)(*arguments)
    (program,) = explanation.programs
    return program, str(explanation), explanation.html()


def chain(x: Any, w: Any) -> Any:
    """Four regions: host kernels are apart."""
    first = (x @ w).relu()
    ordered = first.sort(-1).values
    return (ordered + first).sum(-1), ordered.sort(0).values


@pytest.fixture(scope="module")
def sorted_rows() -> tuple[dict[str, Any], str, str]:
    torch.manual_seed(0)
    return told(chain, torch.randn(64, 32), torch.randn(32, 16))


def test_each_kernel_has_its_time(sorted_rows: Any) -> None:
    program, text, page = sorted_rows
    kinds = set()
    for region in program["regions"]:
        steps = region["steps"]
        work = [step for step in steps if step["launches"]]
        assert sum(step["launches"] for step in work) == region["launches"]
        assert work
        assert all(step["seconds"] > 0 for step in work)
        assert sum(step["seconds"] for step in steps) <= region["seconds"]
        for step in work:
            kinds.add(step["text"].split()[0])
            line = f"{step['text']}\n"
            assert line in text
            assert f"<td>{step['text'].replace('>', '&gt;')}</td>" in page
        if "host" not in work[0]["text"]:
            assert sum(step["bytes"] for step in steps) == region["bytes"]
    assert kinds >= {"contract", "kernel", "on"}


@pytest.mark.parametrize("complex_values", [False, True])
def test_steps_have_times_whatever_way_they_run(complex_values: bool) -> None:
    """A scan's blocks are part of its step, and results may be copied to their places."""
    torch.manual_seed(0)
    dtype = torch.complex64 if complex_values else torch.float32
    x = torch.randn(8, 40, 16, dtype=dtype)

    def function(x: Any) -> Any:
        return torch.nn.functional.scaled_dot_product_attention(x, x, x).abs(), (x * x).sum(-1)

    def of_complex(x: Any) -> Any:
        return (x @ x.mT * 2).sum(-1)

    for each in told(of_complex if complex_values else function, x)[0]["regions"]:
        for step in each["steps"]:
            assert step["seconds"] > 0 or not step["launches"], step


def test_operations_one_by_one_have_no_step_times() -> None:
    compiled = recorded(lambda x: (x.sin() * 3).sum(-1).sinh(), one_by_one=True)
    text = str(torch.compiler.explain(compiled)(torch.ones(200, 300)))
    assert "(compiling)" in text
    assert re.search(r"^ +- .* kernel ", text, re.MULTILINE)


def test_regions_pass_values(sorted_rows: Any) -> None:
    program, _, _ = sorted_rows
    flow = flow_of(program["regions"])
    size = 64 * 16 * 4.0
    names = [region["ops"] for region in program["regions"]]
    maker = next(i for i, ops in enumerate(names) if "matmul" in ops or "mm" in ops)
    sorts = [i for i, ops in enumerate(names) if ops == ["sort"]]
    (last,) = set(range(len(names))) - {maker, *sorts}
    expected = {(maker, sorts[0]), (sorts[0], last), (maker, last), (sorts[0], sorts[1])}
    assert flow.edges == dict.fromkeys(expected, size)
    assert flow.given == [(64 * 32 + 32 * 16) * 4.0 if i == maker else 0.0 for i in range(4)]


def region(reads: Sequence[Any] = (), writes: Sequence[Any] = (), **others: Any) -> dict[str, Any]:
    return {"reads": list(reads), "writes": list(writes), **others}


def test_what_is_read_was_written_last() -> None:
    whole, left, right = (0, 0, 100, 100.0), (0, 0, 50, 50.0), (0, 50, 100, 50.0)
    columns = (0, 0, 96, 50.0)
    flow = flow_of(
        [
            region([], [whole]),
            region([], [right]),
            region([whole], []),
            region([left], [left]),
            region([left, (1, 0, 8, 8.0)], []),
            region([], [columns]),
            region([whole], [whole]),
            region([whole], []),
        ]
    )
    assert flow.edges == {
        (0, 2): 50.0,
        (1, 2): 50.0,
        (0, 3): 50.0,
        (3, 4): 50.0,
        (3, 6): 50.0,
        (5, 6): 50.0,
        (6, 7): 100.0,
    }
    assert flow.given[4] == 8.0


def test_memory_over_time(sorted_rows: Any) -> None:
    program, text, page = sorted_rows
    regions, memory = program["regions"], memory_of(program)
    held: dict[int, float] = {}
    for number, each in enumerate(regions):
        for storage in each["ends"]:
            del held[storage]
        for storage in each["begins"]:
            assert program["storages"][storage][2]
            held[storage] = program["storages"][storage][1]
        assert sum(held.values()) == each["live_bytes"] == memory.held[number]
    assert sum(value.bytes for value in memory.there) == memory.most
    assert f"at most {memory.most / 1e3:.1f} kB held" in text
    assert f"in region {memory.region} (" in text
    for value in memory.there:
        assert value.text in text
        assert value.text in page
    columns = re.findall(r"^ +\d+ +[\d.]+ \w+ +[\d.]+ \w+ +([\d.]+ \w+) ([#+ ]{16}) ", text, re.M)
    assert len(columns) == len(regions)
    assert max(len(bar.rstrip()) for _, bar in columns) == 16


def test_results_are_held_until_the_end() -> None:
    """Also where no later region touches them, as somebody has them."""

    def several(x: Any) -> list[Any]:
        values = [x]
        for dim in (0, 1, 2):
            values.append(values[-1].sort(dim).values)
        return values

    program, _, _ = told(several, torch.randn(8, 16, 8))
    held = [each["live_bytes"] for each in program["regions"]]
    indices = 8 * KIB  # nobody has them
    assert held == [4 * KIB * i + indices for i in (1, 2, 3)]


def test_temporaries_are_between_steps() -> None:
    w = torch.randn(64, 64)

    def gradient(x: Any) -> Any:
        leaf = x.detach().requires_grad_()
        torch.nn.functional.gelu(leaf @ w).softmax(-1).square().sum().backward()
        return leaf.grad

    program, text, page = told(gradient, torch.randn(64, 64))
    assert [made for each in program["regions"] for made in each["temporaries"]] == [
        ("f32[]", 4.0, 0, 2)  # the gradient of the sum, which a scan reads
    ]
    assert memory_of(program).within == [4.0]
    for view in (text, page):
        assert "4 B  f32[], between steps" in view


def test_the_most_memory_is_where_its_sum_is_greatest() -> None:
    made = [
        ("a", 8.0, 0, 2),
        ("b", 4.0, 1, 1),
        ("c", 9.0, 2, 4),
        ("a", 8.0, 3, 4),
        ("d", 1.0, 5, 5),
    ]
    program = {
        "storages": [("x", 100.0, True), ("x", 100.0, True), ("y", 50.0, True), ("z", 7.0, False)],
        "regions": [
            region(live_bytes=100.0, begins=[0], ends=[], temporaries=[]),
            region(live_bytes=200.0, begins=[1], ends=[], temporaries=made),
            region(live_bytes=150.0, begins=[2], ends=[0], temporaries=made[:3]),
        ],
    }
    memory = memory_of(program)
    assert memory.held == [100.0, 200.0, 150.0]
    assert memory.within == [0.0, 17.0, 17.0]
    assert (memory.most, memory.region) == (217.0, 1)
    assert [(value.text, value.bytes, value.makers) for value in memory.there] == [
        ("x", 200.0, [0, 1]),
        ("c", 9.0, []),
        ("a", 8.0, []),
    ]


def drawn(nodes: int, edges: Sequence[tuple[int, int]], size: float = 123456.0) -> ET.Element:
    return ET.fromstring(
        svg_of(
            [
                Node([f"{i}: 1.00 ms", "a" * (i % 60), "<&'\x00>"], "t\n<", f"#r0-{i}", "kernel", 1)
                for i in range(nodes)
            ],
            {edge: Edge(size, "a > b") for edge in edges},
        )
    )


def rectangle(element: ET.Element) -> tuple[float, ...]:
    x, y, width, height = (float(element.attrib[n]) for n in ("x", "y", "width", "height"))
    return x, y, x + width, y + height


def text_rectangle(element: ET.Element) -> tuple[float, ...]:
    x, y = float(element.attrib["x"]), float(element.attrib["y"])
    width = 6.6 * len(element.text or "")
    if element.attrib.get("class") == "edge":  # centered
        x -= width / 2
    return x, y - 10, x + width, y + 2


def apart(rectangles: list[tuple[float, ...]]) -> bool:
    return not any(
        a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
        for i, a in enumerate(rectangles)
        for b in rectangles[:i]
    )


def check(svg: ET.Element) -> None:
    """Nodes and labels are apart from each other and inside of the picture; edges lead downwards,
    from nodes to nodes."""
    boxes = [rectangle(node[1]) for node in svg.findall("a")]
    labels = [text_rectangle(label) for label in svg.findall("text")]
    assert apart([*boxes, *labels])
    width, height = float(svg.attrib["width"]), float(svg.attrib["height"])
    assert all(x0 >= 0 and x1 <= width and y0 >= 0 and y1 <= height for x0, y0, x1, y1 in boxes)
    for node, box in zip(svg.findall("a"), boxes):
        inner = [text_rectangle(line) for line in node.findall("text")]
        assert apart(inner)
        assert all(box[0] < x0 and x1 < box[2] for x0, _, x1, _ in inner)
        assert all(box[1] < y0 and y1 < box[3] for _, y0, _, y1 in inner)
    for path in svg.findall("path"):
        numbers = [float(n) for n in re.findall(r"-?[\d.]+", path.attrib["d"])]
        source, target = (boxes[int(path.attrib[f"data-{end}"])] for end in ("from", "to"))
        assert source[0] < numbers[0] < source[2]
        assert numbers[1] == source[3] < numbers[-1] == target[1]
        assert target[0] < numbers[-2] < target[2]


def test_nothing_in_a_graph_overlaps() -> None:
    check(drawn(0, []))
    check(drawn(40, []))
    check(drawn(40, [(i, i + 1) for i in range(39)] + [(0, i) for i in range(2, 40)]))
    check(drawn(60, [(i, 59) for i in range(59)], 999.9e6))
    check(drawn(13, [(i, 12) for i in range(12)], 999.9e6))
    numbers = random.Random(3)
    for _ in range(5):
        targets = [numbers.randrange(1, 150) for _ in range(300)]
        check(drawn(150, list({(numbers.randrange(t), t) for t in targets})))


def test_what_is_repeated_is_one_part() -> None:
    def parts(text: str) -> list[tuple[int, int, int]]:
        found = parts_of(text)
        assert [i for part in found for i in range(part.first, part.end)] == [*range(len(text))]
        return [(p.first, p.period, p.count) for p in found if p.count > 1]

    assert parts("") == parts("abc") == parts("aabbcc") == []
    assert parts("xabcabcabcy") == [(1, 3, 3)]
    assert parts("aaaaaa") == [(0, 1, 6)]
    assert parts("abbabbabbabb") == [(0, 3, 4)]
    assert parts("zabababqcdecdecdez") == [(1, 2, 3), (8, 3, 3)]
    assert parts_of("ab") == [Part(0, 1, 1), Part(1, 1, 1)]


def test_the_page_shows_the_graph() -> None:
    """Layers that are the same are one node, which leads to one of them and so to its regions."""

    def deep(x: Any) -> Any:
        for _ in range(12):
            x = (x * 2).sort(-1).values
        return x

    program, _, page = told(deep, torch.randn(16, 16))
    drawings = [
        ET.fromstring(text) for text in re.findall(r"<svg class='graph'.*?</svg>", page, re.DOTALL)
    ]
    for drawing in drawings:
        check(drawing)
    whole, once, every = drawings
    count = len(program["regions"])
    assert len(every.findall("a")) == count
    assert len(every.findall("path")) == count - 1
    assert len(whole.findall("a")) < 4 < count
    (repeat,) = (node for node in whole.findall("a") if "repeat" in node.attrib["class"])
    assert f"id='{repeat.attrib['href'][1:]}'" in page
    hrefs = [node.attrib["href"] for node in (*once.findall("a"), *every.findall("a"))]
    assert hrefs[-count:] == [f"#r0-{i}" for i in range(count)]
    assert all(f"id='{href[1:]}'>" in page for href in hrefs)
    assert {label.text for label in every.findall("text")} == {"1.0 kB"}
    assert not re.search(r"https?:|<link|@import|src=", page)


def test_a_copy_alone_is_one() -> None:
    """What has no steps but copies is not on the host."""

    def copied(x: Any) -> Any:
        return x.clone()

    program, text, page = told(copied, torch.randn(5, 6))
    (each,) = program["regions"]
    (step,) = each["steps"]
    assert step["text"] == "copies of results"
    assert step["seconds"] > 0
    assert each["launches"] == 1
    for view in (text, page):
        assert "on the host" not in view
