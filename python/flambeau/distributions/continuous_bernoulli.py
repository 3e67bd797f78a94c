"""The continuous Bernoulli distribution."""

from __future__ import annotations

import math
from typing import Any

import flambeau
import flambeau.nn.functional as F
from flambeau import Tensor
from flambeau.distributions import constraints
from flambeau.distributions.distribution import Distribution
from flambeau.distributions.exp_family import ExponentialFamily
from flambeau.distributions.utils import ProbsOrLogits, clamp_probs, standard_uniform

__all__ = ["ContinuousBernoulli"]


class ContinuousBernoulli(ProbsOrLogits, ExponentialFamily):
    """Of numbers in [0, 1], with density probs ** x * (1 - probs) ** (1 - x) but for a constant (Loaiza-Ganem and
    Cunningham, 2019). Between the `lims`, formulas that cancel at 1/2 are replaced by their series.
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.unit_interval
    has_rsample = True
    _mean_carrier_measure = 0
    _parameters = {"probs": 0, "logits": 0}

    def __init__(
        self,
        probs: Any = None,
        logits: Any = None,
        lims: tuple[float, float] = (0.499, 0.501),
        validate_args: bool | None = None,
    ) -> None:
        self._take(probs, logits)
        if probs is not None:
            if (
                validate_args is not False
                and not self.arg_constraints["probs"].check(self.probs).all()
            ):
                raise ValueError("The parameter probs has invalid values")
            self.probs = clamp_probs(self.probs)
        self._lims = lims
        Distribution.__init__(self, self._param.size(), validate_args=validate_args)

    def _near_half(self) -> Tensor:
        return (self.probs > self._lims[0]) & (self.probs <= self._lims[1])

    def _away(self) -> Tensor:
        """The probabilities, where they are near 1/2 one that is not."""
        return flambeau.where(self._near_half(), self._lims[0], self.probs)

    def _log_constant(self) -> Tensor:
        p = self._away()
        low, high = p.clamp(max=0.5), p.clamp(min=0.5)
        logarithm = flambeau.log(flambeau.abs(flambeau.log1p(-p) - flambeau.log(p)))
        distance = flambeau.where(p <= 0.5, flambeau.log1p(-2 * low), flambeau.log(2 * high - 1))
        square = (self.probs - 0.5).pow(2)
        series = math.log(2.0) + (4.0 / 3.0 + 104.0 / 45.0 * square) * square
        return flambeau.where(self._near_half(), series, logarithm - distance)

    @property
    def mean(self) -> Tensor:
        p = self._away()
        mean = p / (2 * p - 1) + 1 / (flambeau.log1p(-p) - flambeau.log(p))
        x = self.probs - 0.5
        series = 0.5 + (1.0 / 3.0 + 16.0 / 45.0 * x.pow(2)) * x
        return flambeau.where(self._near_half(), series, mean)

    @property
    def stddev(self) -> Tensor:
        return self.variance.sqrt()

    @property
    def variance(self) -> Tensor:
        p = self._away()
        variance = p * (p - 1) / (1 - 2 * p).pow(2)
        variance = variance + 1 / (flambeau.log1p(-p) - flambeau.log(p)).pow(2)
        square = (self.probs - 0.5).pow(2)
        series = 1.0 / 12.0 - (1.0 / 15.0 - 128.0 / 945.0 * square) * square
        return flambeau.where(self._near_half(), series, variance)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        uniform = standard_uniform(self._extended_shape(sample_shape), self.probs)
        return self.icdf(uniform)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with flambeau.no_grad():
            return self.rsample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        logits, value = flambeau.broadcast_tensors(self.logits, value)
        loss = F.binary_cross_entropy_with_logits(logits, value, reduction="none")
        return self._log_constant() - loss

    def cdf(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        p = self._away()
        cdf = (p**value * (1 - p) ** (1 - value) + p - 1) / (2 * p - 1)
        cdf = flambeau.where(self._near_half(), value, cdf)
        return flambeau.where(value <= 0, 0.0, flambeau.where(value >= 1, 1.0, cdf))

    def icdf(self, value: Tensor) -> Tensor:
        p = self._away()
        inverse = flambeau.log1p(-p + value * (2 * p - 1)) - flambeau.log1p(-p)
        inverse = inverse / (flambeau.log(p) - flambeau.log1p(-p))
        return flambeau.where(self._near_half(), value, inverse)

    def entropy(self) -> Tensor:
        log0, log1 = flambeau.log1p(-self.probs), flambeau.log(self.probs)
        return self.mean * (log0 - log1) - self._log_constant() - log0

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return (self.logits,)

    def _log_normalizer(self, x: Tensor) -> Tensor:  # type: ignore[override]
        near = (x > self._lims[0] - 0.5) & (x <= self._lims[1] - 0.5)
        away = flambeau.where(near, self._lims[0] - 0.5, x)
        log = flambeau.log(flambeau.abs(flambeau.special.expm1(away)))
        value = log - flambeau.log(flambeau.abs(away))
        return flambeau.where(near, 0.5 * x + x.pow(2) / 24.0 - x.pow(4) / 2880.0, value)
