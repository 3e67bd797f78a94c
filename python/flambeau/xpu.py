"""Intel GPUs: Flambeau knows none, and these are the answers then."""

from __future__ import annotations

from flambeau._absent import NoDevice, attribute, no_device
from flambeau.cuda import (
    device_count,
    device_of,
    empty_cache,
    get_rng_state_all,
    is_available,
    is_bf16_supported,
    is_initialized,
    manual_seed,
    manual_seed_all,
    max_memory_allocated,
    max_memory_reserved,
    memory_allocated,
    memory_reserved,
    memory_stats,
    seed,
    seed_all,
    set_rng_state_all,
    stream,
)

__all__ = [
    "Event", "Stream", "current_device", "current_stream", "device_count", "device_of",
    "empty_cache", "get_device_capability", "get_device_name", "get_device_properties",
    "get_rng_state", "get_rng_state_all", "init", "is_available", "is_bf16_supported",
    "is_initialized", "manual_seed", "manual_seed_all", "max_memory_allocated",
    "max_memory_reserved", "mem_get_info", "memory_allocated", "memory_reserved", "memory_stats",
    "reset_peak_memory_stats", "seed", "seed_all", "set_device", "set_rng_state",
    "set_rng_state_all", "stream", "synchronize",
]  # fmt: skip


class Stream(NoDevice):
    """A queue of work on a device."""


class Event(NoDevice):
    """A point in a stream."""


_needs_xpu = no_device("XPU")
current_device = current_stream = get_device_capability = get_device_name = _needs_xpu
get_device_properties = get_rng_state = init = mem_get_info = reset_peak_memory_stats = _needs_xpu
set_device = set_rng_state = synchronize = _needs_xpu

__getattr__ = attribute(__name__)
