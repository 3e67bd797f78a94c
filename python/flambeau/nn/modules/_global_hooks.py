"""Hooks of every module. They run before the module's own."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from flambeau.utils.hooks import RemovableHandle

_Hooks = OrderedDict[int, Callable[..., Any]]

forward: _Hooks = OrderedDict()
forward_with_kwargs: OrderedDict[int, bool] = OrderedDict()
forward_always_called: OrderedDict[int, bool] = OrderedDict()
forward_pre: _Hooks = OrderedDict()
buffers: _Hooks = OrderedDict()
modules: _Hooks = OrderedDict()
parameters: _Hooks = OrderedDict()


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
