"""Exchange of tensors with other libraries by DLPack."""

from __future__ import annotations

from typing import Any

from flambeau import Tensor, from_dlpack

__all__ = ["from_dlpack", "to_dlpack"]


def to_dlpack(tensor: Tensor) -> Any:
    """A capsule on the tensor's memory, which from_dlpack() takes once."""
    return tensor.__dlpack__()
