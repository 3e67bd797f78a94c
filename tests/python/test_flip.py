"""Operands that are read backwards, and sums that scatter along rows, compared with NumPy's."""

from __future__ import annotations

import itertools

import flambeau as torch
import numpy as np
import pytest

SHAPES = [(5,), (70,), (3, 67), (40, 100), (33, 65, 3), (2, 3, 130), (64, 64)]
DTYPES = [torch.float32, torch.float64, torch.bool, torch.int8, torch.int16, torch.int64]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_flip_and_rot90(shape, dtype):
    x = torch.arange(int(np.prod(shape))).reshape(shape).remainder(101).to(dtype)
    array = x.numpy()
    axes = range(len(shape))
    for count in range(1, len(shape) + 1):
        for dims in itertools.combinations(axes, count):
            np.testing.assert_array_equal(x.flip(dims).numpy(), np.flip(array, dims))
    for k, plane in itertools.product(range(4), itertools.permutations(axes, 2)):
        np.testing.assert_array_equal(torch.rot90(x, k, plane).numpy(), np.rot90(array, k, plane))
    turned = x.permute(*reversed(axes))
    for axis in axes:
        np.testing.assert_array_equal(turned.flip(axis).numpy(), np.flip(array.T, axis))


def test_a_sum_of_what_is_read_backwards_has_its_own_order():
    x = torch.randn(37, 1500)
    flipped = x.flip(1)
    assert torch.equal(torch.compile(lambda x: x.flip(1).sum(1))(x), flipped.sum(1))


@pytest.mark.parametrize("dim", [0, 1, 2])
def test_scatter_add_along_each_axis(dim):
    rng = np.random.default_rng(0)
    source = rng.integers(-9, 9, (7, 50, 41)).astype(np.float32)
    index = rng.integers(0, 7, source.shape)
    want = np.zeros_like(source)
    at = list(np.indices(source.shape))
    at[dim] = index
    np.add.at(want, tuple(at), source)
    ours = torch.zeros(source.shape).scatter_add(
        dim, torch.from_numpy(index), torch.from_numpy(source)
    )
    np.testing.assert_array_equal(ours.numpy(), want)
