"""Utilities: data loading, checkpointing, hooks, exchange with other libraries."""

from types import ModuleType

from flambeau.utils import dlpack

__all__ = ["checkpoint", "data", "dlpack", "hooks"]

# Packages that load when they are first named, so that importing Flambeau stays cheap.
_LAZY = ("checkpoint", "data", "hooks")


def __getattr__(name: str) -> ModuleType:
    if name in _LAZY:
        import importlib

        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
