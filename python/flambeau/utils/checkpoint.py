"""Checkpointing: backward computes again what forward did not keep."""

from __future__ import annotations

import contextlib
import enum
import traceback
import uuid
import warnings
import weakref
from collections.abc import Iterable, Iterator
from typing import Any, Callable

import flambeau
from flambeau import _C
from flambeau.autograd.graph import saved_tensors_hooks

__all__ = [
    "CheckpointError",
    "CheckpointFunction",
    "CheckpointPolicy",
    "DefaultDeviceType",
    "check_backward_validity",
    "checkpoint",
    "checkpoint_sequential",
    "detach_variable",
    "get_device_states",
    "noop_context_fn",
    "set_checkpoint_debug_enabled",
    "set_checkpoint_early_stop",
    "set_device_states",
]


class CheckpointError(RuntimeError):
    """The second run of a checkpointed function saved other tensors than the first."""


class CheckpointPolicy(enum.Enum):
    """What selective checkpointing does with the result of an operation."""

    MUST_SAVE = 0
    PREFER_SAVE = 1
    MUST_RECOMPUTE = 2
    PREFER_RECOMPUTE = 3


class DefaultDeviceType:
    """The type of device that is looked at where the arguments name none."""

    _default_device_type = "cuda"

    @staticmethod
    def set_device_type(device: str = "cuda") -> None:
        DefaultDeviceType._default_device_type = device

    @staticmethod
    def get_device_type() -> str:
        return DefaultDeviceType._default_device_type


def noop_context_fn() -> tuple[Any, Any]:
    """The contexts of the two runs: none."""
    return contextlib.nullcontext(), contextlib.nullcontext()


