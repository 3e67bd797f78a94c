"""The types of torch.fx, for isinstance. Nothing is traced symbolically: Python always really runs."""

from __future__ import annotations

from typing import Any

from flambeau._absent import attribute, feature
from flambeau.nn import Module

__all__ = [
    "Graph",
    "GraphModule",
    "Interpreter",
    "Node",
    "Proxy",
    "Tracer",
    "Transformer",
    "symbolic_trace",
    "wrap",
]


class Node:
    """A call in a graph."""


class Proxy:
    """Stands for a value while a graph is traced."""


class Graph:
    """The calls that a trace saw."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise feature("fx.Graph")


class GraphModule(Module):
    """A module made of a graph."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise feature("fx.GraphModule")


class Tracer:
    """Traces modules."""

    def trace(self, root: Any, concrete_args: Any = None) -> Any:
        raise feature("fx.Tracer.trace")


class Interpreter:
    """Runs a graph call by call."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise feature("fx.Interpreter")


class Transformer(Interpreter):
    """Makes a graph of a graph."""


def symbolic_trace(root: Any, concrete_args: Any = None) -> Any:
    raise feature("fx.symbolic_trace")


def wrap(fn_or_name: Any) -> Any:
    """A decorator of functions that a trace does not enter."""
    return fn_or_name


__getattr__ = attribute(__name__)
