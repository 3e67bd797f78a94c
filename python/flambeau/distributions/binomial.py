"""The binomial distribution."""

from __future__ import annotations

from typing import Any

import flambeau
import flambeau.nn.functional as F
from flambeau import Size, Tensor
from flambeau.distributions import constraints
from flambeau.distributions.distribution import Distribution
from flambeau.distributions.utils import ProbsOrLogits, broadcast_all, standard_uniform

__all__ = ["Binomial"]


class Binomial(ProbsOrLogits, Distribution):
    """The number of successes in `total_count` trials."""

    arg_constraints = {
        "total_count": constraints.nonnegative_integer,
        "probs": constraints.unit_interval,
        "logits": constraints.real,
    }
    has_enumerate_support = True
    _parameters = {"total_count": 0, "probs": 0, "logits": 0}

    def __init__(
        self,
        total_count: Any = 1,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        self._take(probs, logits)
        self.total_count, value = broadcast_all(total_count, self._param)
        self.__dict__[self._given] = value
        self.total_count = self.total_count.type_as(value)
        Distribution.__init__(self, value.size(), validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        return constraints.integer_interval(0, self.total_count)

    @property
    def mean(self) -> Tensor:
        return self.total_count * self.probs

    @property
    def mode(self) -> Tensor:
        return ((self.total_count + 1) * self.probs).floor().clamp(max=self.total_count)

    @property
    def variance(self) -> Tensor:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """The successes of trials, one by one."""
        shape = self._extended_shape(sample_shape)
        most = int(self.total_count.max()) if self.total_count.numel() else 0
        with flambeau.no_grad():
            u = standard_uniform(Size((most, *shape)), self.probs)
            trial = flambeau.arange(most).view(-1, *(1,) * len(shape))
            success = (u < self.probs) & (trial < self.total_count)
            return success.sum(0).to(self.probs)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        ways = (
            flambeau.lgamma(self.total_count + 1)
            - flambeau.lgamma(value + 1)
            - flambeau.lgamma(self.total_count - value + 1)
        )
        normaliser = self.total_count * F.softplus(self.logits)
        return value * self.logits + ways - normaliser

    def entropy(self) -> Tensor:
        total = int(self.total_count.max())
        if not self.total_count.min() == total:
            raise NotImplementedError("Inhomogeneous total count not supported by `entropy`.")
        log_prob = self.log_prob(self.enumerate_support(False))
        return -(flambeau.exp(log_prob) * log_prob).sum(0)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        total = int(self.total_count.max())
        if not self.total_count.min() == total:
            raise NotImplementedError(
                "Inhomogeneous total count not supported by `enumerate_support`."
            )
        return self._enumerated(flambeau.arange(1 + total, dtype=self._param.dtype), expand)
