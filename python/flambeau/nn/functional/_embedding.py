"""Look-up of rows."""

from __future__ import annotations

import flambeau
from flambeau import Tensor
from flambeau.nn.functional._operations import OPERATIONS

__all__ = ["embedding"]


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
    if padding_idx is not None:
        if not -weight.size(0) <= padding_idx < weight.size(0):
            raise AssertionError("Padding_idx must be within num_embeddings")
        padding_idx %= weight.size(0)
    if max_norm is not None:
        _no_grad_embedding_renorm_(weight, input, max_norm, norm_type)
    rows = OPERATIONS["embedding"](input, weight, padding_idx)
    if scale_grad_by_freq and rows.requires_grad:
        # Each row's gradient is the mean over its uses.
        uses = flambeau.bincount(input.reshape(-1), minlength=weight.size(0))[input]
        rows.register_hook(lambda grad: grad / uses.unsqueeze(-1))
    return rows
