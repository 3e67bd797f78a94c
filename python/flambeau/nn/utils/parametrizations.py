"""Weight normalisation (Salimans & Kingma, 2016), spectral normalisation (Miyato et al., 2018),
orthogonal matrices (Lezcano-Casado, 2019).
"""

from __future__ import annotations

from typing import Any

import flambeau
from flambeau import Tensor
from flambeau.nn import functional as F
from flambeau.nn.modules.module import Module
from flambeau.nn.utils import parametrize

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]


def _skew_hermitian(x: Tensor) -> Tensor:
    """The square matrix that the part of x below the diagonal determines."""
    rows, columns = x.shape[-2:]
    lower = F.pad(x.tril(), [0, rows - columns])
    return lower - lower.mH


def _matrix_exp(x: Tensor) -> Tensor:
    return flambeau.linalg.matrix_exp(_skew_hermitian(x))


def _cayley(x: Tensor) -> Tensor:
    half = 0.5 * _skew_hermitian(x)
    one = flambeau.eye(half.shape[-1], dtype=half.dtype)
    return flambeau.linalg.solve(one - half, one + half)


def _householder(x: Tensor) -> Tensor:
    """The product of the reflections below the diagonal, its columns with the diagonal's signs."""
    below = x.tril(-1)
    tau = 2.0 / (1.0 + below.square().sum(-2))
    product = flambeau.linalg.householder_product(below, tau)
    return product * x.diagonal(dim1=-2, dim2=-1).int().unsqueeze(-2)


_ORTHOGONAL_MAPS = {"matrix_exp": _matrix_exp, "cayley": _cayley, "householder": _householder}


class _Orthogonal(Module):
    """A matrix with orthonormal columns (rows where it is wide) as a function of any matrix.

    Where there is a `base`, the matrix is relative to it, and starts at it for the original -I.
    """

    base: Tensor | None

    def __init__(self, weight: Tensor, orthogonal_map: str, use_trivialization: bool) -> None:
        super().__init__()
        if weight.is_complex() and orthogonal_map == "householder":
            raise ValueError("The householder parametrization does not support complex tensors.")
        self.shape = weight.shape
        self.orthogonal_map = orthogonal_map
        self.use_trivialization = use_trivialization
        if use_trivialization:
            self.register_buffer("base", None)

    def _tall(self, matrix: Tensor) -> Tensor:
        """The matrix or, of a wide one, its transpose, both ways."""
        return matrix.mT if self.shape[-2] < self.shape[-1] else matrix

    def forward(self, original: Tensor) -> Tensor:
        x = self._tall(original)
        q = _ORTHOGONAL_MAPS[self.orthogonal_map](x)[..., : x.shape[-1]]
        if self.use_trivialization and self.base is not None:
            q = self.base @ q
        return self._tall(q)

    def right_inverse(self, value: Tensor) -> Tensor:
        if value.shape != self.shape:
            raise ValueError(
                f"Expected a matrix or batch of matrices of shape {self.shape}. "
                f"Got a tensor of shape {value.shape}."
            )
        q = self._tall(value)
        rows, columns = q.shape[-2:]
        if self.use_trivialization:
            rest = flambeau.randn(*q.shape[:-2], rows, rows - columns, dtype=q.dtype)
            q = flambeau.cat([q, rest], -1)
            self.base = q.clone() if _is_orthogonal(q) else _orthogonalized(q)
            return flambeau.zeros_like(value) - flambeau.eye(*value.shape[-2:], dtype=value.dtype)
        if self.orthogonal_map != "householder":
            raise NotImplementedError(
                "It is not possible to assign to the matrix exponential or the Cayley "
                "parametrizations when use_trivialization=False."
            )
        reflections, tau = flambeau.geqrf(q)
        diagonal = reflections.diagonal(dim1=-2, dim2=-1)
        # Where tau is 0 geqrf reflects nothing, but _householder the axis.
        diagonal.copy_(diagonal.sign() * (1 - 2 * (tau == 0).int()))
        return self._tall(reflections)


def _is_orthogonal(q: Tensor) -> bool:
    one = flambeau.eye(q.shape[-1], dtype=q.dtype)
    tolerance = 10 * q.shape[-1] * flambeau.finfo(q.dtype).eps
    return flambeau.allclose(q.mH @ q, one, atol=tolerance)


def _orthogonalized(matrix: Tensor) -> Tensor:
    """Q of the decomposition QR of a square matrix with a positive diagonal of R."""
    q, r = flambeau.linalg.qr(matrix)
    return q * r.diagonal(dim1=-2, dim2=-1).sgn().unsqueeze(-2)


