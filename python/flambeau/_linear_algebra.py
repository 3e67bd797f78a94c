"""Linear algebra: norms, pseudoinverses and products.

`LINALG` are the functions of `flambeau.linalg`, `TOP` those that PyTorch has at the top, too.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

from . import _C
from ._C import Tensor
from ._linear_algebra_factors import (
    LinAlgError,
    _check_square,
    _cholesky,
    _eye,
    _factors,
    _identity_like,
    _lu,
    _lu_solve,
    _operations,
    _qr,
    _result,
    _store,
    _svd,
    cholesky,
    cholesky_ex,
    cholesky_inverse,
    cholesky_solve,
    det,
    eig,
    eigh,
    eigvals,
    eigvalsh,
    householder_product,
    inv,
    inv_ex,
    ldl_factor,
    ldl_factor_ex,
    ldl_solve,
    logdet,
    lu,
    lu_factor,
    lu_factor_ex,
    lu_solve,
    lu_unpack,
    ormqr,
    qr,
    slogdet,
    solve,
    solve_ex,
    solve_triangular,
    svd,
    svdvals,
    triangular_solve,
)
from ._overridable import add_to_tensor, autocasts, make_overridable

_Lstsq = _result("linalg_lstsq", "solution", "residuals", "rank", "singular_values")


# -- what follows from singular values ----------------------------------------------------------


def _tolerance(A: Tensor, values: Tensor, atol: Any, rtol: Any) -> Tensor:
    largest = values.amax(-1, keepdim=True) if values.shape[-1] else values.sum(-1, keepdim=True)
    if rtol is None:
        nothing = atol is None or (not isinstance(atol, Tensor) and atol == 0)
        from ._numbers import finfo

        rtol = finfo(A.dtype).eps * max(A.shape[-2:]) if nothing else 0.0
    atol = 0.0 if atol is None else atol
    parts = [
        v.unsqueeze(-1) if isinstance(v, Tensor) else largest.new_full((), v) for v in (atol, rtol)
    ]
    return _operations["maximum"](parts[0].expand_as(largest * parts[1]), largest * parts[1])


def _magnitudes(A: Tensor, hermitian: bool) -> Tensor:
    return eigvalsh(A).abs() if hermitian else svdvals(A)


def matrix_rank(
    A: Tensor,
    tol: Any = None,
    hermitian: bool = False,
    *,
    atol: Any = None,
    rtol: Any = None,
    out: Tensor | None = None,
) -> Tensor:
    """How many singular values are above max(atol, rtol * the largest)."""
    values = _magnitudes(A.detach(), hermitian)
    limit = _tolerance(A, values, atol if tol is None else tol, 0.0 if tol is not None else rtol)
    return _store((values > limit).sum(-1), out)


def pinv(
    A: Tensor,
    rcond: Any = None,
    hermitian: bool = False,
    *,
    atol: Any = None,
    rtol: Any = None,
    out: Tensor | None = None,
) -> Tensor:
    """The pseudoinverse: singular values up to max(atol, rtol * the largest) count as 0."""
    if rcond is not None:
        rtol = rcond
    if A.dim() < 2:
        raise RuntimeError("linalg.pinv: The input tensor must have at least 2 dimensions.")
    if A.numel() == 0:
        return _store(A.mH.clone(), out)
    if hermitian:
        values, vectors = eigh(A.detach())
        magnitudes = values.abs()
        left, right = vectors, vectors.mH
    else:
        left, values, right = _factors(A.detach(), False)
        magnitudes = values
    keep = magnitudes > _tolerance(A, magnitudes, atol, rtol)
    inverse = keep.to(values.dtype) / values.masked_fill(~keep, 1.0)
    inverse = right.mH @ (inverse.unsqueeze(-1) * left.mH)
    return _store(_operations["_linalg.pseudoinverse"](A, inverse), out)


@autocasts("float32")
def _pinverse(input: Tensor, rcond: float = 1e-15) -> Tensor:
    """linalg.pinv."""
    return pinv(input, rcond)


@autocasts("float32")
def lstsq(A: Tensor, B: Tensor, rcond: float | None = None, *, driver: str | None = None) -> Any:
    """X of least |A X - B|, of least norm among them; residuals, rank, singular values."""
    if driver not in (None, "gels", "gelsy", "gelsd", "gelss"):
        raise RuntimeError(
            "torch.linalg.lstsq: parameter `driver` should be one of (gels, gelsy, gelsd, gelss)"
        )
    if A.dim() < 2 or B.dim() < 1 or B.dim() < A.dim() - 1:
        raise RuntimeError("torch.linalg.lstsq: input must have at least 2 dimensions")
    vector = A.dim() - 1 == B.dim() and B.shape == A.shape[:-1]
    b = B.unsqueeze(-1) if vector else B
    if A.shape[-2] != b.shape[-2]:
        raise RuntimeError(
            "torch.linalg.lstsq: input.size(-2) should match other.size(-2), got "
            f"{list(A.shape)} and {list(B.shape)}"
        )
    solution = pinv(A, rcond) @ b
    residuals = values = A.new_empty(0, dtype=A.dtype.to_real())
    rank = _operations["empty"]([0], dtype=_C.int64)
    if driver != "gels":
        rank = matrix_rank(A, rtol=rcond)
    if driver in ("gelsd", "gelss"):
        values = svdvals(A).detach()
    full = driver == "gels" or (driver in ("gelsd", "gelss") and bool((rank == A.shape[-1]).all()))
    if full and A.shape[-2] > A.shape[-1]:
        residuals = (A @ solution - b).abs().pow(2).sum(-2).detach()
    return _Lstsq(solution.squeeze(-1) if vector else solution, residuals, rank, values)


# -- norms --------------------------------------------------------------------------------------


def _vector_norm(x: Tensor, ord: Any, dim: Any, keepdim: bool, dtype: Any = None) -> Tensor:
    return _operations["linalg.vector_norm"](x, ord, dim, keepdim, dtype=dtype)


def matrix_norm(
    A: Tensor,
    ord: Any = "fro",
    dim: Sequence[int] = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: Any = None,
    out: Tensor | None = None,
) -> Tensor:
    """A norm of the matrices along two axes: fro, nuc, or of order 1, 2, inf and their negatives."""
    if A.dim() < 2:
        raise RuntimeError(
            "linalg.matrix_norm: The input tensor A must have at least 2 dimensions."
        )
    if not (A.is_floating_point() or A.is_complex()):
        raise RuntimeError(
            f"linalg.matrix_norm: Expected a floating point or complex tensor as input. Got {A.dtype}"
        )
    if len(dim) != 2:
        raise RuntimeError(f"linalg.matrix_norm: dim must be a 2-tuple. Got {list(dim)}")
    rows, columns = (d + A.dim() if d < 0 else d for d in dim)
    if not (0 <= rows < A.dim() and 0 <= columns < A.dim()):
        raise IndexError(f"linalg.matrix_norm: Dimension out of range, got {list(dim)}")
    if rows == columns:
        raise RuntimeError(f"linalg.matrix_norm: dims must be different. Got {list(dim)}")
    x = A if dtype is None else A.to(dtype)
    if ord == "fro":
        result = _vector_norm(x, 2, [rows, columns], keepdim)
    elif ord in ("nuc", 2, -2):
        values = svdvals(x.movedim((rows, columns), (-2, -1)))
        result = (
            values.sum(-1) if ord == "nuc" else values.amax(-1) if ord == 2 else values.amin(-1)
        )
        if keepdim:
            for axis in sorted((rows, columns)):
                result = result.unsqueeze(axis)
    elif ord in (1, -1, math.inf, -math.inf):
        summed, kept = (rows, columns) if abs(ord) == 1 else (columns, rows)
        sums = x.abs().sum(summed, keepdim=True)
        result = sums.amax(kept, keepdim=True) if ord > 0 else sums.amin(kept, keepdim=True)
        if not keepdim:
            result = result.squeeze((rows, columns))
    else:
        raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")
    return _store(result, out)


def norm(
    A: Tensor,
    ord: Any = None,
    dim: Any = None,
    keepdim: bool = False,
    *,
    out: Tensor | None = None,
    dtype: Any = None,
) -> Tensor:
    """A vector norm over all elements or one axis, a matrix norm over two."""
    if ord is None:
        return _store(_vector_norm(A, 2, dim, keepdim, dtype), out)
    if dim is not None:
        axes = [dim] if isinstance(dim, int) else list(dim)
        if len(axes) not in (1, 2):
            raise RuntimeError(
                f"linalg.norm: If dim is specified, it must be of length 1 or 2. Got {axes}"
            )
    else:
        if A.dim() not in (1, 2):
            raise RuntimeError(
                "linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got "
                f"{A.dim()}D."
            )
        axes = list(range(A.dim()))
    if len(axes) == 2:
        return matrix_norm(A, ord, axes, keepdim, dtype=dtype, out=out)
    if isinstance(ord, str):
        raise RuntimeError(f"linalg.norm: Order {ord} is one of matrices, got 1 dimension")
    return _store(_vector_norm(A, ord, axes, keepdim, dtype), out)


def cond(A: Tensor, p: Any = None, *, out: Tensor | None = None) -> Tensor:
    """The condition number in a matrix norm."""
    if A.ndim > 1 and A.numel() == 0:
        return _store(A.new_zeros(A.shape[:-2]).abs(), out)
    if p is None or p in (2, -2):
        values = svdvals(A)
        largest, smallest = values[..., 0], values[..., -1]
        return _store(smallest / largest if p == -2 else largest / smallest, out)
    _check_square("linalg.cond", A)
    inverse, info = inv_ex(A)
    result = matrix_norm(A, p) * matrix_norm(inverse, p)
    return _store(result.masked_fill(info != 0, math.inf), out)


# -- products -----------------------------------------------------------------------------------


def matrix_power(A: Tensor, n: int, *, out: Tensor | None = None) -> Tensor:
    """A times itself n times; of the inverse for negative n."""
    _check_square("linalg.matrix_power", A)
    if n == 0:
        return _store(_identity_like(A), out)
    base, n = (inv(A), -n) if n < 0 else (A, n)
    result = None
    while n:
        if n & 1:
            result = base if result is None else result @ base
        n >>= 1
        base = base @ base if n else base
    assert result is not None
    return _store(result.clone() if result is A else result, out)


def multi_dot(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """The product of matrices, in the order that takes the fewest operations."""
    if len(tensors) < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {len(tensors)}")
    for i, tensor in enumerate(tensors):
        ends = i in (0, len(tensors) - 1)
        if not (tensor.dim() == 2 or (ends and tensor.dim() == 1)):
            raise RuntimeError(
                f"multi_dot(): tensor {i} must be {'1D or 2D' if ends else '2D'} but got {tensor.dim()}D"
            )
    first, last = tensors[0].dim() == 1, tensors[-1].dim() == 1
    chain = list(tensors)
    if first:
        chain[0] = chain[0].unsqueeze(0)
    if last:
        chain[-1] = chain[-1].unsqueeze(-1)
    sizes = [chain[0].shape[0], *(x.shape[1] for x in chain)]
    for i, x in enumerate(chain):
        if x.shape[0] != sizes[i]:
            raise RuntimeError(
                f"multi_dot(): tensors {i - 1} and {i} with shapes {list(chain[i - 1].shape)} and "
                f"{list(x.shape)} cannot be multiplied"
            )

    best: dict[tuple[int, int], tuple[int, int]] = {(i, i): (0, i) for i in range(len(chain))}
    for length in range(1, len(chain)):
        for i in range(len(chain) - length):
            j = i + length
            best[i, j] = min(
                (best[i, k][0] + best[k + 1, j][0] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                for k in range(i, j)
            )

    def product(i: int, j: int) -> Tensor:
        if i == j:
            return chain[i]
        k = best[i, j][1]
        return product(i, k) @ product(k + 1, j)

    result = product(0, len(chain) - 1)
    result = result.squeeze(0) if first else result
    return _store(result.squeeze(-1) if last else result, out)


def chain_matmul(*matrices: Tensor, out: Tensor | None = None) -> Tensor:
    """The product of matrices: multi_dot under its older name."""
    if not matrices:
        raise RuntimeError("chain_matmul(): Expected one or more matrices")
    for tensor in matrices:
        if tensor.dim() != 2:
            raise RuntimeError(
                f"chain_matmul(): Tensor dimension is {tensor.dim()}, expected 2 instead."
            )
    if len(matrices) == 1:
        return _store(matrices[0].clone(), out)
    warnings.warn(
        "torch.chain_matmul is deprecated and will be removed in a future PyTorch release. Use "
        "torch.linalg.multi_dot instead, which accepts a list of two or more tensors rather than "
        "multiple parameters.",
        UserWarning,
        stacklevel=2,
    )
    return multi_dot(matrices, out=out)


def matrix_exp(A: Tensor) -> Tensor:
    """The exponential of each matrix: its Taylor series after halving, then squared back."""
    if A.dim() < 2 or A.shape[-1] != A.shape[-2]:
        _check_square("linalg.matrix_exp", A)
    if not (A.is_floating_point() or A.is_complex()):
        raise RuntimeError(
            f"linalg.matrix_exp: Expected a floating point or complex tensor as input. Got {A.dtype}"
        )
    if A.numel() == 0:
        return A.clone()
    if A.dtype in (_C.float16, _C.bfloat16):
        return matrix_exp(A.to(_C.float32)).to(A.dtype)
    size = float(A.detach().abs().sum(-2).max().item())
    halvings = max(0, math.ceil(math.log2(size)) + 2) if size > 0 and math.isfinite(size) else 0
    x = A * 0.5**halvings
    eye = _eye(A, A.shape[-1])
    result = eye + x / 18
    for k in range(17, 0, -1):
        result = eye + x @ result / k
    for _ in range(halvings):
        result = result @ result
    return result


@autocasts("lower_precision")
def vecdot(x: Tensor, y: Tensor, *, dim: int = -1, out: Tensor | None = None) -> Tensor:
    """The sum of conj(x) * y along dim, broadcast."""
    return _store((x.conj() * y).sum(dim), out)


def vander(x: Tensor, *, N: int | None = None) -> Tensor:
    """Powers 0 to N - 1 of each element, along a new last axis."""
    x = x.unsqueeze(0) if x.dim() == 0 else x
    n = x.shape[-1] if N is None else N
    if n <= 1:
        raise RuntimeError(f"linalg.vander: N must be greater than 1, but got {n}")
    powers = x.unsqueeze(-1).expand(*x.shape, n - 1)
    ones = _operations["ones_like"](x).unsqueeze(-1)
    return _operations["cat"]([ones, powers], -1).cumprod(
        -1, dtype=None if x.is_floating_point() or x.is_complex() else _C.int64
    )


def tensorinv(A: Tensor, ind: int = 2, *, out: Tensor | None = None) -> Tensor:
    """The inverse of the map from the last axes to the first `ind` axes."""
    if ind <= 0:
        raise RuntimeError("linalg.tensorinv: Expected a strictly positive integer for 'ind'")
    first, last = list(A.shape[:ind]), list(A.shape[ind:])
    if math.prod(first) != math.prod(last):
        raise RuntimeError(
            "linalg.tensorinv: Expected self to satisfy the requirement prod(self.shape[ind:]) == "
            f"prod(self.shape[:ind]), but got {math.prod(last)} != {math.prod(first)}"
        )
    n = math.prod(first)
    return _store(inv(A.reshape(n, n)).reshape(last + first), out)


@autocasts("float32")
def tensorsolve(
    A: Tensor, B: Tensor, dims: Sequence[int] | None = None, *, out: Tensor | None = None
) -> Tensor:
    """X with tensordot(A, X, X.ndim) = B."""
    if dims is not None:
        A = A.movedim(list(dims), list(range(-len(dims), 0)))
    unknown = list(A.shape[B.dim() :])
    if math.prod(unknown) != math.prod(A.shape[: B.dim()]):
        raise RuntimeError(
            "linalg.tensorsolve: Expected self to satisfy the requirement prod(self.shape[other.ndim:]) "
            f"== prod(self.shape[:other.ndim]), but got {list(A.shape)} and {list(B.shape)}"
        )
    n = math.prod(unknown)
    return _store(solve(A.reshape(n, n), B.reshape(n)).reshape(unknown), out)


def _norm(input: Tensor, p: Any = "fro", dim: Any = None, *args: Any, **kwargs: Any) -> Tensor:
    """The norm of a tensor; p="nuc" is linalg.matrix_norm's."""
    if p != "nuc":
        return _operations["norm"](input, p, dim, *args, **kwargs)
    keepdim = args[0] if args else kwargs.pop("keepdim", False)
    return matrix_norm(input, "nuc", (-2, -1) if dim is None else dim, keepdim, **kwargs)


