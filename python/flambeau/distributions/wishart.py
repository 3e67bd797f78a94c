"""The Wishart distribution of matrices."""

from __future__ import annotations

import math
from typing import Any

import flambeau
from flambeau import Size, Tensor
from flambeau.distributions import constraints
from flambeau.distributions.chi2 import Chi2
from flambeau.distributions.exp_family import ExponentialFamily
from flambeau.distributions.multivariate_normal import _half_log_det, _precision_to_scale_tril
from flambeau.distributions.utils import lazy_property, vec_to_tril_matrix

__all__ = ["Wishart"]


class Wishart(ExponentialFamily):
    """Of X' X for `df` rows X that are normal with this covariance, precision, or Cholesky factor."""

    arg_constraints = {
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
        "df": constraints.greater_than(0),
    }
    support = constraints.positive_definite
    has_rsample = True
    _mean_carrier_measure = 0
    _parameters = {
        "df": 0,
        "covariance_matrix": 2,
        "precision_matrix": 2,
        "scale_tril": 2,
        "_unbroadcasted_scale_tril": 2,
    }

    _unbroadcasted_scale_tril: Tensor

    def __init__(
        self,
        df: Any,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        matrices: dict[str, Any] = {
            "scale_tril": scale_tril,
            "covariance_matrix": covariance_matrix,
            "precision_matrix": precision_matrix,
        }
        given = {name: value for name, value in matrices.items() if value is not None}
        if len(given) != 1:
            raise ValueError(
                "Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified."
            )
        ((name, matrix),) = given.items()
        if matrix.dim() < 2:
            raise ValueError(
                f"{name} must be at least two-dimensional, with optional leading batch dimensions"
            )
        df = flambeau.as_tensor(df, dtype=matrix.dtype)
        batch_shape = flambeau.broadcast_shapes(matrix.shape[:-2], df.shape)
        event_shape = matrix.shape[-2:]
        self.df = df.expand(batch_shape)
        if not (self.df > event_shape[-1] - 1).all():
            raise ValueError(
                f"Value of df={df} expected to be greater than ndim - 1 = {event_shape[-1] - 1}."
            )
        self.__dict__[name] = matrix.expand((*batch_shape, -1, -1))
        if name == "scale_tril":
            self._unbroadcasted_scale_tril = matrix
        elif name == "covariance_matrix":
            self._unbroadcasted_scale_tril = flambeau.linalg.cholesky(matrix)
        else:
            self._unbroadcasted_scale_tril = _precision_to_scale_tril(matrix)
        # The diagonal of Bartlett's factor.
        self._dist_chi2 = Chi2(self.df.unsqueeze(-1) - self._diagonal_offsets(event_shape[-1]))
        super().__init__(batch_shape, event_shape, validate_args=validate_args)

    def _diagonal_offsets(self, n: int) -> Tensor:
        return flambeau.arange(n, dtype=self.df.dtype, device=self.df.device)

    def _finish_expand(self, new: Any, batch_shape: Size) -> None:
        new._dist_chi2 = self._dist_chi2.expand((*batch_shape, self._event_shape[-1]))

    def _matrices(self, value: Tensor) -> Tensor:
        return value.expand(self._batch_shape + self._event_shape)

    @lazy_property
    def scale_tril(self) -> Tensor:
        return self._matrices(self._unbroadcasted_scale_tril)

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        factor = self._unbroadcasted_scale_tril
        return self._matrices(factor @ factor.mT)

    @lazy_property
    def precision_matrix(self) -> Tensor:
        return self._matrices(flambeau.cholesky_inverse(self._unbroadcasted_scale_tril))

    @property
    def mean(self) -> Tensor:
        return self.df.view((*self._batch_shape, 1, 1)) * self.covariance_matrix

    @property
    def mode(self) -> Tensor:
        factor = self.df - self.covariance_matrix.shape[-1] - 1
        factor = flambeau.where(factor <= 0, math.nan, factor)
        return factor.view((*self._batch_shape, 1, 1)) * self.covariance_matrix

    @property
    def variance(self) -> Tensor:
        v = self.covariance_matrix
        diagonal = v.diagonal(dim1=-2, dim2=-1)
        outer = diagonal.unsqueeze(-1) * diagonal.unsqueeze(-2)
        return self.df.view((*self._batch_shape, 1, 1)) * (v.pow(2) + outer)

    def rsample(self, sample_shape: Any = (), max_try_correction: Any = None) -> Tensor:
        """By Bartlett's decomposition."""
        sample_shape = Size(sample_shape)
        diagonal = self._dist_chi2.rsample(sample_shape).clamp(
            min=flambeau.finfo(self.df.dtype).tiny
        )
        n = self._event_shape[-1]
        below = (*sample_shape, *self._batch_shape, n * (n - 1) // 2)
        noise = flambeau.randn(below, dtype=self.df.dtype, device=self.df.device)
        lower = diagonal.sqrt().diag_embed() + vec_to_tril_matrix(noise, diag=-1)
        factor = self._unbroadcasted_scale_tril @ lower
        return factor @ factor.mT

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        n = self._event_shape[-1]
        factor = self._unbroadcasted_scale_tril
        solved = flambeau.cholesky_solve(value, factor)
        return (
            -self.df * (_half_log_det(factor) + 0.5 * n * math.log(2))
            - flambeau.mvlgamma(self.df / 2, n)
            + 0.5 * (self.df - n - 1) * flambeau.linalg.slogdet(value).logabsdet
            - 0.5 * solved.diagonal(dim1=-2, dim2=-1).sum(-1)
        )

    def entropy(self) -> Tensor:
        n = self._event_shape[-1]
        half = (self.df.unsqueeze(-1) - self._diagonal_offsets(n)) / 2
        return (
            (n + 1) * (_half_log_det(self._unbroadcasted_scale_tril) + 0.5 * n * math.log(2))
            + flambeau.mvlgamma(self.df / 2, n)
            - 0.5 * (self.df - n - 1) * flambeau.digamma(half).sum(-1)
            + 0.5 * self.df * n
        )
