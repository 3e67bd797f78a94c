"""Parameter and Buffer: tensors that a Module registers when they are assigned to it."""

from __future__ import annotations

from typing import Any

import flambeau

__all__ = ["Buffer", "Parameter", "UninitializedParameter", "is_lazy"]


class _ParameterMeta(type(flambeau.Tensor)):  # type: ignore[misc]
    """Tensors marked `_is_param` are parameters too (what deepcopy of a subclass gives)."""

    def __instancecheck__(cls, instance: Any) -> bool:
        if cls is Parameter and getattr(instance, "_is_param", False):
            return isinstance(instance, flambeau.Tensor)
        return super().__instancecheck__(instance)


class Parameter(flambeau.Tensor, metaclass=_ParameterMeta):
    """A tensor that is a module's parameter: `Parameter(data, requires_grad=True)` shares `data`."""

    def __new__(cls, data: flambeau.Tensor | None = None, requires_grad: bool = True) -> Parameter:
        if data is None:
            data = flambeau.empty(0)
        return flambeau.Tensor._make_subclass(cls, data, requires_grad)

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        if id(self) in memo:
            return memo[id(self)]
        result = type(self)(self.data.clone(), self.requires_grad)
        memo[id(self)] = result
        result.__dict__.update(self.__dict__)
        return result

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return "Parameter containing:\n" + flambeau.Tensor.__repr__(self)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return _rebuild_parameter, (self.data, self.requires_grad, dict(self.__dict__))


def _rebuild_parameter(
    data: flambeau.Tensor, requires_grad: bool, attributes: dict[str, Any]
) -> Parameter:
    parameter = Parameter(data, requires_grad)
    parameter.__dict__.update(attributes)
    return parameter


class UninitializedParameter(Parameter):
    """A parameter whose shape is not known yet; lazy modules are not provided."""


def is_lazy(parameter: Any) -> bool:
    return isinstance(parameter, UninitializedParameter)


class Buffer(flambeau.Tensor):
    """A tensor that a Module registers as a buffer when it is assigned to it."""

    def __new__(cls, data: flambeau.Tensor | None = None, *, persistent: bool = True) -> Buffer:
        if data is None:
            data = flambeau.empty(0)
        result = flambeau.Tensor._make_subclass(cls, data.detach(), data.requires_grad)
        result.persistent = persistent
        return result
