"""Types of tensors that several processes share. No tensor has them here: torch.distributed is not
available, and making one raises NotImplementedError.
"""

from __future__ import annotations

from typing import Any

from flambeau._absent import attribute, feature
from flambeau._C import Tensor

__all__ = [
    "DTensor",
    "DeviceMesh",
    "Partial",
    "Placement",
    "Replicate",
    "Shard",
    "distribute_tensor",
]


class DTensor(Tensor):
    """A part of a tensor that is spread over processes."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        raise feature("distributed.tensor.DTensor")

    @staticmethod
    def from_local(*args: Any, **kwargs: Any) -> Any:
        raise feature("distributed.tensor.DTensor")


class DeviceMesh:
    """The processes as a grid."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise feature("distributed.tensor.DeviceMesh")


class Placement:
    """How a tensor lies on one axis of a grid."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise feature(f"distributed.tensor.{type(self).__name__}")


class Shard(Placement):
    """Each process has a part."""


class Replicate(Placement):
    """Each process has all of it."""


class Partial(Placement):
    """The sum over processes is the tensor."""


def distribute_tensor(*args: Any, **kwargs: Any) -> Any:
    raise feature("distributed.tensor.distribute_tensor")


__getattr__ = attribute(__name__)
