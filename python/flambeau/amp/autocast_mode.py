"""Regions in which operations choose their precision."""

from __future__ import annotations

import functools
from typing import Any

from flambeau import _C
from flambeau._absent import feature

__all__ = ["autocast", "custom_bwd", "custom_fwd", "is_autocast_available"]


def is_autocast_available(device_type: str) -> bool:
    return device_type in ("cpu", "cuda", "xpu", "mps", "hpu")


class autocast:
    """A region in which operations choose their precision. Only `enabled=False` is there yet, in which they
    compute in the dtype of their inputs, as they do outside; so is a device that is not there, as PyTorch
    disables it with a warning.
    """

    def __init__(
        self,
        device_type: str,
        dtype: Any = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:
        if not isinstance(device_type, str):
            raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
        self.device = device_type
        self.fast_dtype = (
            (_C.bfloat16 if device_type == "cpu" else _C.float16) if dtype is None else dtype
        )
        if enabled and device_type == "cpu":
            raise feature("autocast")
        self._enabled = False
        self._cache_enabled = True if cache_enabled is None else cache_enabled

    def __enter__(self) -> autocast:
        return self

    def __exit__(self, *exception: object) -> None:
        return None

    def __call__(self, func: Any) -> Any:
        @functools.wraps(func)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with self:
                return func(*args, **kwargs)

        return inside


def custom_fwd(fwd: Any = None, *, device_type: str, cast_inputs: Any = None) -> Any:
    """A decorator of the forward of an autograd.Function."""
    if fwd is None:
        return lambda function: custom_fwd(
            function, device_type=device_type, cast_inputs=cast_inputs
        )
    return fwd


def custom_bwd(bwd: Any = None, *, device_type: str) -> Any:
    """A decorator of the backward of an autograd.Function."""
    if bwd is None:
        return lambda function: custom_bwd(function, device_type=device_type)
    return bwd
