"""Clipping of gradients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import flambeau
from flambeau import Tensor

__all__ = ["clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm"]


def _grads(parameters: Any) -> list[Tensor]:
    if isinstance(parameters, Tensor):
        parameters = [parameters]
    return [p.grad for p in parameters if p.grad is not None]


@flambeau.no_grad()
def get_total_norm(
    tensors: Any,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The norm of the norms of `tensors`, as if they were one vector."""
    tensors = [tensors] if isinstance(tensors, Tensor) else [*tensors]
    if not tensors:
        return flambeau.tensor(0.0)
    if norm_type == 2 and len({t.dtype for t in tensors}) == 1:
        norms = flambeau._foreach_norm(tensors)
    else:
        norms = [flambeau.linalg.vector_norm(t, float(norm_type)) for t in tensors]
    total = flambeau.linalg.vector_norm(flambeau.stack([*norms]), float(norm_type))
    if error_if_nonfinite and not bool(flambeau.isfinite(total)):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, "
            "so it cannot be clipped. To disable this error and scale the gradients by the "
            "non-finite norm anyway, set `error_if_nonfinite=False`"
        )
    return total


@flambeau.no_grad()
def clip_grads_with_norm_(
    parameters: Any, max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Scales the gradients by max_norm / (total_norm + 1e-6) where that is below 1."""
    scale = flambeau.clamp(float(max_norm) / (total_norm + 1e-6), max=1.0)
    grads = _grads(parameters)
    if grads:
        flambeau._foreach_mul_(grads, scale)


@flambeau.no_grad()
def clip_grad_norm_(
    parameters: Any,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scales the gradients so that their common norm is at most `max_norm`; the norm before."""
    parameters = [parameters] if isinstance(parameters, Tensor) else [*parameters]
    total = get_total_norm(_grads(parameters), norm_type, error_if_nonfinite, foreach)
    clip_grads_with_norm_(parameters, max_norm, total, foreach)
    return total


@flambeau.no_grad()
def clip_grad_value_(
    parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None
) -> None:
    """Clamps every gradient to [-clip_value, clip_value]."""
    for grad in _grads(parameters):
        grad.clamp_(min=-float(clip_value), max=float(clip_value))
