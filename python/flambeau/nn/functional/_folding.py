"""fold: the sum of windows, which unfold takes apart; affine_grid: places for grid_sample."""

from __future__ import annotations

from typing import Any

import flambeau
from flambeau import Tensor

__all__ = ["affine_grid", "fold"]


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


def fold(
    input: Tensor,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Tensor:
    """Adds windows, the columns of (N, C * window, windows), to an image (N, C, *output_size)."""
    size, kernel = _pair(output_size), _pair(kernel_size)
    dilation, padding, stride = _pair(dilation), _pair(padding), _pair(stride)
    if input.dim() not in (2, 3) or 0 in input.shape[-2:]:
        raise RuntimeError(
            "fold: Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and "
            f"non-zero dimensions for input, but got: {list(input.shape)}"
        )
    window = kernel[0] * kernel[1]
    if input.size(-2) % window != 0:
        raise RuntimeError(
            "fold: Expected size of input's dimension 1 to be divisible by the product of "
            f"kernel_size, but got input.size(1)={input.size(-2)} and kernel_size={kernel}."
        )
    counts = [
        (size[i] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1
        for i in (0, 1)
    ]
    if min(counts) < 1 or input.size(-1) != counts[0] * counts[1]:
        raise RuntimeError(
            f"fold: Given output_size={size}, kernel_size={kernel}, dilation={dilation}, "
            f"padding={padding}, stride={stride}, expected size of input's dimension 2 to match "
            f"the calculated number of sliding blocks {counts[0]} * {counts[1]} = "
            f"{counts[0] * counts[1]}, but got input.size(2)={input.size(-1)}."
        )
    rows, columns = (
        flambeau.arange(kernel[i]).mul_(dilation[i]).unsqueeze(1)
        + flambeau.arange(counts[i]).mul_(stride[i])
        for i in (0, 1)
    )
    height, width = (size[i] + 2 * padding[i] for i in (0, 1))
    places = rows[:, None, :, None] * width + columns[None, :, None, :]
    lead = (*input.shape[:-2], input.size(-2) // window)
    image = flambeau.zeros(*lead, height * width, dtype=input.dtype, device=input.device)
    image = image.index_add(-1, places.flatten(), input.reshape(*lead, window * input.size(-1)))
    image = image.unflatten(-1, (height, width))
    return image[
        ..., padding[0] : height - padding[0], padding[1] : width - padding[1]
    ].contiguous()


def _line(count: int, align_corners: bool | None, like: Tensor) -> Tensor:
    """`count` places from -1 to 1: the ends, or the middles of as many cells."""
    if count <= 1:
        return flambeau.zeros(count, dtype=like.dtype, device=like.device)
    line = flambeau.linspace(-1, 1, count, dtype=like.dtype, device=like.device)
    return line if align_corners else line * (count - 1) / count


def affine_grid(theta: Tensor, size: Any, align_corners: bool | None = None) -> Tensor:
    """Where each pixel of an output of `size` lies in the input, by matrices (N, 2, 3) of (N, C, H,
    W), or (N, 3, 4) of (N, C, D, H, W); (x, y) and (x, y, z) in [-1, 1].
    """
    if not theta.is_floating_point():
        raise ValueError(f"Expected theta to have floating point type, but got {theta.dtype}")
    rank = len(size) - 2
    if rank not in (2, 3):
        raise NotImplementedError(
            "affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, "
            f"respectively. Got size {tuple(size)}."
        )
    if theta.dim() != 3 or theta.shape[-2:] != (rank, rank + 1):
        raise ValueError(
            f"Expected a batch of {rank}D affine matrices of shape Nx{rank}x{rank + 1} for size "
            f"{tuple(size)}. Got {tuple(theta.shape)}."
        )
    if min(size) <= 0:
        raise ValueError(f"Expected non-zero, positive output size. Got {tuple(size)}")
    extents = tuple(size[2:])
    places = []
    for axis in reversed(range(rank)):
        line = _line(extents[axis], align_corners, theta)
        places.append(line.view([-1 if i == axis else 1 for i in range(rank)]).expand(extents))
    places.append(flambeau.ones(extents, dtype=theta.dtype, device=theta.device))
    base = flambeau.stack(places, -1).view(1, -1, rank + 1).expand(size[0], -1, -1)
    return base.bmm(theta.transpose(1, 2)).view(size[0], *extents, rank)
