"""The dropout family. Only `dropout` itself is an operation of the core."""

from __future__ import annotations

import warnings

import flambeau
from flambeau import _C, Tensor
from flambeau.nn.functional._operations import OPERATIONS

__all__ = [
    "alpha_dropout",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "feature_alpha_dropout",
]


def _check(p: float) -> None:
    if p < 0.0 or p > 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """In training, zeroes elements with probability p and scales the others by 1 / (1 - p)."""
    _check(p)
    if not training or p == 0.0:
        return input
    if _C._vmap_levels() and p < 1.0:
        # What is dropped is drawn first, for each member as vmap says.
        kept = flambeau.bernoulli(flambeau.full_like(input.detach(), 1 - p))
        return _times(input, kept / (1 - p), inplace)
    result = OPERATIONS["dropout"](input, p, True)
    return input.copy_(result) if inplace else result


def _noise(input: Tensor, per_channel: bool) -> Tensor:
    """An empty tensor with an element for each of what is dropped together."""
    if not per_channel:
        return flambeau.empty_like(input)
    return input.new_empty([*input.shape[:2], *[1] * (input.dim() - 2)])


def _times(input: Tensor, factor: Tensor, inplace: bool) -> Tensor:
    return input.mul_(factor) if inplace else input * factor


def _feature_dropout(input: Tensor, p: float, training: bool, inplace: bool) -> Tensor:
    if not training or p == 0.0 or input.numel() == 0:
        return input
    if input.dim() < 2:
        raise RuntimeError("Feature dropout requires at least 2 dimensions in the input")
    if p == 1.0:
        return _times(input, flambeau.zeros((), dtype=input.dtype), inplace)
    with flambeau.no_grad():
        factor = _noise(input, True).bernoulli_(1 - p).div_(1 - p)
    return _times(input, factor, inplace)


def dropout1d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """dropout of whole channels of (N, C, L) or (C, L)."""
    _check(p)
    rank = input.dim()
    if rank not in (2, 3):
        raise RuntimeError(
            f"dropout1d: Expected 2D or 3D input, but received a {rank}D input. Note that "
            "dropout1d exists to provide channel-wise dropout on inputs with 1 spatial dimension, "
            "a channel dimension, and an optional batch dimension (i.e. 2D or 3D inputs)."
        )
    if rank == 3:
        return _feature_dropout(input, p, training, inplace)
    batched = input.unsqueeze_(0) if inplace else input.unsqueeze(0)
    result = _feature_dropout(batched, p, training, inplace)
    return result.squeeze_(0) if inplace else result.squeeze(0)


def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """dropout of whole channels of (N, C, H, W). Tompson et al., 2015."""
    _check(p)
    rank = input.dim()
    if rank not in (3, 4):
        warnings.warn(
            f"dropout2d: Received a {rank}-D input to dropout2d, which is deprecated and will "
            "result in an error in a future release. To retain the behavior and silence this "
            "warning, please use dropout instead.",
            stacklevel=2,
        )
    if rank == 3:
        warnings.warn(
            "dropout2d: Received a 3D input to dropout2d and assuming that channel-wise 1D dropout "
            "behavior is desired - input is interpreted as shape (N, C, L), where C is the channel "
            "dim. Use dropout1d for channel-wise dropout on a 3D input.",
            stacklevel=2,
        )
    return _feature_dropout(input, p, training, inplace)


def dropout3d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """dropout of whole channels of (N, C, D, H, W) or (C, D, H, W)."""
    _check(p)
    rank = input.dim()
    if rank not in (4, 5):
        warnings.warn(
            f"dropout3d: Received a {rank}-D input to dropout3d, which is deprecated and will "
            "result in an error in a future release. To retain the behavior and silence this "
            "warning, please use dropout instead.",
            stacklevel=2,
        )
    if rank != 4:
        return _feature_dropout(input, p, training, inplace)
    batched = input.unsqueeze_(0) if inplace else input.unsqueeze(0)
    result = _feature_dropout(batched, p, training, inplace)
    return result.squeeze_(0) if inplace else result.squeeze(0)


def _alpha_dropout(
    input: Tensor, p: float, training: bool, inplace: bool, per_channel: bool
) -> Tensor:
    _check(p)
    if not training or p == 0.0 or input.numel() == 0:
        return input
    if p == 1.0:
        return _times(input, flambeau.zeros((), dtype=input.dtype), inplace)
    # The value that SELU tends to at minus infinity.
    alpha = 1.7580993408473766
    scale = 1.0 / ((alpha * alpha * p + 1) * (1 - p)) ** 0.5
    with flambeau.no_grad():
        kept = _noise(input, per_channel).bernoulli_(1 - p)
        shift = (kept - 1).mul_(alpha * scale).add_(alpha * scale * p)
        factor = kept.mul_(scale)
    return input.mul_(factor).add_(shift) if inplace else input * factor + shift


def alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """dropout that keeps mean and variance of SELU's outputs. Klambauer et al., 2017."""
    return _alpha_dropout(input, p, training, inplace, False)


def feature_alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """alpha_dropout of whole channels."""
    return _alpha_dropout(input, p, training, inplace, True)
