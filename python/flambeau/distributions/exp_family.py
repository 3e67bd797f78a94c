"""Distributions of the exponential family."""

from __future__ import annotations

from typing import Any

import flambeau
from flambeau import Tensor
from flambeau.distributions.distribution import Distribution

__all__ = ["ExponentialFamily"]


class ExponentialFamily(Distribution):
    """p(x) = h(x) exp(<eta, t(x)> - A(eta)), with natural parameters eta and log normaliser A."""

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        raise NotImplementedError

    def _log_normalizer(self, *natural_params: Tensor) -> Tensor:
        raise NotImplementedError

    @property
    def _mean_carrier_measure(self) -> Any:
        """The mean of log h(x)."""
        raise NotImplementedError

    def entropy(self) -> Tensor:
        """By the gradient of the log normaliser (Nielsen and Nock, 2010)."""
        parameters = [p.detach().requires_grad_() for p in self._natural_params]
        with flambeau.enable_grad():
            log_normal = self._log_normalizer(*parameters)
            gradients = flambeau.autograd.grad(log_normal.sum(), parameters, create_graph=True)
        result = log_normal - self._mean_carrier_measure
        for parameter, gradient in zip(parameters, gradients):
            product = parameter * gradient
            result = result - product.reshape((*self._batch_shape, -1)).sum(-1)
        return result
