"""What operations give at NaN, infinities, poles and the like, as PyTorch does."""

from __future__ import annotations

from math import inf, isnan, nan

import flambeau as torch
import flambeau.nn.functional as F
import pytest


def test_the_distance_of_order_minus_infinity_is_the_smallest_difference() -> None:
    x, y = torch.tensor([[1.0, 2.0], [nan, 2.0]]), torch.tensor([[1.5, 0.0], [1.0, 0.0]])
    near, unknown = F.pairwise_distance(x, y, p=-inf, eps=0.0).tolist()
    assert near == 0.5
    assert isnan(unknown)


def test_hypot_is_infinite_if_a_side_is() -> None:
    sides = torch.tensor([inf, -inf, nan, nan])
    assert torch.hypot(sides, torch.tensor([nan, nan, inf, -inf])).tolist() == [inf] * 4
    assert isnan(torch.hypot(torch.tensor(nan), torch.tensor(0.0)).item())


def test_clamp_passes_no_gradient_to_nan() -> None:
    for limited in (
        lambda x, low, high: x.clamp(0.0, 1.0),
        lambda x, low, high: x.clamp(min=0.0) - (x.clamp_min(0.0) - x.clamp_max(1.0)),
        lambda x, low, high: torch.clamp(x, low, high),
        lambda x, low, high: torch.clamp_min(x, low) + torch.clamp_max(x, high),
    ):
        x = torch.tensor([nan, 0.5], requires_grad=True)
        limited(x, torch.zeros(2), torch.ones(2)).sum().backward()
        assert x.grad is not None
        assert x.grad[0] == 0
        assert x.grad[1] > 0


def test_gradients_of_bounds_that_are_nan_or_cross() -> None:
    x, low, high = torch.tensor([[0.5, 0.5, 2.0], [nan, 2.0, 1.0], [1.0, 1.0, nan]]).unbind()
    inputs = [t.clone().requires_grad_() for t in (x, low, high)]
    torch.clamp(*inputs).sum().backward()
    assert [t.grad.tolist() for t in inputs] == [[0, 0, 0], [0, 0, 0], [0, 1, 0]]


def test_powers_of_one_half_are_roots() -> None:
    x = torch.tensor([-inf, -0.0, 4.0])
    for root in (torch.float_power(x, 0.5), x.double().float_power_(0.5), torch.pow(x, 0.5)):
        assert isnan(root[0].item())
        assert root[1:].tolist() == [0.0, 2.0]
    assert isnan(torch.float_power(x, -0.5)[0].item())
    assert torch.float_power(x, torch.full((3,), 0.5))[0] == inf


def test_polygamma_at_poles_and_below_0() -> None:
    x = torch.tensor([1.0, -0.5, 0.0, -2.0, inf, nan])
    slope = torch.polygamma(1, x).tolist()
    assert slope[:2] == pytest.approx([1.6449340668, 8.9348022005])
    assert slope[2:5] == [inf, inf, 0.0]
    assert isnan(slope[5])
    bend = torch.special.polygamma(2, x).tolist()
    assert bend[:2] == pytest.approx([-2.4041138063, -0.8287966442])
    assert bend[2:4] == [-inf, -inf]
    assert x.polygamma(0)[0].item() == pytest.approx(-0.5772156649)
    assert torch.tensor([2]).polygamma(1).item() == pytest.approx(0.6449340668)


def test_the_gradient_of_polygamma_is_the_next() -> None:
    x = torch.tensor([0.5, 2.5, -0.5], requires_grad=True)
    for n in (0, 1, 20):
        (gradient,) = torch.autograd.grad(torch.polygamma(n, x).sum(), x)
        if n < 20:
            assert gradient.tolist() == pytest.approx(torch.polygamma(n + 1, x).tolist())


def test_norms_of_nothing_are_refused_where_they_have_no_value() -> None:
    x = torch.zeros(2, 0)
    for order in (inf, -inf, -1):
        for norm in (
            lambda p: torch.linalg.vector_norm(x, p),
            lambda p: torch.linalg.vector_norm(x, p, dim=1),
            lambda p: torch.norm(x, p, dim=-1),
            lambda p: torch.dist(x, x, p),
            lambda p: F.pairwise_distance(x, x, p=p),
        ):
            with pytest.raises(RuntimeError, match="because this dimension is empty"):
                norm(order)
        assert torch.linalg.vector_norm(x, order, dim=0).shape == (0,)
    assert torch.linalg.vector_norm(x, 2, dim=1).tolist() == [0, 0]
    assert torch.cdist(x, x, inf).tolist() == [[0, 0], [0, 0]]


def test_the_condition_of_an_empty_matrix_is_0() -> None:
    assert torch.linalg.cond(torch.zeros(2, 0, 0)).tolist() == [0, 0]
    assert torch.linalg.cond(torch.zeros(0, 3, dtype=torch.complex64)).dtype == torch.float32
    assert torch.linalg.cond(torch.zeros(0, 2, 2), 1).shape == (0,)


