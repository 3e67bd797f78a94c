"""The LKJ distribution of Cholesky factors of correlation matrices."""

from __future__ import annotations

import math
from typing import Any

import flambeau
from flambeau import Tensor
from flambeau.distributions import constraints
from flambeau.distributions.beta import Beta
from flambeau.distributions.distribution import Distribution
from flambeau.distributions.utils import broadcast_all, standard_normal

__all__ = ["LKJCholesky"]


class LKJCholesky(Distribution):
    """Of `dim` x `dim` factors L of correlation matrices with density det(L L') ** (concentration - 1), but for a
    constant (Lewandowski, Kurowicka and Joe, 2009)."""

    arg_constraints = {"concentration": constraints.positive}
    support = constraints.corr_cholesky
    _parameters = {"concentration": 0}

    def __init__(
        self, dim: int, concentration: Any = 1.0, validate_args: bool | None = None
    ) -> None:
        if dim < 2:
            raise ValueError(
                f"Expected dim to be an integer greater than or equal to 2. Found dim={dim}."
            )
        self.dim = dim
        (self.concentration,) = broadcast_all(concentration)
        super().__init__(self.concentration.size(), (dim, dim), validate_args=validate_args)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Row by row, each a point of the sphere at a distance that is beta (the onion method)."""
        with flambeau.no_grad():
            concentration = self.concentration
            row = flambeau.arange(self.dim - 1, dtype=concentration.dtype)
            row = flambeau.cat([row.new_zeros((1,)), row])
            marginal = (concentration + 0.5 * (self.dim - 2)).unsqueeze(-1)
            squares = Beta(row + 0.5, marginal - 0.5 * row).sample(sample_shape).unsqueeze(-1)
            normal = standard_normal(self._extended_shape(sample_shape), concentration).tril(-1)
            sphere = normal / normal.norm(dim=-1, keepdim=True)
            sphere[..., 0, :] = 0.0
            below = squares.sqrt() * sphere
            tiny = flambeau.finfo(below.dtype).tiny
            diagonal = (1 - below.pow(2).sum(-1)).clamp(min=tiny).sqrt()
            return below + flambeau.diag_embed(diagonal)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        diagonal = value.diagonal(dim1=-1, dim2=-2)[..., 1:]
        order = flambeau.arange(2, self.dim + 1, dtype=self.concentration.dtype)
        order = 2 * (self.concentration - 1).unsqueeze(-1) + self.dim - order
        density = (order * diagonal.log()).sum(-1)
        rows = self.dim - 1
        alpha = self.concentration + 0.5 * rows
        constant = flambeau.mvlgamma(alpha - 0.5, rows) - flambeau.lgamma(alpha) * rows
        return density - (0.5 * rows * math.log(math.pi) + constant)
