"""Tensors in memory that forked processes share."""

from __future__ import annotations

import mmap
import weakref

import flambeau
from flambeau._C import Tensor

__all__ = ["is_shared", "share_memory_"]

# First addresses of the mappings that are alive.
_addresses: set[int] = set()


def share_memory_(self: Tensor) -> Tensor:
    """Moves the elements to memory that processes forked from now on share with this one. Views
    that were made before stay where they are.
    """
    if is_shared(self):
        return self
    if self.numel() == 0:
        return self
    memory = mmap.mmap(-1, self.numel() * self.element_size())
    shared = flambeau.frombuffer(memory, dtype=self.dtype).view(self.shape)
    shared.copy_(self.detach())
    address = shared.data_ptr()
    _addresses.add(address)
    weakref.finalize(memory, _addresses.discard, address)
    with flambeau.no_grad():
        self.data = shared
    return self


def is_shared(self: Tensor) -> bool:
    """True if the elements are in memory that forked processes share."""
    return self.untyped_storage().data_ptr() in _addresses
