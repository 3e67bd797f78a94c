"""Module: the base class of networks, with PyTorch's registration, hooks and state_dict."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import flambeau
from flambeau._C import _ModuleBase
from flambeau._tensor import parse_to
from flambeau.nn.modules import _global_hooks
from flambeau.nn.modules._global_hooks import (
    register_module_backward_hook,
    register_module_buffer_registration_hook,
    register_module_forward_hook,
    register_module_forward_pre_hook,
    register_module_full_backward_hook,
    register_module_full_backward_pre_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)
from flambeau.nn.modules._state import EXTRA_STATE, State
from flambeau.nn.modules._state import _IncompatibleKeys as _IncompatibleKeys
from flambeau.nn.modules._traversal import Traversal
from flambeau.nn.parameter import Buffer, Parameter
from flambeau.utils.hooks import BackwardHook, RemovableHandle, hook_last_node

__all__ = [
    "Module",
    "register_module_backward_hook",
    "register_module_buffer_registration_hook",
    "register_module_forward_hook",
    "register_module_forward_pre_hook",
    "register_module_full_backward_hook",
    "register_module_full_backward_pre_hook",
    "register_module_module_registration_hook",
    "register_module_parameter_registration_hook",
]

_EXTRA_STATE_KEY_SUFFIX = EXTRA_STATE


def _indent(text: str, spaces: int) -> str:
    first, *rest = text.split("\n")
    return "\n".join([first, *(" " * spaces + line for line in rest)])


def _addindent(s_: str, numSpaces: int) -> str:
    return _indent(s_, numSpaces)


def typename(value: Any) -> str:
    """The type as messages name it: "int", "torch.FloatTensor", "numpy.ndarray"."""
    if isinstance(value, flambeau.Tensor):
        return value.type()
    kind = type(value)
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def _registries() -> dict[str, Any]:
    """The attributes of a module that has nothing yet."""
    return {
        "training": True,
        "_parameters": {},
        "_buffers": {},
        "_non_persistent_buffers_set": set(),
        "_backward_pre_hooks": OrderedDict(),
        "_backward_hooks": OrderedDict(),
        "_is_full_backward_hook": None,
        "_forward_hooks": OrderedDict(),
        "_forward_hooks_with_kwargs": OrderedDict(),
        "_forward_hooks_always_called": OrderedDict(),
        "_forward_pre_hooks": OrderedDict(),
        "_forward_pre_hooks_with_kwargs": OrderedDict(),
        "_state_dict_hooks": OrderedDict(),
        "_state_dict_pre_hooks": OrderedDict(),
        "_load_state_dict_pre_hooks": OrderedDict(),
        "_load_state_dict_post_hooks": OrderedDict(),
        "_modules": {},
    }


class Module(State, Traversal, _ModuleBase):
    """Base class for all networks. Assign Parameters, Buffers and Modules in `__init__` after
    `super().__init__()`; define `forward`."""

    dump_patches: bool = False
    training: bool
    _is_full_backward_hook: Any
    call_super_init = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if (
            cls.__getattr__ is Module.__getattr__
            and cls.__getattribute__ is _ModuleBase.__getattribute__
        ):
            cls._find_directly()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if not self.call_super_init and kwargs:
            raise TypeError(
                f"{type(self).__name__}.__init__() got an unexpected keyword argument "
                f"'{next(iter(kwargs))}'"
            )
        if not self.call_super_init and args:
            raise TypeError(
                f"{type(self).__name__}.__init__() takes 1 positional argument but {len(args) + 1} "
                "were given"
            )
        self.__dict__.update(_registries())
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(
            f'Module [{type(self).__name__}] is missing the required "forward" function'
        )

    # -- registration -----------------------------------------------------------------------

    def _check_name(self, kind: str, name: str, registry: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {typename(name)}")
        if "." in name:
            got = f", got: {name}" if kind == "module" else ""
            raise KeyError(f'{kind} name can\'t contain "."{got}')
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')
        if hasattr(self, name) and name not in self.__dict__[registry]:
            raise KeyError(f"attribute '{name}' already exists")

    def register_buffer(
        self, name: str, tensor: flambeau.Tensor | None, persistent: bool = True
    ) -> None:
        """Adds a tensor that is no parameter; if `persistent` it is part of state_dict()."""
        if "_buffers" not in self.__dict__:
            raise AttributeError("cannot assign buffer before Module.__init__() call")
        self._check_name("buffer", name, "_buffers")
        if tensor is not None and not isinstance(tensor, flambeau.Tensor):
            raise TypeError(
                f"cannot assign '{typename(tensor)}' object to buffer '{name}' "
                "(torch Tensor or None required)"
            )
        self._buffers[name] = _global_hooks.replaced(_global_hooks.buffers, self, name, tensor)
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Adds a parameter, or the name of one that is not there."""
        if "_parameters" not in self.__dict__:
            raise AttributeError("cannot assign parameter before Module.__init__() call")
        self._check_name("parameter", name, "_parameters")
        if param is not None:
            if not isinstance(param, Parameter):
                raise TypeError(
                    f"cannot assign '{typename(param)}' object to parameter '{name}' "
                    "(torch.nn.Parameter or None required)"
                )
            if param.grad_fn is not None:
                raise ValueError(
                    f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must "
                    f"be created explicitly. To express '{name}' as a function of another Tensor, "
                    "compute the value in the forward() method."
                )
            param = _global_hooks.replaced(_global_hooks.parameters, self, name, param)
        self._parameters[name] = param

    def add_module(self, name: str, module: Module | None) -> None:
        """Adds a child."""
        if not isinstance(module, Module) and module is not None:
            raise TypeError(f"{typename(module)} is not a Module subclass")
        self._check_name("module", name, "_modules")
        self._modules[name] = _global_hooks.replaced(_global_hooks.modules, self, name, module)

    def register_module(self, name: str, module: Module | None) -> None:
        """add_module under another name."""
        self.add_module(name, module)

    def __setattr__(self, name: str, value: Any) -> None:
        fields = self.__dict__
        if isinstance(value, Parameter):
            if "_parameters" not in fields:
                raise AttributeError("cannot assign parameters before Module.__init__() call")
            self._forget(name, "_buffers", "_modules")
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            if "_modules" not in fields:
                raise AttributeError("cannot assign module before Module.__init__() call")
            self._forget(name, "_parameters", "_buffers")
            value = _global_hooks.replaced(_global_hooks.modules, self, name, value)
            fields["_modules"][name] = value
        elif name in fields.get("_parameters", ()):
            if value is not None:
                raise TypeError(
                    f"cannot assign '{typename(value)}' as parameter '{name}' "
                    "(torch.nn.Parameter or None expected)"
                )
            self.register_parameter(name, value)
        elif name in fields.get("_modules", ()):
            if value is not None:
                raise TypeError(
                    f"cannot assign '{typename(value)}' as child module '{name}' "
                    "(torch.nn.Module or None expected)"
                )
            value = _global_hooks.replaced(_global_hooks.modules, self, name, value)
            fields["_modules"][name] = value
        elif isinstance(value, Buffer) or name in fields.get("_buffers", ()):
            if "_buffers" not in fields:
                raise AttributeError("cannot assign buffer before Module.__init__() call")
            if value is not None and not isinstance(value, flambeau.Tensor):
                raise TypeError(
                    f"cannot assign '{typename(value)}' as buffer '{name}' "
                    "(torch.nn.Buffer, torch.Tensor or None expected)"
                )
            if name not in fields["_buffers"]:
                self._forget(name, "_parameters", "_modules")
                self.register_buffer(name, value, value.persistent)  # type: ignore[union-attr]
            else:
                value = _global_hooks.replaced(_global_hooks.buffers, self, name, value)
                fields["_buffers"][name] = value
        else:
            super().__setattr__(name, value)

    def _forget(self, name: str, *registries: str) -> None:
        self.__dict__.pop(name, None)
        for registry in registries:
            self.__dict__[registry].pop(name, None)
        if "_buffers" in registries:
            self._non_persistent_buffers_set.discard(name)

    def __getattr__(self, name: str) -> Any:
        """For those who call it; attributes that are found do not come here."""
        fields = self.__dict__
        for registry in ("_parameters", "_buffers", "_modules"):
            if registry in fields and name in fields[registry]:
                return fields[registry][name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __delattr__(self, name: str) -> None:
        for registry in ("_parameters", "_buffers", "_modules"):
            if name in self.__dict__.get(registry, ()):
                del self.__dict__[registry][name]
                self._non_persistent_buffers_set.discard(name)
                return
        super().__delattr__(name)

    def __dir__(self) -> list[str]:
        names = {*dir(type(self)), *self.__dict__}
        names.update(self._parameters, self._buffers, self._modules)
        return sorted(name for name in names if not name[:1].isdigit())

    # -- calling ----------------------------------------------------------------------------

    # Between the hooks if there are any (_call_with_hooks); as compiled if it is.
    __call__: Callable[..., Any]
    _call_impl = _ModuleBase.__call__

    # What compile() made; found in the instance.
    _compiled_call_impl: Callable[..., Any] | None = None

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Has the calls of this module compiled, hooks included, as flambeau.compile does with these
        arguments. Copies of the module are not."""
        from ..._compile import compile

        self.__dict__["_compiled_call_impl"] = compile(self._call_uncompiled, *args, **kwargs)

    def _call_uncompiled(self, *args: Any, **kwargs: Any) -> Any:
        return self._call_with_hooks(args, kwargs)

    def __getstate__(self) -> dict[str, Any]:
        return {
            name: value for name, value in self.__dict__.items() if name != "_compiled_call_impl"
        }

    def _optimized(self, wrap: Callable[..., Any]) -> Module:
        """What flambeau.compile makes of the module, whose calls `wrap` wraps."""
        from .optimized import OptimizedModule

        return OptimizedModule(self, wrap)

    def _call_with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        called: set[int] = set()
        result: Any = None
        try:
            for key, pre_hook in [
                *_global_hooks.forward_pre.items(),
                *self._forward_pre_hooks.items(),
            ]:
                if key in self._forward_pre_hooks_with_kwargs:
                    replaced = pre_hook(self, args, kwargs)
                    if replaced is None:
                        continue
                    if not isinstance(replaced, tuple) or len(replaced) != 2:
                        raise RuntimeError(
                            "forward pre-hook must return None or a tuple of (new_args, "
                            f"new_kwargs), but got {replaced}."
                        )
                    args, kwargs = replaced
                else:
                    replaced = pre_hook(self, args)
                    if replaced is not None:
                        args = replaced if isinstance(replaced, tuple) else (replaced,)
            hooks, pre_hooks, legacy = self._all_backward_hooks()
            backward = None
            if hooks or pre_hooks:
                backward = BackwardHook(self, hooks, pre_hooks)
                args = backward.setup_input_hook(args)
            result = self.forward(*args, **kwargs)
            for key, hook in [*_global_hooks.forward.items(), *self._forward_hooks.items()]:
                called.add(key)
                replaced = self._run_forward_hook(key, hook, args, kwargs, result)
                if replaced is not None:
                    result = replaced
            if backward is not None:
                result = backward.setup_output_hook(result)
            if legacy:
                hook_last_node(self, legacy, args, result)
            return result
        except Exception:
            self._run_hooks_that_always_run(called, args, kwargs, result)
            raise

    def _all_backward_hooks(self) -> tuple[list[Any], list[Any], list[Any]]:
        """Full ones, full pre-hooks, and those of the old kind."""
        full: list[Any] = []
        legacy: list[Any] = []
        everywhere = full if _global_hooks.backward_kind.get("full") else legacy
        everywhere.extend(_global_hooks.backward.values())
        own = full if self._is_full_backward_hook else legacy
        own.extend(self._backward_hooks.values())
        pre = [*_global_hooks.backward_pre.values(), *self._backward_pre_hooks.values()]
        return full, pre, legacy

    def _run_forward_hook(
        self,
        key: int,
        hook: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        result: Any,
    ) -> Any:
        if key in self._forward_hooks_with_kwargs or key in _global_hooks.forward_with_kwargs:
            return hook(self, args, kwargs, result)
        return hook(self, args, result)

    def _run_hooks_that_always_run(
        self, called: set[int], args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
    ) -> None:
        always = {**_global_hooks.forward_always_called, **self._forward_hooks_always_called}
        for key, hook in [*_global_hooks.forward.items(), *self._forward_hooks.items()]:
            if key not in always or key in called:
                continue
            try:
                replaced = self._run_forward_hook(key, hook, args, kwargs, result)
                result = result if replaced is None else replaced
            except Exception as error:
                warnings.warn(
                    "forward hook with ``always_call=True`` raised an exception that was silenced "
                    f"as another error was raised in forward: {error}",
                    stacklevel=2,
                )

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        handle = RemovableHandle(
            self._forward_pre_hooks, extra_dict=self._forward_pre_hooks_with_kwargs
        )
        self._forward_pre_hooks[handle.id] = hook
        if with_kwargs:
            self._forward_pre_hooks_with_kwargs[handle.id] = True
        if prepend:
            self._forward_pre_hooks.move_to_end(handle.id, last=False)
        return handle

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        handle = RemovableHandle(
            self._forward_hooks,
            extra_dict=[self._forward_hooks_with_kwargs, self._forward_hooks_always_called],
        )
        self._forward_hooks[handle.id] = hook
        if with_kwargs:
            self._forward_hooks_with_kwargs[handle.id] = True
        if always_call:
            self._forward_hooks_always_called[handle.id] = True
        if prepend:
            self._forward_hooks.move_to_end(handle.id, last=False)
        return handle

    def register_full_backward_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        self._set_backward_kind(True)
        handle = RemovableHandle(self._backward_hooks)
        self._backward_hooks[handle.id] = hook
        if prepend:
            self._backward_hooks.move_to_end(handle.id, last=False)
        return handle

    def register_backward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """At the last node of forward (deprecated: see register_full_backward_hook)."""
        self._set_backward_kind(False)
        handle = RemovableHandle(self._backward_hooks)
        self._backward_hooks[handle.id] = hook
        return handle

    def _set_backward_kind(self, full: bool) -> None:
        if self._is_full_backward_hook is (not full):
            raise RuntimeError(
                "Cannot use both regular backward hooks and full backward hooks on a single "
                "Module. Please use only one of them."
            )
        self._is_full_backward_hook = full

    def register_full_backward_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        handle = RemovableHandle(self._backward_pre_hooks)
        self._backward_pre_hooks[handle.id] = hook
        if prepend:
            self._backward_pre_hooks.move_to_end(handle.id, last=False)
        return handle

    # -- changing ---------------------------------------------------------------------------

    def apply(self, fn: Callable[[Module], None]) -> Module:
        """Calls `fn` with every module below, then with this one."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def _apply(self, fn: Callable[[Any], Any], recurse: bool = True) -> Module:
        """Replaces the values of parameters, grads and buffers by `fn` of them. Parameters stay the
        same objects.
        """
        if recurse:
            for module in self.children():
                module._apply(fn)
        for parameter in self._parameters.values():
            if parameter is None:
                continue
            with flambeau.no_grad():
                value = fn(parameter)
                if value is not parameter:
                    grad, parameter.grad = parameter.grad, None
                    parameter.data = value
                    if grad is not None:
                        parameter.grad = fn(grad).requires_grad_(grad.requires_grad)
        for name, buffer in self._buffers.items():
            if buffer is not None:
                self._buffers[name] = fn(buffer)
        return self

    def to(self, *args: Any, **kwargs: Any) -> Module:
        """to(device=None, dtype=None, non_blocking=False), to(dtype), to(tensor), each with
        memory_format=: converts floating point parameters and buffers.
        """
        device, dtype, non_blocking, memory_format = parse_to(args, kwargs)
        if dtype is not None and not (dtype.is_floating_point or dtype.is_complex):
            raise TypeError(
                "nn.Module.to only accepts floating point or complex dtypes, but got desired "
                f"dtype={dtype}"
            )

        def convert(tensor: flambeau.Tensor) -> flambeau.Tensor:
            wanted = dtype if tensor.is_floating_point() or tensor.is_complex() else None
            if tensor.is_meta and device is not None and device.type != "meta":
                raise NotImplementedError(
                    "Cannot copy out of meta tensor; no data! Please use torch.nn.Module.to_empty() "
                    "instead of torch.nn.Module.to() when moving module from meta to a different "
                    "device."
                )
            if memory_format is not None and tensor.dim() in (4, 5):
                return tensor.to(device, wanted, non_blocking, memory_format=memory_format)
            return tensor.to(device, wanted, non_blocking)

        return self._apply(convert)

    def type(self, dst_type: Any) -> Module:
        """Converts all parameters and buffers, integers too."""
        return self._apply(lambda t: t.type(dst_type))

    def _floats_to(self, dtype: Any) -> Module:
        return self._apply(lambda t: t.to(dtype) if t.is_floating_point() else t)

    def float(self) -> Module:
        """Floating point parameters and buffers as float32."""
        return self._floats_to(flambeau.float32)

    def double(self) -> Module:
        """Floating point parameters and buffers as float64."""
        return self._floats_to(flambeau.float64)

    def half(self) -> Module:
        """Floating point parameters and buffers as float16."""
        return self._floats_to(flambeau.float16)

    def bfloat16(self) -> Module:
        """Floating point parameters and buffers as bfloat16."""
        return self._floats_to(flambeau.bfloat16)

    def cpu(self) -> Module:
        """Moves everything to the CPU."""
        return self._apply(lambda t: t.cpu())

    def cuda(self, device: Any = None) -> Module:
        """Moves everything to a GPU."""
        return self.to("cuda" if device is None else flambeau.device("cuda", device))

    def to_empty(self, *, device: Any, recurse: bool = True) -> Module:
        """Parameters and buffers of the same shapes on `device`, without values."""
        return self._apply(lambda t: flambeau.empty_like(t, device=device), recurse=recurse)

    def share_memory(self) -> Module:
        """Moves parameters and buffers to memory that child processes see."""
        return self._apply(lambda t: t.share_memory_())

    def train(self, mode: bool = True) -> Module:
        """Training mode (or, with False, evaluation mode) for this module and all below."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self) -> Module:
        """Evaluation mode for this module and all below."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Module:
        """Whether autograd records the parameters."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the gradients, or fills them with zeros."""
        for parameter in self.parameters():
            if parameter.grad is None:
                continue
            if set_to_none:
                parameter.grad = None
            else:
                parameter.grad = parameter.grad.detach()
                parameter.grad.zero_()

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A pickle of an older version may lack registries.
        self.__dict__.update({**_registries(), **state})

    # -- printing ---------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """What repr() shows between the parentheses; overridden by layers."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        extra_lines = extra.split("\n") if extra else []
        child_lines = [
            f"({name}): {_indent(repr(module), 2)}" for name, module in self._modules.items()
        ]
        lines = extra_lines + child_lines
        if not lines:
            return f"{self._get_name()}()"
        if len(extra_lines) == 1 and not child_lines:
            return f"{self._get_name()}({extra_lines[0]})"
        return f"{self._get_name()}(\n  " + "\n  ".join(lines) + "\n)"
