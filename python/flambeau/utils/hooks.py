"""Handles that remove hooks, and the backward hooks of modules."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import flambeau
from flambeau.autograd.hooks import RemovableHandle

__all__ = ["BackwardHook", "RemovableHandle", "unserializable_hook", "warn_if_has_hooks"]


def unserializable_hook(f: Callable[..., Any]) -> Callable[..., Any]:
    """Marks a hook that cannot be pickled, so that pickling a tensor with it warns."""
    f.__torch_unserializable__ = True  # type: ignore[attr-defined]
    return f


def warn_if_has_hooks(tensor: Any) -> None:
    for hook in (getattr(tensor, "_backward_hooks", None) or {}).values():
        if not hasattr(hook, "__torch_unserializable__"):
            warnings.warn(
                f"backward hook {hook!r} on tensor will not be serialized. If this is expected, "
                "you can decorate the function with @torch.utils.hooks.unserializable_hook to "
                "suppress this warning",
                stacklevel=2,
            )


class BackwardHookFunction(flambeau.autograd.Function):
    """The identity. Its node is where the backward hooks of a module run."""

    @staticmethod
    def forward(ctx: Any, *tensors: Any) -> Any:
        ctx.mark_non_differentiable(*(t for t in tensors if not t.requires_grad))
        return tensors

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads


_Gradients = tuple[Any, ...]


def _passed(values: tuple[Any, ...]) -> tuple[tuple[Any, ...], list[int], Any]:
    """`values` with the tensors passed through a node; their places; the node or None."""
    places = [i for i, value in enumerate(values) if isinstance(value, flambeau.Tensor)]
    if not flambeau.is_grad_enabled() or not any(values[i].requires_grad for i in places):
        return values, [], None
    passed = BackwardHookFunction.apply(*(values[i] for i in places))
    result = list(values)
    for i, tensor in zip(places, passed):
        result[i] = tensor
    node = next(t.grad_fn for t in passed if t.grad_fn is not None)
    return tuple(result), places, node


def _spread(gradients: _Gradients, places: list[int], count: int) -> _Gradients:
    """One for each value of the module's, None where that is no tensor."""
    result: list[Any] = [None] * count
    for i, gradient in zip(places, gradients):
        result[i] = gradient
    return tuple(result)


class BackwardHook:
    """The full backward hooks of a module, for one call of it.

    The tensors that the module gets and gives pass through nodes of their own: at that of the
    outputs the pre-hooks run, `(module, grad_output)`, and at that of the inputs the hooks,
    `(module, grad_input, grad_output)`. What a hook returns replaces the gradients.
    """

    def __init__(
        self,
        module: Any,
        user_hooks: Sequence[Callable[..., Any]],
        user_pre_hooks: Sequence[Callable[..., Any]],
    ) -> None:
        self.module = module
        self.user_hooks = user_hooks
        self.user_pre_hooks = user_pre_hooks
        self.grad_outputs: _Gradients | None = None
        self.has_input_node = False

    def setup_input_hook(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        result, places, node = _passed(args)
        if node is None:
            return result
        self.has_input_node = True

        def hook(grad_input: _Gradients, _: _Gradients) -> _Gradients | None:
            if self.grad_outputs is None:
                return None  # Backward began inside the module.
            gradients = _spread(grad_input, places, len(args))
            replaced = self._run_hooks(gradients)
            return tuple(replaced[i] for i in places)

        node.register_hook(hook)
        return result

    def setup_output_hook(self, result: Any) -> Any:
        if not isinstance(result, tuple) and not isinstance(result, flambeau.Tensor):
            warnings.warn(
                "For backward hooks to be called, module output should be a Tensor or a tuple of "
                f"Tensors but received {type(result)}",
                stacklevel=2,
            )
            return result
        values = result if isinstance(result, tuple) else (result,)
        passed, places, node = _passed(values)
        if node is None:
            return result

        def hook(grad_output: _Gradients) -> _Gradients | None:
            gradients = _spread(grad_output, places, len(values))
            for pre_hook in self.user_pre_hooks:
                replaced = pre_hook(self.module, gradients)
                if replaced is not None:
                    gradients = self._checked(replaced, len(values), "pre hook")
            self.grad_outputs = gradients
            if not self.has_input_node and self.user_hooks:
                replaced = self._run_hooks((None,))
                if any(gradient is not None for gradient in replaced):
                    raise RuntimeError(
                        "Backward hook for Modules where no input requires gradient should always "
                        "return None or None for all gradients."
                    )
            return tuple(gradients[i] for i in places) if self.user_pre_hooks else None

        node.register_prehook(hook)
        return passed if isinstance(result, tuple) else passed[0]

    def _run_hooks(self, gradients: _Gradients) -> _Gradients:
        grad_outputs, self.grad_outputs = self.grad_outputs, None
        for hook in self.user_hooks:
            replaced = hook(self.module, gradients, grad_outputs)
            if replaced is not None:
                gradients = self._checked(replaced, len(gradients), "hook")
        return gradients

    def _checked(self, replaced: Any, expected: int, what: str) -> _Gradients:
        replaced = replaced if isinstance(replaced, tuple) else (replaced,)
        if len(replaced) != expected:
            raise RuntimeError(
                f"{type(self.module).__name__}: a backward {what} returned an invalid number of "
                f"grads: expected {expected}, but got {len(replaced)}"
            )
        return replaced


def _tensors(values: Any) -> tuple[Any, ...] | None:
    """Of a tensor or a tuple of tensors; None of anything else."""
    values = values if isinstance(values, tuple) else (values,)
    return values if all(isinstance(value, flambeau.Tensor) for value in values) else None


def _first_tensor(value: Any) -> Any:
    while not isinstance(value, flambeau.Tensor):
        inside = value.values() if isinstance(value, dict) else value
        value = next(v for v in inside if isinstance(v, (flambeau.Tensor, dict, list, tuple)))
    return value


def _misleading(args: Any, result: Any, node: Any) -> str | None:
    """Why hooks at the last node may not see the gradients of the module's inputs."""
    results, arguments = _tensors(result), _tensors(args)
    if results is None:
        return "the module does not return a single Tensor or a tuple of Tensors"
    if arguments is None:
        return "the module does not take as input a single Tensor or a tuple of Tensors"
    if len(results) > 1 and len({tensor.grad_fn for tensor in results}) > 1:
        return "outputs are generated by different autograd Nodes"
    sources = {tensor.grad_fn for tensor in arguments} - {None}
    if sources != {source for source, _ in node.next_functions}:
        return "the forward contains multiple autograd Nodes"
    return None


def hook_last_node(
    module: Any, hooks: Sequence[Callable[..., Any]], args: Any, result: Any
) -> None:
    """Puts hooks of the old kind, `(module, grad_input, grad_output)`, at the result's node."""
    node = _first_tensor(result).grad_fn
    if node is None:
        return
    for hook in hooks:
        node.register_hook(lambda gi, go, hook=hook: hook(module, gi, go))
    why = _misleading(args, result, node)
    if why is not None:
        warnings.warn(
            f"Using a non-full backward hook when {why} is deprecated and will be removed in "
            "future versions. This hook will be missing some grad_input. Please use "
            "register_full_backward_hook to get the documented behavior.",
            FutureWarning,
            stacklevel=3,
        )
