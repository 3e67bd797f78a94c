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
    return [grad for p in parameters if (grad := p.grad) is not None]


def _total_norm(grads: list[Tensor], norm_type: float, error_if_nonfinite: bool) -> Tensor:
    if not grads:
        return flambeau.tensor(0.0)
    if norm_type == 2 and len({grad.dtype for grad in grads}) == 1:
        norms = flambeau._foreach_norm(grads)
    else:
        norms = [flambeau.linalg.vector_norm(grad, float(norm_type)) for grad in grads]
    total = flambeau.linalg.vector_norm(flambeau.stack([*norms]), float(norm_type))
    if error_if_nonfinite and not bool(flambeau.isfinite(total)):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, "
            "so it cannot be clipped. To disable this error and scale the gradients by the "
            "non-finite norm anyway, set `error_if_nonfinite=False`"
        )
    return total


def _scale(grads: list[Tensor], max_norm: float, total_norm: Tensor) -> None:
    if grads:
        flambeau._foreach_mul_(
            grads, flambeau.clamp(float(max_norm) / (total_norm + 1e-6), max=1.0)
        )


@flambeau.no_grad()
def get_total_norm(
    tensors: Any,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The norm of the norms of `tensors`, as if they were one vector."""
    tensors = [tensors] if isinstance(tensors, Tensor) else [*tensors]
    return _total_norm(tensors, norm_type, error_if_nonfinite)


@flambeau.no_grad()
def clip_grads_with_norm_(
    parameters: Any, max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Scales the gradients by max_norm / (total_norm + 1e-6) where that is below 1."""
    _scale(_grads(parameters), max_norm, total_norm)


@flambeau.no_grad()
def clip_grad_norm_(
    parameters: Any,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scales the gradients so that their common norm is at most `max_norm`; the norm before."""
    grads = _grads(parameters)
    total = _total_norm(grads, norm_type, error_if_nonfinite)
    _scale(grads, max_norm, total)
    return total


@flambeau.no_grad()
def clip_grad_value_(
    parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None
) -> None:
    """Clamps every gradient to [-clip_value, clip_value]."""
    for grad in _grads(parameters):
        grad.clamp_(min=-float(clip_value), max=float(clip_value))
