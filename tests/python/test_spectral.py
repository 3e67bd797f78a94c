"""Windows, stft and istft, with PyTorch 2.7.1's numbers."""

from __future__ import annotations

import flambeau as torch
import pytest

WINDOWS = {
    "hann": [0.0, 0.3455, 0.9045, 0.9045, 0.3455],
    "hamming": [0.08, 0.3979, 0.9121, 0.9121, 0.3979],
    "blackman": [0.0, 0.2008, 0.8492, 0.8492, 0.2008],
    "bartlett": [0.0, 0.4, 0.8, 0.8, 0.4],
}


@pytest.mark.parametrize("name", WINDOWS)
def test_windows(name):
    make = getattr(torch, f"{name}_window")
    assert make(5).tolist() == pytest.approx(WINDOWS[name], abs=1e-4)
    other = getattr(torch.signal.windows, name)
    assert torch.allclose(make(8, False), other(8), atol=1e-6)
    assert make(1).tolist() == [1] and make(0).shape == (0,)
    assert make(4, dtype=torch.float64, requires_grad=True).requires_grad
    with pytest.raises(RuntimeError, match="non-negative"):
        make(-1)


def test_kaiser_window():
    wanted = torch.signal.windows.kaiser(9, beta=12.0)
    assert torch.allclose(torch.kaiser_window(9, False), wanted, atol=1e-6)


@pytest.mark.parametrize("onesided", [True, False])
@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize("length", [None, 97, 100])
def test_istft_gives_the_signal_back(onesided, normalized, length):
    torch.manual_seed(0)
    x = torch.randn(2, 100, dtype=torch.float64)
    options = {
        "window": torch.hann_window(16, dtype=torch.float64),
        "onesided": onesided,
        "normalized": normalized,
    }
    spectrum = x.stft(16, return_complex=True, **options)
    assert spectrum.shape == (2, 9 if onesided else 16, 26)
    back = torch.istft(spectrum, 16, length=length, **options)
    assert torch.allclose(back, x[:, : back.size(1)])
    assert back.size(1) == (length or 100)


def test_a_frame_is_a_transform():
    torch.manual_seed(0)
    x = torch.randn(40, dtype=torch.float64).requires_grad_()
    window = torch.hamming_window(12, dtype=torch.float64)
    spectrum = torch.stft(x, 16, 5, 12, window, center=False, return_complex=True)
    frame = torch.zeros(16, dtype=torch.float64)
    frame[2:14] = x.detach()[12:24] * window
    assert torch.allclose(spectrum[:, 2], torch.fft.rfft(frame))
    real = torch.stft(x, 16, 5, 12, window, center=False, return_complex=False)
    assert torch.equal(real, torch.view_as_real(spectrum))
    spectrum.abs().square().sum().backward()
    assert x.grad is not None
    for call, text in (
        (lambda: torch.stft(x, 16), "return_complex"),
        (lambda: torch.stft(x, 64, center=False, return_complex=True), "n_fft=64"),
        (lambda: torch.istft(real, 16), "complex-valued"),
    ):
        with pytest.raises(RuntimeError, match=text):
            call()
