"""Functions that are a few operations, where which ones depends on values or on Python's arguments.

Each has PyTorch's name and arguments; those that PyTorch has as methods, too, are in `METHODS`.
"""

from __future__ import annotations

import itertools
import math
from collections import namedtuple
from collections.abc import Sequence
from typing import Any

from . import _C
from ._C import Tensor
from ._overridable import add_to_tensor, autocasts, make_overridable

__all__ = [
    "allclose",
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "block_diag",
    "cartesian_prod",
    "combinations",
    "histogram",
    "histogramdd",
    "index_put",
    "meshgrid",
    "nanquantile",
    "native_batch_norm",
    "quantile",
    "repeat_interleave",
    "tensor_split",
    "tensordot",
    "unique",
    "unique_consecutive",
    "unravel_index",
    "vander",
]

#: Those that are methods of Tensor, with the tensor first.
METHODS = (
    "allclose",
    "histogram",
    "index_put",
    "index_put_",
    "nanquantile",
    "quantile",
    "repeat_interleave",
    "tensor_split",
    "unique",
    "unique_consecutive",
)

_operations = _C._functions


# -- one argument or a list ---------------------------------------------------------------------


def _each(tensors: Sequence[Any]) -> Sequence[Any]:
    """f(a, b) and f([a, b]) are the same."""
    if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)):
        return tensors[0]
    return tensors


def _at_least(name: str, tensors: Sequence[Any]) -> Any:
    function = _operations[name]
    if len(tensors) == 1 and isinstance(tensors[0], Tensor):
        return function(tensors[0])
    return tuple(function(tensor) for tensor in _each(tensors))


def atleast_1d(*tensors: Any) -> Any:
    """Each tensor with at least one axis; a tuple of several."""
    return _at_least("atleast_1d", tensors)


def atleast_2d(*tensors: Any) -> Any:
    """Each tensor with at least two axes; a tuple of several."""
    return _at_least("atleast_2d", tensors)


def atleast_3d(*tensors: Any) -> Any:
    """Each tensor with at least three axes; a tuple of several."""
    return _at_least("atleast_3d", tensors)


def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple[Tensor, ...]:
    """For each vector the grid of its coordinates, as `indexing` ("ij" or "xy") orders the axes."""
    return tuple(_operations["meshgrid"](list(_each(tensors)), indexing=indexing))


def block_diag(*tensors: Tensor) -> Tensor:
    """A matrix with the tensors, as matrices, along its diagonal."""
    return _operations["block_diag"](list(tensors))


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """Every combination of one element of each vector, a row each."""
    return _operations["cartesian_prod"](list(tensors))


def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """Every combination of r elements of a vector, a row each, in the order of itertools."""
    if input.dim() != 1:
        raise RuntimeError(f"combinations: Expect a 1D vector, but got shape {list(input.shape)}")
    if r < 0:
        raise RuntimeError(f"combinations: Expect a non-negative number, but got {r}")
    if r == 0:
        return input.new_empty(0)
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = list(choose(range(input.shape[0]), r))
    places = _C._tensor(rows, _C.int64, False).reshape(len(rows), r)
    return input[places]


def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """Powers N - 1 to 0 of each element of a vector, or 0 to N - 1, along a new last axis."""
    if x.dim() != 1:
        raise RuntimeError("vander: x must be a one-dimensional tensor.")
    n = x.shape[0] if N is None else N
    if n < 0:
        raise RuntimeError("vander: N must be non-negative.")
    dtype = x.dtype if x.is_floating_point() or x.is_complex() else _C.int64
    ones = _operations["ones_like"](x.unsqueeze(-1), dtype=dtype)
    factors = x.to(dtype).unsqueeze(-1).expand(x.shape[0], max(n - 1, 0))
    powers = _operations["cat"]([ones, factors], -1)[:, :n].cumprod(-1)
    return powers if increasing else powers.flip(-1)


# -- products -----------------------------------------------------------------------------------


def tensordot(a: Tensor, b: Tensor, dims: Any = 2, out: Tensor | None = None) -> Tensor:
    """Sums over the last `dims` axes of a and the first of b, or over dims[0] of a and dims[1] of b."""
    if isinstance(dims, Tensor):
        dims = dims.tolist() if dims.numel() > 1 else int(dims.item())
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(a.dim(), b.dim()):
            raise RuntimeError(
                "tensordot expects dims < ndim_a or ndim_b, but got dims="
                f"{dims} for tensors of {a.dim()} and {b.dim()} dimensions"
            )
        of_a, of_b = list(range(a.dim() - dims, a.dim())), list(range(dims))
    else:
        of_a, of_b = (list(d) if isinstance(d, (list, tuple)) else [int(d)] for d in dims)
    result = _operations["_tensordot"](a, b, of_a, of_b)
    return result if out is None else out.copy_(result)


