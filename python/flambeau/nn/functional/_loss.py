"""Losses that are a few operations of others, and weights for the regression losses."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import flambeau
from flambeau import Tensor
from flambeau._overridable import autocasts
from flambeau.nn import _reduction
from flambeau.nn.functional._operations import OPERATIONS

__all__ = [
    "gaussian_nll_loss",
    "huber_loss",
    "l1_loss",
    "mse_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "smooth_l1_loss",
    "triplet_margin_with_distance_loss",
]


def _reduction_of(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    if size_average is None and reduce is None:
        return reduction
    return _reduction.from_legacy(size_average, reduce)


def _warn_of_broadcast(input: Tensor, target: Tensor) -> None:
    if target.size() != input.size():
        warnings.warn(
            f"Using a target size ({target.size()}) that is different to the input size "
            f"({input.size()}). This will likely lead to incorrect results due to broadcasting. "
            "Please ensure they have the same size.",
            stacklevel=3,
        )


def _weighted(losses: Tensor, weight: Tensor, reduction: str) -> Tensor:
    """Losses times weights; their mean is the weighted one."""
    if weight.size() != losses.size():
        raise ValueError("Weights and input must have the same size.")
    losses = losses * weight
    if reduction == "mean":
        return losses.sum() / weight.sum()
    return _reduction.reduced(losses, reduction)


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """(input - target)^2."""
    _warn_of_broadcast(input, target)
    reduction = _reduction_of(size_average, reduce, reduction)
    if weight is None:
        return OPERATIONS["mse_loss"](input, target, reduction=reduction)
    return _weighted(OPERATIONS["mse_loss"](input, target, reduction="none"), weight, reduction)


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """|input - target|."""
    _warn_of_broadcast(input, target)
    reduction = _reduction_of(size_average, reduce, reduction)
    if weight is None:
        return OPERATIONS["l1_loss"](input, target, reduction=reduction)
    return _weighted(OPERATIONS["l1_loss"](input, target, reduction="none"), weight, reduction)


def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """Half the square of small differences, linear beyond `delta`. Huber, 1964."""
    _warn_of_broadcast(input, target)
    if weight is None:
        return OPERATIONS["huber_loss"](input, target, reduction, delta)
    return _weighted(OPERATIONS["huber_loss"](input, target, "none", delta), weight, reduction)


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """Huber's loss divided by `beta`."""
    _warn_of_broadcast(input, target)
    reduction = _reduction_of(size_average, reduce, reduction)
    return OPERATIONS["smooth_l1_loss"](input, target, reduction=reduction, beta=beta)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Any,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """-log of the normal density at `target` with mean `input`; `var` may be a number."""
    if isinstance(var, float):
        if var < 0:
            raise ValueError("var has negative entry/entries")
        var = flambeau.full_like(input, var)
    elif bool((var < 0).any()):
        raise ValueError("var has negative entry/entries")
    if var.shape == input.shape[:-1] and input.dim() > 0:
        var = var.unsqueeze(-1)
    if var.shape != input.shape and var.shape != (*input.shape[:-1], 1):
        raise ValueError(
            f"var is of incorrect size: {tuple(var.shape)} for an input of {tuple(input.shape)}"
        )
    return OPERATIONS["gaussian_nll_loss"](input, target, var, full, eps, reduction)


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Binary cross entropy of every class, averaged over the classes."""
    reduction = _reduction_of(size_average, reduce, reduction)
    log = OPERATIONS["logsigmoid"]
    loss = -(target * log(input) + (1 - target) * log(-input))
    if weight is not None:
        loss = loss * weight
    return _reduction.reduced(loss.mean(-1), reduction)


@autocasts("float32")
def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The mean over the other classes of max(0, margin - input[target] + input[i])^p."""
    reduction = _reduction_of(size_average, reduce, reduction)
    _reduction.check(reduction)
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    if weight is not None and weight.dim() != 1:
        raise ValueError("weight must be one-dimensional")
    rows = input.unsqueeze(0) if input.dim() == 0 else input
    if rows.dim() > 2 or rows.size(-1) == 0:
        raise RuntimeError(
            "multi_margin_loss: Expected non-empty vector or matrix with optional 0-dim batch "
            f"size, but got: {[*input.shape]}"
        )
    rows = rows.reshape(-1, rows.size(-1))
    classes = target.reshape(-1)
    if classes.size(0) != rows.size(0):
        raise RuntimeError(
            f"multi_margin_loss: inconsistent target size, expected {rows.size(0)} but got "
            f"{[*target.shape]}"
        )
    if classes.numel() and not 0 <= int(classes.min()) <= int(classes.max()) < rows.size(1):
        raise RuntimeError("multi_margin_loss: target out of range")
    index = classes.unsqueeze(1)
    loss = (margin - rows.gather(1, index) + rows).relu().pow(p)
    if weight is not None:
        loss = loss * weight[index]
    others = flambeau.arange(rows.size(1)) != index
    loss = (loss * others).sum(1) / rows.size(1)
    return _reduction.reduced(loss.reshape(target.shape), reduction)


@autocasts("float32")
def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The sum over wanted classes j and others i of max(0, 1 - input[j] + input[i]), divided by the
    number of classes. A row of `target` lists its classes and ends at the first -1.
    """
    reduction = _reduction_of(size_average, reduce, reduction)
    _reduction.check(reduction)
    if input.shape != target.shape or input.dim() > 2:
        raise RuntimeError(
            f"multilabel_margin_loss: inconsistent target size: {[*target.shape]} for input of "
            f"size: {[*input.shape]}"
        )
    count = input.size(-1) if input.dim() else 1
    if target.numel() and not -1 <= int(target.min()) <= int(target.max()) < count:
        raise RuntimeError("multilabel_margin_loss: target is out of range")
    rows, classes = input.reshape(-1, count), target.reshape(-1, count)
    listed = (classes < 0).cumsum(1) == 0
    safe = classes.clamp_min(0)
    is_target = flambeau.zeros_like(rows).scatter_add(1, safe, listed.to(rows.dtype)) > 0
    gaps = 1 - rows.gather(1, safe).unsqueeze(2) + rows.unsqueeze(1)
    counted = listed.unsqueeze(2) & is_target.logical_not().unsqueeze(1)
    loss = (gaps.relu() * counted).sum((1, 2)) / count
    return _reduction.reduced(loss.reshape(input.shape[:-1]), reduction)


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """max(0, distance(anchor, positive) - distance(anchor, negative) + margin)."""
    _reduction.check(reduction)
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    if anchor.dim() != positive.dim() or anchor.dim() != negative.dim():
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of "
            f"dimensions, but got: anchor {anchor.dim()}D, positive {positive.dim()}D, and "
            f"negative {negative.dim()}D inputs"
        )
    distance = OPERATIONS["pairwise_distance"] if distance_function is None else distance_function
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = flambeau.minimum(far, distance(positive, negative))
    return _reduction.reduced((margin + near - far).clamp_min(0), reduction)
