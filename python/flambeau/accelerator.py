"""The accelerator of this machine: there is none."""

from __future__ import annotations

from typing import Any

from flambeau._absent import attribute
from flambeau._C import device

__all__ = [
    "current_accelerator", "current_device_idx", "current_device_index", "current_stream",
    "device_count", "is_available", "set_device_idx", "set_device_index", "set_stream",
    "synchronize",
]  # fmt: skip


def is_available() -> bool:
    return False


def device_count() -> int:
    return 0


def current_accelerator(check_available: bool = False) -> device | None:
    return None


def _needs_accelerator(*args: Any, **kwargs: Any) -> Any:
    raise RuntimeError(
        "Cannot access accelerator device when none is available. (Flambeau runs on the CPU here)"
    )


current_device_index = current_device_idx = set_device_index = set_device_idx = _needs_accelerator
current_stream = set_stream = synchronize = _needs_accelerator

__getattr__ = attribute(__name__)
