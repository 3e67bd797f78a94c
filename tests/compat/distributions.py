"""What torch.distributions gives for some distributions: samples from a seed, densities, moments.

A program like any user's. `.venv-peers/bin/python tests/compat/distributions.py golden` writes
distributions.json with PyTorch 2.7.1; test_distributions.py compares.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributions as D

GOLDEN = Path(__file__).with_name("distributions.json")
t = torch.tensor
DISTRIBUTIONS: dict[str, Callable[[], D.Distribution]] = {
    "Normal": lambda: D.Normal(t([0.5, -1.0]), t([1.0, 2.0])),
    "Bernoulli": lambda: D.Bernoulli(t([0.3, 0.8])),
    "BernoulliL": lambda: D.Bernoulli(logits=t([0.3, -0.8])),
    "Categorical": lambda: D.Categorical(t([[0.2, 0.5, 0.3], [1.0, 1.0, 4.0]])),
    "CategoricalL": lambda: D.Categorical(logits=t([[0.2, 0.5, 0.3], [1.0, 1.0, 4.0]])),
    "OneHot": lambda: D.OneHotCategorical(t([0.2, 0.5, 0.3])),
    "Uniform": lambda: D.Uniform(t([0.0, 1.0]), 3.0),
    "Gamma": lambda: D.Gamma(t([0.5, 3.0]), t([1.0, 2.0])),
    "Beta": lambda: D.Beta(t([0.5, 3.0]), t([1.0, 2.0])),
    "Dirichlet": lambda: D.Dirichlet(t([[0.5, 1.0, 2.0], [3.0, 1.0, 1.0]])),
    "Exponential": lambda: D.Exponential(t([0.5, 2.0])),
    "Laplace": lambda: D.Laplace(t([0.0, 1.0]), t([1.0, 2.0])),
    "Cauchy": lambda: D.Cauchy(t([0.0, 1.0]), t([1.0, 2.0])),
    "Gumbel": lambda: D.Gumbel(t([0.0, 1.0]), t([1.0, 2.0])),
    "LogNormal": lambda: D.LogNormal(t([0.0, 1.0]), t([1.0, 0.5])),
    "HalfNormal": lambda: D.HalfNormal(t([1.0, 2.0])),
    "HalfCauchy": lambda: D.HalfCauchy(t([1.0, 2.0])),
    "StudentT": lambda: D.StudentT(t([3.0, 5.0]), t([0.0, 1.0]), t([1.0, 2.0])),
    "Poisson": lambda: D.Poisson(t([2.0, 30.0])),
    "Geometric": lambda: D.Geometric(t([0.3, 0.7])),
    "NegativeBinomial": lambda: D.NegativeBinomial(t([3.0, 5.0]), t([0.3, 0.7])),
    "Binomial": lambda: D.Binomial(t([3.0, 5.0]), t([0.3, 0.7])),
    "Multinomial": lambda: D.Multinomial(5, t([0.3, 0.7])),
    "RelaxedBernoulli": lambda: D.RelaxedBernoulli(t(0.5), t([0.3, 0.7])),
    "RelaxedOneHot": lambda: D.RelaxedOneHotCategorical(t(0.5), t([0.3, 0.2, 0.5])),
    "MVN": lambda: D.MultivariateNormal(t([1.0, 2.0]), t([[2.0, 0.5], [0.5, 1.0]])),
    "MVNp": lambda: D.MultivariateNormal(
        t([1.0, 2.0]), precision_matrix=t([[2.0, 0.5], [0.5, 1.0]])
    ),
    "Wishart": lambda: D.Wishart(t(4.0), t([[2.0, 0.5], [0.5, 1.0]])),
    "Weibull": lambda: D.Weibull(t([1.0, 2.0]), t([2.0, 3.0])),
    "Pareto": lambda: D.Pareto(t([1.0, 2.0]), t([3.0, 4.0])),
    "InverseGamma": lambda: D.InverseGamma(t([3.0, 4.0]), t([1.0, 2.0])),
    "LogisticNormal": lambda: D.LogisticNormal(t([0.0, 1.0]), t([1.0, 0.5])),
    "Chi2": lambda: D.Chi2(t([3.0, 4.0])),
    "Independent": lambda: D.Independent(D.Normal(t([[0.5, -1.0]]), t([1.0, 2.0])), 1),
    "Mixture": lambda: D.MixtureSameFamily(
        D.Categorical(t([0.4, 0.6])), D.Normal(t([0.0, 1.0]), t([1.0, 2.0]))
    ),
    "VonMises": lambda: D.VonMises(t([0.5, 3.0]), t([1.0, 20.0])),
    "LowRank": lambda: D.LowRankMultivariateNormal(
        t([1.0, 2.0, 3.0]), t([[1.0], [0.5], [-2.0]]), t([0.5, 1.0, 2.0])
    ),
    "LKJ": lambda: D.LKJCholesky(3, t([0.5, 2.0])),
    "FisherSnedecor": lambda: D.FisherSnedecor(t([3.0, 4.0]), t([5.0, 1.0])),
    "Kumaraswamy": lambda: D.Kumaraswamy(t([0.5, 3.0]), t([2.0, 1.5])),
    "ContinuousBernoulli": lambda: D.ContinuousBernoulli(t([0.2, 0.5])),
    "ContinuousBernoulliL": lambda: D.ContinuousBernoulli(logits=t([0.3, -2.0])),
    "Affine": lambda: D.TransformedDistribution(
        D.Normal(t([0.0, 1.0]), t([1.0, 2.0])), [D.AffineTransform(1.0, -2.0), D.TanhTransform()]
    ),
}
PAIRS = [
    ("Normal", "Normal"), ("Gamma", "Chi2"), ("MVN", "MVNp"), ("Categorical", "CategoricalL"),
    ("Uniform", "Normal"), ("Bernoulli", "BernoulliL"), ("Poisson", "Poisson"),
]  # fmt: skip


def numbers(value: Any) -> Any:
    if not isinstance(value, torch.Tensor):
        return str(value)
    value = value.detach()
    return [list(value.shape), [float(f"{x:.7g}") for x in value.double().flatten().tolist()]]


def attempt(function: Callable[[], Any]) -> Any:
    try:
        return numbers(function())
    except (NotImplementedError, ValueError) as error:
        return type(error).__name__


def describe(name: str) -> dict[str, Any]:
    torch.manual_seed(1)
    made: Any = DISTRIBUTIONS[name]()
    drawn = made.sample((3,))
    wider = (4, *made.batch_shape)
    return {
        "repr": repr(made),
        "shapes": str((tuple(made.batch_shape), tuple(made.event_shape))),
        "sample": numbers(drawn),
        "log_prob": attempt(lambda: made.log_prob(drawn)),
        "expanded": attempt(lambda: made.expand(wider).log_prob(drawn[0])),
        "mean": attempt(lambda: made.mean),
        "mode": attempt(lambda: made.mode),
        "variance": attempt(lambda: made.variance),
        "entropy": attempt(made.entropy),
        "cdf": attempt(lambda: made.cdf(drawn)),
        "support": attempt(lambda: made.support),
        "values": attempt(made.enumerate_support),
        "outside": attempt(lambda: made.log_prob(drawn[..., None].expand(*drawn.shape, 7))),
    }


def everything() -> dict[str, Any]:
    result: dict[str, Any] = {name: describe(name) for name in DISTRIBUTIONS}
    result["divergences"] = {
        f"{p} {q}": attempt(
            lambda p=p, q=q: D.kl_divergence(DISTRIBUTIONS[p](), DISTRIBUTIONS[q]())
        )
        for p, q in PAIRS
    }
    return result


if __name__ == "__main__":
    text = json.dumps(everything(), indent=0)
    if sys.argv[1:] == ["golden"]:
        GOLDEN.write_text(text + "\n")
    else:
        print(text)
