"""Gradients at NaN, infinities, zeros and ties, as PyTorch 2.7.1 gives them: eager and compiled."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan

import flambeau as torch
import pytest
from flambeau import Tensor


def gradients(function: Callable[..., Tensor], *inputs: list[float]) -> list[list[float]]:
    """Of the sum of the results, in both float dtypes, eager and compiled, which have to agree."""

    def run() -> list[list[Tensor]]:
        found = []
        for dtype in (torch.float32, torch.float64):
            leaves = [torch.tensor(x, dtype=dtype, requires_grad=True) for x in inputs]
            function(*leaves).sum().backward()
            found.append([leaf.grad for leaf in leaves])
        return found

    eager = run()
    single, double = eager
    for one, other in zip(single, double, strict=True):
        torch.testing.assert_close(one, other.float(), equal_nan=True)
    compiled = torch.compile(run)
    for _ in range(2):
        assert str([[x.tolist() for x in pair] for pair in compiled()]) == str(
            [[x.tolist() for x in pair] for pair in eager]
        )
    return [x.tolist() for x in double]


def assert_equal(got: list[float], wanted: list[float]) -> None:
    """Equal to the sign of zeros, with NaN equal to NaN."""
    assert str(got) == str(wanted)


def test_negative_powers() -> None:
    x = [0.0, -0.0, inf, -inf, nan, -2.0]
    for exponent in (-2, -2.0):
        (slope,) = gradients(lambda x, e=exponent: x**e, x)
        assert_equal(slope, [-inf, inf, -0.0, 0.0, nan, 0.25])
    (slope,) = gradients(lambda x: torch.pow(x, -0.5), [0.0, -0.0, inf, -inf, nan, 1.0, -1.0])
    assert_equal(slope, [-inf, -inf, -0.0, -0.0, nan, -0.5, nan])


@pytest.mark.parametrize("extreme", [torch.max, torch.min])
def test_nans_share_the_gradient_of_an_extreme_of_all(extreme: Callable[..., Tensor]) -> None:
    assert gradients(extreme, [nan, 1.0, nan]) == [[0.5, 0.0, 0.5]]
    assert gradients(extreme, [inf, nan, -inf]) == [[0.0, 1.0, 0.0]]
    assert gradients(extreme, [2.0, 2.0]) == [[0.5, 0.5]]


def test_atan2_at_the_origin() -> None:
    y, x = gradients(torch.atan2, [0.0, -0.0, 1.0, 0.0], [0.0, 0.0, 0.0, -1.0])
    assert_equal(y, [nan, nan, 0.0, -1.0])
    assert_equal(x, [nan, nan, -1.0, -0.0])


def test_a_quantile_that_is_nan_has_the_gradient_of_the_last_nan() -> None:
    for kind in ("linear", "lower", "higher", "midpoint", "nearest"):
        for q in (0.0, 0.3, 1.0):
            (slope,) = gradients(
                lambda x, q=q, kind=kind: torch.quantile(x, q, interpolation=kind),
                [1.0, nan, 2.0, nan],
            )
            assert slope == [0.0, 0.0, 0.0, 1.0]
    q = [0.25, 0.75]
    rows = [[nan, 1.0], [1.0, 2.0]]
    (slope,) = gradients(lambda x: torch.quantile(x, torch.tensor(q, dtype=x.dtype), 1), rows)
    assert slope == [[2.0, 0.0], [1.0, 1.0]]
    (slope,) = gradients(lambda x: torch.nanquantile(x, 0.5, 1), [[nan, nan], [1.0, nan]])
    assert slope == [[1.0, 0.0], [1.0, 0.0]]


def test_what_has_no_derivative_says_so() -> None:
    x = torch.tensor([1.0, 0.0], requires_grad=True)
    for result in (
        torch.heaviside(x, torch.tensor(0.5)),
        torch.heaviside(torch.zeros(2), x),
        torch.aminmax(x)[0],
        torch.aminmax(x, dim=0).max,
    ):
        with pytest.raises(RuntimeError, match="not implemented"):
            result.sum().backward()


def test_renorm_passes_gradients_of_slices_that_it_does_not_scale() -> None:
    rows = [[3.0, 4.0], [nan, 1.0], [0.0, 0.0], [0.1, 0.2]]
    for order in (0.5, 1.0, 2.0, 3.0, inf):
        (slope,) = gradients(lambda x, order=order: torch.renorm(x, order, 0, 1.0), rows)
        assert slope[1:] == [[1.0, 1.0]] * 3
    (slope,) = gradients(lambda x: torch.renorm(x, 2.0, 0, 1.0)[:, 0], rows)
    assert slope[0] == pytest.approx([0.128, -0.096], abs=1e-5)