#: What is at the top under the same name, and under another.
TOP = {
    "chain_matmul": chain_matmul,
    "cholesky": _cholesky,
    "cholesky_inverse": cholesky_inverse,
    "cholesky_solve": cholesky_solve,
    "det": det,
    "inverse": inv,
    "logdet": logdet,
    "lu": _lu,
    "lu_solve": _lu_solve,
    "lu_unpack": lu_unpack,
    "matrix_exp": matrix_exp,
    "matrix_power": matrix_power,
    "norm": _norm,
    "ormqr": ormqr,
    "pinverse": _pinverse,
    "qr": _qr,
    "slogdet": slogdet,
    "svd": _svd,
    "triangular_solve": triangular_solve,
}

#: flambeau.linalg
LINALG = {
    function.__name__: function
    for function in (
        LinAlgError,
        cholesky,
        cholesky_ex,
        cond,
        det,
        eig,
        eigh,
        eigvals,
        eigvalsh,
        householder_product,
        inv,
        inv_ex,
        ldl_factor,
        ldl_factor_ex,
        ldl_solve,
        lstsq,
        lu,
        lu_factor,
        lu_factor_ex,
        lu_solve,
        matrix_exp,
        matrix_norm,
        matrix_power,
        matrix_rank,
        multi_dot,
        norm,
        pinv,
        qr,
        slogdet,
        solve,
        solve_ex,
        solve_triangular,
        svd,
        svdvals,
        tensorinv,
        tensorsolve,
        vander,
        vecdot,
    )
}

make_overridable(TOP, list(TOP))
make_overridable(LINALG, list(LINALG))
add_to_tensor({name: TOP[name] for name in set(TOP) - {"chain_matmul", "lu_unpack", "lu"}})
