"""torch.distributions against PyTorch 2.7.1 (distributions.py), and what follows from the definitions."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import flambeau
import flambeau.distributions as D
import pytest
from flambeau import tensor
from flambeau.distributions._gamma_gradient import gamma_gradient

FOLDER = Path(__file__).parent
GOLDEN = json.loads((FOLDER / "distributions.json").read_text())
# Drawn in another way than PyTorch's, functions that are not there yet, and a mode that is NaN there.
DIFFERENT = {
    ("Binomial", "sample"), ("Binomial", "log_prob"), ("Binomial", "expanded"),
    ("Wishart", "sample"), ("Wishart", "log_prob"), ("Wishart", "expanded"),
    ("Gamma", "cdf"), ("Chi2", "cdf"), ("InverseGamma", "cdf"), ("Multinomial", "entropy"),
    ("Kumaraswamy", "mode"),
}  # fmt: skip


@pytest.fixture(scope="module")
def ours() -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "flambeau", str(FOLDER / "distributions.py")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, str) or isinstance(b, str):
        return bool(a == b)
    return a[0] == b[0] and all(
        x == y
        or (math.isnan(x) and math.isnan(y))
        or math.isclose(x, y, rel_tol=1e-4, abs_tol=1e-5)
        for x, y in zip(a[1], b[1], strict=True)
    )


@pytest.mark.parametrize("name", list(GOLDEN))
def test_as_pytorch(name: str, ours: dict[str, Any]) -> None:
    for what, wanted in GOLDEN[name].items():
        if (name, what) not in DIFFERENT:
            assert same(wanted, ours[name][what]), (what, wanted, ours[name][what])


@pytest.mark.parametrize(
    "made",
    [
        D.Binomial(tensor(5.0), tensor(0.3)),
        D.Gamma(tensor(0.4), tensor(2.0)),
        D.Poisson(tensor(3.0)),
        D.Poisson(tensor(40.0)),
        D.NegativeBinomial(tensor(3.0), tensor(0.4)),
        D.RelaxedBernoulli(tensor(0.5), tensor(0.3)),
    ],
)
def test_samples_have_the_moments(made: Any) -> None:
    flambeau.manual_seed(0)
    drawn = made.sample((20000,))
    assert made.support.check(drawn).all()
    if not isinstance(made, D.RelaxedBernoulli):
        torch_close = flambeau.testing.assert_close
        torch_close(drawn.mean(), made.mean, rtol=0.03, atol=0.01)
        torch_close(drawn.var(), made.variance, rtol=0.06, atol=0.01)


def test_wishart_samples_have_the_mean() -> None:
    flambeau.manual_seed(0)
    made = D.Wishart(tensor(4.0), tensor([[2.0, 0.5], [0.5, 1.0]]))
    drawn = made.sample((8000,))
    flambeau.testing.assert_close(drawn.mean(0), made.mean, rtol=0.03, atol=0.05)
    flambeau.testing.assert_close(drawn.var(0), made.variance, rtol=0.08, atol=0.05)


def test_gradients_go_through_samples() -> None:
    loc = tensor([0.5, 1.0]).requires_grad_()
    D.Normal(loc, 2.0).rsample((3,)).sum().backward()
    assert loc.grad.tolist() == [3.0, 3.0]
    logits = tensor([0.5, -1.0]).requires_grad_()
    D.RelaxedBernoulli(tensor(0.7), logits=logits).rsample().sum().backward()
    assert (logits.grad > 0).all()


def test_gradients_of_gamma_samples() -> None:
    """torch._standard_gamma_grad of PyTorch 2.7.1, which approximates to three digits."""
    golden = {
        0.02: [0.0102752, 0.318508, 3.19676, 3.70124, 8.89702],
        0.5: [0.00764016, 0.189969, 1.26469, 1.40535, 2.51197],
        5.0: [0.00701042, 0.161672, 0.980391, 1.08404, 1.90832],
        500.0: [0.00691543, 0.157718, 0.948649, 1.04868, 1.84901],
    }
    ratios = tensor([1e-3, 0.05, 0.9, 1.1, 4.0])
    for shape, wanted in golden.items():
        found = gamma_gradient(tensor(shape), ratios * shape)
        flambeau.testing.assert_close(found, tensor(wanted).double(), rtol=1e-3, atol=0.0)
    # The mean of samples is shape / rate.
    flambeau.manual_seed(0)
    shape = flambeau.full((20000,), 3.0, requires_grad=True)
    D.Gamma(shape, 2.0).rsample().sum().backward()
    flambeau.testing.assert_close(shape.grad.mean(), tensor(0.5), rtol=0.02, atol=0.0)
    both = tensor([2.0, 3.0], requires_grad=True)
    D.Beta(both[0].expand(20000), both[1]).rsample().mean().backward()
    # The mean is a / (a + b).
    flambeau.testing.assert_close(both.grad, tensor([3 / 25, -2 / 25]), rtol=0.05, atol=0.0)


def test_parameters_and_values_are_checked() -> None:
    with pytest.raises(ValueError, match="Expected parameter scale .* to satisfy the constraint"):
        D.Normal(0.0, tensor([1.0, -1.0]))
    with pytest.raises(ValueError, match="to be within the support"):
        D.Exponential(1.0).log_prob(tensor(-1.0))
    assert D.Exponential(1.0, validate_args=False).log_prob(tensor(-1.0)) == 1.0
    with pytest.raises(ValueError, match="Either `probs` or `logits`"):
        D.Bernoulli()
    with pytest.raises(NotImplementedError, match=r"No KL\(p \|\| q\) is implemented"):
        D.kl_divergence(D.Normal(0.0, 1.0), D.Categorical(tensor([0.5, 0.5])))


@pytest.mark.parametrize(
    "constraint",
    [
        D.constraints.real,
        D.constraints.positive,
        D.constraints.interval(-1.0, 3.0),
        D.constraints.less_than(2.0),
        D.constraints.simplex,
        D.constraints.corr_cholesky,
        D.constraints.independent(D.constraints.positive, 1),
    ],
)
def test_transforms_to_constraints(constraint: Any) -> None:
    x = flambeau.randn(4, 3, dtype=flambeau.float64, generator=flambeau.Generator().manual_seed(0))
    transform = D.biject_to(constraint)
    y = transform(x)
    assert constraint.check(y).all()
    flambeau.testing.assert_close(transform.inv(y), x)
    if constraint is D.constraints.corr_cholesky or constraint.event_dim:
        return
    slope = flambeau.autograd.functional.jacobian(lambda v: transform(v).sum(0), x).sum(1).sum(0)
    assert transform.log_abs_det_jacobian(x, y).shape == x.shape
    assert slope.shape == x.shape[1:]


def test_transforms_give_the_logarithm_of_their_slopes() -> None:
    x = flambeau.linspace(-2, 2, 9, dtype=flambeau.float64, requires_grad=True)
    for transform in (
        D.ExpTransform(), D.SigmoidTransform(), D.TanhTransform(), D.SoftplusTransform(),
        D.AffineTransform(1.0, -3.0), D.ComposeTransform([D.TanhTransform(), D.ExpTransform()]),
    ):  # fmt: skip
        y = transform(x)
        (slope,) = flambeau.autograd.grad(y.sum(), x)
        flambeau.testing.assert_close(transform.log_abs_det_jacobian(x, y), slope.abs().log())