# -- indices ------------------------------------------------------------------------------------


def _places(indices: Sequence[Any]) -> list[Any]:
    """The indices with each mask as the places where it is true."""
    places: list[Any] = []
    for index in indices:
        if isinstance(index, Tensor) and index.dtype in (_C.bool, _C.uint8):
            places.extend(index.nonzero().unbind(1))
        else:
            places.append(index)
    return places


def index_put(input: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """A copy of input with `values` written (or added) at these indices or masks."""
    return _operations["index_put"](input, _places(indices), values, accumulate)


def _index_put_(input: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """index_put in place."""
    return _operations["index_put_"](input, _places(indices), values, accumulate)


def tensor_split(input: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, ...]:
    """Views of input: a number of parts as even as possible, or split at the given indices."""
    given = list(args)
    for place in [given, kwargs]:
        keys = range(len(place)) if isinstance(place, list) else list(place)
        for key in keys:
            value = place[key]  # type: ignore[index]
            if not isinstance(value, Tensor):
                continue
            if value.dtype != _C.int64 or value.dim() > 1:
                raise RuntimeError(
                    "tensor_split: expected tensor_indices_or_sections to be a long tensor of at "
                    f"most one dimension, got {value.dtype} of {value.dim()} dimensions"
                )
            place[key] = value.tolist()  # type: ignore[index]
    if "tensor_indices_or_sections" in kwargs:
        kwargs["indices_or_sections"] = kwargs.pop("tensor_indices_or_sections")
    if "indices_or_sections" in kwargs:
        value = kwargs.pop("indices_or_sections")
        kwargs["sections" if isinstance(value, int) else "indices"] = value
    return _operations["tensor_split"](input, *given, **kwargs)


def unravel_index(indices: Tensor, shape: Any) -> tuple[Tensor, ...]:
    """For each axis of `shape` the index of the elements at these row-major places."""
    sizes = [shape] if isinstance(shape, int) else [int(n) for n in shape]
    if indices.dtype in (_C.bool,) or indices.is_floating_point():
        raise ValueError(f"unravel_index: expected 'indices' to be integer, got {indices.dtype}")
    if any(size < 0 for size in sizes):
        raise ValueError(f"unravel_index: 'shape' cannot have negative values, but got {sizes}")
    indices = indices.to(_C.int64)
    result = []
    for size in reversed(sizes):
        result.append(indices % size)
        indices = indices.div(size, rounding_mode="floor")
    return tuple(reversed(result))


def repeat_interleave(
    input: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Each element (or slice along dim) `repeats` times in a row; without `repeats`, the places."""
    if repeats is None:
        if input.dim() != 1:
            raise RuntimeError("repeat_interleave only accept 1D vector as repeat")
        return repeat_interleave(_operations["arange"](len(input), dtype=input.dtype), input)
    if not isinstance(repeats, Tensor):
        return _operations["repeat_interleave"](input, repeats, dim)
    if repeats.dtype not in (_C.int32, _C.int64):
        raise RuntimeError(f"repeat_interleave: repeats must be integers, got {repeats.dtype}")
    rows = input.reshape(-1) if dim is None else input
    axis = 0 if dim is None else dim
    if repeats.dim() > 1 or repeats.numel() not in (1, rows.shape[axis]):
        raise RuntimeError(
            "repeat_interleave: repeats must have the same size as input along dim, got "
            f"{list(repeats.shape)} for {rows.shape[axis]}"
        )
    if bool((repeats < 0).any()):
        raise RuntimeError("repeat_interleave: repeats can not be negative")
    counts = repeats.reshape(-1).expand(rows.shape[axis])
    ends = counts.cumsum(0)
    places = _operations["arange"](int(ends[-1].item()) if ends.numel() else 0)
    return rows.index_select(axis, _operations["searchsorted"](ends, places, right=True))


# -- histograms ---------------------------------------------------------------------------------


_Histogram = namedtuple("_Histogram", ["hist", "bin_edges"])
_range = range  # which a parameter is called, too


def _edges(values: Tensor, bins: Any, limits: Sequence[float] | None) -> Tensor:
    if isinstance(bins, Tensor):
        return bins
    if limits is not None:
        low, high = limits
    elif values.numel() == 0:
        low, high = 0.0, 1.0
    else:
        low, high = float(values.min().item()), float(values.max().item())
    if low == high:
        low, high = low - 0.5, high + 0.5
    return _operations["linspace"](low, high, bins + 1, dtype=values.dtype)


def histogramdd(
    input: Tensor,
    bins: Any,
    *,
    range: Sequence[float] | None = None,
    weight: Tensor | None = None,
    density: bool = False,
) -> Any:
    """How many of the points (the rows of the last axis) lie in each cell of a grid, and its edges."""
    if input.dim() < 2:
        raise RuntimeError("histogramdd: input tensor should have at least 2 dimensions")
    points = input.detach().reshape(-1, input.shape[-1])
    axes = points.shape[1]
    given = [bins] * axes if isinstance(bins, int) else list(bins)
    if len(given) != axes:
        raise RuntimeError(
            f"histogramdd: expected {axes} sequences of bin edges or sizes, but got {len(given)}"
        )
    limits = [None if range is None else range[2 * i : 2 * i + 2] for i in _range(axes)]
    edges = tuple(_edges(points[:, i], given[i], limits[i]) for i in _range(axes))
    sizes = [edge.shape[0] - 1 for edge in edges]
    place = _operations["zeros"]([points.shape[0]], dtype=_C.int64)
    inside = _operations["ones"]([points.shape[0]], dtype=_C.bool)
    for i, edge in enumerate(edges):
        column = points[:, i].contiguous()
        bin_ = _operations["searchsorted"](edge.contiguous(), column, right=True) - 1
        bin_ = _operations["where"](column == edge[-1], sizes[i] - 1, bin_)
        inside = inside & (bin_ >= 0) & (bin_ < sizes[i])
        place = place * sizes[i] + bin_
    counted = _operations["ones_like"](points[:, 0]) if weight is None else weight.reshape(-1)
    total = math.prod(sizes)
    counted = counted.to(points.dtype) * inside.to(points.dtype)
    hist = points.new_zeros(total).scatter_add(0, place.clamp(0, max(total - 1, 0)), counted)
    hist = hist.reshape(sizes)
    if density:
        hist = hist / hist.sum()
        for i, edge in enumerate(edges):
            hist = hist / edge.diff().reshape([-1 if k == i else 1 for k in _range(axes)])
    return _Histogram(hist, edges)


def histogram(
    input: Tensor,
    bins: Any,
    *,
    range: Sequence[float] | None = None,
    weight: Tensor | None = None,
    density: bool = False,
) -> Any:
    """How many elements lie in each bin, and the edges of the bins."""
    hist, edges = histogramdd(
        input.reshape(-1, 1), [bins], range=range, weight=weight, density=density
    )
    return _Histogram(hist, edges[0])


# -- normalisation ------------------------------------------------------------------------------


def native_batch_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Each channel (axis 1) normalised; in training also its mean and 1 / deviation, as constants."""
    wide = _C.float32 if input.dtype in (_C.float16, _C.bfloat16) else input.dtype
    x = input.to(wide)
    axes = [0, *range(2, x.dim())]
    shape = [1, -1, *[1] * (x.dim() - 2)]
    if training:
        count = x.numel() // max(x.shape[1], 1)
        mean = x.mean(axes)
        var = (x - mean.reshape(shape)).square().mean(axes)
        save_mean, save_rstd = mean, (var + eps).rsqrt()
        for running, value in (
            (running_mean, mean),
            (running_var, var * count / max(count - 1, 1)),
        ):
            if running is not None:
                running.mul_(1 - momentum).add_(value.detach().to(running.dtype) * momentum)
        center, scale = mean, save_rstd
    else:
        if running_mean is None or running_var is None:
            raise RuntimeError("native_batch_norm: running statistics are needed in evaluation")
        save_mean, save_rstd = x.new_empty(0), x.new_empty(0)
        center, scale = running_mean.to(wide), (running_var.to(wide) + eps).rsqrt()
    result = (x - center.reshape(shape)) * scale.reshape(shape)
    if weight is not None:
        result = result * weight.to(wide).reshape(shape)
    if bias is not None:
        result = result + bias.to(wide).reshape(shape)
    save_mean, save_rstd = (x.detach().to(input.dtype) for x in (save_mean, save_rstd))
    return result.to(input.dtype), save_mean, save_rstd


# -- sets ---------------------------------------------------------------------------------------


def _without_repeats(
    input: Tensor, consecutive: bool, inverse: bool, counts: bool, dim: int | None
) -> Any:
    values, places, times = _operations["_unique"](input, consecutive, dim)
    results = (values, *([places] if inverse else []), *([times] if counts else []))
    return results if len(results) > 1 else values


def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The different elements (or slices along dim), ascending; with where each went, how often."""
    return _without_repeats(input, False, return_inverse, return_counts, dim)


def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The elements (or slices along dim) that differ from the one before."""
    return _without_repeats(input, True, return_inverse, return_counts, dim)


# -- comparison and order -----------------------------------------------------------------------


def allclose(
    input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> bool:
    """Whether |input - other| <= atol + rtol * |other| everywhere."""
    return bool(_operations["isclose"](input, other, rtol, atol, equal_nan).all().item())


def _quantile(
    name: str,
    input: Tensor,
    q: Any,
    dim: int | None,
    keepdim: bool,
    interpolation: str,
    skips_nan: bool,
) -> Tensor:
    if input.numel() == 0:
        raise RuntimeError(f"{name}() input tensor must be non-empty")
    if input.dtype not in (_C.float32, _C.float64):
        raise RuntimeError(f"{name}() input tensor must be either float or double dtype")
    if isinstance(q, Tensor):
        if q.dim() > 1:
            raise RuntimeError(f"{name}() q must be a scalar or 1D tensor")
        if q.dtype != input.dtype:
            raise RuntimeError(
                f"{name}() q tensor must be same dtype as the input tensor, got {q.dtype}"
            )
    else:
        q = input.new_full((), float(q))
    if bool(((q < 0) | (q > 1)).any()):
        raise RuntimeError(f"{name}() q values must be in the range [0, 1]")
    kinds = ("linear", "lower", "higher", "midpoint", "nearest")
    if interpolation not in kinds:
        raise RuntimeError(
            f"{name}() interpolation must be one of linear, lower, higher, midpoint or nearest, "
            f"but got {interpolation}"
        )
    rank = input.dim()
    if dim is None:
        rows = input.reshape(-1)
        kept = [1] * rank
    else:
        axis = dim + rank if dim < 0 else dim
        if not 0 <= axis < max(rank, 1):
            raise IndexError(
                f"{name}: Dimension out of range (expected to be in range of [{-max(rank, 1)}, "
                f"{max(rank, 1) - 1}], but got {dim})"
            )
        rows = input.movedim(axis, -1) if rank else input.reshape(1)
        kept = [1 if i == axis else n for i, n in enumerate(input.shape)]
    ordered = rows.sort(-1)[0]
    count = ordered.shape[-1]
    points = q.detach().reshape(-1)
    if skips_nan:
        last = (count - ordered.isnan().sum(-1, keepdim=True) - 1).clamp_min(0)
        ranks = points * last.to(points.dtype)
    else:
        # A NaN is the quantile of its row: they are ordered last.
        has_nan = ordered[..., -1:].isnan()
        ranks = (points * (count - 1)).masked_fill(has_nan, count - 1)
    if interpolation in ("lower", "higher", "nearest"):
        ranks = {"lower": ranks.floor, "higher": ranks.ceil, "nearest": ranks.round}[
            interpolation
        ]()
    below = ranks.floor()
    values = ordered.gather(-1, below.to(_C.int64))
    if interpolation in ("linear", "midpoint"):
        above = ordered.gather(-1, ranks.ceil().to(_C.int64))
        share = (
            0.5 * (ranks != below).to(ranks.dtype) if interpolation == "midpoint" else ranks - below
        )
        values = values.lerp(above, share)
    shape = kept if keepdim else [n for i, n in enumerate(kept) if dim is not None and i != axis]
    result = values.movedim(-1, 0).reshape([points.shape[0], *shape])
    return result[0] if q.dim() == 0 else result


@autocasts("float32")
def quantile(
    input: Tensor,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
    out: Tensor | None = None,
) -> Tensor:
    """The q-th quantiles along dim (of all elements by default); NaN where a row has one."""
    result = _quantile("quantile", input, q, dim, keepdim, interpolation, False)
    return result if out is None else out.copy_(result)


@autocasts("float32")
def nanquantile(
    input: Tensor,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
    out: Tensor | None = None,
) -> Tensor:
    """quantile of the elements that are not NaN."""
    result = _quantile("nanquantile", input, q, dim, keepdim, interpolation, True)
    return result if out is None else out.copy_(result)


def masked_median(
    input: Tensor,
    dim: int = -1,
    *,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The median along dim of the elements that the mask leaves; NaN where it leaves none."""
    values = input if dtype is None else input.to(dtype)
    if not values.is_floating_point():
        raise ValueError("masked median expects no fully masked out rows, and floats")
    kept = values if mask is None else values.masked_fill(~mask, math.nan)
    has_nan = values.isnan() if mask is None else values.isnan() & mask
    median = _operations["nanmedian"](kept, dim, keepdim)[0]
    return median.masked_fill(has_nan.any(dim, keepdim), math.nan)


def add_methods() -> None:
    """Gives Tensor the methods."""
    named = {**globals(), "index_put_": _index_put_}
    add_to_tensor({name: named[name] for name in METHODS})


make_overridable(globals(), __all__)
add_methods()
