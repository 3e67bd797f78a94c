"""Function: an operation whose backward is written in Python."""

from __future__ import annotations

import abc
import functools
import inspect
import warnings
from typing import Any, Callable

from .. import _C

__all__ = [
    "BackwardCFunction",
    "Function",
    "FunctionCtx",
    "FunctionMeta",
    "InplaceFunction",
    "once_differentiable",
]


class FunctionCtx(abc.ABC):  # noqa: B024  (for its register())
    """What forward tells of its tensors, and keeps for backward."""

    to_save: tuple[Any, ...] | None = None
    saved_for_forward: tuple[Any, ...] | None = None
    dirty_tensors: tuple[Any, ...] | None = None
    non_differentiable: tuple[Any, ...] | None = None
    materialize_grads: bool = True

    def save_for_backward(self, *tensors: Any) -> None:
        """Keeps inputs and outputs (or None) for `saved_tensors`; in-place writes are found."""
        self.to_save = tensors

    def save_for_forward(self, *tensors: Any) -> None:
        """Keeps tensors for `jvp`."""
        for tensor in tensors:
            if tensor is not None and not isinstance(tensor, _C.Tensor):
                raise TypeError(
                    "save_for_forward expects all arguments to be tensors, but got "
                    f"{type(tensor).__name__}"
                )
        self.saved_for_forward = tensors

    def mark_dirty(self, *args: Any) -> None:
        """Says which inputs forward wrote in place; it must return them."""
        self.dirty_tensors = args

    def mark_non_differentiable(self, *args: Any) -> None:
        """Says which outputs have no gradient; integer outputs never have one."""
        self.non_differentiable = args

    def set_materialize_grads(self, value: bool) -> None:
        """Whether backward gets zeros (the default) or None where there is no gradient."""
        self.materialize_grads = value


class BackwardCFunction(_C._FunctionBase):
    """The context of one call, which is the node of its result: a FunctionCtx."""

    _forward_cls: Any

    # A class of the extension has one base.
    to_save = FunctionCtx.to_save
    saved_for_forward = FunctionCtx.saved_for_forward
    dirty_tensors = FunctionCtx.dirty_tensors
    non_differentiable = FunctionCtx.non_differentiable
    materialize_grads = FunctionCtx.materialize_grads
    save_for_backward = FunctionCtx.save_for_backward
    save_for_forward = FunctionCtx.save_for_forward
    mark_dirty = FunctionCtx.mark_dirty
    mark_non_differentiable = FunctionCtx.mark_non_differentiable
    set_materialize_grads = FunctionCtx.set_materialize_grads

    def apply(self, *args: Any) -> Any:
        """Runs the backward."""
        cls = self._forward_cls
        if cls.vjp is not Function.vjp:
            if cls.backward is not Function.backward:
                raise RuntimeError(
                    "Implementing both 'backward' and 'vjp' for a custom Function is not allowed. "
                    "You should only implement one of them."
                )
            return cls.vjp(self, *args)
        return cls.backward(self, *args)

    def apply_jvp(self, *args: Any) -> Any:
        """Runs the jvp."""
        return self._forward_cls.jvp(self, *args)

    @property
    def saved_variables(self) -> Any:
        warnings.warn(
            "'saved_variables' is deprecated; use 'saved_tensors'", DeprecationWarning, stacklevel=2
        )
        return self.saved_tensors


FunctionCtx.register(BackwardCFunction)


class FunctionMeta(type):
    """Makes the class of contexts of each Function."""

    def __init__(cls, name: str, bases: tuple[type, ...], attributes: dict[str, Any]) -> None:
        cls._backward_cls = type(name + "Backward", (BackwardCFunction,), {"_forward_cls": cls})
        super().__init__(name, bases, attributes)


class Function(metaclass=FunctionMeta):
    """An operation with its own backward.

    Subclasses define static methods `forward(ctx, *args)` and `backward(ctx, *grads)`, or
    `forward(*args)` and `setup_context(ctx, inputs, output)`; they are called by `apply`. For vmap they define `vmap`, or
    set `generate_vmap_rule`: then the methods themselves run for all members.
    """

    _backward_cls: Any
    generate_vmap_rule = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        warnings.warn(
            f"{type(self)} should not be instantiated. Methods on autograd functions are all "
            "static, so you should invoke them on the class itself.",
            DeprecationWarning,
            stacklevel=2,
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(
            "Legacy autograd function with non-static forward method is deprecated. Please use "
            "new-style autograd function with static forward method."
        )

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """The result. Runs without grad mode."""
        raise NotImplementedError(
            "You must implement the forward function for custom autograd.Function."
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        """What forward would do with its context, if forward takes none."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """The gradient of each argument (None where there is none), from those of the outputs."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom "
            "autograd.Function to use it with backward mode AD."
        )

    vjp = backward

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        """The tangent of each output, from those of the arguments."""
        raise NotImplementedError(
            "You must implement the jvp function for custom autograd.Function to use it with "
            "forward mode AD."
        )

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> Any:
        """For vmap: the results for all members, and their axes of members. `info` has `batch_size` and
        `randomness`; `in_dims` says which axes of the arguments are those of the members.
        """
        raise NotImplementedError(
            "To use autograd.Function with vmap, you must either override the vmap staticmethod or set "
            "generate_vmap_rule=True."
        )

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Calls forward, recorded."""
        if _C._vmap_levels():
            from ._function_in_vmap import apply_in_vmap, innermost_level

            level = innermost_level(args)
            if level is not None:
                return apply_in_vmap(cls, args, kwargs, level)
        split = cls.setup_context is not Function.setup_context
        if split:
            bound = inspect.signature(cls.forward).bind(*args, **kwargs)
            bound.apply_defaults()
            args = bound.args
        elif kwargs:
            raise TypeError(f"{cls.__name__}.apply() takes no keyword arguments")
        return _C._apply_function(cls, args, split)


class InplaceFunction(Function):
    """A Function with an attribute `inplace`."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace


class _NotTwice(Function):
    """Passes gradients on, and refuses to be differentiated."""

    @staticmethod
    def forward(ctx: Any, *tensors: Any) -> Any:
        return tuple(None if t is None else t.detach() for t in tensors)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise RuntimeError(
            "trying to differentiate twice a function that was marked with @once_differentiable"
        )


def once_differentiable(fn: Callable[..., Any]) -> Callable[..., Any]:
    """For a backward that cannot be differentiated itself: doing so raises RuntimeError."""

    @functools.wraps(fn)
    def wrapper(ctx: Any, *args: Any) -> Any:
        grad_mode = _C._set_grad_enabled(False)
        try:
            outputs = fn(ctx, *args)
        finally:
            _C._set_grad_enabled(grad_mode)
        if not grad_mode or not any(isinstance(a, _C.Tensor) and a.requires_grad for a in args):
            return outputs
        several = isinstance(outputs, tuple)
        listed = outputs if several else (outputs,)
        # Tensors that require grad, so that differentiating what is made of them gets here.
        sources = [None if out is None else out.detach().requires_grad_() for out in listed]
        refused = _NotTwice.apply(*sources)
        return refused if several else refused[0]

    return wrapper
