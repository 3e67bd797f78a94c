"""A pass over a module's graph, and its result."""

from __future__ import annotations

import abc
from typing import NamedTuple

from flambeau.fx.graph_module import GraphModule

__all__ = ["PassBase", "PassResult"]


class PassResult(NamedTuple):
    """The module after a pass, and whether it was changed."""

    graph_module: GraphModule
    modified: bool


class PassBase(abc.ABC):
    """A pass: `call` does it, between `requires` and `ensures`, which may check the module."""

    def __call__(self, graph_module: GraphModule) -> PassResult | None:
        self.requires(graph_module)
        result = self.call(graph_module)
        self.ensures(graph_module)
        return result

    @abc.abstractmethod
    def call(self, graph_module: GraphModule) -> PassResult | None: ...

    def requires(self, graph_module: GraphModule) -> None:  # noqa: B027
        """Checks before the pass."""

    def ensures(self, graph_module: GraphModule) -> None:  # noqa: B027
        """Checks after it."""
