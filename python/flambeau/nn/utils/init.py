"""Modules whose parameters have no values yet."""

from __future__ import annotations

import inspect
from typing import Any

from flambeau import nn

__all__ = ["skip_init"]


def skip_init(module_cls: type[nn.Module], *args: Any, **kwargs: Any) -> nn.Module:
    """module_cls(*args, **kwargs) without computing initial values."""
    if not issubclass(module_cls, nn.Module):
        raise RuntimeError(f"Expected a Module; got {module_cls}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError("Module must support a 'device' arg to skip initialization")
    device = kwargs.pop("device", "cpu")
    return module_cls(*args, device="meta", **kwargs).to_empty(device=device)
