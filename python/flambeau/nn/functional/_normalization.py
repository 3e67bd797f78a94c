"""Normalisation with running statistics."""

from __future__ import annotations

import flambeau
from flambeau import _C, Tensor

__all__ = ["batch_norm", "bilinear", "instance_norm"]

_channel_norm = _C._functions["_ops._channel_norm"]
_channel_norm_given = _C._functions["_ops._channel_norm_given"]


def _follow(running: Tensor | None, value: Tensor, momentum: float) -> None:
    if running is not None:
        with flambeau.no_grad():
            running.mul_(1 - momentum).add_(value.detach().to(running.dtype), alpha=momentum)


def _check_size(size: tuple[int, ...]) -> int:
    """The number of values a channel has; ValueError for a single one."""
    count = size[0]
    for extent in size[2:]:
        count *= extent
    if count == 1:
        raise ValueError(
            f"Expected more than 1 value per channel when training, got input size {size}"
        )
    return count


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Each channel (axis 1) normalised over all other axes: in training by its own statistics,
    which the running ones follow, else by the running ones. Ioffe and Szegedy, 2015.
    """
    if training:
        count = _check_size(input.size())
    if input.numel() == 0:  # The statistics stay; the parameters get gradients of zero.
        result = input.clone()
        result = result if weight is None else result * weight[0]
        return result if bias is None else result + bias[0]
    if not training:
        if running_mean is None or running_var is None:
            raise RuntimeError(
                "batch_norm: Expected running_mean and running_var to be defined when training=False"
            )
        return _channel_norm_given(input, weight, bias, running_mean, running_var, eps)
    result, mean, variance = _channel_norm(input, weight, bias, eps)
    _follow(running_mean, mean, momentum)
    if running_var is not None:
        _follow(running_var, variance * (count / (count - 1)), momentum)
    return result


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Each channel of each item normalised over its positions. Ulyanov et al., 2016."""
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise RuntimeError(
                "instance_norm: Expected running_mean and running_var to be defined when "
                "use_input_stats is false"
            )
        return _channel_norm_given(input, weight, bias, running_mean, running_var, eps)
    items, channels = input.shape[:2]
    positions = 1
    for extent in input.shape[2:]:
        positions *= extent
    if positions == 1:
        raise ValueError(
            f"Expected more than 1 spatial element when training, got input size {input.size()}"
        )

    def repeated(vector: Tensor | None) -> Tensor | None:
        return None if vector is None else vector.repeat(items)

    # Channels of items are channels of one item.
    merged = input.reshape([1, items * channels, *input.shape[2:]])
    result, mean, variance = _channel_norm(merged, repeated(weight), repeated(bias), eps)
    _follow(running_mean, mean.view(items, channels).mean(0), momentum)
    if running_var is not None:
        unbiased = variance * (positions / (positions - 1))
        _follow(running_var, unbiased.view(items, channels).mean(0), momentum)
    return result.view(input.shape)


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """result_k = input1 @ weight_k @ input2 + bias_k."""
    if input1.shape[:-1] != input2.shape[:-1]:
        raise RuntimeError(
            f"bilinear(): input batch dimensions do not match: got {[*input1.shape]} and "
            f"{[*input2.shape]}"
        )
    for number, input in ((1, input1), (2, input2)):
        if input.size(-1) != weight.size(number):
            raise RuntimeError(
                f"bilinear(): input{number} size does not match weight size: got {input.size(-1)} "
                f"but expected {weight.size(number)}"
            )
    if bias is not None and bias.size(0) != weight.size(0):
        raise RuntimeError(
            f"bilinear(): bias size does not match weight size: got {bias.size(0)} but expected "
            f"{weight.size(0)}"
        )
    outputs, width1, width2 = weight.shape
    left = input1.reshape(-1, width1) @ weight.permute(1, 0, 2).reshape(width1, outputs * width2)
    result = left.view(-1, outputs, width2) @ input2.reshape(-1, width2, 1)
    result = result.view([*input1.shape[:-1], outputs])
    return result if bias is None else result + bias
