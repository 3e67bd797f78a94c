"""Gradients: backward, grad, modes, hooks."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from flambeau._absent import attribute

from .. import _C
from . import forward_ad, function, graph
from .function import Function
from .grad_mode import (
    detect_anomaly,
    enable_grad,
    inference_mode,
    no_grad,
    set_detect_anomaly,
    set_grad_enabled,
)

__all__ = [
    "Function",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
]

_Tensors = Any  # a tensor or a sequence of them


def _list(tensors: _Tensors) -> list[Any]:
    if tensors is None:
        return []
    return [tensors] if isinstance(tensors, _C.Tensor) else list(tensors)


def _gradients(roots: Sequence[Any], gradients: _Tensors) -> list[Any]:
    given = [None] * len(roots) if gradients is None else _list(gradients)
    if len(given) != len(roots):
        raise RuntimeError(
            f"autograd: got {len(roots)} tensors and {len(given)} gradients, expected as many"
        )
    return given


def backward(
    tensors: _Tensors,
    grad_tensors: _Tensors = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables: _Tensors = None,
    inputs: _Tensors = None,
) -> None:
    """Adds the gradients of `tensors` to the `grad` of the leaves (or only of `inputs`)."""
    roots = _list(tensors)
    gradients = _gradients(roots, grad_tensors if grad_variables is None else grad_variables)
    targets = _list(inputs)
    if inputs is not None and not targets:
        raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    keep = create_graph if retain_graph is None else retain_graph
    _C._backward(roots, gradients, keep, create_graph, targets)


def grad(
    outputs: _Tensors,
    inputs: _Tensors,
    grad_outputs: _Tensors = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Any, ...]:
    """The sum of the gradients of `outputs` with respect to each of `inputs`."""
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, but got: "
            "allow_unused=False."
        )
    if not only_inputs:
        warnings.warn(
            "only_inputs argument is deprecated and is ignored now (defaults to True). To "
            "accumulate gradient for other parts of the graph, please use "
            "torch.autograd.backward.",
            FutureWarning,
            stacklevel=2,
        )
    targets = _list(inputs)
    if not targets:
        raise ValueError("grad requires non-empty inputs.")
    roots = _list(outputs)
    keep = create_graph if retain_graph is None else retain_graph
    unused = materialize_grads if allow_unused is None else allow_unused
    return _C._grad(
        roots,
        _gradients(roots, grad_outputs),
        keep,
        create_graph,
        targets,
        unused,
        materialize_grads,
        is_grads_batched,
    )


# Functions, in the place of the modules of that name.
from . import functional  # noqa: E402
from .gradcheck import gradcheck, gradgradcheck  # noqa: E402


def _profiler_enabled() -> bool:
    """Whether operations are recorded in a profile."""
    return False


__getattr__ = attribute(__name__)
