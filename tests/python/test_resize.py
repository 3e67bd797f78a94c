"""Images of another size, read at places, and their patches: against PyTorch's definitions written out."""

from __future__ import annotations

import flambeau
import flambeau.nn.functional as F
import numpy as np
import pytest


def image(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def linear_at(row: np.ndarray, place: float) -> float:
    low = min(int(np.floor(place)), len(row) - 1)
    high = min(low + 1, len(row) - 1)
    return row[low] + (row[high] - row[low]) * (place - low)


@pytest.mark.parametrize("align", [False, True])
def test_linear(align: bool) -> None:
    row = image(5)
    got = F.interpolate(
        flambeau.from_numpy(row.reshape(1, 1, 5)), 8, mode="linear", align_corners=align
    )
    places = [o * 4 / 7 if align else max((o + 0.5) * 5 / 8 - 0.5, 0.0) for o in range(8)]
    np.testing.assert_allclose(got.numpy().ravel(), [linear_at(row, p) for p in places], rtol=1e-6)


def test_nearest_and_area() -> None:
    row = np.arange(6.0).reshape(1, 1, 6)
    x = flambeau.from_numpy(row)
    assert F.interpolate(x, 4).tolist() == [[[0, 1, 3, 4]]]
    assert F.interpolate(x, 4, mode="nearest-exact").tolist() == [[[0, 2, 3, 5]]]
    assert F.interpolate(x, 3, mode="area").tolist() == [[[0.5, 2.5, 4.5]]]
    assert F.interpolate(x, scale_factor=0.5).tolist() == [[[0, 2, 4]]]


def test_bytes_are_rounded_and_bounded() -> None:
    """PyTorch 2.7.1's numbers."""
    x = flambeau.tensor([[0, 10, 255], [100, 37, 3]], dtype=flambeau.uint8)[None, None]
    larger = F.interpolate(x, (3, 4), mode="bilinear", align_corners=True)
    assert larger.dtype == flambeau.uint8
    assert larger.tolist() == [[[[0, 7, 92, 255], [50, 33, 59, 129], [100, 58, 26, 3]]]]
    wide = F.interpolate(x, (2, 5), mode="bicubic")
    assert wide.tolist() == [[[[0, 0, 10, 161, 255], [106, 78, 37, 12, 0]]]]


def test_patches_of_complex_images() -> None:
    real = flambeau.arange(25.0).reshape(1, 1, 5, 5)
    image = flambeau.complex(real, real * 2).requires_grad_()
    patches = F.unfold(image, 2, padding=1)
    expected = F.unfold(real, 2, padding=1)
    assert patches.detach().real.equal(expected) and patches.detach().imag.equal(expected * 2)
    patches.real.sum().backward()
    assert image.grad is not None and image.grad[0, 0].real.tolist() == [[4.0] * 5] * 5


def test_a_grid_at_the_pixels_reads_the_pixels() -> None:
    x = flambeau.from_numpy(image(1, 2, 3, 4))
    ys, xs = flambeau.meshgrid(
        flambeau.linspace(-1, 1, 3, dtype=flambeau.float64),
        flambeau.linspace(-1, 1, 4, dtype=flambeau.float64),
        indexing="ij",
    )
    grid = flambeau.stack([xs, ys], -1).unsqueeze(0)
    for mode in ("bilinear", "nearest", "bicubic"):
        got = F.grid_sample(x, grid, mode, align_corners=True)
        np.testing.assert_allclose(got.numpy(), x.numpy(), atol=1e-12)
    outside = F.grid_sample(x, grid + 5, align_corners=True)
    assert outside.abs().max().item() == 0
    border = F.grid_sample(x, grid + 5, padding_mode="border", align_corners=True)
    np.testing.assert_allclose(border.numpy(), np.broadcast_to(x.numpy()[..., -1:, -1:], x.shape))


def test_patches_multiply_to_a_convolution() -> None:
    x, weight = image(2, 3, 5, 6), image(4, 3, 2, 3, seed=1)
    columns = F.unfold(flambeau.from_numpy(x), (2, 3), padding=1)
    got = flambeau.from_numpy(weight.reshape(4, -1)) @ columns
    expected = F.conv2d(flambeau.from_numpy(x), flambeau.from_numpy(weight), padding=1)
    np.testing.assert_allclose(got.numpy(), expected.reshape(2, 4, -1).numpy(), atol=1e-12)


def test_adaptive_maxima() -> None:
    row = image(1, 1, 7)
    values, places = F.adaptive_max_pool1d(flambeau.from_numpy(row), 3, return_indices=True)
    windows = [row[0, 0, o * 7 // 3 : -(-(o + 1) * 7 // 3)] for o in range(3)]
    assert values.tolist() == [[[w.max() for w in windows]]]
    assert row[0, 0][places.numpy().ravel()].tolist() == values.numpy().ravel().tolist()
