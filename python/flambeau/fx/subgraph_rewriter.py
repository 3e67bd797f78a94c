"""Replacing what looks like one function by another.

torch.fx.replace_pattern(module, lambda x: torch.relu(x), lambda x: torch.clamp(x, 0))
"""

from __future__ import annotations

import dataclasses
from typing import Any, Callable, NamedTuple

from flambeau.nn import Module

from ._matching import InternalMatch, SubgraphMatcher
from ._symbolic_trace import symbolic_trace
from .graph import Graph
from .graph_module import GraphModule, _copy_attr
from .node import Node

__all__ = ["Match", "ReplacedPatterns", "replace_pattern", "replace_pattern_with_filters"]


class Match(NamedTuple):
    """A place that was replaced: the pattern's last node, and the nodes for the pattern's."""

    anchor: Node
    nodes_map: dict[Node, Node]


@dataclasses.dataclass
class ReplacedPatterns:
    """A place that was replaced, and the nodes that are there now."""

    anchor: Node
    nodes_map: dict[Node, Node]
    replacements: list[Node]


def replace_pattern(
    gm: GraphModule,
    pattern: Callable[..., Any] | GraphModule,
    replacement: Callable[..., Any] | GraphModule,
) -> list[Match]:
    """Replaces, in the module, the calls that `pattern` makes by those of `replacement`, which takes the same
    parameters. Places do not overlap, and nothing outside of them uses their inner values.
    """
    return [
        Match(m.anchor, m.nodes_map) for m in replace_pattern_with_filters(gm, pattern, replacement)
    ]


def replace_pattern_with_filters(
    gm: GraphModule,
    pattern: Callable[..., Any] | Graph | GraphModule,
    replacement: Callable[..., Any] | Graph | GraphModule | None = None,
    match_filters: list[Callable[[InternalMatch, Graph, Graph], bool]] | None = None,
    ignore_literals: bool = False,
    replacement_callback: Callable[[InternalMatch, Graph, Graph], Graph] | None = None,
) -> list[ReplacedPatterns]:
    """`replace_pattern` where all filters agree; `replacement_callback` gives a replacement for each place."""
    graph = gm.graph
    pattern_graph = _graph_of(pattern)
    common = None if replacement is None else _graph_of(replacement)
    if common is None and replacement_callback is None:
        raise AssertionError(
            "Must provide either a replacement GraphModule or a replacement callback"
        )
    matcher = SubgraphMatcher(pattern_graph, ignore_literals=ignore_literals)
    matches = [
        m
        for m in matcher.match(graph)
        if all(agrees(m, graph, pattern_graph) for agrees in match_filters or ())
    ]
    changed: dict[Node, Any] = {}
    done = []
    for match in matches:
        new = replacement_callback(match, graph, pattern_graph) if replacement_callback else common
        assert new is not None
        done.append(_replace(graph, match, new, changed))
    gm.recompile()
    if isinstance(replacement, Module):
        _take_attributes(gm, replacement)
    return done


def _graph_of(given: Any) -> Graph:
    if isinstance(given, Graph):
        return given
    return given.graph if isinstance(given, GraphModule) else symbolic_trace(given).graph


def _replace(
    graph: Graph, match: InternalMatch, new: Graph, changed: dict[Node, Any]
) -> ReplacedPatterns:
    inputs = [node for node in new.nodes if node.op == "placeholder"]
    assert len(match.placeholder_nodes) == len(inputs)
    # Nodes that an earlier replacement has taken away stand for what is there now.
    values = {
        node: changed.get(given, given) if isinstance(given, Node) else given
        for node, given in zip(inputs, match.placeholder_nodes)
    }
    users = {user for node in match.returning_nodes for user in node.users}
    place = min(users) if users else max(match.nodes_map_inside()).next
    before = set(graph.nodes)
    with (
        graph.inserting_before(place if place is not graph._root else None)
        if (place is not graph._root)
        else graph.inserting_after(max(match.nodes_map_inside()))
    ):
        result = graph.graph_copy(new, values)
    results = result if isinstance(result, (tuple, list)) else (result,)
    if len(match.returning_nodes) != len(results):
        raise AssertionError("the pattern and the replacement return different numbers of values")
    for old, value in zip(match.returning_nodes, results):
        old.replace_all_uses_with(value)
        changed[old] = value
    replacements = [node for node in graph.nodes if node not in before]
    for node in reversed(list(graph.nodes)):
        if node in match.nodes_map_inside():
            graph.erase_node(node)
    return ReplacedPatterns(match.anchors[0], match.nodes_map, replacements)


def _take_attributes(gm: GraphModule, replacement: Module) -> None:
    """The modules and attributes that the replacement brings."""
    gm.delete_all_unused_submodules()
    for node in gm.graph.nodes:
        if node.op in ("get_attr", "call_module"):
            try:
                gm.get_submodule(node.target.rpartition(".")[0])
                getattr(
                    gm.get_submodule(node.target.rpartition(".")[0]), node.target.split(".")[-1]
                )
            except AttributeError:
                _copy_attr(replacement, gm, node.target)
    gm.graph.lint()
