"""Windows by length, and the short-time Fourier transform and its inverse."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from . import _C
from ._C import Tensor
from ._overridable import add_to_tensor

__all__ = [
    "bartlett_window",
    "blackman_window",
    "hamming_window",
    "hann_window",
    "istft",
    "kaiser_window",
    "stft",
]

_operations = _C._functions


def _positions(name: str, length: int, periodic: bool, options: dict[str, Any]) -> Tensor | None:
    """0, 1, ... of the window and, of a periodic one, the next; None for lengths below 2."""
    if length < 0:
        raise RuntimeError(
            f"{name} requires non-negative window_length, got window_length={length}"
        )
    if options["layout"] not in (None, _C.strided):
        raise RuntimeError(f"{name} is not implemented for sparse types, got: {options['layout']}")
    if length < 2:
        return None
    dtype = options["dtype"] or _C.get_default_dtype()
    if not dtype.is_floating_point:
        raise RuntimeError(f"{name} expects floating point dtypes, got: {dtype}")
    return _operations["arange"](length + periodic, dtype=dtype)


def _finished(window: Tensor | None, length: int, options: dict[str, Any]) -> Tensor:
    if window is None:
        window = _operations["ones"]((length,), dtype=options["dtype"] or _C.get_default_dtype())
    return window[:length].clone().requires_grad_(options["requires_grad"])


def _cosines(
    name: str, length: int, periodic: bool, weights: Sequence[float], options: dict[str, Any]
) -> Tensor:
    """The sum of weights[k] cos(2 pi k n / (N - 1))."""
    n = _positions(name, length, periodic, options)
    if n is None:
        return _finished(None, length, options)
    angle = n * (2 * math.pi / (len(n) - 1))
    window = _operations["full_like"](n, weights[0])
    for k, weight in enumerate(weights[1:], 1):
        window += (angle * k).cos() * weight
    return _finished(window, length, options)


def _options(dtype: Any, layout: Any, device: Any, requires_grad: bool) -> dict[str, Any]:
    if device is not None and _C.device(device).type != "cpu":
        from ._construct import device_of

        device_of("window", device)
    return {"dtype": dtype, "layout": layout, "requires_grad": requires_grad}


def hann_window(
    window_length: int,
    periodic: bool = True,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """sin^2(pi n / (N - 1)); a periodic one is that of N + 1 without its last number."""
    options = _options(dtype, layout, device, requires_grad)
    return _cosines("hann_window", window_length, periodic, (0.5, -0.5), options)


def hamming_window(
    window_length: int,
    periodic: bool = True,
    alpha: float = 0.54,
    beta: float = 0.46,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """alpha - beta cos(2 pi n / (N - 1))."""
    options = _options(dtype, layout, device, requires_grad)
    return _cosines("hamming_window", window_length, periodic, (alpha, -beta), options)


def blackman_window(
    window_length: int,
    periodic: bool = True,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """0.42 - 0.5 cos(2 pi n / (N - 1)) + 0.08 cos(4 pi n / (N - 1))."""
    options = _options(dtype, layout, device, requires_grad)
    return _cosines("blackman_window", window_length, periodic, (0.42, -0.5, 0.08), options)


def bartlett_window(
    window_length: int,
    periodic: bool = True,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """1 - |2 n / (N - 1) - 1|."""
    options = _options(dtype, layout, device, requires_grad)
    n = _positions("bartlett_window", window_length, periodic, options)
    window = None if n is None else 1 - (n * (2 / (len(n) - 1)) - 1).abs()
    return _finished(window, window_length, options)


def kaiser_window(
    window_length: int,
    periodic: bool = True,
    beta: float = 12.0,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """I0(beta sqrt(1 - (2 n / (N - 1) - 1)^2)) / I0(beta)."""
    options = _options(dtype, layout, device, requires_grad)
    n = _positions("kaiser_window", window_length, periodic, options)
    window = None
    if n is not None:
        place = n * (2 / (len(n) - 1)) - 1
        scale = _operations["i0"](_operations["full"]((), beta, dtype=_C.float64)).item()
        window = ((1 - place.square()).clamp(min=0).sqrt() * beta).i0() / scale
    return _finished(window, window_length, options)


def _window(name: str, window: Tensor | None, length: int, n_fft: int, like: Tensor) -> Tensor:
    """The window, or ones, in the middle of n_fft numbers."""
    if not 0 < length <= n_fft:
        raise RuntimeError(f"{name}: expected 0 < win_length <= n_fft, but got win_length={length}")
    if window is None:
        window = _operations["ones"]((length,), dtype=like.dtype)
    elif window.dim() != 1 or len(window) != length:
        raise RuntimeError(
            f"{name}: expected a 1D window tensor of size equal to win_length={length}, but got "
            f"window with size {list(window.shape)}"
        )
    left = (n_fft - length) // 2
    return _operations["constant_pad_nd"](window, (left, n_fft - length - left))


def stft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    pad_mode: str = "reflect",
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
    align_to_window: bool | None = None,
) -> Tensor:
    """The Fourier transforms of windows of a signal (length) or (batch, length), as
    (..., frequencies, windows).
    """
    from flambeau import fft
    from flambeau.nn import functional as F

    if return_complex is None and not (
        input.is_complex() or (window is not None and window.is_complex())
    ):
        raise RuntimeError("stft requires the return_complex parameter be given for real inputs")
    if input.dim() not in (1, 2):
        raise RuntimeError(f"stft: expected a 1D or 2D tensor, but got {input.dim()}D tensor")
    hop = n_fft // 4 if hop_length is None else hop_length
    length = n_fft if win_length is None else win_length
    signal = input if input.dim() == 2 else input.unsqueeze(0)
    if center:
        side = n_fft // 2
        signal = F.pad(signal.unsqueeze(1), (side, side), mode=pad_mode).squeeze(1)
    if not 0 < n_fft <= signal.size(-1):
        raise RuntimeError(f"stft: expected 0 < n_fft < {signal.size(-1)}, but got n_fft={n_fft}")
    if hop <= 0:
        raise RuntimeError(f"stft: expected hop_length > 0, but got hop_length={hop}")
    frames = signal.unfold(-1, n_fft, hop)
    if window is not None or length != n_fft:
        frames = frames * _window("stft", window, length, n_fft, signal)
    norm = "ortho" if normalized else "backward"
    half = not frames.is_complex() if onesided is None else onesided
    spectrum = (fft.rfft if half else fft.fft)(frames, norm=norm).transpose(-1, -2)
    if input.dim() == 1:
        spectrum = spectrum.squeeze(0)
    return (
        spectrum
        if return_complex or return_complex is None
        else _operations["view_as_real"](spectrum)
    )


def istft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    length: int | None = None,
    return_complex: bool = False,
) -> Tensor:
    """The signal whose stft() is nearest to (..., frequencies, windows)."""
    from flambeau import fft
    from flambeau.nn import functional as F

    if not input.is_complex():
        raise RuntimeError(
            "istft requires a complex-valued input tensor matching the output from stft with "
            "return_complex=True."
        )
    if input.dim() not in (2, 3):
        raise RuntimeError(f"istft: expected a tensor with 2 or 3 dimensions, got {input.dim()}")
    hop = n_fft // 4 if hop_length is None else hop_length
    width = n_fft if win_length is None else win_length
    half = input.size(-2) != n_fft if onesided is None else onesided
    spectrum = (input if input.dim() == 3 else input.unsqueeze(0)).transpose(-1, -2)
    norm = "ortho" if normalized else "backward"
    if return_complex:
        frames = fft.ifft(spectrum, n_fft, norm=norm)
    else:  # of both sides, the first tells of the other
        spectrum = spectrum if half else spectrum[..., : n_fft // 2 + 1]
        frames = fft.irfft(spectrum, n_fft, norm=norm)
    weights = _window("istft", window, width, n_fft, frames.real if return_complex else frames)
    count = frames.size(1)
    total = n_fft + hop * (count - 1)
    places = (
        _operations["arange"](n_fft) + _operations["arange"](count).mul_(hop).unsqueeze(1)
    ).flatten()
    signal = _operations["zeros"]((frames.size(0), total), dtype=frames.dtype)
    signal = signal.index_add(1, places, (frames * weights).flatten(1))
    envelope = _operations["zeros"]((total,), dtype=weights.dtype)
    envelope = envelope.index_add(0, places, weights.square().repeat(count))
    start = n_fft // 2 if center else 0
    end = total - n_fft // 2 if center and length is None else total
    if length is not None:
        end = min(start + length, total)
    signal, envelope = signal[:, start:end], envelope[start:end]
    if not bool((envelope.abs() > 1e-11).all()):
        raise RuntimeError("istft: window overlap add min: 1")
    signal = signal / envelope
    if length is not None and signal.size(1) < length:
        signal = F.pad(signal, (0, length - signal.size(1)))
    return signal if input.dim() == 3 else signal.squeeze(0)


add_to_tensor({"stft": stft, "istft": istft})
