"""Regions in which operations choose their precision."""

from __future__ import annotations

import collections
import functools
import warnings
from typing import Any

import flambeau
from flambeau import _C

__all__ = ["autocast", "autocast_decorator", "custom_bwd", "custom_fwd", "is_autocast_available"]


def is_autocast_available(device_type: str) -> bool:
    return device_type in ("cpu", "cuda", "xpu", "mps", "hpu", "mtia", "maia")


def autocast_decorator(autocast_instance: Any, func: Any) -> Any:
    @functools.wraps(func)
    def decorate_autocast(*args: Any, **kwargs: Any) -> Any:
        with autocast_instance:
            return func(*args, **kwargs)

    return decorate_autocast


class autocast:
    """A region in which products are computed in bfloat16 (or float16), and losses and other operations that
    need it in float32. The definition of an operation says how; the lists are PyTorch's for the CPU. For a device
    that is not there nothing changes, and a warning says so.
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
        if not is_autocast_available(device_type):
            raise RuntimeError(
                f"User specified an unsupported autocast device_type '{device_type}'"
            )
        self.device = device_type
        self.fast_dtype = flambeau.get_autocast_dtype(device_type) if dtype is None else dtype
        if device_type == "cpu":
            if enabled and self.fast_dtype not in (_C.bfloat16, _C.float16):
                warnings.warn(
                    "In CPU autocast, but the target dtype is not supported. Disabling autocast.\n"
                    "CPU Autocast only supports dtype of torch.bfloat16, torch.float16 currently.",
                    stacklevel=2,
                )
                enabled = False
        elif enabled:
            warnings.warn(
                f"User provided device_type of '{device_type}', but {device_type.upper()} is not "
                "available. Disabling",
                stacklevel=2,
            )
            enabled = False
        self._enabled = enabled
        self._cache_enabled = (
            flambeau.is_autocast_cache_enabled() if cache_enabled is None else cache_enabled
        )
        self._before: list[tuple[bool, Any, bool]] = []

    def __enter__(self) -> autocast:
        device = self.device
        self._before.append(
            (
                flambeau.is_autocast_enabled(device),
                flambeau.get_autocast_dtype(device),
                flambeau.is_autocast_cache_enabled(),
            )
        )
        flambeau.set_autocast_enabled(device, self._enabled)
        flambeau.set_autocast_dtype(device, self.fast_dtype)
        flambeau.autocast_increment_nesting()
        flambeau.set_autocast_cache_enabled(self._cache_enabled)
        return self

    def __exit__(self, *exception: object) -> None:
        if flambeau.autocast_decrement_nesting() == 0:
            _C.clear_autocast_cache()
        enabled, dtype, caches = self._before.pop()
        flambeau.set_autocast_enabled(self.device, enabled)
        flambeau.set_autocast_dtype(self.device, dtype)
        flambeau.set_autocast_cache_enabled(caches)

    def __call__(self, func: Any) -> Any:
        return autocast_decorator(self, func)


def _cast(value: Any, device_type: str, dtype: Any) -> Any:
    if isinstance(value, flambeau.Tensor):
        eligible = value.is_floating_point() and value.device.type == device_type
        return value.to(dtype) if eligible and value.dtype is not _C.float64 else value
    if isinstance(value, (str, bytes)):
        return value
    if isinstance(value, collections.abc.Mapping):
        return {
            _cast(key, device_type, dtype): _cast(item, device_type, dtype)
            for key, item in value.items()
        }
    if isinstance(value, collections.abc.Iterable):
        items = (_cast(item, device_type, dtype) for item in value)
        return type(value)(items) if isinstance(value, (list, tuple)) else items
    return value


def custom_fwd(fwd: Any = None, *, device_type: str, cast_inputs: Any = None) -> Any:
    """A decorator of the forward of an autograd.Function: its backward will run in the same region; with
    `cast_inputs`, tensors come in that dtype, and operations do not choose.
    """
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def decorate_fwd(*args: Any, **kwargs: Any) -> Any:
        enabled = flambeau.is_autocast_enabled(device_type)
        args[0]._dtype = flambeau.get_autocast_dtype(device_type)
        args[0]._fwd_used_autocast = enabled and cast_inputs is None
        if cast_inputs is None or not enabled:
            return fwd(*args, **kwargs)
        with autocast(device_type=device_type, enabled=False):
            return fwd(
                *_cast(args, device_type, cast_inputs), **_cast(kwargs, device_type, cast_inputs)
            )

    return decorate_fwd


def custom_bwd(bwd: Any = None, *, device_type: str) -> Any:
    """A decorator of the backward of an autograd.Function whose forward has custom_fwd."""
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def decorate_bwd(*args: Any, **kwargs: Any) -> Any:
        with autocast(
            device_type=device_type, enabled=args[0]._fwd_used_autocast, dtype=args[0]._dtype
        ):
            return bwd(*args, **kwargs)

    return decorate_bwd
