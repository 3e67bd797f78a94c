"""Parametrizations: a module's tensor as a function of others, which are what is trained."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import flambeau
from flambeau import Tensor
from flambeau._watched import pauses
from flambeau.nn.modules.container import ModuleDict, ModuleList
from flambeau.nn.modules.module import Module
from flambeau.nn.parameter import Parameter

__all__ = [
    "ParametrizationList",
    "cached",
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
    "type_before_parametrizations",
]

# Tensors computed within cached(), by module and name; None outside.
_cache: dict[tuple[int, str], Any] | None = None


@contextmanager
def cached() -> Iterator[None]:
    """Computes each parametrized tensor once within the block."""
    global _cache
    outer, _cache = _cache, {} if _cache is None else _cache
    pauses["nn.utils.parametrize.cached"] = True
    try:
        yield
    finally:
        _cache = outer
        if outer is None:
            del pauses["nn.utils.parametrize.cached"]


def _as_original(tensor: Tensor, like: Tensor) -> Tensor:
    """A parameter if `like` is one."""
    if isinstance(like, Parameter) and not isinstance(tensor, Parameter):
        return Parameter(tensor, requires_grad=tensor.is_floating_point() and like.requires_grad)
    return tensor


class ParametrizationList(ModuleList):
    """The functions of one tensor, the first applied first, and the originals that they take."""

    def __init__(self, modules: Sequence[Module], original: Tensor, unsafe: bool = False) -> None:
        if not modules:
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        value: Any = original
        with flambeau.no_grad():
            for module in reversed([*self]):
                # One that cannot tell starts with the tensor itself.
                with suppress(NotImplementedError):
                    if hasattr(module, "right_inverse"):
                        value = module.right_inverse(value)
        if not isinstance(value, Tensor) and not isinstance(value, Sequence):
            raise ValueError(
                "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). "
                f"Got {type(value).__name__}"
            )
        self.is_tensor = isinstance(value, Tensor)
        originals: list[Any] = [value] if isinstance(value, Tensor) else [*value]
        self.ntensors = len(originals)
        if isinstance(value, Tensor) and value is not original and value.shape == original.shape:
            # The optimiser may know the original already: it stays the same object.
            with flambeau.no_grad():
                original.data = value.detach()
            originals = [original]
        for name, tensor in zip(self._originals(), originals):
            tensor = _as_original(tensor, original)
            if isinstance(tensor, Parameter):
                self.register_parameter(name, tensor)
            else:
                self.register_buffer(name, tensor)
        if not unsafe:
            with flambeau.no_grad():
                made = self()
            if not isinstance(made, Tensor):
                raise ValueError(
                    f"A parametrization must return a tensor. Got {type(made).__name__}."
                )
            if made.dtype != original.dtype or made.shape != original.shape:
                raise ValueError(
                    "Registering a parametrization may not change the dtype or the shape of the "
                    f"tensor, unless the `unsafe` flag is enabled. It has {original.dtype}, "
                    f"{tuple(original.shape)}, and would have {made.dtype}, {tuple(made.shape)}"
                )

    def _originals(self) -> list[str]:
        if self.is_tensor:
            return ["original"]
        return [f"original{i}" for i in range(self.ntensors)]

    def right_inverse(self, value: Tensor) -> None:
        """Sets the originals so that the tensor is `value`."""
        result: Any = value
        with flambeau.no_grad():
            for module in reversed([*self]):
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(
                        f"parametrization {type(module).__name__} does not implement right_inverse."
                    )
                result = module.right_inverse(result)
            tensors = [result] if self.is_tensor else [*result]
            for name, tensor in zip(self._originals(), tensors):
                getattr(self, name).data = tensor.detach()

    def forward(self) -> Tensor:
        value: Any = self[0](*(getattr(self, name) for name in self._originals()))
        for module in [*self][1:]:
            value = module(value)
        return value


def _getter(name: str) -> property:
    def get(self: Any) -> Any:
        key = (id(self), name)
        if _cache is not None and key in _cache:
            return _cache[key]
        value = self.parametrizations[name]()
        if _cache is not None:
            _cache[key] = value
        return value

    def assign(self: Any, value: Any) -> None:
        self.parametrizations[name].right_inverse(value)

    return property(get, assign)


def _parametrized_class(module: Module) -> None:
    """Gives the module a class of its own, on which properties can be put."""
    base = type(module)

    def deepcopy(self: Any, memo: dict[int, Any]) -> Any:
        if id(self) in memo:
            return memo[id(self)]
        twin = self.__new__(type(self))
        memo[id(self)] = twin
        twin.__dict__ = copy.deepcopy(self.__dict__, memo)
        # Properties are a class's: the copy has a class of its own.
        twin.__class__ = type(type(self).__name__, (base,), dict(vars(type(self))))
        return twin

    def getstate(self: Any) -> Any:
        raise RuntimeError(
            "Serialization of parametrized modules is only supported through state_dict()."
        )

    fields = {"__getstate__": getstate, "__deepcopy__": deepcopy, "__module__": base.__module__}
    module.__class__ = type(f"Parametrized{base.__name__}", (base,), fields)  # type: ignore[assignment]


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """From now on module.tensor_name is parametrization(original)."""
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        holder: Any = module.parametrizations[tensor_name]  # type: ignore[index]
        if not unsafe and hasattr(parametrization, "right_inverse"):
            value = getattr(module, tensor_name)
            if parametrization(parametrization.right_inverse(value)).shape != value.shape:
                raise ValueError("A parametrization may not change the shape of the tensor")
        with flambeau.no_grad():
            value = getattr(module, tensor_name)
            holder.append(parametrization)
            if hasattr(parametrization, "right_inverse"):
                holder.right_inverse(value)
        return module
    own = module._parameters if tensor_name in module._parameters else module._buffers
    if tensor_name not in own:
        raise ValueError(
            f"Module '{module}' does not have a parameter, a buffer, or a parametrized element "
            f"with name '{tensor_name}'"
        )
    original: Any = own[tensor_name]
    functions = ParametrizationList([parametrization], original, unsafe=unsafe)
    del own[tensor_name]
    if not is_parametrized(module):
        _parametrized_class(module)
        module.parametrizations = ModuleDict()
    setattr(type(module), tensor_name, _getter(tensor_name))
    module.parametrizations[tensor_name] = functions  # type: ignore[index, operator]
    return module


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether the module (or that tensor of it) is parametrized."""
    functions = getattr(module, "parametrizations", None)
    if functions is None or not isinstance(functions, ModuleDict):
        return False
    return len(functions) > 0 if tensor_name is None else tensor_name in functions


def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """Makes module.tensor_name a tensor again: its value, or the original."""
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    functions: Any = module.parametrizations[tensor_name]  # type: ignore[index]
    if not functions.is_tensor and not leave_parametrized:
        raise ValueError(
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is "
            "parametrized in terms of a sequence of tensors."
        )
    first = getattr(functions, functions._originals()[0])
    if leave_parametrized:
        with flambeau.no_grad():
            value = getattr(module, tensor_name).detach()
        if functions.is_tensor:
            # The optimiser may know the original: it stays the same object.
            first.data = value
            tensor = first
        else:
            tensor = _as_original(value, first)
    else:
        tensor = first
    delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]  # type: ignore[operator]
    if isinstance(tensor, Parameter):
        module.register_parameter(tensor_name, tensor)
    else:
        module.register_buffer(tensor_name, tensor)
    if not is_parametrized(module):
        delattr(module, "parametrizations")
        module.__class__ = type(module).__bases__[0]
    return module


def type_before_parametrizations(module: Module) -> type:
    """The module's class without parametrizations."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)
