"""Tensors in memory that processes share."""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile
import weakref

import flambeau
from flambeau._C import Tensor

__all__ = ["Segment", "attached", "is_shared", "new_memory", "segment_of", "share_memory_"]

strategy = "file_descriptor"


class Segment:
    """A file in memory that is mapped while tensors are on it. Other processes map it, too, by a descriptor or
    by its path.
    """

    def __init__(self, memory: mmap.mmap, fd: int, path: str | None) -> None:
        self.fd = fd
        self.size = len(memory)
        self.path = path
        self.memory = weakref.ref(memory)


_by_address: dict[int, Segment] = {}
_by_key: dict[tuple[int, int], Segment] = {}
_FOLDER = "/dev/shm" if os.path.isdir("/dev/shm") else None


def _key(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def _map(fd: int, size: int, path: str | None = None) -> Tensor:
    """The bytes of a file as a tensor, with which the mapping and the descriptor end."""
    memory = mmap.mmap(fd, size)
    whole = flambeau.frombuffer(memory, dtype=flambeau.uint8)
    address, key = whole.data_ptr(), _key(fd)
    _by_address[address] = _by_key[key] = Segment(memory, fd, path)
    weakref.finalize(memory, _forget, address, key, fd, path, os.getpid())
    return whole


def _forget(address: int, key: tuple[int, int], fd: int, path: str | None, owner: int) -> None:
    _by_address.pop(address, None)
    _by_key.pop(key, None)
    with contextlib.suppress(OSError):
        os.close(fd)
        if path is not None and os.getpid() == owner:
            os.unlink(path)


def new_memory(size: int) -> Tensor:
    """Bytes that other processes can map."""
    fd, path = tempfile.mkstemp(prefix="flambeau_", dir=_FOLDER)
    os.ftruncate(fd, size)
    if strategy == "file_descriptor":
        os.unlink(path)
        return _map(fd, size)
    return _map(fd, size, path)


def attached(fd: int, size: int) -> Tensor:
    """The bytes of a descriptor that came from another process, mapped once in this one."""
    known = _by_key.get(_key(fd))
    memory = None if known is None else known.memory()
    if memory is None:
        return _map(fd, size)
    os.close(fd)
    return flambeau.frombuffer(memory, dtype=flambeau.uint8)


def segment_of(tensor: Tensor) -> Segment | None:
    """The segment that the tensor's memory is in."""
    return _by_address.get(tensor.untyped_storage().data_ptr())


def share_memory_(self: Tensor) -> Tensor:
    """Moves the elements to memory that this process shares with those that it forks from now on, and with
    those that the tensor is sent to. Views that were made before stay where they are.
    """
    if is_shared(self) or self.numel() == 0:
        return self
    shared = new_memory(self.numel() * self.element_size()).view(self.dtype).view(self.shape)
    shared.copy_(self.detach())
    with flambeau.no_grad():
        self.data = shared
    return self


def is_shared(self: Tensor) -> bool:
    """True if the elements are in memory that processes share."""
    return segment_of(self) is not None
