"""Activations with PyTorch's `inplace=`, softmax with its `dim=None`."""

from __future__ import annotations

import warnings
from typing import Any

import flambeau
from flambeau import Tensor
from flambeau.nn.functional._operations import OPERATIONS, in_place

__all__ = [
    "celu",
    "elu",
    "elu_",
    "gumbel_softmax",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "leaky_relu",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "rrelu",
    "rrelu_",
    "selu",
    "silu",
    "softmax",
    "softmin",
    "tanh",
    "threshold",
]


def _applied(name: str, inplace: bool, *args: Any) -> Tensor:
    return (in_place(name) if inplace else OPERATIONS[name])(*args)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """input where it is above `threshold`, else `value`."""
    return _applied("threshold", inplace, input, threshold, value)


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(input, 0)."""
    return _applied("relu", inplace, input)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(input, 0), 6)."""
    return _applied("relu6", inplace, input)


def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """input cut to [min_val, max_val]."""
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    return _applied("hardtanh", inplace, input, min_val, max_val)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """input where it is positive, else alpha * (exp(input) - 1). Clevert et al., 2016."""
    return _applied("elu", inplace, input, alpha)


def elu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """elu that writes its input."""
    return _applied("elu", True, input, alpha)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """The self-normalising ELU of Klambauer et al., 2017."""
    return _applied("selu", inplace, input)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """max(input, 0) + min(alpha * (exp(input / alpha) - 1), 0). Barron, 2017."""
    return _applied("celu", inplace, input, alpha)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """input where it is positive, else negative_slope * input."""
    return _applied("leaky_relu", inplace, input, negative_slope)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(input + 3, 0), 6) / 6."""
    return _applied("hardsigmoid", inplace, input)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """input * hardsigmoid(input). Howard et al., 2019."""
    return _applied("hardswish", inplace, input)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """input * sigmoid(input)."""
    return _applied("silu", inplace, input)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """input * tanh(softplus(input)). Misra, 2019."""
    return _applied("mish", inplace, input)


def rrelu(
    input: Tensor,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Tensor:
    """leaky_relu; in training each negative element has a slope drawn from U(lower, upper), else
    all have (lower + upper) / 2. Xu et al., 2015.
    """
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    with flambeau.no_grad():
        slope = flambeau.empty_like(input).uniform_(lower, upper)
        slope.masked_fill_(input > 0, 1.0)
    return input.mul_(slope) if inplace else input * slope


def rrelu_(
    input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False
) -> Tensor:
    """rrelu that writes its input."""
    return rrelu(input, lower, upper, training, True)


tanh = flambeau.tanh


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


def gumbel_softmax(
    logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    """A sample of the Gumbel-softmax distribution; with `hard` a one-hot row whose gradient is the
    soft sample's. Jang et al., 2017; Maddison et al., 2017.
    """
    noise = -flambeau.empty_like(logits).exponential_().log()
    soft = flambeau.softmax((logits + noise) / tau, dim)
    if not hard:
        return soft
    index = soft.max(dim, keepdim=True)[1]
    return flambeau.zeros_like(logits).scatter_(dim, index, 1.0) - soft.detach() + soft
