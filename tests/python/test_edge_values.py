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
