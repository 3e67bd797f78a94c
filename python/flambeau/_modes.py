"""Settings of the whole process that programs ask for and set: determinism, precision, default device."""

from __future__ import annotations

import sys
from typing import Any

from . import _C
from ._watched import watched

__all__ = [
    "Event", "Stream", "are_deterministic_algorithms_enabled", "compiled_with_cxx11_abi", "get_default_device",
    "get_deterministic_debug_mode", "get_device_module", "get_float32_matmul_precision",
    "get_num_interop_threads",
    "is_deterministic_algorithms_warn_only_enabled", "is_storage", "is_vulkan_available",
    "is_warn_always_enabled", "set_default_device", "set_deterministic_debug_mode",
    "set_float32_matmul_precision", "set_flush_denormal", "set_num_interop_threads", "set_warn_always",
    "typename", "use_deterministic_algorithms",
]  # fmt: skip

_settings: dict[str, Any] = watched(
    {"precision": "highest", "interop": 1, "always": False, "deterministic": (False, False)},
    "settings of the process",
)


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Every algorithm is deterministic; what is set can be asked for."""
    _settings["deterministic"] = (bool(mode), warn_only)


def are_deterministic_algorithms_enabled() -> bool:
    return _settings["deterministic"][0]


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    return _settings["deterministic"][1]


_DEBUG_MODES = {"default": 0, "warn": 1, "error": 2}


def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    mode: Any = (
        _DEBUG_MODES.get(debug_mode, debug_mode) if isinstance(debug_mode, str) else debug_mode
    )
    if mode not in _DEBUG_MODES.values():
        raise RuntimeError(
            f"invalid value of debug_mode, expected 0, 1, or 2, but got {debug_mode}"
        )
    use_deterministic_algorithms(mode > 0, warn_only=mode == 1)


def get_deterministic_debug_mode() -> int:
    enabled, warn_only = _settings["deterministic"]
    return 0 if not enabled else 1 if warn_only else 2


def get_float32_matmul_precision() -> str:
    return _settings["precision"]


def set_float32_matmul_precision(precision: str) -> None:
    """Products of float32 are always exact float32; what is set can be asked for."""
    if precision not in ("highest", "high", "medium"):
        raise RuntimeError(
            f"Float32 matmul precision must be highest, high or medium, got {precision}"
        )
    _settings["precision"] = precision


def get_num_interop_threads() -> int:
    return _settings["interop"]


def set_num_interop_threads(num: int) -> None:
    """Operations run one after the other, each on all threads; what is set can be asked for."""
    _settings["interop"] = num


def set_flush_denormal(mode: bool) -> bool:
    """False: denormals are kept."""
    return False


def set_warn_always(b: bool) -> None:
    _settings["always"] = bool(b)


def is_warn_always_enabled() -> bool:
    return _settings["always"]


def is_vulkan_available() -> bool:
    return False


def compiled_with_cxx11_abi() -> bool:
    return True


def is_storage(obj: Any) -> bool:
    """True if `obj` is the memory of a tensor."""
    return isinstance(obj, _C.UntypedStorage)


def typename(obj: Any) -> str:
    """The name of a type, of an object's type, or of a tensor's dtype as a type."""
    if isinstance(obj, _C.Tensor):
        return obj.type()
    named = obj if hasattr(obj, "__qualname__") else type(obj)
    module = getattr(named, "__module__", None) or ""
    return named.__qualname__ if module in ("", "builtins") else f"{module}.{named.__qualname__}"


def get_default_device() -> _C.device:
    """Where factories make tensors unless they are told."""
    return _C._get_default_device()


def set_default_device(device: Any) -> None:
    """Where factories make tensors from now on: "cpu" or "meta". RuntimeError for another device."""
    _C._set_default_device(device)


def get_device_module(device: Any = None) -> Any:
    """torch.cpu for "cpu", torch.cuda for "cuda", ..."""
    kind = "cpu" if device is None else _C.device(device).type
    package = sys.modules[__name__.partition(".")[0]]
    try:
        return getattr(package, kind)
    except AttributeError:
        raise RuntimeError(
            f"Device '{kind}' does not have a corresponding module registered as 'torch.{kind}'."
        ) from None


class Stream:
    """A queue of work on an accelerator."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError("torch.Stream: there is no accelerator here")


class Event:
    """A point in a stream of an accelerator."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError("torch.Event: there is no accelerator here")