def detach_variable(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same with each tensor detached, as a leaf that requires grad where the tensor did."""
    if not isinstance(inputs, tuple):
        raise RuntimeError(
            f"Only tuple of tensors is supported. Got Unsupported input type: "
            f"{type(inputs).__name__}"
        )
    return tuple(
        value.detach().requires_grad_(value.requires_grad)
        if isinstance(value, flambeau.Tensor)
        else value
        for value in inputs
    )


def check_backward_validity(inputs: Iterable[Any]) -> None:
    if not any(value.requires_grad for value in inputs if isinstance(value, flambeau.Tensor)):
        warnings.warn(
            "None of the inputs have requires_grad=True. Gradients will be None", stacklevel=2
        )


def get_device_states(*args: Any) -> tuple[list[int], list[Any]]:
    """Numbers and generator states of the devices, other than the CPU, that the arguments are on."""
    return [], []


def set_device_states(
    devices: list[int], states: list[Any], *, device_type: str | None = None
) -> None:
    """Sets what get_device_states gave."""


@contextlib.contextmanager
def _generator_at(state: Any) -> Iterator[None]:
    """Within it the generator goes on from `state`, unless that is None."""
    if state is None:
        yield
        return
    present = flambeau.get_rng_state()
    flambeau.set_rng_state(state)
    try:
        yield
    finally:
        flambeau.set_rng_state(present)


def _autocast_now() -> Any:
    """A region with the precision that operations choose now."""
    return flambeau.autocast(
        "cpu",
        dtype=flambeau.get_autocast_dtype("cpu"),
        enabled=flambeau.is_autocast_enabled("cpu"),
        cache_enabled=flambeau.is_autocast_cache_enabled(),
    )


# -- reentrant: a Function whose backward runs backward ------------------------------------------


class CheckpointFunction(flambeau.autograd.Function):
    @staticmethod
    def forward(ctx: Any, run_function: Any, preserve_rng_state: bool, *args: Any) -> Any:
        check_backward_validity(args)
        ctx.run_function = run_function
        ctx.rng_state = flambeau.get_rng_state() if preserve_rng_state else None
        ctx.autocast = _autocast_now()
        ctx.inputs = [None if isinstance(a, flambeau.Tensor) else a for a in args]
        ctx.places = [i for i, a in enumerate(args) if isinstance(a, flambeau.Tensor)]
        ctx.save_for_backward(*(args[i] for i in ctx.places))
        return run_function(*args)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        if not _C._runs_whole_graph():
            raise RuntimeError(
                "When use_reentrant=True, torch.utils.checkpoint is incompatible with .grad() or "
                "passing an `inputs` parameter to .backward(). To resolve this error, you can "
                "either set use_reentrant=False, or call .backward() without passing the `inputs` "
                "argument."
            )
        inputs = list(ctx.inputs)
        for place, tensor in zip(ctx.places, ctx.saved_tensors):
            inputs[place] = tensor
        detached = detach_variable(tuple(inputs))
        with _generator_at(ctx.rng_state), ctx.autocast, flambeau.enable_grad():
            outputs = ctx.run_function(*detached)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        pairs = [
            (output, grad)
            for output, grad in zip(outputs, grads)
            if isinstance(output, flambeau.Tensor) and output.requires_grad
        ]
        if not pairs:
            raise RuntimeError(
                "none of output has requires_grad=True, this checkpoint() is not necessary"
            )
        flambeau.autograd.backward([o for o, _ in pairs], [g for _, g in pairs])
        return (
            None,
            None,
            *(v.grad if isinstance(v, flambeau.Tensor) else None for v in detached),
        )


# -- not reentrant: hooks on what is saved -------------------------------------------------------

_early_stop = True
_debug: bool | None = None


@contextlib.contextmanager
def set_checkpoint_early_stop(enable: bool) -> Iterator[None]:
    """Within it, whether checkpoints that are made stop their second run as soon as they have all
    that they need (the default)."""
    global _early_stop
    previous, _early_stop = _early_stop, enable
    try:
        yield
    finally:
        _early_stop = previous


@contextlib.contextmanager
def set_checkpoint_debug_enabled(enabled: bool | None) -> Iterator[None]:
    """Within it, overrides the argument `debug` of checkpoint; None does not."""
    global _debug
    previous, _debug = _debug, enabled
    try:
        yield
    finally:
        _debug = previous


class _Stop(Exception):
    """Everything that is needed has been computed."""


class _Holder:
    """Stands for a saved tensor until backward asks for it."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.unpacked: set[Any] = set()


class _SaveInputs(flambeau.autograd.Function):
    """Keeps arguments as a node does, so that the hooks of an outer checkpoint apply to them."""

    @staticmethod
    def forward(ctx: Any, anchor: Any, *tensors: Any) -> Any:
        ctx.save_for_backward(*tensors)
        return anchor.detach()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise AssertionError("nothing leads here")


def _description(tensor: Any) -> tuple[Any, ...]:
    return tuple(tensor.shape), tensor.dtype, tensor.device


class _Frame:
    """One call of a checkpointed function."""

    def __init__(
        self, recompute: Callable[..., None], args: tuple[Any, ...], check: Any, debug: bool
    ) -> None:
        self.recompute = recompute
        self.check = check
        self.early_stop = _early_stop
        self.holders: list[weakref.ref[_Holder]] = []
        self.descriptions: list[Any] = []
        self.stacks: list[str] | None = [] if debug else None
        self.recomputed: dict[Any, dict[int, Any]] = {}
        self.counts: dict[Any, int] = {}
        self.mismatches: list[str] = []
        self.args: list[Any] = [None if isinstance(a, flambeau.Tensor) else a for a in args]
        self.places = [i for i, a in enumerate(args) if isinstance(a, flambeau.Tensor)]
        anchor = flambeau.empty(0, requires_grad=True)
        self.saver = _SaveInputs.apply(anchor, *(args[i] for i in self.places))

    def hooks(self) -> saved_tensors_hooks:
        return saved_tensors_hooks(self._pack, self._unpack)

    def _pack(self, tensor: Any) -> _Holder:
        holder = _Holder(len(self.holders))
        self.holders.append(weakref.ref(holder))
        self.descriptions.append(self.check(tensor))
        if self.stacks is not None:
            self.stacks.append("".join(traceback.format_stack()[:-2]))
        return holder

    def _unpack(self, holder: _Holder) -> Any:
        task: Any = _C._current_graph_task_id()
        if task == -1:
            task = uuid.uuid4()  # A read of saved tensors outside of backward.
        if task not in self.recomputed:
            self._run_again(task)
        if task in holder.unpacked:
            raise CheckpointError(
                "torch.utils.checkpoint: Unpack is being triggered for a tensor that was already "
                "unpacked once. If you are calling ctx.saved_tensors in backward, make sure to do "
                "so only once. Otherwise please open an issue with details on your use case."
            )
        holder.unpacked.add(task)
        return self.recomputed[task].pop(holder.index)

    def _run_again(self, task: Any) -> None:
        tensors = self.saver.grad_fn.saved_tensors
        args = list(self.args)
        for place, tensor in zip(self.places, tensors):
            args[place] = tensor
        self.recomputed[task] = {}
        self.counts[task] = 0
        self.mismatches = []
        with (
            saved_tensors_hooks(lambda t: self._receive(task, t), lambda t: t),
            flambeau.enable_grad(),
            contextlib.suppress(_Stop),
        ):
            self.recompute(*args)
        self._check_count(task)

    def _receive(self, task: Any, tensor: Any) -> Any:
        """Takes a tensor that the second run saves."""
        index = self.counts[task]
        self.counts[task] += 1
        kept = tensor.detach()
        if index >= len(self.holders):
            return kept
        if self.holders[index]() is not None:
            self.recomputed[task][index] = kept
        found = self.check(tensor)
        if found != self.descriptions[index]:
            text = f"tensor at position {index}:\nsaved metadata: {self.descriptions[index]}\n"
            self.mismatches.append(text + f"recomputed metadata: {found}")
            if self.stacks is not None:
                self.mismatches.append("it was saved here:\n" + self.stacks[index])
        if self.early_stop and self.counts[task] == len(self.holders):
            raise _Stop
        return kept

    def _check_count(self, task: Any) -> None:
        expected, found = len(self.holders), self.counts[task]
        if found != expected:
            raise CheckpointError(
                "torch.utils.checkpoint: A different number of tensors was saved during the "
                "original forward and recomputation.\n"
                f"Number of tensors saved during forward: {expected}\n"
                f"Number of tensors saved during recomputation: {found}."
            )
        if self.mismatches:
            raise CheckpointError(
                "torch.utils.checkpoint: Recomputed values for the following tensors have "
                "different metadata than during the forward pass.\n" + "\n".join(self.mismatches)
            )


_CHECKS: dict[str, Callable[[Any], Any]] = {"default": _description, "none": lambda tensor: None}


def _checkpoint_by_hooks(
    function: Callable[..., Any],
    preserve_rng_state: bool,
    context_fn: Callable[[], tuple[Any, Any]],
    determinism_check: str,
    debug: bool,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    if determinism_check not in _CHECKS:
        raise ValueError(
            f"determinism_check should be one of {list(_CHECKS)} but got {determinism_check}"
        )
    first, second = context_fn()
    rng_state = flambeau.get_rng_state() if preserve_rng_state else None
    autocast = _autocast_now()

    def recompute(*again: Any) -> None:
        with _generator_at(rng_state), autocast, second:
            function(*again, **kwargs)

    if not flambeau.is_grad_enabled():
        return function(*args, **kwargs)
    frame = _Frame(recompute, args, _CHECKS[determinism_check], debug)
    with frame.hooks(), first:
        return function(*args, **kwargs)


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Callable[[], tuple[Any, Any]] = noop_context_fn,
    determinism_check: str = "default",
    debug: bool = False,
    **kwargs: Any,
) -> Any:
    """`function(*args)`, of which nothing is kept for backward but `args`: it runs again then.

    Without `use_reentrant`, which is to be preferred, hooks on what is saved do this, and
    anything may be asked of backward. `preserve_rng_state` (True) gives the second run the
    random numbers of the first. Where the second run saves other tensors than the first,
    CheckpointError is raised, unless `determinism_check` is "none".
    """
    if use_reentrant is None:
        warnings.warn(
            "torch.utils.checkpoint: the use_reentrant parameter should be passed explicitly. "
            "use_reentrant=False is recommended, but if you need to preserve the current default "
            "behavior, you can pass use_reentrant=True.",
            stacklevel=2,
        )
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    debug = debug if _debug is None else _debug
    if not use_reentrant:
        return _checkpoint_by_hooks(
            function, preserve, context_fn, determinism_check, debug, args, kwargs
        )
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    if context_fn is not noop_context_fn or debug:
        raise ValueError(
            "Passing `context_fn` or `debug` is only supported when use_reentrant=False."
        )
    return CheckpointFunction.apply(function, preserve, *args)


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    """Runs the modules one after the other, in `segments` parts of which all but the last are
    checkpointed."""
    if use_reentrant is None:
        warnings.warn(
            "torch.utils.checkpoint.checkpoint_sequential: the use_reentrant parameter should be "
            "passed explicitly. use_reentrant=False is recommended, but if you need to preserve "
            "the current default behavior, you can pass use_reentrant=True.",
            stacklevel=2,
        )
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    modules = list(functions.children() if isinstance(functions, flambeau.nn.Module) else functions)

    def part(start: int, end: int) -> Callable[[Any], Any]:
        def run(value: Any) -> Any:
            for module in modules[start:end]:
                value = module(value)
            return value

        return run

    size = len(modules) // segments
    end = 0
    for start in range(0, size * (segments - 1), size):
        end = start + size
        input = checkpoint(
            part(start, end), input, use_reentrant=use_reentrant, preserve_rng_state=preserve
        )
    return part(end, len(modules))(input)
