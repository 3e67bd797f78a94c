"""A module trained by several processes."""

from __future__ import annotations

from typing import Any

from flambeau._absent import feature
from flambeau.nn.modules.module import Module

__all__ = ["DistributedDataParallel"]


class DistributedDataParallel(Module):
    """A type to compare with: torch.distributed is not available in this build."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise feature("nn.parallel.DistributedDataParallel")