def orthogonal(
    module: Module,
    name: str = "weight",
    orthogonal_map: str | None = None,
    *,
    use_trivialization: bool = True,
) -> Module:
    """module.name orthogonal (unitary if complex), also along what training does."""
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    if weight.dim() < 2:
        raise ValueError(
            f"Expected a matrix or batch of matrices. Got a tensor of {weight.dim()} dimensions."
        )
    if orthogonal_map is None:
        is_square = weight.shape[-2] == weight.shape[-1]
        orthogonal_map = "matrix_exp" if is_square or weight.is_complex() else "householder"
    if orthogonal_map not in _ORTHOGONAL_MAPS:
        maps = ", ".join(f'"{known}"' for known in _ORTHOGONAL_MAPS)
        raise ValueError(f"orthogonal_map has to be one of {maps}. Got: {orthogonal_map}")
    function = _Orthogonal(weight, orthogonal_map, use_trivialization)
    parametrize.register_parametrization(module, name, function, unsafe=True)
    return module


def norm_except_dim(v: Tensor, pow: float = 2, dim: int = 0) -> Tensor:
    """The norm over all axes but `dim`; over all for -1."""
    if dim == -1:
        return flambeau.linalg.vector_norm(v, pow)
    axes = [axis for axis in range(v.dim()) if axis != dim % v.dim()]
    return flambeau.linalg.vector_norm(v, pow, axes, True) if axes else v.abs()


class _WeightNorm(Module):
    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        return weight_v * (weight_g / norm_except_dim(weight_v, 2, self.dim))

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return norm_except_dim(weight, 2, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """module.name = length * direction: parametrizations.NAME.original0 and original1."""
    parametrize.register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def from_old_names(module: Any, state_dict: Any, prefix: str, *_: Any) -> None:
        for old, new in (("g", 0), ("v", 1)):
            key = f"{prefix}{name}_{old}"
            if key in state_dict:
                state_dict[f"{prefix}parametrizations.{name}.original{new}"] = state_dict.pop(key)

    module.register_load_state_dict_pre_hook(from_old_names)
    return module


class _SpectralNorm(Module):
    """Divides a matrix by its largest singular value, which power iteration follows."""

    def __init__(
        self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12
    ) -> None:
        super().__init__()
        if not -weight.dim() <= dim < weight.dim():
            raise IndexError(
                "Dimension out of range (expected to be in range of "
                f"[-{weight.dim()}, {weight.dim() - 1}] but got {dim})"
            )
        if n_power_iterations <= 0:
            raise ValueError(
                "Expected n_power_iterations to be positive, but got "
                f"n_power_iterations={n_power_iterations}"
            )
        self.dim = dim if dim >= 0 else dim + weight.dim()
        self.eps = eps
        if weight.dim() > 1:
            self.n_power_iterations = n_power_iterations
            matrix = self._matrix(weight.detach())
            for buffer, size in (("_u", matrix.size(0)), ("_v", matrix.size(1))):
                start = matrix.new_empty(size).normal_(0, 1)
                self.register_buffer(buffer, F.normalize(start, dim=0, eps=eps))
            self._power_method(matrix, 15)

    def _matrix(self, weight: Tensor) -> Tensor:
        """Axis `dim` as rows, the rest as columns."""
        if self.dim != 0:
            rest = [axis for axis in range(weight.dim()) if axis != self.dim]
            weight = weight.permute(self.dim, *rest)
        return weight.flatten(1)

    def _power_method(self, matrix: Tensor, count: int) -> None:
        with flambeau.no_grad():
            for _ in range(count):
                left = flambeau.mv(matrix, self._v)
                self._u.copy_(F.normalize(left, dim=0, eps=self.eps))
                right = flambeau.mv(matrix.t(), self._u)
                self._v.copy_(F.normalize(right, dim=0, eps=self.eps))

    def forward(self, weight: Tensor) -> Tensor:
        if weight.dim() == 1:
            return F.normalize(weight, dim=0, eps=self.eps)
        matrix = self._matrix(weight)
        if self.training:
            self._power_method(matrix.detach(), self.n_power_iterations)
        u, v = self._u.clone(), self._v.clone()
        return weight / flambeau.dot(u, flambeau.mv(matrix, v))

    def right_inverse(self, value: Tensor) -> Tensor:
        return value


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """module.name divided by its largest singular value."""
    from flambeau.nn.modules.conv import _ConvTransposeNd

    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    if dim is None:
        dim = 1 if isinstance(module, _ConvTransposeNd) else 0
    norm = _SpectralNorm(weight, n_power_iterations, dim, eps)
    parametrize.register_parametrization(module, name, norm)
    return module
