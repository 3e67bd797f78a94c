"""Handles that remove hooks, and the backward hooks of modules."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import flambeau

__all__ = ["BackwardHook", "RemovableHandle"]


class RemovableHandle:
    """Removes a hook from the dict that holds it; a context manager that does so at its end."""

    _ids = itertools.count()
    id: int

    def __init__(self, hooks_dict: Any, *, extra_dict: Any = None) -> None:
        self.id = next(RemovableHandle._ids)
        self._hooks = weakref.ref(hooks_dict) if hasattr(hooks_dict, "__weakref__") else None
        self._strong = hooks_dict if self._hooks is None else None
        extra = [] if extra_dict is None else extra_dict
        self._extra = extra if isinstance(extra, list) else [extra]

    def remove(self) -> None:
        hooks = self._strong if self._hooks is None else self._hooks()
        for registry in [hooks, *self._extra]:
            if registry is not None:
                registry.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


class BackwardHook:
    """Calls a module's full backward hooks once the gradients of its inputs and outputs are there.

    Hooks see `(module, grad_input, grad_output)`; what they return replaces `grad_input`. The
    tensors pass through identity nodes, whose backward is where the hooks run.
    """

    def __init__(
        self,
        module: Any,
        hooks: Sequence[Callable[..., Any]],
        pre_hooks: Sequence[Callable[..., Any]],
    ) -> None:
        self.module = module
        self.hooks = hooks
        self.pre_hooks = pre_hooks
        self.grad_output: tuple[Any, ...] | None = None
        self.needs_input = False

    def _through(self, values: Any, backward: Callable[..., Any]) -> tuple[Any, bool]:
        listed = values if isinstance(values, tuple) else (values,)
        at = [i for i, v in enumerate(listed) if isinstance(v, flambeau.Tensor) and v.requires_grad]
        if not at or not flambeau.is_grad_enabled():
            return values, False

        class Identity(flambeau.autograd.Function):  # type: ignore[name-defined]
            @staticmethod
            def forward(ctx: Any, *tensors: Any) -> Any:
                return tuple(t.view_as(t) for t in tensors)

            @staticmethod
            def backward(ctx: Any, *grads: Any) -> Any:
                return backward(at, len(listed), grads)

        passed = Identity.apply(*(listed[i] for i in at))
        result = list(listed)
        for i, tensor in zip(at, passed):
            result[i] = tensor
        return (tuple(result) if isinstance(values, tuple) else result[0]), True

    def setup_input_hook(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        def backward(at: list[int], count: int, grads: tuple[Any, ...]) -> tuple[Any, ...]:
            grad_input: tuple[Any, ...] = tuple(
                grads[at.index(i)] if i in at else None for i in range(count)
            )
            grad_input = self._run_hooks(grad_input)
            return tuple(grad_input[i] for i in at)

        result, self.needs_input = self._through(args, backward)
        return result

    def setup_output_hook(self, result: Any) -> Any:
        def backward(at: list[int], count: int, grads: tuple[Any, ...]) -> tuple[Any, ...]:
            grad_output: tuple[Any, ...] = tuple(
                grads[at.index(i)] if i in at else None for i in range(count)
            )
            for hook in self.pre_hooks:
                replaced = hook(self.module, grad_output)
                if replaced is not None:
                    grad_output = replaced if isinstance(replaced, tuple) else (replaced,)
            self.grad_output = grad_output
            if not self.needs_input:
                self._run_hooks((None,))
            return tuple(grad_output[i] for i in at)

        return self._through(result, backward)[0]

    def _run_hooks(self, grad_input: tuple[Any, ...]) -> tuple[Any, ...]:
        for hook in self.hooks:
            replaced = hook(self.module, grad_input, self.grad_output)
            if replaced is not None:
                grad_input = replaced if isinstance(replaced, tuple) else (replaced,)
        return grad_input
