"""The von Mises distribution of angles."""

from __future__ import annotations

import math
from typing import Any

import flambeau
from flambeau import Size, Tensor
from flambeau.distributions import constraints
from flambeau.distributions.distribution import Distribution
from flambeau.distributions.utils import broadcast_all

__all__ = ["VonMises"]


def _log_bessel(x: Tensor, order: int) -> Tensor:
    """The logarithm of the modified Bessel function of the first kind, for x > 0."""
    scaled = flambeau.special.i0e(x) if order == 0 else flambeau.special.i1e(x)
    return scaled.log() + x


class VonMises(Distribution):
    """Of angles around `loc`, with density exp(concentration * cos(x - loc)) but for a constant."""

    arg_constraints = {"loc": constraints.real, "concentration": constraints.positive}
    support = constraints.real
    has_rsample = False
    _parameters = {"loc": 0, "concentration": 0}

    def __init__(self, loc: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self.loc, self.concentration = broadcast_all(loc, concentration)
        super().__init__(self.loc.shape, validate_args=validate_args)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        density = self.concentration * flambeau.cos(value - self.loc)
        return density - math.log(2 * math.pi) - _log_bessel(self.concentration, 0)

    @flambeau.no_grad()
    def sample(self, sample_shape: Any = ()) -> Tensor:
        """By rejection from a wrapped Cauchy distribution (Best and Fisher, 1979), in float64."""
        shape = self._extended_shape(Size(sample_shape))
        loc, kappa = self.loc.double(), self.concentration.double()
        tau = 1 + (1 + 4 * kappa**2).sqrt()
        rho = (tau - (2 * tau).sqrt()) / (2 * kappa)
        # Where that cancels, the first terms of its series.
        r = flambeau.where(kappa < 1e-5, 1 / kappa + kappa, (1 + rho**2) / (2 * rho))
        x = flambeau.zeros(shape, dtype=flambeau.float64)
        done = flambeau.zeros(shape, dtype=flambeau.bool)
        while not done.all():
            first, second, third = flambeau.rand((3, *shape), dtype=flambeau.float64).unbind()
            z = flambeau.cos(math.pi * first)
            f = (1 + r * z) / (r + z)
            c = kappa * (r - f)
            taken = (c * (2 - c) - second > 0) | ((c / second).log() + 1 - c >= 0)
            x = flambeau.where(taken, (third - 0.5).sign() * f.acos(), x)
            done = done | taken
        return ((x + math.pi + loc) % (2 * math.pi) - math.pi).to(self.loc.dtype)

    @property
    def mean(self) -> Tensor:
        """The direction."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        """The circular one: 1 less the length of the mean direction."""
        kappa = self.concentration
        return 1 - (_log_bessel(kappa, 1) - _log_bessel(kappa, 0)).exp()
