"""Kullback-Leibler divergences."""

from __future__ import annotations

import math
from typing import Any, Callable

import flambeau
from flambeau import Tensor
from flambeau.distributions.bernoulli import Bernoulli
from flambeau.distributions.beta import Beta
from flambeau.distributions.binomial import Binomial
from flambeau.distributions.categorical import Categorical
from flambeau.distributions.cauchy import Cauchy
from flambeau.distributions.dirichlet import Dirichlet
from flambeau.distributions.distribution import Distribution
from flambeau.distributions.exp_family import ExponentialFamily
from flambeau.distributions.exponential import Exponential
from flambeau.distributions.gamma import Gamma
from flambeau.distributions.geometric import Geometric
from flambeau.distributions.gumbel import Gumbel
from flambeau.distributions.half_cauchy import HalfCauchy
from flambeau.distributions.half_normal import HalfNormal
from flambeau.distributions.independent import Independent
from flambeau.distributions.laplace import Laplace
from flambeau.distributions.log_normal import LogNormal
from flambeau.distributions.multivariate_normal import (
    MultivariateNormal,
    _batch_mahalanobis,
    _half_log_det,
)
from flambeau.distributions.normal import Normal
from flambeau.distributions.one_hot_categorical import OneHotCategorical
from flambeau.distributions.poisson import Poisson
from flambeau.distributions.transformed_distribution import TransformedDistribution
from flambeau.distributions.transforms import _sum_rightmost
from flambeau.distributions.uniform import Uniform
from flambeau.distributions.utils import euler_constant

__all__ = ["kl_divergence", "register_kl"]

_known: dict[tuple[type, type], Callable[[Any, Any], Tensor]] = {}


def register_kl(type_p: type, type_q: type) -> Callable[[Any], Any]:
    """Decorates the divergence of these types, or of types derived from them."""
    if not (isinstance(type_p, type) and issubclass(type_p, Distribution)):
        raise TypeError(f"Expected type_p to be a Distribution subclass but got {type_p}")
    if not (isinstance(type_q, type) and issubclass(type_q, Distribution)):
        raise TypeError(f"Expected type_q to be a Distribution subclass but got {type_q}")

    def register(function: Any) -> Any:
        _known[type_p, type_q] = function
        return function

    return register


def _find(type_p: type, type_q: type) -> Callable[[Any, Any], Tensor]:
    """The function of the nearest base classes."""
    fits = [
        (type_p.__mro__.index(p) + type_q.__mro__.index(q), function)
        for (p, q), function in _known.items()
        if issubclass(type_p, p) and issubclass(type_q, q)
    ]
    if not fits:
        raise NotImplementedError(
            f"No KL(p || q) is implemented for p type {type_p.__name__} and q type {type_q.__name__}"
        )
    return min(fits, key=lambda fit: fit[0])[1]


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """The mean of log p(x) - log q(x) over x of p."""
    return _find(type(p), type(q))(p, q)


@register_kl(Bernoulli, Bernoulli)
def _(p: Bernoulli, q: Bernoulli) -> Tensor:
    softplus = flambeau.nn.functional.softplus
    one = p.probs * (softplus(-q.logits) - softplus(-p.logits))
    one = one.masked_fill(q.probs == 0, math.inf).masked_fill(p.probs == 0, 0)
    zero = (1 - p.probs) * (softplus(q.logits) - softplus(p.logits))
    zero = zero.masked_fill(q.probs == 1, math.inf).masked_fill(p.probs == 1, 0)
    return one + zero


@register_kl(Categorical, Categorical)
def _(p: Categorical, q: Categorical) -> Tensor:
    t = p.probs * (p.logits - q.logits)
    t = t.masked_fill((q.probs == 0).expand_as(t), math.inf)
    return t.masked_fill((p.probs == 0).expand_as(t), 0).sum(-1)


@register_kl(OneHotCategorical, OneHotCategorical)
def _(p: OneHotCategorical, q: OneHotCategorical) -> Tensor:
    return kl_divergence(p._categorical, q._categorical)


@register_kl(Binomial, Binomial)
def _(p: Binomial, q: Binomial) -> Tensor:
    if (p.total_count < q.total_count).any():
        raise NotImplementedError(
            "KL between Binomials where q.total_count > p.total_count is not implemented"
        )
    one = p.probs * (p.logits - q.logits) + (-p.probs).log1p() - (-q.probs).log1p()
    return (p.total_count * one).masked_fill(p.total_count > q.total_count, math.inf)


@register_kl(Geometric, Geometric)
def _(p: Geometric, q: Geometric) -> Tensor:
    return -p.entropy() - flambeau.log1p(-q.probs) / p.probs - q.logits


@register_kl(Cauchy, Cauchy)
def _(p: Cauchy, q: Cauchy) -> Tensor:
    squares = (p.scale + q.scale).pow(2) + (p.loc - q.loc).pow(2)
    return squares.log() - (4 * p.scale * q.scale).log()


@register_kl(HalfCauchy, HalfCauchy)
def _(p: HalfCauchy, q: HalfCauchy) -> Tensor:
    return kl_divergence(p.base_dist, q.base_dist)


@register_kl(Normal, Normal)
def _(p: Normal, q: Normal) -> Tensor:
    ratio = (p.scale / q.scale).pow(2)
    off = ((p.loc - q.loc) / q.scale).pow(2)
    return 0.5 * (ratio + off - 1 - ratio.log())


