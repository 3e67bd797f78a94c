"""What the programs of this folder share. `torch` is Flambeau in the tests, and PyTorch 2.7.1 where
a golden text is made:

    python tests/python/golden/make.py NAME...
"""

from __future__ import annotations

import warnings
from typing import Any, Callable

import torch

CASES: list[Callable[[], Any]] = []


def case(function: Callable[[], Any]) -> Callable[[], Any]:
    CASES.append(function)
    return function


def text(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        value = value.detach()
        numbers = ",".join(text(item) for item in value.flatten().tolist())
        return f"{[*value.shape]}{str(value.dtype)[6:]}({numbers})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(text(item) for item in value) + "]"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def error_of(action: Callable[[], Any]) -> str:
    """The exception of `action`, with the first line of its message."""
    try:
        return "no error: " + text(action())
    except Exception as error:
        lines = str(error).splitlines()
        return f"{type(error).__name__}: {lines[0] if lines else ''}"


def kind_of(action: Callable[[], Any]) -> str:
    """The type of the exception of `action`."""
    return error_of(action).split(":")[0]


def warnings_of(action: Callable[[], Any]) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        action()
    return [f"{w.category.__name__}: {w.message}" for w in caught]


def values(*shape: int, scale: float = 1.0) -> Any:
    """Numbers without a pattern that are the same everywhere."""
    count = 1
    for extent in shape:
        count *= extent
    numbers = [((i * 7919 + 104729) % 2003) / 1001.5 - 1 for i in range(count)]
    return (torch.tensor(numbers) * scale).reshape(shape)


def fill(module: Any) -> Any:
    """Parameters and buffers with such numbers, floats only."""
    with torch.no_grad():
        for i, (_, tensor) in enumerate(
            [*module.named_parameters(), *module.named_buffers()]
        ):
            if tensor.is_floating_point():
                shape = tuple(tensor.shape)
                tensor.copy_(values(*shape, scale=0.5 + 0.1 * (i % 3)).abs() + 0.1 if "var" in _ else values(*shape, scale=0.5 + 0.1 * (i % 3)))
    return module


def run_with_gradients(module: Any, *inputs: Any, **options: Any) -> list[Any]:
    """The output, and the gradients of inputs and parameters of its weighted sum."""
    leaves = [
        x.detach().clone().requires_grad_()
        if isinstance(x, torch.Tensor) and x.is_floating_point()
        else x
        for x in inputs
    ]
    output = module(*leaves, **options)
    first = output
    while isinstance(first, (tuple, list)):
        first = first[0]
    (first * values(*first.shape)).sum().backward()
    grads = [x.grad for x in leaves if isinstance(x, torch.Tensor) and x.is_floating_point()]
    if isinstance(module, torch.nn.Module):
        grads += [p.grad for p in module.parameters()]
    return [output, *grads]


def lines() -> list[str]:
    result = []
    for function in CASES:
        try:
            shown = function()
        except Exception as error:
            shown = f"raised {type(error).__name__}: {error}"
        for part in shown if isinstance(shown, list) else [shown]:
            line = f"{function.__name__} | {text(part)}"
            result.append(line.replace("\\", "\\\\").replace("\n", "\\n"))
    return result
