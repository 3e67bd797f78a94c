"""What is asked for and is not there: modules that load when they are first named, hardware that this
machine lacks, and features that Flambeau lacks.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import Any, Callable

__all__ = ["NoDevice", "attribute", "feature", "no_device"]


def _public(name: str) -> str:
    """`name` as programs write it: with torch for the package."""
    return ".".join(["torch", *name.split(".")[1:]])


def attribute(package: str, moved: dict[str, str] | None = None) -> Callable[[str], Any]:
    """A `__getattr__` for a package's module: submodules load when they are first named, so that
    importing Flambeau stays cheap; `moved` says in which submodule a name is that is to be found
    here, too. For all others the AttributeError names what is missing.
    """

    def find(name: str) -> Any:
        if not name.startswith("__"):
            if moved is not None and name in moved:
                return getattr(importlib.import_module(f"{package}.{moved[name]}"), name)
            is_package = hasattr(sys.modules[package], "__path__")
            if is_package and importlib.util.find_spec(f"{package}.{name}") is not None:
                return importlib.import_module(f"{package}.{name}")
        # No name of this frame is the error: a cycle would keep all callers' values.
        raise AttributeError(f"{_public(package)}.{name}: Flambeau has no such feature", name=name)

    return find


def feature(name: str) -> NotImplementedError:
    """The error for a feature of PyTorch that is not there, but whose name has to be."""
    return NotImplementedError(f"torch.{name}: Flambeau does not have this feature yet")


def no_device(what: str) -> Callable[..., Any]:
    """A function that needs a device which is not there, as in PyTorch without it."""

    def needs_device(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError(f"Torch not compiled with {what} enabled")

    return needs_device


class NoDevice:
    """The base of classes whose objects belong to a device that is not there."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError(
            f"{_public(type(self).__module__)}.{type(self).__name__}: there is no such device here"
        )
