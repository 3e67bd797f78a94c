"""Pooling: `return_indices=`, the Lp means, and the inverse of max pooling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import flambeau
from flambeau import Tensor
from flambeau._overridable import autocasts
from flambeau.nn.functional._operations import OPERATIONS

__all__ = [
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
]


def _max_pool(name: str) -> Callable[..., Any]:
    values, with_indices = OPERATIONS[name], OPERATIONS[name + "_with_indices"]

    def max_pool(
        input: Tensor,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Any:
        """The largest element of each window; with return_indices also where it is."""
        function = with_indices if return_indices else values
        # An empty stride is the kernel's size, as None is.
        stride = None if isinstance(stride, Sequence) and not stride else stride
        return function(input, kernel_size, stride, padding, dilation, ceil_mode)

    max_pool.__name__ = max_pool.__qualname__ = name
    return max_pool


max_pool1d = _max_pool("max_pool1d")
max_pool2d = _max_pool("max_pool2d")
max_pool3d = _max_pool("max_pool3d")


def _output_size(input: Tensor, output_size: Any, rank: int) -> list[int]:
    """`output_size` with the input's extents where it has None."""
    given = (
        [output_size] * rank
        if output_size is None or isinstance(output_size, int)
        else [*output_size]
    )
    if len(given) != rank:
        raise RuntimeError(f"adaptive pooling: output_size must have {rank} elements, got {given}")
    return [size if wanted is None else wanted for wanted, size in zip(given, input.shape[-rank:])]


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """Means of as many windows as wanted; None keeps an axis."""
    return OPERATIONS["adaptive_avg_pool2d"](input, _output_size(input, output_size, 2))


def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """Means of as many windows as wanted; None keeps an axis."""
    return OPERATIONS["adaptive_avg_pool3d"](input, _output_size(input, output_size, 3))


def _adaptive_max_pool(rank: int) -> Callable[..., Any]:
    name = f"adaptive_max_pool{rank}d"
    function = OPERATIONS[name + "_with_indices"]

    def pool(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
        """Maxima of as many windows as wanted; None keeps an axis."""
        values, indices = function(input, _output_size(input, output_size, rank))
        return (values, indices) if return_indices else values

    pool.__name__ = pool.__qualname__ = name
    return pool


adaptive_max_pool1d = _adaptive_max_pool(1)
adaptive_max_pool2d = _adaptive_max_pool(2)
adaptive_max_pool3d = _adaptive_max_pool(3)


def _list(value: Any, rank: int) -> list[int]:
    return [value] * rank if isinstance(value, int) else [*value]


def _lp_pool(
    rank: int, input: Tensor, norm_type: float, kernel_size: Any, stride: Any, ceil_mode: bool
) -> Tensor:
    """(sum of x^p over each window)^(1/p), from the mean of x^p."""
    count = 1
    for size in _list(kernel_size, rank):
        count *= size
    mean = OPERATIONS[f"avg_pool{rank}d"](input.pow(norm_type), kernel_size, stride, 0, ceil_mode)
    return (mean.sign() * flambeau.relu(mean.abs())).mul(count).pow(1.0 / norm_type)


def lp_pool1d(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """The p-norm of each window of the last axis."""
    return _lp_pool(1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """The p-norm of each window of the last two axes."""
    return _lp_pool(2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """The p-norm of each window of the last three axes."""
    return _lp_pool(3, input, norm_type, kernel_size, stride, ceil_mode)


def _unpool_size(
    input: Tensor, kernel: list[int], stride: list[int], padding: list[int], output_size: Any
) -> list[int]:
    rank = len(kernel)
    default = [
        (size - 1) * s + k - 2 * p
        for size, k, s, p in zip(input.shape[-rank:], kernel, stride, padding)
    ]
    if output_size is None:
        return default
    given = [*output_size]
    if len(given) == rank + 2:
        given = given[2:]
    if len(given) != rank:
        raise ValueError(
            f"output_size should be a sequence containing {rank} or {rank + 2} elements, but it "
            f"has a length of '{len(given)}'"
        )
    for axis, (size, middle, s) in enumerate(zip(given, default, stride)):
        if not middle - s < size < middle + s:
            raise ValueError(
                f'invalid output_size "{given}" (dim {axis} must be between {middle - s} and '
                f"{middle + s})"
            )
    return given


def _max_unpool(
    name: str,
    rank: int,
    input: Tensor,
    indices: Tensor,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    output_size: Any,
) -> Tensor:
    if indices.dtype != flambeau.int64:
        raise RuntimeError(
            f"{name}: elements in indices should be type int64 but got: {indices.dtype}"
        )
    if input.shape != indices.shape:
        raise RuntimeError(
            f"{name}: Expected shape of indices to be same as that of the input tensor "
            f"({[*input.shape]}) but got indices tensor with shape: {[*indices.shape]}"
        )
    if 0 in input.shape[1:]:
        raise RuntimeError(
            f"{name}: Expected input to have non-zero size for non-batch dimensions, but got "
            f"{[*input.shape]}"
        )
    kernel = _list(kernel_size, rank)
    steps = kernel if stride is None or stride == [] else _list(stride, rank)
    size = _unpool_size(input, kernel, steps, _list(padding, rank), output_size)
    lead = [*input.shape[: input.dim() - rank]]
    count = 1
    for extent in size:
        count *= extent
    if indices.numel() and (int(indices.max()) >= count or int(indices.min()) < 0):
        raise RuntimeError(
            f"{name}: found an invalid max index for an output of size {size} ({count} elements)"
        )
    flat = input.new_zeros([*lead, count])
    return flat.scatter(-1, indices.flatten(-rank), input.flatten(-rank)).view([*lead, *size])


@autocasts("float32")
def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
) -> Tensor:
    """Puts the maxima that max_pool1d found back; 0 elsewhere."""
    return _max_unpool("max_unpool1d", 1, input, indices, kernel_size, stride, padding, output_size)


@autocasts("float32")
def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
) -> Tensor:
    """Puts the maxima that max_pool2d found back; 0 elsewhere."""
    return _max_unpool("max_unpool2d", 2, input, indices, kernel_size, stride, padding, output_size)


@autocasts("float32")
def max_unpool3d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
) -> Tensor:
    """Puts the maxima that max_pool3d found back; 0 elsewhere."""
    return _max_unpool("max_unpool3d", 3, input, indices, kernel_size, stride, padding, output_size)
