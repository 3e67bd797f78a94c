"""Running a graph once and noting the types of its values."""

from __future__ import annotations

from typing import Any, NamedTuple

import flambeau
from flambeau import Tensor
from flambeau.fx.interpreter import Interpreter
from flambeau.fx.node import Node, map_aggregate

__all__ = ["ShapeProp", "TensorMetadata"]


class TensorMetadata(NamedTuple):
    """A tensor without its elements."""

    shape: Any
    dtype: Any
    requires_grad: bool
    stride: tuple[int, ...]
    memory_format: Any
    is_quantized: bool
    qparams: dict[str, Any]


def _extract_tensor_metadata(result: Tensor, include_contiguity: bool = True) -> TensorMetadata:
    format = None
    if include_contiguity:
        format = flambeau.contiguous_format if result.is_contiguous() else None
    return TensorMetadata(
        result.shape, result.dtype, result.requires_grad, result.stride(), format, False, {}
    )


class ShapeProp(Interpreter):
    """`propagate` runs the module and puts `tensor_meta` and `type` into the `meta` of every node."""

    def run_node(self, n: Node) -> Any:
        result = super().run_node(n)
        found = False

        def note(value: Any) -> Any:
            nonlocal found
            if not isinstance(value, Tensor):
                return value
            found = True
            return _extract_tensor_metadata(value)

        meta = map_aggregate(result, note)
        if found:
            n.meta["tensor_meta"] = meta
        n.meta["type"] = type(result)
        return result

    def propagate(self, *args: Any) -> Any:
        """Runs the module with these arguments."""
        return super().run(*args)
