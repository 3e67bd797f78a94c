"""Places of values and of true elements, compared with NumPy's."""

from __future__ import annotations

import flambeau as torch
import numpy as np
import pytest

NAN = float("nan")


@pytest.mark.parametrize("right", [False, True])
@pytest.mark.parametrize("length", [0, 1, 2, 7, 64, 1000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.uint8])
def test_searchsorted(dtype, length, right):
    rng = np.random.default_rng(0)
    row = torch.from_numpy(np.sort(rng.integers(0, 200, length))).to(dtype)
    values = torch.from_numpy(rng.integers(0, 220, (3, 21))).to(dtype)
    want = np.searchsorted(row.numpy(), values.numpy(), "right" if right else "left")
    for as_int in (False, True):
        ours = torch.searchsorted(row, values, right=right, out_int32=as_int)
        assert ours.dtype == (torch.int32 if as_int else torch.int64)
        np.testing.assert_array_equal(ours.numpy(), want)
        ours = torch.bucketize(values, row, right=right, out_int32=as_int)
        np.testing.assert_array_equal(ours.numpy(), want)


def test_searchsorted_of_rows_and_numbers():
    rows = np.sort(np.random.default_rng(0).standard_normal((4, 33)).astype(np.float32))
    values = np.random.default_rng(1).standard_normal((4, 19)).astype(np.float32)
    want = np.stack([np.searchsorted(row, v) for row, v in zip(rows, values, strict=True)])
    ours = torch.searchsorted(torch.from_numpy(rows), torch.from_numpy(values))
    np.testing.assert_array_equal(ours.numpy(), want)
    halves = torch.from_numpy(rows[0]).bfloat16()
    np.testing.assert_array_equal(
        torch.searchsorted(halves, torch.from_numpy(values[0])).numpy(),
        np.searchsorted(halves.float().numpy(), values[0]),
    )
    assert int(torch.searchsorted(torch.tensor([1, 3, 5]), 3.5)) == 2


@pytest.mark.parametrize("right", [False, True])
def test_nan_comes_last(right):
    values = torch.tensor([NAN, 2.0, 5.0])
    plain = torch.searchsorted(torch.tensor([1.0, 2.0, 3.0]), values, right=right)
    assert plain.tolist() == [3, 2 if right else 1, 3]
    assert torch.bucketize(values, torch.tensor([1.0, 2.0, NAN]), right=right).tolist() == (
        [3, 3, 3] if right else [3, 1, 3]
    )


def test_long_integers_are_compared_exactly():
    row = torch.tensor([2**53, 2**53 + 1])
    assert torch.searchsorted(row, torch.tensor([2**53 + 1])).tolist() == [1]


SHAPES = [(), (1,), (7,), (3000,), (3, 1500), (5, 1, 2), (0, 3), (3, 0), (4, 5, 6)]


@pytest.mark.parametrize("dtype", [torch.bool, torch.float32, torch.bfloat16, torch.complex64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_nonzero(shape, dtype):
    mask = np.asarray(np.random.default_rng(0).random(shape) < 0.4)
    ours = torch.from_numpy(mask).to(dtype).nonzero().numpy()
    np.testing.assert_array_equal(ours, np.stack(mask.nonzero(), -1) if shape else ours)
    assert ours.shape == (mask.sum(), len(shape))


@pytest.mark.parametrize("dtype", [torch.bool, torch.int16, torch.float32, torch.complex128])
@pytest.mark.parametrize(
    "shapes",
    [((2100,), (2100,)), ((3, 40), (3, 40)), ((3, 40), (40,)), ((3, 40), (3, 1)), ((), (6,)),
     ((1, 5), (4, 1)), ((), ()), ((0, 4), (4,)), ((7, 1), (1,))],
    ids=str,
)  # fmt: skip
def test_masked_select(shapes, dtype):
    rng = np.random.default_rng(0)
    x = torch.from_numpy(np.asarray(rng.integers(0, 99, shapes[0]))).to(dtype)
    mask = np.asarray(rng.random(shapes[1]) < 0.5)
    ours = torch.masked_select(x, torch.from_numpy(mask))
    array, wide = np.broadcast_arrays(x.numpy(), mask)
    np.testing.assert_array_equal(ours.numpy(), array[wide])


def test_histc_counts_each_dtype():
    x = np.random.default_rng(0).standard_normal(5000)
    for dtype in (torch.float32, torch.float64):
        ours = torch.histc(torch.from_numpy(x).to(dtype), 7, -2, 2)
        np.testing.assert_array_equal(ours.numpy(), np.histogram(x, 7, (-2, 2))[0])


@pytest.mark.parametrize("dtype", [torch.bool, torch.int16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("right", [False, True])
def test_rows_that_a_sorter_sorts(dtype, right):
    rows = torch.tensor([[3, 1, 0, 1], [9, 0, 7, 7]]).to(dtype)
    values = torch.tensor([[1, 0, 2], [7, 9, 8]]).to(dtype)
    sorter = rows.float().argsort(-1)
    ordered = rows.gather(1, sorter)
    for function in (torch.searchsorted, torch.compile(torch.searchsorted)):
        ours = function(rows, values, sorter=sorter, right=right)
        assert ours.equal(torch.searchsorted(ordered, values, right=right))
        ours = function(rows[0], 1, sorter=sorter[0], right=right)
        assert ours.equal(torch.searchsorted(ordered[0], 1, right=right))


@pytest.mark.parametrize(
    ("sorter", "message"),
    [
        ([0, 1], r"must have the same size, but got boundary tensor \[3\] and got sorter"),
        ([0.0, 1.0, 2.0], "sorter must be a tensor of long dtype but got dtype float32"),
        ([0, 1, 3], "sorter index out of range"),
        ([0, 1, -1], "sorter index out of range"),
    ],
)
def test_sorters_that_are_refused(sorter, message):
    with pytest.raises(RuntimeError, match=message):
        torch.searchsorted(torch.ones(3), torch.ones(2), sorter=torch.tensor(sorter))
