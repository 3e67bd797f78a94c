"""The names of torch.profiler. `flambeau explain` shows where time goes; a profile is not there yet."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

from flambeau._absent import attribute, feature

__all__ = [
    "ProfilerAction", "ProfilerActivity", "kineto_available", "profile", "record_function", "schedule",
    "supported_activities", "tensorboard_trace_handler",
]  # fmt: skip


class ProfilerActivity(enum.Enum):
    """What a profile records."""

    CPU = 0
    XPU = 1
    MTIA = 2
    CUDA = 3
    HPU = 4


class ProfilerAction(enum.Enum):
    """What a profile does at a step."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


def kineto_available() -> bool:
    """Whether there is PyTorch's tracing library."""
    return False


def supported_activities() -> set[ProfilerActivity]:
    return {ProfilerActivity.CPU}


def schedule(
    *, wait: int, warmup: int, active: int, repeat: int = 0, skip_first: int = 0
) -> Callable[[int], ProfilerAction]:
    """The actions of a cycle of steps: wait, warm up, record; save at its end."""

    def action(step: int) -> ProfilerAction:
        step -= skip_first
        cycle = wait + warmup + active
        if step < 0 or (repeat > 0 and step // cycle >= repeat):
            return ProfilerAction.NONE
        place = step % cycle
        if place < wait:
            return ProfilerAction.NONE
        if place < wait + warmup:
            return ProfilerAction.WARMUP
        return ProfilerAction.RECORD if place < cycle - 1 else ProfilerAction.RECORD_AND_SAVE

    return action


class profile:
    """A block whose operations are recorded."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise feature("profiler.profile")


def tensorboard_trace_handler(*args: Any, **kwargs: Any) -> Any:
    raise feature("profiler.tensorboard_trace_handler")


class record_function:
    """A block that has a name in a profile; there is none, so it changes nothing."""

    def __init__(self, name: str, args: str | None = None) -> None:
        self.name = name

    def __enter__(self) -> record_function:
        return self

    def __exit__(self, *exception: object) -> None:
        return None


__getattr__ = attribute(__name__)
