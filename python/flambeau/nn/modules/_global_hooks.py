"""Hooks of every module. They run before the module's own."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from flambeau._watched import watched
from flambeau.utils.hooks import RemovableHandle

_Hooks = OrderedDict[int, Callable[..., Any]]


def _hooks() -> OrderedDict[int, Any]:
    return watched(OrderedDict(), "hooks of all modules")


forward: _Hooks = _hooks()
forward_with_kwargs: OrderedDict[int, bool] = _hooks()
forward_always_called: OrderedDict[int, bool] = _hooks()
forward_pre: _Hooks = _hooks()
backward: _Hooks = _hooks()
backward_kind: dict[str, bool] = watched({}, "hooks of all modules")  # "full", once there is one
backward_pre: _Hooks = _hooks()
buffers: _Hooks = _hooks()
modules: _Hooks = _hooks()
parameters: _Hooks = _hooks()


def _added(hooks: _Hooks, hook: Callable[..., Any]) -> RemovableHandle:
    handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    return handle


def replaced(hooks: _Hooks, module: Any, name: str, value: Any) -> Any:
    """What registration hooks make of `value`."""
    for hook in hooks.values():
        result = hook(module, name, value)
        value = value if result is None else result
    return value


def register_module_buffer_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """hook(module, name, buffer) for every buffer registered from now on; what it returns is
    registered instead, unless it is None.
    """
    return _added(buffers, hook)


def register_module_module_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """hook(module, name, submodule), as register_module_buffer_registration_hook."""
    return _added(modules, hook)


def register_module_parameter_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """hook(module, name, parameter), as register_module_buffer_registration_hook."""
    return _added(parameters, hook)


def register_module_forward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """hook(module, args) before the forward of every module."""
    return _added(forward_pre, hook)


def register_module_forward_hook(
    hook: Callable[..., Any], *, with_kwargs: bool = False, always_call: bool = False
) -> RemovableHandle:
    """hook(module, args, output) after the forward of every module."""
    handle = RemovableHandle(forward, extra_dict=[forward_with_kwargs, forward_always_called])
    forward[handle.id] = hook
    if with_kwargs:
        forward_with_kwargs[handle.id] = True
    if always_call:
        forward_always_called[handle.id] = True
    return handle


def _set_backward_kind(full: bool) -> None:
    if backward_kind.setdefault("full", full) is not full:
        raise RuntimeError(
            "Cannot use both regular backward hooks and full backward hooks as a global Module "
            "hook. Please use only one of them."
        )


def register_module_backward_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """hook(module, grad_input, grad_output) at the last node of every module (deprecated)."""
    _set_backward_kind(False)
    return _added(backward, hook)


def register_module_full_backward_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """hook(module, grad_input, grad_output) in the backward of every module."""
    _set_backward_kind(True)
    return _added(backward, hook)


def register_module_full_backward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """hook(module, grad_output) before the backward of every module."""
    return _added(backward_pre, hook)
