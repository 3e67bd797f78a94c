"""What autocast is set to, by device; there is a region for the CPU, other devices are not there."""

from __future__ import annotations

import threading
from typing import Any

from . import _C

__all__ = [
    "autocast_decrement_nesting",
    "autocast_increment_nesting",
    "get_autocast_cpu_dtype",
    "get_autocast_dtype",
    "get_autocast_gpu_dtype",
    "is_autocast_cache_enabled",
    "is_autocast_cpu_enabled",
    "is_autocast_enabled",
    "set_autocast_cache_enabled",
    "set_autocast_cpu_dtype",
    "set_autocast_cpu_enabled",
    "set_autocast_dtype",
    "set_autocast_enabled",
    "set_autocast_gpu_dtype",
]

_DEVICES = ("cpu", "cuda", "xpu", "mps", "hpu", "xla", "ipu", "maia", "mtia", "privateuseone")


class _Absent(threading.local):
    """What was set for devices that are not there; nobody reads it but the functions below."""

    def __init__(self) -> None:
        self.enabled: dict[str, bool] = {}
        self.dtypes: dict[str, Any] = {}
        self.nesting = 0


_absent = _Absent()


def _check(device_type: str) -> None:
    if device_type not in _DEVICES:
        raise RuntimeError(
            f"unknown device type for autocast in get_autocast_dispatch_key_from_device_type: {device_type}"
        )


def is_autocast_enabled(device_type: str | None = None) -> bool:
    """Whether operations choose their precision on this thread. Without an argument, on CUDA."""
    if device_type == "cpu":
        return _C._autocast_state()[0]
    _check(device_type or "cuda")
    return _absent.enabled.get(device_type or "cuda", False)


def set_autocast_enabled(device_type: Any, enabled: bool | None = None) -> None:
    """Turns autocast on or off for a device; set_autocast_enabled(True) is for CUDA."""
    if enabled is None:
        device_type, enabled = "cuda", device_type
    _check(device_type)
    if device_type == "cpu":
        _C._set_autocast_state(bool(enabled), *_C._autocast_state()[1:])
    else:
        _absent.enabled[device_type] = bool(enabled)


def get_autocast_dtype(device_type: str) -> Any:
    """The dtype of what is computed in lower precision."""
    _check(device_type)
    if device_type == "cpu":
        return _C._autocast_state()[1]
    default = _C.float16 if device_type in ("cuda", "xpu", "mps") else _C.bfloat16
    return _absent.dtypes.get(device_type, default)


def set_autocast_dtype(device_type: str, dtype: Any) -> None:
    _check(device_type)
    if device_type == "cpu":
        enabled, _, caches = _C._autocast_state()
        _C._set_autocast_state(enabled, dtype, caches)
    else:
        _absent.dtypes[device_type] = dtype


def is_autocast_cpu_enabled() -> bool:
    return is_autocast_enabled("cpu")


def set_autocast_cpu_enabled(enabled: bool) -> None:
    set_autocast_enabled("cpu", enabled)


def get_autocast_cpu_dtype() -> Any:
    return get_autocast_dtype("cpu")


def set_autocast_cpu_dtype(dtype: Any) -> None:
    set_autocast_dtype("cpu", dtype)


def get_autocast_gpu_dtype() -> Any:
    return get_autocast_dtype("cuda")


def set_autocast_gpu_dtype(dtype: Any) -> None:
    set_autocast_dtype("cuda", dtype)


def is_autocast_cache_enabled() -> bool:
    """Whether a region converts a parameter once only."""
    return _C._autocast_state()[2]


def set_autocast_cache_enabled(enabled: bool) -> None:
    _C._set_autocast_state(*_C._autocast_state()[:2], bool(enabled))


def autocast_increment_nesting() -> int:
    """Counts the regions that this thread is in."""
    _absent.nesting += 1
    return _absent.nesting


def autocast_decrement_nesting() -> int:
    _absent.nesting -= 1
    return _absent.nesting
