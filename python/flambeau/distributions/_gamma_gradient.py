"""Gamma variates with gradients with respect to their shape."""

from __future__ import annotations

import functools
from typing import Any

import flambeau
from flambeau import _C, Tensor
from flambeau.autograd import Function

__all__ = ["StandardGamma", "gamma_gradient"]

_POINTS = 64
_DECAY = 45.0  # The integrands are below exp(-45) of their largest value from here on.


@functools.lru_cache(None)
def _gauss_legendre() -> tuple[Tensor, Tensor]:
    """Points in (0, 1) and weights (Golub and Welsch, 1969)."""
    i = flambeau.arange(1, _POINTS, dtype=flambeau.float64)
    beside = i / (4 * i * i - 1).sqrt()
    points, vectors = flambeau.linalg.eigh(flambeau.diag(beside, 1) + flambeau.diag(beside, -1))
    return (points + 1) / 2, vectors[0].square()


def gamma_gradient(shape: Tensor, x: Tensor) -> Tensor:
    """dx / dshape of a gamma variate x at a fixed value of the distribution function F: -(dF/dshape) / (dF/dx).

    (Figurnov, Mohamed and Mnih, Implicit Reparameterization Gradients, 2018.) With t = x exp(-s) that is
    -x times the integral over s > 0 of exp(-g(s)) (log x - s - digamma(shape)), g(s) = shape s - x (1 - exp(-s)); the same
    follows from 1 - F with t = x exp(s) and g(s) = x (exp(s) - 1) - shape s. Both g are convex, and grow from 0 where x <= shape
    and where x >= shape. Computed in float64.
    """
    a, x = flambeau.broadcast_tensors(shape.detach().double(), x.detach().double())
    a, x = a.unsqueeze(-1), x.unsqueeze(-1)
    sign = flambeau.where(x <= a, -1.0, 1.0)

    def decay(s: Tensor) -> Tensor:
        return x * flambeau.expm1(sign * s) - a * sign * s

    # Newton's method from the right; what it starts from has a decay of more than what is looked for.
    below = (_DECAY + a) / a
    above = flambeau.minimum((2 * _DECAY / x).sqrt(), flambeau.log1p(2 * _DECAY / x + 4))
    end = flambeau.where(x <= a, below, above)
    for _ in range(40):
        slope = sign * (x * flambeau.exp(sign * end) - a)
        end = end - (decay(end) - _DECAY) / slope
    points, weights = _gauss_legendre()
    s = end * points
    values = flambeau.exp(-decay(s)) * (flambeau.log(x) + sign * s - flambeau.digamma(a))
    return (sign * x * end).squeeze(-1) * (values * weights).sum(-1)


class StandardGamma(Function):
    """Gamma variates of rate 1, whose shapes the argument holds."""

    generate_vmap_rule = True

    @staticmethod
    def forward(concentration: Tensor) -> Tensor:
        return _C._functions["_standard_gamma"](concentration)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        ctx.save_for_backward(inputs[0], output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        concentration, drawn = ctx.saved_tensors
        return gradient * gamma_gradient(concentration, drawn).to(drawn.dtype)
