"""Look-up of rows."""

from __future__ import annotations

import math
import warnings

import flambeau
from flambeau import Tensor
from flambeau.nn.functional._operations import OPERATIONS

__all__ = ["embedding", "embedding_bag"]


def _no_grad_embedding_renorm_(
    weight: Tensor, input: Tensor, max_norm: float, norm_type: float
) -> Tensor:
    """Scales the rows of `weight` that `input` names to a norm of at most `max_norm`."""
    with flambeau.no_grad():
        index = input.reshape(-1)
        rows = weight.index_select(0, index)
        norms = flambeau.linalg.vector_norm(rows, norm_type, 1, True)
        factor = flambeau.where(norms > max_norm, max_norm / (norms + 1e-7), 1.0)
        weight.index_copy_(0, index, rows * factor.to(rows.dtype))
    return weight


def _row_of(padding_idx: int | None, weight: Tensor) -> int | None:
    if padding_idx is None:
        return None
    if not -weight.size(0) <= padding_idx < weight.size(0):
        raise AssertionError("Padding_idx must be within num_embeddings")
    return padding_idx % weight.size(0)


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Rows of `weight`. With max_norm those rows are scaled first, in place; the row padding_idx
    gets no gradient.
    """
    if sparse:
        raise NotImplementedError(
            "embedding: sparse=True is not provided: gradients are dense; leave it out"
        )
    padding_idx = _row_of(padding_idx, weight)
    if max_norm is not None:
        _no_grad_embedding_renorm_(weight, input, max_norm, norm_type)
    rows = OPERATIONS["embedding"](input, weight, padding_idx)
    if scale_grad_by_freq and rows.requires_grad:
        # Each row's gradient is the mean over its uses.
        uses = flambeau.bincount(input.reshape(-1), minlength=weight.size(0))[input]
        rows.register_hook(lambda grad: grad / uses.unsqueeze(-1))
    return rows


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """The sum, mean or maximum of the rows of each bag: a row of a matrix of indices, or the indices
    of a vector from one offset to the next. Rows padding_idx do not count.
    """
    if weight.dtype == flambeau.int64 and input.is_floating_point():
        warnings.warn(
            "Argument order of nn.functional.embedding_bag was changed. Usage `embedding_bag(weight, "
            "input, ...)` is deprecated, and should now be `embedding_bag(input, weight, ...)`.",
            stacklevel=2,
        )
        input, weight = weight, input
    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum, mean or max")
    if mode == "max" and (scale_grad_by_freq or sparse):
        raise ValueError(
            "max mode does not support scaling the gradient by frequency or sparse weights"
        )
    if per_sample_weights is not None:
        if mode != "sum":
            raise NotImplementedError(
                "embedding_bag: per_sample_weights was not None. per_sample_weights is only supported "
                f"for mode='sum' (got mode='{mode}')."
            )
        if per_sample_weights.shape != input.shape:
            raise ValueError(
                f"embedding_bag: If per_sample_weights ({list(per_sample_weights.shape)}) is not None, "
                f"then it must have the same shape as the input ({list(input.shape)})"
            )
    if input.dim() == 2:
        if offsets is not None:
            raise ValueError(
                "if input is 2D, then offsets has to be None, as input is treated is a mini-batch of "
                f"fixed length sequences. However, found offsets of type {type(offsets).__name__}"
            )
        bags, width = input.shape
        starts = flambeau.arange(bags) * width
        place = flambeau.arange(bags).unsqueeze(1).expand(bags, width).reshape(-1)
    elif input.dim() == 1:
        if offsets is None:
            raise ValueError("offsets has to be a 1D Tensor but got None")
        if offsets.dim() != 1:
            raise ValueError("offsets has to be a 1D Tensor")
        starts = OPERATIONS["_embedding_bag_starts"](offsets, input.shape[0], include_last_offset)
        bags = starts.shape[0]
        numbers = flambeau.arange(input.shape[0])
        place = flambeau.searchsorted(starts, numbers, right=True) - 1
    else:
        raise ValueError(
            f"input has to be 1D or 2D Tensor, but got Tensor of dimension {input.dim()}"
        )
    index = input.reshape(-1)
    padding_idx = _row_of(padding_idx, weight)
    kept = None if padding_idx is None else index != padding_idx
    needs_gradient = weight.requires_grad and flambeau.is_grad_enabled()
    wide = weight.dtype
    if wide in (flambeau.float16, flambeau.bfloat16):
        wide = flambeau.float32
    if mode != "max" and not ((scale_grad_by_freq or sparse) and needs_gradient):
        if max_norm is not None:
            _no_grad_embedding_renorm_(weight, input, max_norm, norm_type)
        factor = None if per_sample_weights is None else per_sample_weights.reshape(-1)
        if mode == "mean":
            ones = flambeau.ones_like(index, dtype=wide) if kept is None else kept.to(wide)
            counts = ones.new_zeros(bags).index_add(0, place, ones)
            factor = ones / counts.clamp_min(1)[place]
        elif kept is not None:
            factor = kept.to(wide) if factor is None else factor * kept
        return OPERATIONS["_sum_of_bags"](weight, index, place, starts, factor)
    rows = embedding(
        index,
        weight,
        padding_idx,
        max_norm,
        norm_type,
        scale_grad_by_freq,
        sparse and needs_gradient,
    )
    rows = rows.to(wide)
    if kept is None:
        kept = flambeau.ones_like(index, dtype=flambeau.bool)
    if mode == "max":
        lowest = rows.new_full((bags, weight.size(1)), -math.inf)
        masked = rows.masked_fill(~kept.unsqueeze(1), -math.inf)
        result = lowest.index_reduce(0, place, masked, "amax")
        return result.masked_fill(result == -math.inf, 0.0).to(weight.dtype)
    factor = kept.to(wide)
    if per_sample_weights is not None:
        factor = factor * per_sample_weights.reshape(-1).to(wide)
    result = rows.new_zeros(bags, weight.size(1)).index_add(0, place, rows * factor.unsqueeze(1))
    if mode == "mean":
        counts = rows.new_zeros(bags).index_add(0, place, kept.to(wide))
        result = result / counts.clamp_min(1).unsqueeze(1)
    return result.to(weight.dtype)
