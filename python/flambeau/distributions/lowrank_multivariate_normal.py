"""The normal distribution of vectors whose covariance is of low rank but for its diagonal."""

from __future__ import annotations

import math
from typing import Any

import flambeau
from flambeau import Tensor
from flambeau.distributions import constraints
from flambeau.distributions.distribution import Distribution
from flambeau.distributions.multivariate_normal import _batch_mahalanobis, _half_log_det
from flambeau.distributions.utils import lazy_property, standard_normal

__all__ = ["LowRankMultivariateNormal"]


def _capacitance_tril(factor: Tensor, diagonal: Tensor) -> Tensor:
    """The Cholesky factor of I + W' D^-1 W."""
    small = factor.mT @ (factor / diagonal.unsqueeze(-1))
    identity = flambeau.eye(small.shape[-1], dtype=small.dtype, device=small.device)
    return flambeau.linalg.cholesky(small + identity)


class LowRankMultivariateNormal(Distribution):
    """Of mean `loc` and covariance cov_factor cov_factor' + diag(cov_diag). Only matrices of the rank are factored:
    determinants and inverses follow by the lemmas of Sylvester and Woodbury."""

    arg_constraints = {
        "loc": constraints.real_vector,
        "cov_factor": constraints.independent(constraints.real, 2),
        "cov_diag": constraints.independent(constraints.positive, 1),
    }
    support = constraints.real_vector
    has_rsample = True
    _parameters = {"loc": 1, "cov_factor": 2, "cov_diag": 1}

    def __init__(
        self, loc: Tensor, cov_factor: Tensor, cov_diag: Tensor, validate_args: bool | None = None
    ) -> None:
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        event_shape = loc.shape[-1:]
        if cov_factor.dim() < 2:
            raise ValueError(
                "cov_factor must be at least two-dimensional, with optional leading batch dimensions"
            )
        if cov_factor.shape[-2:-1] != event_shape:
            raise ValueError(
                f"cov_factor must be a batch of matrices with shape {event_shape[0]} x m"
            )
        if cov_diag.shape[-1:] != event_shape:
            raise ValueError(f"cov_diag must be a batch of vectors with shape {tuple(event_shape)}")
        batch_shape = flambeau.broadcast_shapes(
            loc.shape[:-1], cov_factor.shape[:-2], cov_diag.shape[:-1]
        )
        self.loc = loc.expand((*batch_shape, -1))
        self.cov_diag = cov_diag.expand((*batch_shape, -1))
        self.cov_factor = cov_factor.expand((*batch_shape, *cov_factor.shape[-2:]))
        self._given = (
            cov_factor,
            cov_diag,
        )  # As they were: what is the same for a batch is computed once.
        self._capacitance_tril = _capacitance_tril(cov_factor, cov_diag)
        super().__init__(batch_shape, event_shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @lazy_property
    def variance(self) -> Tensor:  # type: ignore[override]
        factor, diagonal = self._given
        variance = factor.pow(2).sum(-1) + diagonal
        return variance.expand(self._batch_shape + self._event_shape)

    def _matrices(self, value: Tensor) -> Tensor:
        return value.expand(self._batch_shape + self._event_shape + self._event_shape)

    @lazy_property
    def scale_tril(self) -> Tensor:
        factor, diagonal = self._given
        # Of D^1/2 (I + D^-1/2 W W' D^-1/2) D^1/2, whose middle is well conditioned.
        root = diagonal.sqrt().unsqueeze(-1)
        scaled = factor / root
        identity = flambeau.eye(self._event_shape[0], dtype=scaled.dtype, device=scaled.device)
        return self._matrices(root * flambeau.linalg.cholesky(scaled @ scaled.mT + identity))

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        factor, diagonal = self._given
        return self._matrices(factor @ factor.mT + flambeau.diag_embed(diagonal))

    @lazy_property
    def precision_matrix(self) -> Tensor:
        factor, diagonal = self._given
        scaled = factor.mT / diagonal.unsqueeze(-2)
        solved = flambeau.linalg.solve_triangular(self._capacitance_tril, scaled, upper=False)
        return self._matrices(flambeau.diag_embed(diagonal.reciprocal()) - solved.mT @ solved)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        factor, diagonal = self._given
        low = standard_normal((*shape[:-1], factor.shape[-1]), self.loc)
        noise = standard_normal(shape, self.loc)
        return self.loc + (factor @ low.unsqueeze(-1)).squeeze(-1) + diagonal.sqrt() * noise

    def _half_log_determinant(self) -> Tensor:
        return _half_log_det(self._capacitance_tril) + 0.5 * self._given[1].log().sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        factor, diagonal = self._given
        apart = value - self.loc
        projected = (factor.mT @ (apart / diagonal).unsqueeze(-1)).squeeze(-1)
        distance = (apart.pow(2) / diagonal).sum(-1)
        distance = distance - _batch_mahalanobis(self._capacitance_tril, projected)
        constant = self._event_shape[0] * math.log(2 * math.pi)
        return -0.5 * (constant + distance) - self._half_log_determinant()

    def entropy(self) -> Tensor:
        constant = 0.5 * self._event_shape[0] * (1.0 + math.log(2 * math.pi))
        return (constant + self._half_log_determinant()).expand(self._batch_shape)
