"""The names of torch.autograd.profiler; a profile is not there yet (`flambeau explain` shows where time goes)."""

from __future__ import annotations

from typing import Any

from flambeau._absent import attribute, feature
from flambeau.profiler import record_function

__all__ = ["EventList", "emit_itt", "emit_nvtx", "profile", "record_function"]


class EventList(list):
    """The events of a profile."""


class profile:
    """A block whose operations are recorded."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise feature("autograd.profiler.profile")


class emit_nvtx:
    """A block whose operations are marked for NVIDIA's profiler."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise feature("autograd.profiler.emit_nvtx")


class emit_itt:
    """A block whose operations are marked for Intel's profiler."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise feature("autograd.profiler.emit_itt")


__getattr__ = attribute(__name__)
