"""Linear algebra: factorisations, and what products of their factors give."""

from __future__ import annotations

import math
from collections import namedtuple
from typing import Any

from . import _C
from ._C import Tensor
from ._overridable import autocasts

_operations = _C._functions


def _operation(name: str) -> Any:
    return _operations[f"_linalg.{name}"]


class LinAlgError(RuntimeError):
    """A matrix that is singular, or not positive-definite, where it must not be."""


def _result(name: str, *fields: str) -> Any:
    kind = namedtuple(name, fields)  # type: ignore[misc]
    kind.__module__ = "flambeau.return_types"
    return kind


_Cholesky = _result("linalg_cholesky_ex", "L", "info")
_Inverse = _result("linalg_inv_ex", "inverse", "info")
_Solve = _result("linalg_solve_ex", "result", "info")
_Slogdet = _result("linalg_slogdet", "sign", "logabsdet")
_Eigh = _result("linalg_eigh", "eigenvalues", "eigenvectors")
_Eig = _result("linalg_eig", "eigenvalues", "eigenvectors")
_Ldl = _result("linalg_ldl_factor", "LD", "pivots")
_LdlEx = _result("linalg_ldl_factor_ex", "LD", "pivots", "info")
_Svd = _result("linalg_svd", "U", "S", "Vh")
_Qr = _result("linalg_qr", "Q", "R")
_Lu = _result("linalg_lu", "P", "L", "U")
_Factor = _result("linalg_lu_factor", "LU", "pivots")
_FactorEx = _result("linalg_lu_factor_ex", "LU", "pivots", "info")
_Triangular = _result("triangular_solve", "solution", "cloned_coefficient")
_OldSvd = _result("svd", "U", "S", "V")


def _refuse(name: str, info: Tensor, text: str) -> None:
    """LinAlgError for the first matrix of a batch (in vmap, of all members) whose info is not 0."""
    info, _ = _C._unbatched(info)
    if not bool(info.any()):
        return
    codes = info.reshape(-1).tolist()
    place = next(i for i, code in enumerate(codes) if code != 0)
    where = f" (Batch element {place}):" if info.dim() > 0 else ""
    raise LinAlgError(f"{name}:{where} {text.format(codes[place])}")


def _check_square(name: str, a: Tensor) -> None:
    if a.dim() < 2:
        raise RuntimeError(f"{name}: The input tensor A must have at least 2 dimensions.")
    if a.shape[-1] != a.shape[-2]:
        raise RuntimeError(
            f"{name}: A must be batches of square matrices, but they are {a.shape[-2]} by "
            f"{a.shape[-1]} matrices"
        )


def _store(result: Any, out: Any) -> Any:
    if out is None:
        return result
    for target, value in zip(out, result) if isinstance(out, (tuple, list)) else [(out, result)]:
        if target.shape != value.shape:
            target.resize_(value.shape)
        target.copy_(value)
    return out


def _eye(like: Tensor, n: int) -> Tensor:
    return _operations["eye"](n, dtype=like.dtype)


def _identity_like(a: Tensor) -> Tensor:
    """The identity for each matrix; a function of `a`, though one that nothing changes."""
    nothing = a[..., :0]
    return _eye(a, a.shape[-2]) + nothing @ nothing.mT


