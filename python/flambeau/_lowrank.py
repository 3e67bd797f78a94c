"""A few singular values of a large matrix, by random projections (Halko, Martinsson, Tropp, 2009,
arXiv:0909.4061).
"""

from __future__ import annotations

from typing import Any

import flambeau
from flambeau._C import Tensor

__all__ = ["pca_lowrank", "svd_lowrank"]


def _range_of(matrix: Tensor, q: int, niter: int) -> Tensor:
    """An orthonormal basis of about the space that the largest q singular vectors span: the range of
    random combinations of columns, refined by `niter` steps of subspace iteration (algorithm 4.4).
    """
    qr: Any = flambeau.linalg.qr
    start = flambeau.randn(*matrix.shape[:-2], matrix.shape[-1], q, dtype=matrix.dtype)
    basis = qr(matrix @ start).Q
    for _ in range(niter):
        basis = qr(matrix.mH @ basis).Q
        basis = qr(matrix @ basis).Q
    return basis


def svd_lowrank(
    A: Tensor, q: int | None = 6, niter: int | None = 2, M: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """U, S, V of about the q largest singular values of A, or of A - M: A is about
    U @ diag(S) @ V.mH.
    """
    matrix = A if M is None else A - M.broadcast_to(A.shape)
    wide = matrix.shape[-2] < matrix.shape[-1]
    if wide:
        matrix = matrix.mH
    basis = _range_of(matrix, 6 if q is None else q, 2 if niter is None else niter)
    left, values, right = flambeau.linalg.svd(basis.mH @ matrix, full_matrices=False)
    left, right = basis @ left, right.mH
    return (right, values, left) if wide else (left, values, right)


def pca_lowrank(
    A: Tensor, q: int | None = None, center: bool = True, niter: int = 2
) -> tuple[Tensor, Tensor, Tensor]:
    """svd_lowrank of A whose columns have their mean taken away: principal components."""
    rows, columns = A.shape[-2:]
    if q is None:
        q = min(6, rows, columns)
    elif not 0 <= q <= min(rows, columns):
        raise ValueError(
            f"q(={q}) must be non-negative integer and not greater than min(m, n)={min(rows, columns)}"
        )
    if niter < 0:
        raise ValueError(f"niter(={niter}) must be non-negative integer")
    return svd_lowrank(A - A.mean(-2, keepdim=True) if center else A, q, niter)
