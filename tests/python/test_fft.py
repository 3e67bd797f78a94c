"""fft.*: values are NumPy's, gradients those of finite differences."""

from __future__ import annotations

import flambeau as torch
import numpy as np
import pytest

LENGTHS = [1, 2, 5, 8, 64, 67, 96, 130, 257, 521, 4096]


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.complex64, 2e-4), (np.complex128, 1e-10)])
def test_complex_transforms(n, dtype, tolerance):
    random = np.random.default_rng(n)
    array = (random.standard_normal((3, n)) + 1j * random.standard_normal((3, n))).astype(dtype)
    x = torch.from_numpy(array)
    scale = tolerance * n**0.5
    forward = torch.fft.fft(x)
    assert forward.numpy().dtype == dtype
    np.testing.assert_allclose(forward.numpy(), np.fft.fft(array), atol=scale)
    np.testing.assert_allclose(torch.fft.ifft(forward).numpy(), array, atol=tolerance)
    by_column = torch.fft.fft(x.t().contiguous(), dim=0)
    np.testing.assert_allclose(by_column.numpy(), np.fft.fft(array).T, atol=scale)


@pytest.mark.parametrize("n", [2, 5, 8, 67, 96, 521])
def test_real_transforms(n):
    array = np.random.default_rng(n).standard_normal((2, n))
    x = torch.from_numpy(array)
    half = torch.fft.rfft(x)
    np.testing.assert_allclose(half.numpy(), np.fft.rfft(array), atol=1e-11)
    np.testing.assert_allclose(torch.fft.irfft(half, n).numpy(), array, atol=1e-12)
    np.testing.assert_allclose(torch.fft.ihfft(x).numpy(), np.fft.ihfft(array), atol=1e-12)
    np.testing.assert_allclose(
        torch.fft.hfft(half, n).numpy(), np.fft.hfft(half.numpy(), n), atol=1e-10
    )


@pytest.mark.parametrize("norm", [None, "backward", "ortho", "forward"])
def test_several_axes_and_norms(norm):
    array = np.random.default_rng(0).standard_normal((3, 4, 6))
    x = torch.from_numpy(array)
    np.testing.assert_allclose(
        torch.fft.fft2(x, norm=norm).numpy(), np.fft.fft2(array, norm=norm), atol=1e-12
    )
    np.testing.assert_allclose(
        torch.fft.fftn(x, (2, 8), norm=norm).numpy(),
        np.fft.fftn(array, (2, 8), axes=(1, 2), norm=norm),
        atol=1e-12,
    )
    half = torch.fft.rfftn(x, dim=(0, 2), norm=norm)
    np.testing.assert_allclose(
        half.numpy(), np.fft.rfftn(array, axes=(0, 2), norm=norm), atol=1e-12
    )
    np.testing.assert_allclose(
        torch.fft.irfftn(half, (3, 6), (0, 2), norm=norm).numpy(), array, atol=1e-12
    )


def test_gradient_of_a_spectrum():
    x = torch.tensor([1.0, -2.0, 0.5, 3.0, 1.5], dtype=torch.float64, requires_grad=True)
    torch.fft.rfft(x).abs().square().sum().backward()
    # |X_0|^2 + |X_1|^2 + |X_2|^2 = (n sum x^2 + (sum x)^2) / 2, by Parseval.
    np.testing.assert_allclose(
        x.grad.numpy(), (5 * x.detach() + x.detach().sum()).numpy(), rtol=1e-12
    )


def test_shifts_and_frequencies():
    for n in (4, 5):
        np.testing.assert_allclose(torch.fft.fftfreq(n, 0.5).numpy(), np.fft.fftfreq(n, 0.5))
        np.testing.assert_allclose(torch.fft.rfftfreq(n).numpy(), np.fft.rfftfreq(n))
        array = np.arange(2 * n).reshape(2, n)
        x = torch.from_numpy(array)
        np.testing.assert_array_equal(torch.fft.fftshift(x).numpy(), np.fft.fftshift(array))
        np.testing.assert_array_equal(
            torch.fft.ifftshift(x, dim=1).numpy(), np.fft.ifftshift(array, axes=1)
        )


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda x: torch.fft.fft(x, 0), RuntimeError, "Invalid number of data points"),
        (lambda x: torch.fft.fft(x, dim=3), IndexError, "out of range"),
        (lambda x: torch.fft.fft(x, norm="most"), RuntimeError, "Invalid normalization mode"),
        (lambda x: torch.fft.rfft(x * 1j), RuntimeError, "expects a real input"),
        (lambda x: torch.fft.fftn(x, (1, 2, 3)), RuntimeError, "input tensor only has"),
        (lambda x: torch.fft.fft2(x, (2,), (0, 1)), RuntimeError, "same length"),
        (lambda x: torch.fft.fft2(x, dim=(0, 0)), RuntimeError, "multiple times"),
    ],
)
def test_refusals(call, error, text):
    with pytest.raises(error, match=text):
        call(torch.ones(2, 3))


def test_a_number_has_no_axis_to_transform():
    for call in (torch.fft.fft, torch.fft.ihfft, lambda x: torch.fft.ihfftn(x, dim=(0,))):
        with pytest.raises(IndexError, match="tensor has no dimensions"):
            call(torch.tensor(1.0))


def test_istft_of_both_sides_reads_the_first() -> None:
    torch.manual_seed(0)
    spectrum = torch.randn(10, 3, dtype=torch.complex64)  # no conjugates of each other
    both = torch.istft(spectrum, 10)
    assert torch.allclose(both, torch.istft(spectrum[:6], 10), atol=1e-6)
