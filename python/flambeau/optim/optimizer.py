"""Optimizer: parameter groups, state, state_dict and hooks, as in PyTorch."""

from __future__ import annotations

import functools
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from copy import deepcopy
from itertools import chain
from typing import Any

import flambeau
from flambeau import _C, Tensor
from flambeau._watched import watched
from flambeau.nn.modules.module import typename
from flambeau.utils.hooks import RemovableHandle

__all__ = [
    "Optimizer",
    "register_optimizer_step_post_hook",
    "register_optimizer_step_pre_hook",
    "required",
]

_Hooks = OrderedDict[int, Callable[..., Any]]

ParamsT = Any
params_t = ParamsT

# Hooks of every optimiser. They run before the optimiser's own.
_global_optimizer_pre_hooks: _Hooks = watched(OrderedDict(), "hooks of all optimizers")
_global_optimizer_post_hooks: _Hooks = watched(OrderedDict(), "hooks of all optimizers")


class _Required:
    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()


def _added(hooks: _Hooks, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
    handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    if prepend:
        hooks.move_to_end(handle.id, last=False)
    return handle


def register_optimizer_step_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """hook(optimizer, args, kwargs) before step() of every optimiser."""
    return _added(_global_optimizer_pre_hooks, hook)


def register_optimizer_step_post_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """hook(optimizer, args, kwargs) after step() of every optimiser."""
    return _added(_global_optimizer_post_hooks, hook)


class Optimizer:
    """Base class of all optimisers. `step()` of a subclass updates the parameters from their grads.

    params: an iterable of tensors, of (name, tensor) pairs, or of dicts with "params" and options.
    defaults: options of groups that do not set them.
    """

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, "
                f"but got {typename(params)}"
            )
        self.defaults = defaults
        self.state: defaultdict[Any, Any] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        self._make_hooks()
        groups = [*params]
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def _make_hooks(self) -> None:
        for moment in ("step", "state_dict", "load_state_dict"):
            for place in ("pre", "post"):
                self.__dict__.setdefault(f"_optimizer_{moment}_{place}_hooks", OrderedDict())

        # Of a class that has instances, so that one which only wraps another optimiser, and never
        # calls __init__, keeps its step().
        cls = type(self)
        if not getattr(cls.step, "hooked", False):
            cls.step = _with_hooks(cls.step)  # type: ignore[method-assign]

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Takes a pickle's state; options that its version did not know have their defaults."""
        self.__dict__.update(state)
        self._make_hooks()
        for group in self.param_groups:
            for name, value in self.defaults.items():
                if value is not required:
                    group.setdefault(name, value)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Updates the parameters. closure() computes the loss again where that is needed."""
        raise NotImplementedError(f"{type(self).__name__} does not define step()")

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds parameters with options of their own."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, Tensor):
            params = [params]
        elif isinstance(params, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the "
                "ordering of tensors in sets will change between runs. Please use a list instead."
            )
        params = [*params]
        named = [isinstance(parameter, tuple) for parameter in params]
        if any(named):
            if not all(named):
                raise ValueError(
                    "all optimizer params should be with/without names. Some param names are missing"
                )
            param_group["param_names"] = [name for name, _ in params]
            params = [parameter for _, parameter in params]
        param_group["params"] = params
        for parameter in params:
            if not isinstance(parameter, Tensor):
                raise TypeError(
                    f"optimizer can only optimize Tensors, but one of the params is "
                    f"{typename(parameter)}"
                )
            if not self.defaults.get("differentiable") and not (
                parameter.is_leaf or parameter.retains_grad
            ):
                raise ValueError("can't optimize a non-leaf Tensor")
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError(
                    "parameter group didn't specify a value of required optimization parameter "
                    f"{name}"
                )
            param_group.setdefault(name, default)
        mine = {id(p) for p in params}
        if len(params) != len(mine):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; in future, this "
                "will cause an error",
                stacklevel=3,
            )
        if not mine.isdisjoint(id(p) for group in self.param_groups for p in group["params"]):
            raise ValueError("some parameters appear in more than one parameter group")
        if self.param_groups and ("param_names" in self.param_groups[0]) != any(named):
            with_names = "with" if any(named) else "without"
            raise ValueError(
                "all optimizer param groups should be with/without names. cannot add param group "
                f"{with_names} names to the optimizer"
            )
        self.param_groups.append(param_group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the gradients, or fills them with zeros."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if set_to_none:
                    parameter.grad = None
                elif parameter.grad is not None:
                    parameter.grad = parameter.grad.detach()
                    parameter.grad.zero_()

    # -- state ------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The state of every parameter under its number, and the groups' options."""
        for pre_hook in self._optimizer_state_dict_pre_hooks.values():  # type: ignore[attr-defined]
            pre_hook(self)
        numbers: dict[int, int] = {}
        packed_groups = []
        for group in self.param_groups:
            for parameter in group["params"]:
                numbers.setdefault(id(parameter), len(numbers))
            packed = {name: value for name, value in group.items() if name != "params"}
            packed["params"] = [numbers[id(p)] for p in group["params"]]
            packed_groups.append(packed)
        state = {
            (numbers[id(key)] if isinstance(key, Tensor) else key): value
            for key, value in self.state.items()
        }
        result = {"state": state, "param_groups": packed_groups}
        for post_hook in self._optimizer_state_dict_post_hooks.values():  # type: ignore[attr-defined]
            replaced = post_hook(self, result)
            result = result if replaced is None else replaced
        return result

    @flambeau.no_grad()
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes what state_dict() gave. Its tensors are used as they are where their dtype fits."""
        state_dict = state_dict.copy()
        for pre_hook in self._optimizer_load_state_dict_pre_hooks.values():  # type: ignore[attr-defined]
            replaced = pre_hook(self, state_dict)
            state_dict = state_dict if replaced is None else replaced
        groups = deepcopy(state_dict["param_groups"])
        if len(groups) != len(self.param_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        for mine, theirs in zip(self.param_groups, groups):
            if len(mine["params"]) != len(theirs["params"]):
                raise ValueError(
                    "loaded state dict contains a parameter group that doesn't match the size of "
                    "optimizer's group"
                )
        numbers = chain.from_iterable(group["params"] for group in groups)
        parameters = chain.from_iterable(group["params"] for group in self.param_groups)
        by_number = dict(zip(numbers, parameters))

        def cast(parameter: Tensor, value: Any, key: Any = None) -> Any:
            if isinstance(value, Tensor):
                if key == "step" or not parameter.is_floating_point():
                    return value
                return value.to(dtype=parameter.dtype)
            if isinstance(value, dict):
                return {k: cast(parameter, v, k) for k, v in value.items()}
            if isinstance(value, (list, tuple)):
                return type(value)(cast(parameter, v) for v in value)
            return value

        state: defaultdict[Any, Any] = defaultdict(dict)
        for key, value in state_dict["state"].items():
            if key in by_number:
                state[by_number[key]] = cast(by_number[key], value)
            else:
                state[key] = value
        for mine, theirs in zip(self.param_groups, groups):
            theirs["params"] = mine["params"]
            if "param_names" in mine:
                theirs["param_names"] = mine["param_names"]
        self.__setstate__({"state": state, "param_groups": groups})
        for post_hook in self._optimizer_load_state_dict_post_hooks.values():  # type: ignore[attr-defined]
            post_hook(self)

    # -- hooks ------------------------------------------------------------------------------

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """hook(optimizer, args, kwargs) before step(); may return new (args, kwargs)."""
        return _added(self._optimizer_step_pre_hooks, hook)  # type: ignore[attr-defined]

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """hook(optimizer, args, kwargs) after step()."""
        return _added(self._optimizer_step_post_hooks, hook)  # type: ignore[attr-defined]

    def register_state_dict_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """hook(optimizer) before state_dict()."""
        return _added(self._optimizer_state_dict_pre_hooks, hook, prepend)  # type: ignore[attr-defined]

    def register_state_dict_post_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """hook(optimizer, state_dict) after state_dict(); may return another one."""
        return _added(self._optimizer_state_dict_post_hooks, hook, prepend)  # type: ignore[attr-defined]

    def register_load_state_dict_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """hook(optimizer, state_dict) before load_state_dict(); may return another one."""
        return _added(self._optimizer_load_state_dict_pre_hooks, hook, prepend)  # type: ignore[attr-defined]

    def register_load_state_dict_post_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """hook(optimizer) after load_state_dict()."""
        return _added(self._optimizer_load_state_dict_post_hooks, hook, prepend)  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        text = f"{type(self).__name__} ("
        for i, group in enumerate(self.param_groups):
            text += f"\nParameter Group {i}\n"
            for name in sorted(group):
                if name != "params":
                    text += f"    {name}: {group[name]}\n"
        return text + ")"


def _with_hooks(step: Callable[..., Any]) -> Callable[..., Any]:
    """step() between its hooks, recorded only where the optimiser is differentiable."""

    @functools.wraps(step)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        # Hooks see the optimiser among the arguments too.
        self = args[0]
        for pre_hook in [
            *_global_optimizer_pre_hooks.values(),
            *self._optimizer_step_pre_hooks.values(),
        ]:
            replaced = pre_hook(self, args, kwargs)
            if replaced is None:
                continue
            if not isinstance(replaced, tuple) or len(replaced) != 2:
                raise RuntimeError(
                    f"{step} must return None or a tuple of (new_args, new_kwargs), but got "
                    f"{replaced}."
                )
            args, kwargs = replaced
        before = _C._set_grad_enabled(bool(self.defaults.get("differentiable", False)))
        try:
            result = step(*args, **kwargs)
        finally:
            _C._set_grad_enabled(before)
        for hook in [
            *self._optimizer_step_post_hooks.values(),
            *_global_optimizer_post_hooks.values(),
        ]:
            hook(self, args, kwargs)
        return result

    wrapped.hooked = True  # type: ignore[attr-defined]
    return wrapped


def evaluate(closure: Callable[[], Any] | None) -> Any:
    """What closure() returns, computed with gradients; None without one."""
    if closure is None:
        return None
    with flambeau.enable_grad():
        return closure()


def zero_step() -> Tensor:
    """A counter of steps: a 0-dim float, as PyTorch keeps it."""
    dtype = flambeau.get_default_dtype()
    is_double = dtype == flambeau.float64
    return flambeau.zeros((), dtype=dtype if is_double else flambeau.float32)


def check_not_negative(**values: tuple[str, Any]) -> None:
    """ValueError for an option below 0; each is (PyTorch's name for it, value)."""
    for what, value in values.values():
        if not value >= 0.0:
            raise ValueError(f"Invalid {what}: {value}")


def check_betas(betas: tuple[float, float]) -> None:
    """ValueError for a decay rate outside [0, 1)."""
    for i, beta in enumerate(betas):
        if not 0.0 <= beta < 1.0:
            raise ValueError(f"Invalid beta parameter at index {i}: {beta}")


class PerParameter(Optimizer):
    """Base of optimisers that update one parameter after the other by a few operations.

    A subclass defines `_fresh_state` and `_update`; gradients come with the sign of `maximize`.
    """

    def _fresh_state(self, parameter: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        raise NotImplementedError

    def _update(
        self, parameter: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        raise NotImplementedError

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = evaluate(closure)
        for group in self.param_groups:
            for parameter in group["params"]:
                grad = parameter.grad
                if grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state.update(self._fresh_state(parameter, group))
                state["step"] += 1
                grad = as_real(-grad if group["maximize"] else grad)
                if parameter.is_complex():
                    state = {name: as_real(value) for name, value in state.items()}
                self._update(as_real(parameter), grad, state, group)
        return loss


def as_real(value: Any) -> Any:
    """A complex tensor as the pairs of numbers that it is, in the same memory: each is updated for
    itself, as in PyTorch. Anything else as it is."""
    is_complex = isinstance(value, Tensor) and value.is_complex()
    return flambeau.view_as_real(value) if is_complex else value


def all_as_real(params: list[Tensor], *lists: list[Tensor]) -> list[list[Tensor]]:
    """Lists that go with `params`, and these first, each tensor as_real()."""
    if not any(map(Tensor.is_complex, params)):
        return [params, *lists]
    return [[*map(as_real, tensors)] for tensors in (params, *lists)]


def filled_like(parameter: Tensor, value: float) -> Tensor:
    """State of `value` for each number of the parameter, both of a complex one's pairs."""
    state = flambeau.empty_like(parameter).detach()
    as_real(state).fill_(value)
    return state


def fused(name: str, group: dict[str, Any]) -> tuple[Callable[..., Any], Any]:
    """The update of lists `name` and its learning rate. As a float32 tensor that is not read, so
    that it may change in what is recorded or replayed.
    """
    rate = group["lr"]
    if isinstance(rate, Tensor) and rate.dtype is flambeau.float32:
        return getattr(flambeau, f"_fused_{name}_tensor_lr_"), rate.detach().reshape(())
    return getattr(flambeau, f"_fused_{name}_"), float(rate)


def decayed(
    parameter: Tensor, grad: Tensor, group: dict[str, Any], decoupled: bool = False
) -> Tensor:
    """The gradient with weight decay; decoupled, the parameter shrinks instead."""
    decay = group["weight_decay"]
    if decay == 0:
        return grad
    if not decoupled:
        return grad.add(parameter, alpha=decay)
    parameter.mul_(1 - group["lr"] * decay)
    return grad
