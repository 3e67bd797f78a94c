"""Convolutions of any geometry against their definition, and their gradients as its adjoint."""

from __future__ import annotations

import itertools

import flambeau
import flambeau.nn.functional as F
import numpy as np
import pytest

# channels in and out a group, groups, sizes, kernel, stride, padding, dilation
GEOMETRIES = [
    (1, 1, 1, (5,), (2,), (1,), (0,), (1,)),
    (3, 20, 1, (37,), (3,), (1,), (1,), (1,)),
    (2, 3, 3, (23,), (3,), (2,), (2,), (2,)),
    (3, 4, 1, (7, 9), (3, 3), (1, 1), (1, 1), (1, 1)),
    (5, 70, 1, (9, 19), (3, 2), (2, 1), (1, 0), (1, 2)),
    (1, 1, 6, (8, 8), (3, 3), (2, 2), (1, 1), (1, 1)),
    (1, 1, 5, (7, 40), (3, 3), (1, 1), (1, 1), (1, 1)),
    (1, 1, 4, (19,), (5,), (1,), (2,), (2,)),
    (1, 1, 3, (4, 5, 6), (2, 3, 1), (1, 2, 1), (0, 1, 0), (2, 1, 1)),
    (2, 3, 2, (6, 5), (1, 1), (1, 1), (0, 0), (1, 1)),
    (2, 3, 2, (6, 5), (1, 1), (2, 3), (1, 0), (1, 1)),
    (40, 2, 1, (5, 6), (3, 3), (1, 1), (2, 2), (1, 1)),
    (2, 3, 1, (4, 5, 6), (2, 3, 1), (1, 2, 1), (0, 1, 0), (2, 1, 1)),
]


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape)


def convolve(x, w, stride, padding, dilation, groups):
    rank = w.ndim - 2
    x = np.pad(x, [(0, 0), (0, 0), *[(p, p) for p in padding]])
    count = [
        (x.shape[i + 2] - dilation[i] * (w.shape[i + 2] - 1) - 1) // stride[i] + 1
        for i in range(rank)
    ]
    y = np.zeros((x.shape[0], w.shape[0], *count))
    inputs, outputs = x.shape[1] // groups, w.shape[0] // groups
    for g, k in itertools.product(range(groups), np.ndindex(w.shape[2:])):
        window = tuple(
            slice(
                k[i] * dilation[i], k[i] * dilation[i] + (count[i] - 1) * stride[i] + 1, stride[i]
            )
            for i in range(rank)
        )
        seen = x[(slice(None), slice(g * inputs, (g + 1) * inputs), *window)]
        own = slice(g * outputs, (g + 1) * outputs)
        y[:, own] += np.moveaxis(np.tensordot(w[(own, slice(None), *k)], seen, ([1], [1])), 0, 1)
    return y


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("transposed", [False, True])
def test_values_and_gradients(geometry, transposed: bool) -> None:
    inputs, outputs, groups, sizes, kernel, stride, padding, dilation = geometry
    rank = len(sizes)
    name = f"conv_transpose{rank}d" if transposed else f"conv{rank}d"
    args = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    source = random(2, inputs * groups, *sizes)
    weight = random(outputs * groups, inputs, *kernel)
    image = convolve(source, weight, stride, padding, dilation, groups)
    if transposed:
        # What the padding and the stride leave out of the image.
        args["output_padding"] = tuple(
            sizes[i]
            - (image.shape[i + 2] - 1) * stride[i]
            + 2 * padding[i]
            - dilation[i] * (kernel[i] - 1)
            - 1
            for i in range(rank)
        )
    given = random(*image.shape) if transposed else source
    x = flambeau.tensor(given, requires_grad=True)
    w = flambeau.tensor(weight, requires_grad=True)
    b = flambeau.tensor(random((inputs if transposed else outputs) * groups))
    b.requires_grad_()
    y = getattr(F, name)(x, w, b, **args)
    g = random(*y.shape)
    y.backward(flambeau.tensor(g))
    bias = b.detach().numpy().reshape(1, -1, *[1] * rank)
    if not transposed:
        np.testing.assert_allclose(y.detach().numpy(), image + bias, rtol=1e-10, atol=1e-10)
    # A map is its own derivative: the pairing of g with it is that of the gradient with x.
    pairing = (g * (y.detach().numpy() - bias)).sum()
    np.testing.assert_allclose((x.grad.numpy() * given).sum(), pairing, rtol=1e-9)
    np.testing.assert_allclose((w.grad.numpy() * weight).sum(), pairing, rtol=1e-9)
    np.testing.assert_allclose(b.grad.numpy(), g.sum((0, *range(2, rank + 2))), rtol=1e-9)
    other = random(*weight.shape)
    moved = convolve(g if transposed else given, other, stride, padding, dilation, groups)
    wanted = (moved * (given if transposed else g)).sum()
    np.testing.assert_allclose((w.grad.numpy() * other).sum(), wanted, rtol=1e-8)
    if transposed:
        back = convolve(g, weight, stride, padding, dilation, groups)
        np.testing.assert_allclose(x.grad.numpy(), back, rtol=1e-9, atol=1e-10)
    else:
        elsewhere = random(*given.shape[::-1]).reshape(given.shape)
        moved = convolve(elsewhere, weight, stride, padding, dilation, groups)
        np.testing.assert_allclose((x.grad.numpy() * elsewhere).sum(), (moved * g).sum(), rtol=1e-8)


def test_the_gradients_have_gradients() -> None:
    x = flambeau.randn(1, 2, 4, 5, dtype=flambeau.float64, requires_grad=True)
    w = flambeau.randn(4, 1, 2, 3, dtype=flambeau.float64, requires_grad=True)
    f = lambda x, w: F.conv2d(x, w, stride=(2, 1), padding=1, groups=2)  # noqa: E731
    assert flambeau.autograd.gradgradcheck(f, (x, w))
    t = lambda x, w: F.conv_transpose2d(x, w, stride=(2, 1), padding=1)  # noqa: E731
    w = flambeau.randn(2, 1, 2, 3, dtype=flambeau.float64, requires_grad=True)
    assert flambeau.autograd.gradgradcheck(t, (x, w))


@pytest.mark.parametrize("dtype", [flambeau.float32, flambeau.float64, flambeau.float16])
def test_a_channel_of_its_own_has_the_bits_of_a_product(dtype: flambeau.dtype) -> None:
    x = flambeau.tensor(random(2, 3, 9, 37)).to(dtype)
    w = flambeau.tensor(random(3, 1, 5, 3)).to(dtype)
    apart = F.conv2d(x, w, padding=(2, 1), stride=(2, 1), groups=3)
    for c in range(3):
        twice = F.conv2d(x[:, c : c + 1], w[[c, c]], padding=(2, 1), stride=(2, 1))
        assert flambeau.equal(apart[:, c], twice[:, 1])