@register_kl(HalfNormal, HalfNormal)
def _(p: HalfNormal, q: HalfNormal) -> Tensor:
    return kl_divergence(p.base_dist, q.base_dist)


@register_kl(LogNormal, LogNormal)
def _(p: LogNormal, q: LogNormal) -> Tensor:
    return kl_divergence(p.base_dist, q.base_dist)


@register_kl(Laplace, Laplace)
def _(p: Laplace, q: Laplace) -> Tensor:
    ratio = p.scale / q.scale
    off = (p.loc - q.loc).abs()
    return -ratio.log() + off / q.scale + ratio * flambeau.exp(-off / p.scale) - 1


@register_kl(Gumbel, Gumbel)
def _(p: Gumbel, q: Gumbel) -> Tensor:
    ratio = p.scale / q.scale
    off_p, off_q = p.loc / q.scale, q.loc / q.scale
    first = -ratio.log() - off_q + off_p
    second = ratio * euler_constant
    third = flambeau.exp(off_q + (1 + ratio).lgamma() - off_p)
    return first + second + third - (1 + euler_constant)


@register_kl(Exponential, Exponential)
def _(p: Exponential, q: Exponential) -> Tensor:
    ratio = q.rate / p.rate
    return -ratio.log() + ratio - 1


@register_kl(Gamma, Gamma)
def _(p: Gamma, q: Gamma) -> Tensor:
    return (
        q.concentration * (p.rate / q.rate).log()
        + flambeau.lgamma(q.concentration)
        - flambeau.lgamma(p.concentration)
        + (p.concentration - q.concentration) * flambeau.digamma(p.concentration)
        + (q.rate - p.rate) * (p.concentration / p.rate)
    )


def _dirichlet_divergence(p: Tensor, q: Tensor) -> Tensor:
    total = p.sum(-1)
    difference = flambeau.digamma(p) - flambeau.digamma(total).unsqueeze(-1)
    return (
        total.lgamma()
        - q.sum(-1).lgamma()
        - (p.lgamma() - q.lgamma()).sum(-1)
        + ((p - q) * difference).sum(-1)
    )


@register_kl(Dirichlet, Dirichlet)
def _(p: Dirichlet, q: Dirichlet) -> Tensor:
    return _dirichlet_divergence(p.concentration, q.concentration)


@register_kl(Beta, Beta)
def _(p: Beta, q: Beta) -> Tensor:
    return _dirichlet_divergence(p._dirichlet.concentration, q._dirichlet.concentration)


@register_kl(Poisson, Poisson)
def _(p: Poisson, q: Poisson) -> Tensor:
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


@register_kl(Uniform, Uniform)
def _(p: Uniform, q: Uniform) -> Tensor:
    result = ((q.high - q.low) / (p.high - p.low)).log()
    return result.masked_fill((q.low > p.low) | (q.high < p.high), math.inf)


@register_kl(Uniform, Normal)
def _(p: Uniform, q: Normal) -> Tensor:
    width = p.high - p.low
    log_scale = (math.sqrt(math.pi * 2) * q.scale / width).log()
    spread = width.pow(2) / 12
    off = ((p.high + p.low - 2 * q.loc) / 2).pow(2)
    return log_scale + 0.5 * (spread + off) / q.scale.pow(2)


@register_kl(MultivariateNormal, MultivariateNormal)
def _(p: MultivariateNormal, q: MultivariateNormal) -> Tensor:
    if p.event_shape != q.event_shape:
        raise ValueError(
            "KL-divergence between two Multivariate Normals with different event shapes cannot be computed"
        )
    p_factor, q_factor = p._unbroadcasted_scale_tril, q._unbroadcasted_scale_tril
    solved = flambeau.linalg.solve_triangular(q_factor, p_factor, upper=False)
    trace = solved.pow(2).sum((-2, -1))
    off = _batch_mahalanobis(q_factor, q.loc - p.loc)
    half = _half_log_det(q_factor) - _half_log_det(p_factor)
    return half + 0.5 * (trace + off - p.event_shape[0])


@register_kl(Independent, Independent)
def _(p: Independent, q: Independent) -> Tensor:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError
    return _sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


@register_kl(TransformedDistribution, TransformedDistribution)
def _(p: TransformedDistribution, q: TransformedDistribution) -> Tensor:
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError
    extra = len(p.event_shape) - len(p.base_dist.event_shape)
    return _sum_rightmost(kl_divergence(p.base_dist, q.base_dist), extra)


@register_kl(ExponentialFamily, ExponentialFamily)
def _(p: ExponentialFamily, q: ExponentialFamily) -> Tensor:
    """By the gradient of the log normaliser: a Bregman divergence."""
    if type(p) is not type(q):
        raise NotImplementedError(
            f"The cross KL-divergence between different exponential families cannot be computed: "
            f"{type(p).__name__} and {type(q).__name__}"
        )
    with flambeau.enable_grad():
        p_parameters = [value.detach().requires_grad_() for value in p._natural_params]
        log_normaliser = p._log_normalizer(*p_parameters)
        gradients = flambeau.autograd.grad(log_normaliser.sum(), p_parameters, create_graph=True)
    result = q._log_normalizer(*q._natural_params) - log_normaliser
    for of_p, of_q, gradient in zip(p_parameters, q._natural_params, gradients):
        result = result - _sum_rightmost((of_q - of_p) * gradient, len(q.event_shape))
    return result
