"""Modules that do in evaluation what a linear map and the batch norm behind it do."""

from __future__ import annotations

import copy
from typing import Any

import flambeau
from flambeau import Tensor
from flambeau.nn.parameter import Parameter

__all__ = [
    "fuse_conv_bn_eval",
    "fuse_conv_bn_weights",
    "fuse_linear_bn_eval",
    "fuse_linear_bn_weights",
]


def _fused(
    weight: Tensor, bias: Tensor | None, norm: tuple[Any, ...], axis: int
) -> tuple[Parameter, Parameter]:
    mean, variance, eps, scale, shift = norm
    bias = flambeau.zeros_like(mean) if bias is None else bias
    scale = flambeau.ones_like(mean) if scale is None else scale
    shift = flambeau.zeros_like(mean) if shift is None else shift
    factor = scale * flambeau.rsqrt(variance + eps)
    shape = [1] * weight.dim()
    shape[axis] = -1
    new_weight = (weight * factor.reshape(shape)).to(weight.dtype)
    new_bias = ((bias - mean) * factor + shift).to(bias.dtype)
    return (
        Parameter(new_weight.detach(), weight.requires_grad),
        Parameter(new_bias.detach(), bias.requires_grad),
    )


def fuse_conv_bn_weights(
    conv_w: Tensor,
    conv_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:
    """Weight and bias of a convolution and the batch norm behind it."""
    norm = (bn_rm, bn_rv, bn_eps, bn_w, bn_b)
    return _fused(conv_w, conv_b, norm, 1 if transpose else 0)


def fuse_linear_bn_weights(
    linear_w: Tensor,
    linear_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor,
    bn_b: Tensor,
) -> tuple[Parameter, Parameter]:
    """Weight and bias of a linear map and the batch norm behind it."""
    return _fused(linear_w, linear_b, (bn_rm, bn_rv, bn_eps, bn_w, bn_b), 0)


def _check(layer: Any, bn: Any) -> tuple[Any, ...]:
    assert not (layer.training or bn.training), "Fusion only for eval!"
    assert bn.running_mean is not None
    assert bn.running_var is not None
    return bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias


def fuse_conv_bn_eval(conv: Any, bn: Any, transpose: bool = False) -> Any:
    """A copy of the convolution that does what both do, in evaluation."""
    norm = _check(conv, bn)
    made = copy.deepcopy(conv)
    made.weight, made.bias = _fused(made.weight, made.bias, norm, 1 if transpose else 0)
    return made


def fuse_linear_bn_eval(linear: Any, bn: Any) -> Any:
    """A copy of the linear map that does what both do, in evaluation."""
    norm = _check(linear, bn)
    assert linear.out_features == bn.num_features or bn.num_features == 1, (
        "To fuse, linear.out_features == bn.num_features or bn.num_features == 1"
    )
    made = copy.deepcopy(linear)
    made.weight, made.bias = _fused(made.weight, made.bias, norm, 0)
    return made
