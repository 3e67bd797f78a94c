"""Finding a graph in another."""

from __future__ import annotations

import dataclasses
from typing import Any

from .graph import Graph
from .node import Node

__all__ = ["InternalMatch", "SubgraphMatcher"]


@dataclasses.dataclass
class InternalMatch:
    """A place where a pattern was found: its nodes by the pattern's, whose last ones are the anchors."""

    anchors: list[Node]
    nodes_map: dict[Node, Any] = dataclasses.field(default_factory=dict)
    placeholder_nodes: list[Any] = dataclasses.field(default_factory=list)
    returning_nodes: list[Node] = dataclasses.field(default_factory=list)

    def nodes_map_inside(self) -> set[Node]:
        """The nodes of the place without its inputs."""
        return {
            found
            for node, found in self.nodes_map.items()
            if node.op not in ("placeholder", "output")
        }


class SubgraphMatcher:
    """Finds the places where a graph makes the calls of `pattern`: same functions, methods and modules with arguments
    alike; the pattern's parameters stand for anything."""

    def __init__(self, pattern: Graph, ignore_literals: bool = False) -> None:
        self.pattern = pattern
        self.ignore_literals = ignore_literals
        if not len(pattern.nodes):
            raise ValueError("SubgraphMatcher cannot be initialized with an empty pattern")
        self.returned: list[Node] = pattern.output_node().all_input_nodes
        inner = [node for node in self.returned if node.op != "placeholder"]
        # The values that no other returned value needs: what they need is found from them.
        self.anchors = [node for node in inner if all(u.op == "output" for u in node.users)]
        self.placeholders = [node for node in pattern.nodes if node.op == "placeholder"]

    def match(self, graph: Graph) -> list[InternalMatch]:
        """The places, which do not overlap, in the order of their first anchors' candidates in the graph."""
        found: list[InternalMatch] = []
        taken: set[Node] = set()
        for match in self._candidates(graph):
            inside = match.nodes_map_inside()
            if inside & taken or not self._is_contained(match, inside):
                continue
            taken |= inside
            found.append(match)
        return found

    def _candidates(self, graph: Graph) -> list[InternalMatch]:
        partial = [InternalMatch(self.anchors)]
        for anchor in self.anchors:
            extended = []
            for match in partial:
                for node in graph.nodes:
                    tried = InternalMatch(self.anchors, dict(match.nodes_map))
                    if self._matches(anchor, node, tried):
                        extended.append(tried)
            partial = extended
        for match in partial:
            match.placeholder_nodes = [match.nodes_map.get(node) for node in self.placeholders]
            match.returning_nodes = [match.nodes_map[node] for node in self.returned]
        return partial if self.anchors else []

    def _is_contained(self, match: InternalMatch, inside: set[Node]) -> bool:
        """Whether nobody outside uses an inner value that is not returned."""
        return all(
            set(found.users) <= inside
            for node, found in match.nodes_map.items()
            if node.op != "placeholder" and node not in self.returned
        )

    def _matches(self, pattern: Any, node: Any, match: InternalMatch) -> bool:
        if pattern in match.nodes_map:
            return bool(match.nodes_map[pattern] is node)
        if pattern.op == "placeholder":
            match.nodes_map[pattern] = node
            return True
        if not isinstance(node, Node) or node in match.nodes_map.values():
            return False
        if pattern.op != node.op or not self._targets_match(pattern, node):
            return False
        match.nodes_map[pattern] = node
        return self._arguments_match(pattern, node, match)

    def _targets_match(self, pattern: Node, node: Node) -> bool:
        if pattern.op in ("call_function", "call_method", "get_attr"):
            return bool(pattern.target == node.target)
        if pattern.op == "call_module":
            theirs, ours = pattern.graph.owning_module, node.graph.owning_module
            if theirs is None or ours is None:
                return bool(pattern.target == node.target)
            kind = type(theirs.get_submodule(pattern.target))
            return isinstance(ours.get_submodule(node.target), kind)
        return False

    def _arguments_match(self, pattern: Node, node: Node, match: InternalMatch) -> bool:
        if len(pattern.args) != len(node.args) or set(pattern.kwargs) != set(node.kwargs):
            return False
        return self._values_match(pattern.args, node.args, match) and self._values_match(
            pattern.kwargs, node.kwargs, match
        )

    def _values_match(self, pattern: Any, value: Any, match: InternalMatch) -> bool:
        if isinstance(pattern, Node):
            return self._matches(pattern, value, match)
        if isinstance(pattern, (list, tuple)):
            return (
                isinstance(value, (list, tuple))
                and len(pattern) == len(value)
                and all(self._values_match(p, v, match) for p, v in zip(pattern, value))
            )
        if isinstance(pattern, dict):
            return isinstance(value, dict) and all(
                key in value and self._values_match(p, value[key], match)
                for key, p in pattern.items()
            )
        if isinstance(pattern, slice):
            parts = ("start", "stop", "step")
            return isinstance(value, slice) and all(
                self._values_match(getattr(pattern, p), getattr(value, p), match) for p in parts
            )
        if self.ignore_literals and not isinstance(value, Node):
            return True
        return type(pattern) is type(value) and bool(pattern == value)
