"""Samples whose parameter differs from element to element."""

from __future__ import annotations

import flambeau as torch
import pytest


@pytest.mark.parametrize("rate", [float("nan"), -1.0])
def test_poisson_refuses_what_is_no_rate(rate: float) -> None:
    rates = torch.tensor([1.0, rate])
    with pytest.raises(RuntimeError, match="poisson: .*expected rate to be non-negative"):
        torch.poisson(rates)


def test_poisson_of_the_ends() -> None:
    torch.manual_seed(0)
    assert torch.poisson(torch.tensor([0.0, float("inf")])).tolist() == [0.0, float("inf")]
    for rate in (0.5, 4.0, 30.0):
        drawn = torch.poisson(torch.full((20000,), rate))
        assert abs(drawn.mean().item() - rate) < 0.05 * rate
        assert abs(drawn.var().item() - rate) < 0.08 * rate


def test_gamma_of_what_is_no_shape_ends() -> None:
    """As PyTorch, which does not look."""
    odd = torch.tensor([float("nan"), -1.0, 0.0], dtype=torch.float64)
    assert torch._standard_gamma(odd).tolist() == [torch.finfo(torch.float64).tiny] * 3
