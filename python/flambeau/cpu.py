"""The CPU as a device, under the names that devices have."""

from __future__ import annotations

from typing import Any

from flambeau._absent import attribute
from flambeau.cuda import StreamContext

__all__ = [
    "Stream", "StreamContext", "current_device", "current_stream", "device_count", "is_available", "is_initialized",
    "set_device", "stream", "synchronize",
]  # fmt: skip


class Stream:
    """The order in which a program does things."""


def is_available() -> bool:
    return True


def is_initialized() -> bool:
    return True


def device_count() -> int:
    return 1


def current_device() -> str:
    return "cpu"


def set_device(device: Any) -> None:
    """Nothing: there is one."""


def synchronize(device: Any = None) -> None:
    """Runs what is recorded."""
    from flambeau.compiler import synchronize

    synchronize()


def current_stream(device: Any = None) -> Stream:
    return _stream


def stream(stream: Any) -> StreamContext:
    return StreamContext(stream)


_stream = Stream()

__getattr__ = attribute(__name__)