def test_multiples_of_logarithms_and_their_gradients() -> None:
    a = torch.tensor([0.0, 0.0, 0.0, 1.0, 2.0], requires_grad=True)
    b = torch.tensor([inf, 0.5, -2.0, inf, 0.5], requires_grad=True)
    for function, log, shift in (
        (torch.xlogy, torch.log, 0),
        (torch.special.xlog1py, torch.log1p, 1),
    ):
        product = function(a, b)
        assert product[:4].tolist() == [0, 0, 0, inf]
        slopes = torch.autograd.grad(product, (a, b), torch.ones(5))
        logarithm = log(b.detach()[1]).item()
        assert slopes[0].tolist() == [inf, logarithm, 0, inf, logarithm]
        assert slopes[1].tolist() == pytest.approx([0, 0, 0, 0, 2 / (0.5 + shift)])
    (slope,) = torch.autograd.grad(torch.xlogy(a, 0.5).sum(), a)
    assert slope.tolist() == pytest.approx([torch.tensor(0.5).log().item()] * 5)


def test_logaddexp2_has_a_slope_at_infinity() -> None:
    x = torch.tensor([inf, 0.0, -inf], requires_grad=True)
    y = torch.tensor([1.0, inf, 1.0], requires_grad=True)
    slopes = torch.autograd.grad(torch.logaddexp2(x, y).sum(), (x, y))
    assert [slope.tolist() for slope in slopes] == [[1, 0, 0], [0, 1, 1]]


def test_activations_pass_gradients_of_nan_as_of_positive_numbers() -> None:
    x = torch.tensor([nan, 1.0], requires_grad=True)
    for activation in (F.elu, F.selu, F.celu):
        (gradient,) = torch.autograd.grad(activation(x).sum(), x)
        assert gradient[0] == gradient[1] > 0
    y = F.hardsigmoid(x)
    assert isnan(y[0].item())
    assert torch.autograd.grad(y.sum(), x)[0].tolist() == pytest.approx([0, 1 / 6])


def test_what_results_do_not_depend_on_gets_zeros() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    for constant in (
        lambda: x.pow(0),
        lambda: torch.copysign(torch.ones(2), x),
        lambda: x.clone().fill_(1),
        lambda: x.clone().zero_(),
        lambda: x.clone().normal_(),
        lambda: x.clone().uniform_(),
        lambda: x.clone().bernoulli_(0.5),
        lambda: torch.addmm(x, torch.ones(1, 2), torch.ones(2, 2), beta=0),
    ):
        assert torch.autograd.grad(constant().sum(), x)[0].tolist() == [0, 0]


def test_logit_and_entr_have_slopes_at_their_poles_and_none_outside() -> None:
    x = torch.tensor([0.0, 1.0, 0.25, 2.0, -1.0], requires_grad=True)
    (slope,) = torch.autograd.grad(torch.logit(x).sum(), x)
    assert slope[:3].tolist() == [inf, inf, pytest.approx(16 / 3)]
    assert slope[3:].isnan().all()
    (slope,) = torch.autograd.grad(torch.logit(x, eps=0.1).sum(), x)
    assert slope.tolist() == [0, 0, pytest.approx(16 / 3), 0, 0]
    (slope,) = torch.autograd.grad(torch.special.entr(x).sum(), x)
    assert slope[:2].tolist() == [inf, -1]
    assert isnan(slope[4].item())


def test_sinc_is_flat_close_to_0() -> None:
    x = torch.logspace(-30, -9, 50, dtype=torch.float64).requires_grad_()
    factors = torch.linspace(0.1, 0.9, 50, dtype=torch.float64)
    (slope,) = torch.autograd.grad(torch.sinc(x), x, factors)
    assert slope.abs().max() < 1e-6
    x = torch.tensor([0.0, 0.5], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(torch.sinc(x).sum(), x)
    assert slope.tolist() == pytest.approx([0, -1.2732395447])


def test_zeta_below_0_and_of_infinite_order() -> None:
    order, offset = torch.tensor([3.0, 2.0, inf, inf]), torch.tensor([-1.5, -20.25, 1.0, 2.0])
    zeta = torch.special.zeta(order, offset).tolist()
    assert zeta == pytest.approx([0.1181020215, 19.6910247803, 1, 0])


def test_places_that_are_nan_are_read_as_the_least() -> None:
    image = torch.arange(6.0).reshape(1, 1, 2, 3)
    grid = torch.tensor([[[[nan, nan], [-1.0, -1.0]]]])
    for padding in ("border", "reflection"):
        for mode in ("bilinear", "nearest"):
            read = F.grid_sample(image, grid, mode=mode, padding_mode=padding, align_corners=True)
            assert read.tolist() == [[[[0, 0]]]]
    far = F.grid_sample(image, grid * inf, padding_mode="reflection", align_corners=True)
    assert far.tolist() == [[[[0, 0]]]]


def test_scatter_takes_indices_of_no_elements_and_numbers_to_combine() -> None:
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    nothing, places = torch.tensor([], dtype=torch.int64), torch.tensor([[1, 0]])
    assert torch.equal(torch.scatter(x, 0, nothing, 5.0), x)
    assert torch.equal(torch.scatter_add(x, 0, nothing, torch.zeros(0)), x)
    assert torch.scatter(x, 0, places, 2, reduce="multiply").tolist() == [[1, 4], [6, 4]]
    assert x.scatter_(0, places, 0.5, reduce="add").tolist() == [[1, 2.5], [3.5, 4]]


def test_both_parts_of_complex_numbers_are_made_finite() -> None:
    x = torch.tensor([complex(nan, inf), complex(-inf, 2)])
    largest = torch.finfo(torch.float32).max
    assert x.nan_to_num().tolist() == [complex(0, largest), complex(-largest, 2)]
    assert x.nan_to_num(1, 2, 3).tolist() == [complex(1, 2), complex(3, 2)]
