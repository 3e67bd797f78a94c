"""The negative binomial distribution."""

from __future__ import annotations

from typing import Any

import flambeau
import flambeau.nn.functional as F
from flambeau import Size, Tensor
from flambeau.distributions import constraints
from flambeau.distributions.distribution import Distribution
from flambeau.distributions.gamma import Gamma
from flambeau.distributions.utils import ProbsOrLogits, broadcast_all, lazy_property

__all__ = ["NegativeBinomial"]


class NegativeBinomial(ProbsOrLogits, Distribution):
    """The number of successes before `total_count` failures."""

    arg_constraints = {
        "total_count": constraints.greater_than_eq(0),
        "probs": constraints.half_open_interval(0.0, 1.0),
        "logits": constraints.real,
    }
    support = constraints.nonnegative_integer
    _parameters = {"total_count": 0, "probs": 0, "logits": 0}

    def __init__(
        self,
        total_count: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        self._take(probs, logits)
        self.total_count, value = broadcast_all(total_count, self._param)
        self.__dict__[self._given] = value
        self.total_count = self.total_count.type_as(value)
        Distribution.__init__(self, value.size(), validate_args=validate_args)

    def _finish_expand(self, new: Any, batch_shape: Size) -> None:
        new.__dict__.pop("_gamma", None)

    @property
    def mean(self) -> Tensor:
        return self.total_count * flambeau.exp(self.logits)

    @property
    def mode(self) -> Tensor:
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0.0)

    @property
    def variance(self) -> Tensor:
        return self.mean / flambeau.sigmoid(-self.logits)

    @lazy_property
    def _gamma(self) -> Gamma:
        # total_count may be 0.
        return Gamma(
            concentration=self.total_count, rate=flambeau.exp(-self.logits), validate_args=False
        )

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with flambeau.no_grad():
            return flambeau.poisson(self._gamma.sample(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        unnormalised = self.total_count * F.logsigmoid(-self.logits) + value * F.logsigmoid(
            self.logits
        )
        normaliser = (
            -flambeau.lgamma(self.total_count + value)
            + flambeau.lgamma(1.0 + value)
            + flambeau.lgamma(self.total_count)
        )
        normaliser = normaliser.masked_fill(self.total_count + value == 0.0, 0.0)
        return unnormalised - normaliser
