"""How tensors go to other processes: their memory is shared, not copied."""

from __future__ import annotations

import os
from multiprocessing import reduction
from typing import Any

import flambeau
from flambeau import Tensor, _shared

__all__ = ["init_reductions", "rebuild_tensor", "reduce_tensor"]


def reduce_tensor(tensor: Tensor) -> tuple[Any, ...]:
    """What multiprocessing's pickler sends: where the memory is. A tensor that is not shared yet becomes so."""
    if tensor.requires_grad and not tensor.is_leaf:
        raise RuntimeError(
            "Cowardly refusing to serialize non-leaf tensor which requires_grad, since autograd does "
            "not support crossing process boundaries.  If you just want to transfer the data, call "
            "detach() on the tensor before serializing (e.g., putting it on the queue)."
        )
    sent = tensor
    if tensor.numel() > 0 and not tensor.is_shared():
        owns = tensor.is_contiguous() and tensor._base is None
        sent = tensor if owns else tensor.detach().clone().contiguous()
        sent.share_memory_()
    segment = _shared.segment_of(sent)
    place: Any = None
    if segment is not None:
        place = segment.path or reduction.DupFd(segment.fd)
    size = 0 if segment is None else segment.size
    geometry = (tuple(sent.shape), sent.stride(), sent.storage_offset())
    return rebuild_tensor, (type(tensor), place, size, tensor.dtype, geometry, tensor.requires_grad)


def rebuild_tensor(
    cls: Any, place: Any, size: int, dtype: Any, geometry: Any, requires_grad: bool
) -> Tensor:
    """The tensor on the memory that another process shares with this one."""
    shape, stride, offset = geometry
    if place is None:
        result = flambeau.empty(shape, dtype=dtype)
    else:
        fd = os.open(place, os.O_RDWR) if isinstance(place, str) else place.detach()
        result = _shared.attached(fd, size).view(dtype).as_strided(shape, stride, offset)
    if cls is flambeau.nn.Parameter:
        return flambeau.nn.Parameter(result, requires_grad)
    return result.requires_grad_() if requires_grad else result


def init_reductions() -> None:
    """Processes of the package's multiprocessing, and of Python's, share tensors from now on."""
    reduction.ForkingPickler.register(Tensor, reduce_tensor)
    reduction.ForkingPickler.register(flambeau.nn.Parameter, reduce_tensor)
