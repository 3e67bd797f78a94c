"""What distributions share: broadcasting of parameters, and logits beside probabilities."""

from __future__ import annotations

from numbers import Number
from typing import Any, Callable

import flambeau
import flambeau.nn.functional as F
from flambeau import Tensor, is_tensor

__all__ = [
    "broadcast_all", "clamp_probs", "euler_constant", "lazy_property", "logits_to_probs",
    "probs_to_logits", "standard_gamma", "standard_normal",
     "standard_uniform", "tril_matrix_to_vec", "vec_to_tril_matrix",
]  # fmt: skip

euler_constant = 0.57721566490153286060


def broadcast_all(*values: Any) -> tuple[Tensor, ...]:
    """Tensors of one shape; numbers take the dtype of the tensors among them, else the default one."""
    if not all(is_tensor(value) or isinstance(value, Number) for value in values):
        raise ValueError(
            "Input arguments must all be instances of Number, torch.Tensor or objects implementing "
            "__torch_function__."
        )
    tensors = [value for value in values if is_tensor(value)]
    dtype = tensors[0].dtype if tensors else flambeau.get_default_dtype()
    device = tensors[0].device if tensors else None
    made = [
        value if is_tensor(value) else flambeau.tensor(value, dtype=dtype, device=device)
        for value in values
    ]
    return flambeau.broadcast_tensors(*made)


def standard_normal(shape: Any, like: Tensor) -> Tensor:
    """Normal noise in the dtype and on the device of `like`."""
    return flambeau.normal(
        flambeau.zeros(shape, dtype=like.dtype, device=like.device),
        flambeau.ones(shape, dtype=like.dtype, device=like.device),
    )


def standard_uniform(shape: Any, like: Tensor) -> Tensor:
    """Uniform noise in the dtype and on the device of `like`."""
    return flambeau.rand(shape, dtype=like.dtype, device=like.device)


def inner_uniform(shape: Any, like: Tensor) -> Tensor:
    """Uniform noise that is neither 0 nor so near 1 that logarithms of it overflow."""
    info = flambeau.finfo(like.dtype)
    return flambeau.empty(shape, dtype=like.dtype, device=like.device).uniform_(info.tiny, 1)


def standard_gamma(concentration: Tensor) -> Tensor:
    """Gamma variates of rate 1, with gradients with respect to `concentration`."""
    from flambeau.distributions._gamma_gradient import StandardGamma

    return StandardGamma.apply(concentration)


def clamp_probs(probs: Tensor) -> Tensor:
    """Probabilities that are neither 0 nor 1."""
    eps = flambeau.finfo(probs.dtype).eps
    return probs.clamp(min=eps, max=1 - eps)


def logits_to_probs(logits: Tensor, is_binary: bool = False) -> Tensor:
    return flambeau.sigmoid(logits) if is_binary else F.softmax(logits, dim=-1)


def probs_to_logits(probs: Tensor, is_binary: bool = False) -> Tensor:
    clamped = clamp_probs(probs)
    if is_binary:
        return flambeau.log(clamped) - flambeau.log1p(-clamped)
    return flambeau.log(clamped)


class lazy_property:
    """A value of an object that is computed at first use, with gradients, and kept."""

    def __init__(self, wrapped: Callable[[Any], Any]) -> None:
        self.wrapped = wrapped
        self.__doc__ = wrapped.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return property(self.wrapped)
        with flambeau.enable_grad():
            value = self.wrapped(instance)
        instance.__dict__[self._name] = value
        return value


class ProbsOrLogits:
    """Part of distributions that are given by `probs` or by `logits`; the other one follows."""

    _is_binary = True

    def _take(self, probs: Any, logits: Any) -> None:
        """Keeps the one that is given: numbers as tensors."""
        if (probs is None) == (logits is None):
            raise ValueError("Either `probs` or `logits` must be specified, but not both.")
        self._given = "logits" if probs is None else "probs"
        value = logits if probs is None else probs
        self.__dict__[self._given] = broadcast_all(value)[0]

    @property
    def _param(self) -> Tensor:
        """The one that was given."""
        return self.__dict__[self._given]

    @lazy_property
    def logits(self) -> Tensor:
        return probs_to_logits(self.probs, is_binary=self._is_binary)

    @lazy_property
    def probs(self) -> Tensor:
        return logits_to_probs(self.logits, is_binary=self._is_binary)

    @property
    def param_shape(self) -> Any:
        return self._param.size()


def tril_matrix_to_vec(mat: Tensor, diag: int = 0) -> Tensor:
    """The entries on and below a diagonal, row by row."""
    n = mat.shape[-1]
    if not -n <= diag < n:
        raise ValueError(f"diag ({diag}) provided is outside [{-n}, {n - 1}].")
    rows, columns = flambeau.tril_indices(n, n, diag)
    return mat[..., rows, columns]


def vec_to_tril_matrix(vec: Tensor, diag: int = 0) -> Tensor:
    """The square matrix with these entries on and below a diagonal."""
    count = vec.shape[-1]
    n = (
        -(1 + 2 * diag) + ((1 + 2 * diag) ** 2 + 8 * count + 4 * abs(diag) * (diag + 1)) ** 0.5
    ) / 2
    eps = flambeau.finfo(vec.dtype).eps
    if not round(n) - eps <= n <= round(n) + eps:
        raise ValueError(
            f"The size of last dimension is {count} which cannot be expressed as the lower triangular "
            "part of a square D x D matrix."
        )
    size = round(n)
    rows, columns = flambeau.tril_indices(size, size, diag)
    matrix = vec.new_zeros((*vec.shape[:-1], size, size))
    matrix[..., rows, columns] = vec
    return matrix
