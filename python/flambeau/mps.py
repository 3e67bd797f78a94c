"""Apple's GPUs: Flambeau knows none, and these are the answers then."""

from __future__ import annotations

from flambeau._absent import attribute, no_device
from flambeau.cuda import device_count, is_available

__all__ = [
    "current_allocated_memory", "device_count", "driver_allocated_memory", "empty_cache",
    "get_rng_state", "is_available", "manual_seed", "recommended_max_memory", "seed",
    "set_per_process_memory_fraction", "set_rng_state", "synchronize",
]  # fmt: skip

_needs_mps = no_device("MPS")
current_allocated_memory = driver_allocated_memory = empty_cache = get_rng_state = _needs_mps
manual_seed = recommended_max_memory = seed = set_per_process_memory_fraction = _needs_mps
set_rng_state = synchronize = _needs_mps

__getattr__ = attribute(__name__)
