"""Max pooling whose windows lie at random, nearly even places (Graham, 2015)."""

from __future__ import annotations

from typing import Any

import flambeau
from flambeau import Tensor

__all__ = [
    "fractional_max_pool2d",
    "fractional_max_pool2d_with_indices",
    "fractional_max_pool3d",
    "fractional_max_pool3d_with_indices",
]


def _sizes(value: Any, rank: int) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,) * rank


def _starts(samples: Tensor, extent: int, count: int, window: int) -> Tensor:
    """Where the windows of each plane begin, from one number of [0, 1) for each."""
    if count == 1:
        return flambeau.full((*samples.shape, 1), extent - window, dtype=flambeau.long)
    step = flambeau.tensor(extent - window, dtype=samples.dtype) / (count - 1)
    samples = samples.unsqueeze(-1)
    steps = flambeau.arange(count - 1, dtype=samples.dtype)
    starts = ((steps + samples) * step).long() - (samples * step).long()
    last = flambeau.full((*starts.shape[:-1], 1), extent - window, dtype=flambeau.long)
    return flambeau.cat([starts, last], -1)


def _pool(
    rank: int,
    input: Tensor,
    kernel_size: Any,
    output_size: Any,
    output_ratio: Any,
    samples: Tensor | None,
) -> tuple[Tensor, Tensor]:
    name = f"fractional_max_pool{rank}d"
    if output_size is None and output_ratio is None:
        raise ValueError(f"{name} requires specifying either an output_size or an output_ratio")
    extents = tuple(input.shape[-rank:])
    if output_size is None:
        ratios = _sizes(output_ratio, rank)
        counts = tuple(int(n * ratio) for n, ratio in zip(extents, ratios, strict=True))
    else:
        counts = _sizes(output_size, rank)
    kernel = _sizes(kernel_size, rank)
    if input.dim() not in (rank + 1, rank + 2):
        raise RuntimeError(
            f"{name}: Expected {rank + 1}D or {rank + 2}D tensor, but got: {list(input.shape)}"
        )
    if 0 in input.shape[1:]:
        raise RuntimeError(
            f"{name}(): Expected input to have non-zero size for non-batch dimensions, but got "
            f"{list(input.shape)}"
        )
    words = ("height", "width") if rank == 2 else ("time", "height", "width")
    for word, extent, count, window in zip(words, extents, counts, kernel, strict=True):
        if count + window - 1 > extent:
            raise RuntimeError(
                f"{name}(): pool {word} {window} too large relative to input {word} {extent}"
            )
    planes = input if input.dim() == rank + 2 else input.unsqueeze(0)
    lead = planes.shape[:2]
    if samples is None:
        samples = flambeau.rand(*lead, rank, dtype=input.dtype, device=input.device)
    order = (1, 0) if rank == 2 else (0, 1, 2)
    places = flambeau.zeros((), dtype=flambeau.long)
    for axis in range(rank):
        starts = _starts(samples[..., order[axis]], extents[axis], counts[axis], kernel[axis])
        along = starts.unsqueeze(-1) + flambeau.arange(kernel[axis])
        shape = [*lead, *[1] * (2 * rank)]
        shape[2 + axis], shape[2 + rank + axis] = counts[axis], kernel[axis]
        places = places * extents[axis] + along.view(shape)
    places = places.flatten(-rank).flatten(2, -2)
    flat = planes.flatten(2)
    with flambeau.no_grad():
        windows = flat.gather(-1, places.flatten(2)).view(places.shape)
        indices = places.gather(-1, windows.argmax(-1, keepdim=True)).squeeze(-1)
    shape = [*lead, *counts]
    values, indices = flat.gather(-1, indices).view(shape), indices.view(shape)
    return (values, indices) if input.dim() == rank + 2 else (values[0], indices[0])


def fractional_max_pool2d_with_indices(
    input: Tensor,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The largest elements of the windows, and their places in (H, W)."""
    return _pool(2, input, kernel_size, output_size, output_ratio, _random_samples)


def fractional_max_pool3d_with_indices(
    input: Tensor,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The largest elements of the windows, and their places in (D, H, W)."""
    return _pool(3, input, kernel_size, output_size, output_ratio, _random_samples)


def fractional_max_pool2d(
    input: Tensor,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:
    """The largest elements of windows at random places; with return_indices, these places too."""
    found = _pool(2, input, kernel_size, output_size, output_ratio, _random_samples)
    return found if return_indices else found[0]


def fractional_max_pool3d(
    input: Tensor,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:
    """The largest elements of windows at random places; with return_indices, these places too."""
    found = _pool(3, input, kernel_size, output_size, output_ratio, _random_samples)
    return found if return_indices else found[0]
