"""The tape: its nodes, what they keep, and hooks over several gradients."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Callable, NamedTuple

from .. import _C
from .hooks import RemovableHandle

__all__ = [
    "GradientEdge",
    "Node",
    "allow_mutation_on_saved_tensors",
    "disable_saved_tensors_hooks",
    "get_gradient_edge",
    "increment_version",
    "register_multi_grad_hook",
    "save_on_cpu",
    "saved_tensors_hooks",
]

Node = _C.Node


class GradientEdge(NamedTuple):
    """Where the gradient of a tensor goes: an output of a node."""

    node: Any
    output_nr: int


def get_gradient_edge(tensor: Any) -> GradientEdge:
    """The edge of a tensor that requires grad; for a leaf, to its AccumulateGrad."""
    if not tensor.requires_grad:
        raise RuntimeError(
            "It is not possible to get the gradient edge for a Tensor that does not require "
            "gradients"
        )
    return GradientEdge(*_C._gradient_edge(tensor))


def increment_version(tensor: Any) -> None:
    """Tells autograd that the tensor, or each of several, was written in place."""
    for one in [tensor] if isinstance(tensor, _C.Tensor) else tensor:
        _C._increment_version(one)


class saved_tensors_hooks:
    """Within it, `pack_hook(tensor)` is kept in place of each tensor that is saved for backward,
    and `unpack_hook` of that gives the tensor when backward needs it."""

    def __init__(self, pack_hook: Callable[[Any], Any], unpack_hook: Callable[[Any], Any]) -> None:
        self.pack_hook = pack_hook
        self.unpack_hook = unpack_hook

    def __enter__(self) -> None:
        _C._push_saved_tensors_hooks(self.pack_hook, self.unpack_hook)

    def __exit__(self, *args: object) -> None:
        _C._pop_saved_tensors_hooks()


class save_on_cpu(saved_tensors_hooks):
    """Keeps what is saved for backward in the CPU's memory."""

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda") -> None:
        super().__init__(
            lambda tensor: (tensor.device, tensor.cpu()),
            lambda packed: packed[1].to(packed[0]),
        )


@contextmanager
def allow_mutation_on_saved_tensors() -> Iterator[None]:
    """Within it, backward keeps copies of what it needs, so that in-place writes do no harm. They
    are made at once, not when something is written."""
    with saved_tensors_hooks(lambda tensor: tensor.clone(), lambda copy: copy):
        yield


@contextmanager
def disable_saved_tensors_hooks(error_message: str) -> Iterator[None]:
    """Within it, using saved_tensors_hooks raises RuntimeError with the message."""
    previous = _C._saved_tensors_hooks_refusal()
    _C._refuse_saved_tensors_hooks(error_message)
    try:
        yield
    finally:
        _C._refuse_saved_tensors_hooks(previous)


class _MultiHandle(RemovableHandle):
    def __init__(self, handles: Iterable[RemovableHandle]) -> None:
        self.id = next(RemovableHandle._ids)
        self.handles = tuple(handles)

    def remove(self) -> None:
        for handle in self.handles:
            handle.remove()


class _Gathering:
    """The gradients of one backward that have come, for `mode="all"`."""

    def __init__(self, nodes: Sequence[Any]) -> None:
        self.gradients: list[Any] = [None] * len(nodes)
        self.missing = sum(map(_C._will_engine_execute_node, nodes))


def register_multi_grad_hook(
    tensors: Sequence[Any], fn: Callable[..., None], *, mode: str = "all"
) -> RemovableHandle:
    """Calls `fn` in each backward: with the list of all gradients once those are there that it
    computes (None for others), or with the first, if the mode is "any"."""
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    lock = threading.Lock()
    nodes = [get_gradient_edge(tensor).node for tensor in tensors]
    gathering: dict[int, _Gathering] = {}
    seen: set[int] = set()

    def hook(index: int) -> Callable[[Any], None]:
        def gather(gradient: Any) -> None:
            task = _C._current_graph_task_id()
            with lock:
                state = gathering.setdefault(task, _Gathering(nodes))
                state.gradients[index] = gradient
                state.missing -= 1
                if state.missing > 0:
                    return
                del gathering[task]
            fn(state.gradients)

        def first(gradient: Any) -> None:
            task = _C._current_graph_task_id()
            with lock:
                if task in seen:
                    return
                seen.add(task)
                _C._queue_callback(lambda: seen.discard(task))
            fn(gradient)

        return gather if mode == "all" else first

    return _MultiHandle(tensor.register_hook(hook(i)) for i, tensor in enumerate(tensors))
