"""The names of losses' reductions."""

from __future__ import annotations

import warnings

from flambeau import Tensor

__all__ = ["check", "from_legacy", "reduced"]


def from_legacy(size_average: bool | None, reduce: bool | None, emit_warning: bool = True) -> str:
    """The reduction that PyTorch 0.4's two flags meant."""
    size_average = True if size_average is None else size_average
    reduce = True if reduce is None else reduce
    name = "none" if not reduce else "mean" if size_average else "sum"
    if emit_warning:
        warnings.warn(
            "size_average and reduce args will be deprecated, please use "
            f"reduction='{name}' instead.",
            stacklevel=4,
        )
    return name


legacy_get_string = from_legacy


def check(reduction: str) -> None:
    """ValueError for what is no reduction."""
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")


def reduced(losses: Tensor, reduction: str) -> Tensor:
    """Each loss, their mean, or their sum."""
    check(reduction)
    if reduction == "none":
        return losses
    return losses.mean() if reduction == "mean" else losses.sum()