def _broadcast(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The matrices with one batch shape."""
    from ._functional import broadcast_shapes

    batch = broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return a.expand(*batch, *a.shape[-2:]), b.expand(*batch, *b.shape[-2:])


# -- inverses and solutions ---------------------------------------------------------------------


def inv_ex(A: Tensor, *, check_errors: bool = False, out: Any = None) -> Any:
    """The inverse of each matrix, and 0 or the number of the pivot that is 0."""
    inverse, info = _operation("inverse")(A)
    if check_errors:
        _refuse(
            "linalg.inv",
            info,
            "The diagonal element {} is zero, the inversion could not be completed because the "
            "input matrix is singular.",
        )
    return _store(_Inverse(inverse, info), out)


def inv(A: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The inverse of each matrix; LinAlgError for a singular one."""
    return _store(inv_ex(A, check_errors=True).inverse, out)


def _is_vector(a: Tensor, b: Tensor) -> bool:
    return b.dim() == 1 or (a.dim() - 1 == b.dim() and b.shape == a.shape[:-1])


def solve_ex(
    A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False, out: Any = None
) -> Any:
    """X with A X = B (X A = B unless left), and 0 or the number of the pivot that is 0."""
    _check_square("linalg.solve", A)
    vector = _is_vector(A, B)
    if vector and not left:
        raise RuntimeError(
            "linalg.solve: Vector broadcasting of the left hand side is not possible"
        )
    b = B.unsqueeze(-1) if vector else B
    if A.dtype != b.dtype:
        raise RuntimeError(
            "linalg.solve: Expected A and B to have the same dtype, but found A of type "
            f"{A.dtype} and B of type {B.dtype} instead"
        )
    if b.shape[-2 if left else -1] != A.shape[-1]:
        raise RuntimeError(
            f"linalg.solve: Incompatible shapes of A and B for the equation AX = B "
            f"({list(A.shape)} and {list(B.shape)})"
        )
    a = A if left else A.mT
    a, b = _broadcast(a, b if left else b.mT)
    x, _, info = _operation("solve")(a, b)
    if check_errors:
        _refuse("linalg.solve", info, "The solver failed because the input matrix is singular.")
    x = x if left else x.mT
    return _store(_Solve(x.squeeze(-1) if vector else x, info), out)


@autocasts("float32")
def solve(A: Tensor, B: Tensor, *, left: bool = True, out: Tensor | None = None) -> Tensor:
    """X with A X = B (X A = B unless left)."""
    return _store(solve_ex(A, B, left=left, check_errors=True).result, out)


@autocasts("float32")
def solve_triangular(
    A: Tensor,
    B: Tensor,
    *,
    upper: bool,
    left: bool = True,
    unitriangular: bool = False,
    out: Tensor | None = None,
) -> Tensor:
    """X with A X = B (X A = B unless left) for the upper or lower triangle of A."""
    _check_square("linalg.solve_triangular", A)
    if B.dim() < 2 or A.shape[-1] != B.shape[-2 if left else -1]:
        raise RuntimeError(
            "linalg.solve_triangular: Incompatible shapes of A and B for the equation "
            f"{'AX = B' if left else 'XA = B'} ({list(A.shape)} and {list(B.shape)})"
        )
    inverse = _operation("triangular_inverse")(A, upper, unitriangular)
    return _store(inverse @ B if left else B @ inverse, out)


@autocasts("float32")
def triangular_solve(
    b: Tensor,
    A: Tensor,
    upper: bool = True,
    transpose: bool = False,
    unitriangular: bool = False,
    *,
    out: Any = None,
) -> Any:
    """X with A X = b (A^T X = b if transpose) for a triangle of A, and A."""
    _check_square("triangular_solve", A)
    if b.dim() < 2 or A.shape[-1] != b.shape[-2]:
        raise RuntimeError(
            f"triangular_solve: Incompatible matrix sizes {list(A.shape)} and {list(b.shape)}"
        )
    inverse = _operation("triangular_inverse")(A, upper, unitriangular)
    a, b = _broadcast(A, b)
    return _store(_Triangular((inverse.mT if transpose else inverse) @ b, a.clone()), out)


# -- Cholesky -----------------------------------------------------------------------------------


def cholesky_ex(
    A: Tensor, *, upper: bool = False, check_errors: bool = False, out: Any = None
) -> Any:
    """L with L L^H = A, and 0 or the order of the first minor that is not positive."""
    factor, _, info = _operation("cholesky")(A.mH if upper else A)
    if check_errors:
        _refuse(
            "linalg.cholesky",
            info,
            "The factorization could not be completed because the input is not positive-definite "
            "(the leading minor of order {} is not positive-definite).",
        )
    return _store(_Cholesky(factor.mH if upper else factor, info), out)


def cholesky(A: Tensor, *, upper: bool = False, out: Tensor | None = None) -> Tensor:
    """The triangular L with L L^H = A, or U with U^H U = A; LinAlgError if there is none."""
    return _store(cholesky_ex(A, upper=upper, check_errors=True).L, out)


def _cholesky(input: Tensor, upper: bool = False, *, out: Tensor | None = None) -> Tensor:
    """linalg.cholesky."""
    return cholesky(input, upper=upper, out=out)


def _factor_inverse(name: str, factor: Tensor, upper: bool) -> Tensor:
    """L^-1 for the factor L, or U^H."""
    _check_square(name, factor)
    return _operation("triangular_inverse")(factor.mH if upper else factor, False)


@autocasts("float32")
def cholesky_solve(
    B: Tensor, L: Tensor, upper: bool = False, *, out: Tensor | None = None
) -> Tensor:
    """X with A X = B for the matrix of this Cholesky factor."""
    inverse = _factor_inverse("cholesky_solve", L, upper)
    if B.dim() < 2 or B.shape[-2] != L.shape[-1]:
        raise RuntimeError(
            f"cholesky_solve: Incompatible matrix sizes: A {list(L.shape)}, b {list(B.shape)}"
        )
    return _store(inverse.mH @ (inverse @ B), out)


@autocasts("float32")
def cholesky_inverse(L: Tensor, upper: bool = False, *, out: Tensor | None = None) -> Tensor:
    """The inverse of the matrix of this Cholesky factor."""
    inverse = _factor_inverse("cholesky_inverse", L, upper)
    return _store(inverse.mH @ inverse, out)


# -- LU -----------------------------------------------------------------------------------------


def _check_pivot(name: str, pivot: bool) -> None:
    if not pivot:
        raise RuntimeError(f"{name}: LU without pivoting is not implemented on the CPU")


def lu_factor_ex(
    A: Tensor, *, pivot: bool = True, check_errors: bool = False, out: Any = None
) -> Any:
    """The packed factors of A = P L U, the rows exchanged, and 0 or the pivot that is 0."""
    _check_pivot("linalg.lu_factor", pivot)
    packed, _, _, _, pivots, info = _operation("lu")(A)
    if check_errors:
        _refuse(
            "linalg.lu_factor_ex",
            info,
            "U[{0},{0}] is zero and using it on lu_solve would result in a division by zero.",
        )
    return _store(_FactorEx(packed, pivots, info), out)


def lu_factor(A: Tensor, *, pivot: bool = True, out: Any = None) -> Any:
    """The packed factors of A = P L U, and the rows exchanged."""
    return _store(_Factor(*lu_factor_ex(A, pivot=pivot)[:2]), out)


def _unpacked(packed: Tensor) -> tuple[Tensor, Tensor]:
    k = min(packed.shape[-2:])
    m = packed.shape[-2]
    lower = packed[..., :k].tril(-1) + _operations["eye"](m, k, dtype=packed.dtype)
    return lower, packed[..., :k, :].triu()


def lu(A: Tensor, *, pivot: bool = True, out: Any = None) -> Any:
    """P, L and U with A = P L U."""
    _check_pivot("linalg.lu", pivot)
    packed, permutation, *_ = _operation("lu")(A)
    return _store(_Lu(permutation, *_unpacked(packed)), out)


def _lu(A: Tensor, pivot: bool = True, get_infos: bool = False, out: Any = None) -> Any:
    """The packed factors of A = P L U and the rows exchanged; with get_infos also what failed."""
    packed, pivots, info = lu_factor_ex(A, pivot=pivot)
    return _store((packed, pivots, info) if get_infos else (packed, pivots), out)


def _permutation(pivots: Tensor, m: int, like: Tensor) -> Tensor:
    """The matrices P whose rows were exchanged as `pivots` says."""
    steps = pivots.reshape(-1, pivots.shape[-1]).tolist()
    rows = []
    for exchanges in steps:
        order = list(range(m))
        for i, other in enumerate(exchanges):
            order[i], order[other - 1] = order[other - 1], order[i]
        rows.append(order)
    order = _C._tensor(rows, _C.int64, False).reshape(*pivots.shape[:-1], m)
    return _eye(like, m)[order].mT


def lu_unpack(
    LU_data: Tensor,
    LU_pivots: Tensor,
    unpack_data: bool = True,
    unpack_pivots: bool = True,
    *,
    out: Any = None,
) -> Any:
    """P, L and U of packed factors; empty ones for those that are not asked for."""
    if unpack_pivots and LU_pivots.dtype != _C.int32:
        raise RuntimeError(
            "lu_unpack: LU_pivots is expected to be a contiguous tensor of torch.int32 dtype."
        )
    empty = LU_data.new_empty(0)
    lower, upper = _unpacked(LU_data) if unpack_data else (empty, empty)
    permutation = _permutation(LU_pivots, LU_data.shape[-2], LU_data) if unpack_pivots else empty
    return _store(_Lu(permutation, lower, upper), out)


@autocasts("float32")
def lu_solve(
    LU: Tensor,
    pivots: Tensor,
    B: Tensor,
    *,
    left: bool = True,
    adjoint: bool = False,
    out: Tensor | None = None,
) -> Tensor:
    """X with A X = B (X A = B unless left, with A^H if adjoint) for A with these factors."""
    _check_square("linalg.lu_solve", LU)
    if pivots.dtype != _C.int32:
        raise RuntimeError("linalg.lu_solve: pivots should be a Tensor of scalar type torch.int32")
    if B.dim() < 2 or B.shape[-2 if left else -1] != LU.shape[-1]:
        raise RuntimeError(
            f"linalg.lu_solve: Incompatible shapes of A and B ({list(LU.shape)}, {list(B.shape)})"
        )
    invert = _operation("triangular_inverse")
    p = _permutation(pivots, LU.shape[-1], LU)
    inverse = invert(LU, True) @ invert(LU, False, True) @ p.mT
    inverse = inverse.mH if adjoint else inverse
    return _store(inverse @ B if left else B @ inverse, out)


def _lu_solve(b: Tensor, LU_data: Tensor, LU_pivots: Tensor, *, out: Any = None) -> Tensor:
    """linalg.lu_solve."""
    return lu_solve(LU_data, LU_pivots, b, out=out)


# -- symmetric matrices that may be indefinite --------------------------------------------------


def ldl_factor_ex(
    A: Tensor, *, hermitian: bool = False, check_errors: bool = False, out: Any = None
) -> Any:
    """The packed factors of A = L D L^T (L^H if hermitian), the rows exchanged, and what is 0."""
    _check_square("linalg.ldl_factor_ex", A)
    packed, pivots, info = _operation("ldl")(A, hermitian)
    if check_errors:
        _refuse(
            "linalg.ldl_factor_ex",
            info,
            "D[{0},{0}] is zero and using it on ldl_solve would result in a division by zero.",
        )
    return _store(_LdlEx(packed, pivots, info), out)


def ldl_factor(A: Tensor, *, hermitian: bool = False, out: Any = None) -> Any:
    """The packed factors of A = L D L^T (L^H if hermitian), and the rows exchanged."""
    factors = ldl_factor_ex(A, hermitian=hermitian, check_errors=True)
    return _store(_Ldl(*factors[:2]), out)


def ldl_solve(
    LD: Tensor, pivots: Tensor, B: Tensor, *, hermitian: bool = False, out: Tensor | None = None
) -> Tensor:
    """X with A X = B for A with the factors that ldl_factor gives."""
    _check_square("linalg.ldl_solve", LD)
    if B.dim() < 2:
        raise IndexError("linalg.ldl_solve: B must have at least 2 dimensions")
    if B.shape[-2] != LD.shape[-1]:
        raise RuntimeError(
            f"linalg.ldl_solve: Incompatible shapes of LD and B ({list(LD.shape)}, {list(B.shape)})"
        )
    if pivots.shape != LD.shape[:-1]:
        raise RuntimeError(
            "linalg.ldl_solve: Expected LD.shape[:-1] and pivots.shape to be the same, but got "
            f"pivots with shape {list(pivots.shape)} instead"
        )
    if pivots.is_floating_point() or pivots.is_complex() or pivots.dtype == _C.bool:
        raise RuntimeError(f"linalg.ldl_solve: Expected pivots to be integers. Got {pivots.dtype}")
    if LD.dtype != B.dtype:
        raise RuntimeError(
            "linalg.ldl_solve: Expected LD and B to have the same dtype, but found LD of type "
            f"{LD.dtype} and B of type {B.dtype} instead"
        )
    factors, b = _broadcast(LD, B)
    places = pivots.to(_C.int32).expand(*factors.shape[:-1])
    return _store(_operation("ldl_solve")(factors, places, b, hermitian), out)


# -- determinants -------------------------------------------------------------------------------


def _diagonal_and_sign(name: str, A: Tensor) -> tuple[Tensor, Tensor]:
    """The diagonal of U, and the sign of the rows' exchanges."""
    _check_square(name, A)
    packed, _, _, _, pivots, _ = _operation("lu")(A)
    places = _operations["arange"](1, pivots.shape[-1] + 1, dtype=_C.int32)
    odd = (pivots != places).sum(-1) % 2
    return packed.diagonal(dim1=-2, dim2=-1), (1 - 2 * odd).to(A.dtype)


def det(A: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The determinant of each matrix."""
    diagonal, sign = _diagonal_and_sign("linalg.det", A)
    return _store(diagonal.prod(-1) * sign, out)


def slogdet(A: Tensor, *, out: Any = None) -> Any:
    """The sign of the determinant (its phase, if complex) and the logarithm of its magnitude."""
    diagonal, sign = _diagonal_and_sign("linalg.slogdet", A)
    phase = diagonal.sgn() if A.is_complex() else diagonal.detach().sign()
    return _store(_Slogdet(phase.prod(-1) * sign, diagonal.abs().log().sum(-1)), out)


def logdet(input: Tensor) -> Tensor:
    """The logarithm of the determinant; NaN where that is negative and real."""
    sign, value = slogdet(input)
    if input.is_complex():
        return sign.log() + value
    return value.masked_fill(sign < 0, math.nan)


# -- eigenvalues and singular values ------------------------------------------------------------


def eigh(A: Tensor, UPLO: str = "L", *, out: Any = None) -> Any:
    """The eigenvalues (ascending) and eigenvectors of Hermitian matrices."""
    if UPLO.upper() not in ("L", "U"):
        raise RuntimeError(f"linalg.eigh: Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    return _store(_Eigh(*_operation("eigh")(A, UPLO.upper() == "U")), out)


def eigvalsh(A: Tensor, UPLO: str = "L", *, out: Tensor | None = None) -> Tensor:
    """The eigenvalues of Hermitian matrices, ascending."""
    return _store(eigh(A, UPLO).eigenvalues, out)


def eig(A: Tensor, *, out: Any = None) -> Any:
    """The eigenvalues and eigenvectors (columns) of square matrices, complex."""
    _check_square("linalg.eig", A)
    values, vectors, _ = _operation("eig")(A)
    finite, _ = _C._unbatched(values.detach().isfinite())
    if not bool(finite.all()):
        raise RuntimeError("linalg.eig: input tensor should not contain infs or NaNs.")
    return _store(_Eig(values, vectors), out)


def eigvals(A: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The eigenvalues of square matrices, complex."""
    _check_square("linalg.eigvals", A)
    return _store(_operation("eig")(A)[0], out)


def _factors(A: Tensor, full_matrices: bool) -> Any:
    """U, S and Vh; LinAlgError for a matrix with numbers that are not finite."""
    u, s, vh = _operation("svd")(A, full_matrices)
    _refuse(
        "linalg.svd",
        s.detach().isnan().any(-1),
        "The algorithm failed to converge because the input matrix contained non-finite values.",
    )
    return u, s, vh


def svd(
    A: Tensor, full_matrices: bool = True, *, driver: str | None = None, out: Any = None
) -> Any:
    """U, S and Vh with A = U diag(S) Vh."""
    _check_driver("linalg.svd", driver)
    return _store(_Svd(*_factors(A, full_matrices)), out)


def _check_driver(name: str, driver: str | None) -> None:
    if driver is not None:
        raise RuntimeError(f"{name}: keyword argument `driver=` is only supported on CUDA inputs")


def svdvals(A: Tensor, *, driver: str | None = None, out: Tensor | None = None) -> Tensor:
    """The singular values, descending."""
    _check_driver("linalg.svdvals", driver)
    return _store(_factors(A, False)[1], out)


def _svd(input: Tensor, some: bool = True, compute_uv: bool = True, *, out: Any = None) -> Any:
    """U, S and V with input = U diag(S) V^H; zeros for U and V unless compute_uv."""
    u, s, vh = _factors(input, not some and compute_uv)
    if not compute_uv:
        m, n = input.shape[-2:]
        u, vh = input.new_zeros(*input.shape[:-2], m, m), input.new_zeros(*input.shape[:-2], n, n)
    return _store(_OldSvd(u, s, vh.mH), out)


def qr(A: Tensor, mode: str = "reduced", *, out: Any = None) -> Any:
    """Q with orthonormal columns and upper triangular R with A = Q R."""
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(
            f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', "
            "or 'complete'"
        )
    q, r, _ = _operation("qr")(A, mode == "complete")
    return _store(_Qr(A.new_empty(0) if mode == "r" else q, r), out)


def _qr(input: Tensor, some: bool = True, *, out: Any = None) -> Any:
    """linalg.qr."""
    return qr(input, "reduced" if some else "complete", out=out)


@autocasts("float32")
def householder_product(A: Tensor, tau: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The first columns of the product of the reflections I - tau v v^H whose v are A's columns."""
    if A.dim() < 2 or A.shape[-2] < A.shape[-1]:
        raise RuntimeError(
            "linalg.householder_product: input.shape[-2] must be greater than or equal to "
            f"input.shape[-1], got {list(A.shape)}"
        )
    if tau.shape[-1] > A.shape[-1]:
        raise RuntimeError(
            "linalg.householder_product: input.shape[-1] must be greater than or equal to "
            f"tau.shape[-1], got {A.shape[-1]} and {tau.shape[-1]}"
        )
    return _store(_reflections(A, tau)[..., : A.shape[-1]], out)


def _reflections(a: Tensor, tau: Tensor) -> Tensor:
    """The square product of all reflections."""
    if not (a.is_floating_point() or a.is_complex()):
        raise RuntimeError(
            f"reflections: expected a floating point or complex tensor, got {a.dtype}"
        )
    product = _identity_like(a)
    m = a.shape[-2]
    lower = a.tril(-1) + _operations["eye"](m, a.shape[-1], dtype=a.dtype)
    for i in range(tau.shape[-1]):
        v = lower[..., i : i + 1]
        product = product - (product @ v) * tau[..., i, None, None] @ v.mH
    return product


@autocasts("float32")
def ormqr(
    input: Tensor,
    tau: Tensor,
    other: Tensor,
    left: bool = True,
    transpose: bool = False,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """Q other (or other Q, or with Q^H) for the product Q of these reflections."""
    size = other.shape[-2 if left else -1]
    if input.dim() < 2 or input.shape[-2] != size or tau.shape[-1] > size:
        raise RuntimeError(
            f"ormqr: other.shape[{-2 if left else -1}] must be equal to input.shape[-2] and not "
            f"less than tau.shape[-1], got {size}, {list(input.shape)} and {list(tau.shape)}"
        )
    q = _reflections(input, tau)
    q = q.mH if transpose else q
    return _store(q @ other if left else other @ q, out)
