"""Losses of sequences."""

from __future__ import annotations

from typing import Any

import flambeau
from flambeau import _C, Tensor

__all__ = ["ctc_loss"]


def _lengths(name: str, lengths: Any) -> Tensor:
    if isinstance(lengths, Tensor):
        if lengths.is_floating_point():
            raise RuntimeError(f"ctc_loss: {name} must be integral")
        return lengths.reshape(-1).long()
    return flambeau.tensor(list(lengths), dtype=flambeau.long)


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """Connectionist temporal classification (Graves et al., 2006): minus the log probability of
    `targets` under log_probs (steps, batch, classes), summed over all alignments. "mean" divides by
    the targets' lengths first.
    """
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    batched = log_probs.dim() == 3
    steps = _lengths("input_lengths", input_lengths)
    labels = _lengths("target_lengths", target_lengths)
    losses, _ = _C._functions["_ctc_loss_and_gradient"](
        log_probs if batched else log_probs.unsqueeze(1),
        targets,
        steps,
        labels,
        blank,
        zero_infinity,
    )
    if reduction == "mean":
        return (losses / labels.clamp(min=1).to(losses.dtype)).mean()
    if reduction == "sum":
        return losses.sum()
    return losses if batched else losses.squeeze(0)
