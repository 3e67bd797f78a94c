"""Normalising and comparing vectors."""

from __future__ import annotations

import flambeau
from flambeau import Tensor

__all__ = ["local_response_norm", "normalize"]


def normalize(
    input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: Tensor | None = None
) -> Tensor:
    """input / max(norm of input along dim, eps)."""
    norm = flambeau.linalg.vector_norm(input, p, dim, True).clamp_min(eps).expand_as(input)
    return input / norm if out is None else flambeau.div(input, norm, out=out)


def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """input / (k + alpha * mean of input^2 over `size` neighbouring channels)^beta. Krizhevsky et
    al., 2012.
    """
    rank = input.dim()
    if rank < 3:
        raise ValueError(f"Expected 3D or higher dimensionality input (got {rank} dimensions)")
    if input.numel() == 0:
        return input
    # Channels as the last axis of windows, with zeros beyond the ends.
    square = flambeau.nn.functional.pad(
        (input * input).movedim(1, -1), (size // 2, (size - 1) // 2)
    )
    windows = square.unfold(-1, size, 1)
    whole = not (input.is_floating_point() or input.is_complex())
    mean = (windows.sum(-1) // size if whole else windows.mean(-1)).movedim(-1, 1)
    return input / (mean * alpha + k).pow(beta)
