"""CUDA devices: there are none on a machine that runs on the CPU, and these are the answers then."""

from __future__ import annotations

from typing import Any

from flambeau._absent import NoDevice, attribute, no_device

__all__ = [
    "CUDAGraph", "Event", "OutOfMemoryError", "Stream", "StreamContext", "amp", "can_device_access_peer",
    "current_blas_handle", "current_device", "current_stream", "default_generators",
    "default_stream", "device", "device_count", "device_of", "empty_cache", "get_arch_list",
    "get_device_capability", "get_device_name", "get_device_properties", "get_rng_state",
    "get_rng_state_all", "graph", "init", "initial_seed", "ipc_collect", "is_available",
    "is_bf16_supported", "is_current_stream_capturing", "is_initialized", "manual_seed",
    "manual_seed_all", "max_memory_allocated", "max_memory_reserved", "mem_get_info",
    "memory_allocated", "memory_reserved", "memory_stats", "memory_summary", "random",
    "reset_max_memory_allocated", "reset_peak_memory_stats", "seed", "seed_all", "set_device",
    "set_rng_state", "set_rng_state_all", "stream", "synchronize", "utilization",
]  # fmt: skip

default_generators: tuple[Any, ...] = ()
has_half = True


class OutOfMemoryError(RuntimeError):
    """A device had too little memory."""


def is_available() -> bool:
    return False


def device_count() -> int:
    return 0


def is_initialized() -> bool:
    return False


def is_bf16_supported(including_emulation: bool = True) -> bool:
    return False


def is_current_stream_capturing() -> bool:
    return False


def get_arch_list() -> list[str]:
    return []


def manual_seed(seed: int) -> None:
    """Nothing: no device has a generator."""


def manual_seed_all(seed: int) -> None:
    """Nothing: no device has a generator."""


def seed() -> None:
    """Nothing: no device has a generator."""


def seed_all() -> None:
    """Nothing: no device has a generator."""


def get_rng_state_all() -> list[Any]:
    return []


def set_rng_state_all(new_states: Any) -> None:
    """Nothing: no device has a generator."""


def empty_cache() -> None:
    """Nothing: no device has memory."""


def ipc_collect() -> None:
    """Nothing: no device has memory."""


def _no_bytes(device: Any = None) -> int:
    return 0


memory_allocated = max_memory_allocated = memory_reserved = max_memory_reserved = _no_bytes


def memory_stats(device: Any = None) -> dict[str, Any]:
    return {}


class _Nothing:
    """A context for what is None without a device."""

    def __init__(self, what: Any = None) -> None:
        self.what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exception: object) -> None:
        return None


class StreamContext(_Nothing):
    """Runs a block in a stream; without one, as ever."""


def stream(stream: Any) -> StreamContext:
    return StreamContext(stream)


class device_of(_Nothing):
    """A block on the device of a tensor, which is none."""


class device(_Nothing):
    """A block on a device; the only one is None or a negative number, which is no device."""

    def __init__(self, device: Any = None) -> None:
        if not (device is None or (isinstance(device, int) and device < 0)):
            _needs_cuda()
        super().__init__(device)


class Stream(NoDevice):
    """A queue of work on a device."""


class Event(NoDevice):
    """A point in a stream."""


class CUDAGraph(NoDevice):
    """Recorded work of a stream."""


class graph(NoDevice):
    """A block whose work becomes a CUDAGraph."""


_needs_cuda = no_device("CUDA")
can_device_access_peer = current_blas_handle = current_device = current_stream = default_stream = (
    _needs_cuda
)
get_device_capability = get_device_name = get_device_properties = get_rng_state = _needs_cuda
init = initial_seed = mem_get_info = memory_summary = reset_max_memory_allocated = _needs_cuda
reset_peak_memory_stats = set_device = set_rng_state = synchronize = utilization = _needs_cuda

__getattr__ = attribute(__name__)
