"""Functions of networks: the operations of `nn.functional`, and those that are a few calls of them.

An operation that the core defines under `nn.functional.NAME` is taken from there; what stands in
this file adds PyTorch's conveniences (`inplace=`, `dim=None`, `_stacklevel`).
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import flambeau
from flambeau import _C, Tensor

_PREFIX = "nn.functional."
_OPERATIONS: dict[str, Callable[..., Any]] = {
    path[len(_PREFIX) :]: function
    for path, function in _C._functions.items()
    if path.startswith(_PREFIX)
}
globals().update(_OPERATIONS)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """The operations, which only exist at run time."""


# -- activations with inplace= -----------------------------------------------------------------


def _with_inplace(name: str) -> Callable[..., Any]:
    function = _OPERATIONS[name]
    written = _OPERATIONS.get(name + "_")

    @functools.wraps(function)
    def call(input: Tensor, *args: Any, inplace: bool = False, **kwargs: Any) -> Tensor:
        if not inplace:
            return function(input, *args, **kwargs)
        if written is not None:
            return written(input, *args, **kwargs)
        return input.copy_(function(input, *args, **kwargs))

    return call


for _name in [
    "celu",
    "elu",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "leaky_relu",
    "mish",
    "relu",
    "relu6",
    "selu",
    "silu",
    "threshold",
]:
    if _name in _OPERATIONS:
        globals()[_name] = _with_inplace(_name)

for _name in ("sigmoid", "tanh"):
    globals().setdefault(_name, getattr(flambeau, _name))


# -- softmax -------------------------------------------------------------------------------------


def _softmax_dim(name: str, rank: int, stacklevel: int) -> int:
    """The axis that PyTorch chooses where none is given."""
    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. Change the call to include "
        "dim=X as an argument.",
        UserWarning,
        stacklevel=stacklevel + 1,
    )
    return 0 if rank in (0, 1, 3) else 1


def softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> Tensor:
    """exp(input) / sum(exp(input)) along `dim`."""
    if dim is None:
        dim = _softmax_dim("softmax", input.dim(), _stacklevel)
    return flambeau.softmax(input, dim, dtype=dtype)


def softmin(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> Tensor:
    """softmax(-input) along `dim`."""
    if dim is None:
        dim = _softmax_dim("softmin", input.dim(), _stacklevel)
    return flambeau.softmax(-input, dim, dtype=dtype)


def log_softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> Tensor:
    """log(softmax(input)) along `dim`."""
    if dim is None:
        dim = _softmax_dim("log_softmax", input.dim(), _stacklevel)
    return flambeau.log_softmax(input, dim, dtype=dtype)


# -- regularisation ------------------------------------------------------------------------------


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """In training, zeroes elements with probability p and scales the others by 1 / (1 - p)."""
    if p < 0.0 or p > 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not training or p == 0.0:
        return input
    result = _OPERATIONS["dropout"](input, p, True)
    return input.copy_(result) if inplace else result


# -- losses and distances ------------------------------------------------------------------------


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """input / max(norm of input along dim, eps)."""
    norm = flambeau.linalg.vector_norm(input, p, dim, True)
    return input / norm.clamp_min(eps).expand_as(input)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x1 . x2 / (|x1| |x2|) along `dim`, each norm at least eps."""
    lengths = [(x * x).sum(dim).clamp_min(eps * eps).sqrt() for x in (x1, x2)]
    return (x1 * x2).sum(dim) / (lengths[0] * lengths[1])


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Integers as rows with a 1 at the integer's place."""
    if num_classes == -1:
        num_classes = int(tensor.max().item()) + 1
    if tensor.numel() and int(tensor.min().item()) < 0:
        raise RuntimeError("one_hot: Class values must be non-negative.")
    if tensor.numel() and int(tensor.max().item()) >= num_classes:
        raise RuntimeError("one_hot: Class values must be smaller than num_classes.")
    return (tensor.unsqueeze(-1) == flambeau.arange(num_classes)).to(flambeau.int64)


__all__ = [
    *sorted(name for name in _OPERATIONS if not name.startswith("_")),
    "cosine_similarity",
    "log_softmax",
    "normalize",
    "one_hot",
    "softmax",
    "softmin",
]
