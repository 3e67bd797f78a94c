"""Sorting and order statistics against NumPy, on rows long enough for every way to sort."""

from __future__ import annotations

import flambeau as torch
import numpy as np
import pytest

DTYPES = [
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32,
    torch.int16, torch.int8, torch.uint8, torch.bool,
]  # fmt: skip
LENGTHS = [1, 2, 127, 128, 129, 1000, 5000]


def rows(dtype: torch.dtype, n: int, special: bool = True) -> torch.Tensor:
    rng = np.random.default_rng(n)
    if dtype.is_floating_point:
        x = torch.tensor(rng.standard_normal((3, n)) * 50).to(dtype)
        if special and n > 100:
            for row, value in enumerate([float("nan"), float("inf"), -float("inf"), -0.0, 0.0] * 3):
                x[row % 3, (row * 37) % n] = value
        return x
    x = torch.tensor(rng.integers(-(2**40), 2**40, (3, n)))
    return (x % 5 == 0) if dtype == torch.bool else x.to(dtype)


def as_numpy(x: torch.Tensor) -> np.ndarray:
    return (x.double() if x.dtype.is_floating_point else x).numpy()


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_sort_is_numpys_stable_one(dtype: torch.dtype, n: int) -> None:
    x = rows(dtype, n)
    want = np.argsort(as_numpy(x), axis=1, kind="stable")
    values, places = x.sort(dim=1)
    assert (places.numpy() == want).all()
    assert torch.equal(values.nan_to_num(), x.gather(1, places).nan_to_num())
    assert (x.t().contiguous().argsort(dim=0).numpy() == want.T).all()
    assert (x[0].msort().isnan() == values[0].isnan()).all()


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_descending_keeps_the_order_of_equal_elements(dtype: torch.dtype, n: int) -> None:
    x = rows(dtype, n)
    numbers = as_numpy(x)
    # Rank of each element among the different ones; NaN is the greatest.
    ranks = np.stack([np.unique(row, return_inverse=True)[1] for row in numbers])
    want = np.argsort(-ranks, axis=1, kind="stable")
    assert (x.sort(dim=1, descending=True)[1].numpy() == want).all()
    for k in {0, 1, n // 10, n // 3, n}:
        if dtype == torch.bool:
            continue
        values, places = x.topk(k, dim=1)
        assert (places.numpy() == want[:, :k]).all()
        assert torch.equal(values.nan_to_num(), x.gather(1, places).nan_to_num())


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("dtype", DTYPES[:-1], ids=str)
def test_elements_of_the_order(dtype: torch.dtype, n: int) -> None:
    x = rows(dtype, n, special=False)
    order = np.sort(as_numpy(x), axis=1)
    for k in {1, n // 2 + 1, n}:
        assert (as_numpy(x.kthvalue(k, 1)[0]) == order[:, k - 1]).all()
    value, place = x.median(1)
    assert (as_numpy(value) == order[:, (n - 1) // 2]).all()
    assert (as_numpy(x.gather(1, place[:, None]))[:, 0] == as_numpy(value)).all()
    assert as_numpy(x.median()) == np.sort(as_numpy(x), axis=None)[(3 * n - 1) // 2]


def test_medians_and_nan() -> None:
    nan = float("nan")
    x = torch.tensor([[3.0, nan, 1.0, nan, 2.0, 7.0], [nan] * 6, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])
    value, place = x.median(1)
    assert place.tolist() == [1, 0, 2] and value.isnan().tolist() == [True, True, False]
    value, place = x.nanmedian(1)
    assert place.tolist() == [4, 0, 2] and value.isnan().tolist() == [False, True, False]


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_unique(dtype: torch.dtype, n: int) -> None:
    x = rows(dtype, n, special=False)
    want = np.unique(as_numpy(x), return_inverse=True, return_counts=True)
    got = torch.unique(x, return_inverse=True, return_counts=True)
    assert (as_numpy(got[0]) == want[0]).all()
    assert (got[1].numpy().ravel() == want[1].ravel()).all()
    assert (got[2].numpy() == want[2]).all()


def test_every_nan_is_unique_and_zeros_are_one() -> None:
    x = torch.tensor([float("nan"), 0.0, -0.0, float("nan"), 1.0])
    _, inverse, counts = torch.unique(x, return_inverse=True, return_counts=True)
    assert counts.tolist() == [2, 1, 1, 1]
    assert inverse.tolist() == [2, 0, 0, 3, 1]
