"""Parameter and Buffer: tensors that a Module registers when they are assigned to it."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import flambeau

__all__ = ["Buffer", "Parameter", "UninitializedBuffer", "UninitializedParameter", "is_lazy"]


class _ParameterMeta(type(flambeau.Tensor)):  # type: ignore[misc, override]
    """Tensors marked `_is_param` are parameters too: those of tensor subclasses."""

    def __instancecheck__(cls, instance: Any) -> bool:
        if cls is Parameter and isinstance(instance, flambeau.Tensor):
            return super().__instancecheck__(instance) or getattr(instance, "_is_param", False)
        return super().__instancecheck__(instance)


class Parameter(flambeau.Tensor, metaclass=_ParameterMeta):
    """A tensor that is a module's parameter: `Parameter(data, requires_grad=True)` shares `data`."""

    __torch_function__ = flambeau._C._disabled_torch_function_impl

    def __new__(cls, data: flambeau.Tensor | None = None, requires_grad: bool = True) -> Parameter:
        if data is None:
            data = flambeau.empty(0)
        if type(data) is flambeau.Tensor or type(data) is Parameter:
            return flambeau.Tensor._make_subclass(cls, data, requires_grad)
        # A subclass of Tensor stays what it is.
        tensor: Any = data.detach().requires_grad_(requires_grad)
        if type(tensor) is not type(data):
            tensor = flambeau.Tensor._make_subclass(type(data), tensor, requires_grad)
        tensor._is_param = True
        return tensor

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        if id(self) in memo:
            return memo[id(self)]
        result = type(self)(
            self.data.clone(memory_format=flambeau.preserve_format), self.requires_grad
        )
        memo[id(self)] = result
        return result

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return "Parameter containing:\n" + flambeau.Tensor.__repr__(self)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return _rebuild_parameter, (self.data, self.requires_grad, OrderedDict(self.__dict__))


def _rebuild_parameter(
    data: flambeau.Tensor, requires_grad: bool, attributes: dict[str, Any]
) -> Parameter:
    parameter = Parameter(data, requires_grad)
    parameter.__dict__.update(attributes)
    return parameter


class _Uninitialized:
    """A tensor of a lazy module whose shape is not known before its first input."""

    cls_to_become: type
    data: Any

    def materialize(self, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Gives the tensor its shape; it becomes an ordinary parameter or buffer."""
        dtype = self.data.dtype if dtype is None else dtype
        self.data = flambeau.empty(shape, device=device, dtype=dtype)
        self.__class__ = self.cls_to_become  # type: ignore[assignment]

    @property
    def shape(self) -> Any:  # type: ignore[override]
        raise RuntimeError(
            "Can't access the shape of an uninitialized parameter or buffer. This error usually "
            "happens in `load_state_dict` when trying to load an uninitialized parameter into an "
            "initialized one. Call `forward` to initialize the parameters before accessing their "
            "attributes."
        )

    def share_memory_(self) -> Any:
        raise RuntimeError(
            "Can't share memory on an uninitialized parameter or buffer. Call `forward` to "
            "initialize the parameters before calling `module.share_memory()`."
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class UninitializedParameter(_Uninitialized, Parameter):  # type: ignore[misc, override]
    """A parameter whose shape is not known yet."""

    cls_to_become = Parameter

    def __new__(
        cls, requires_grad: bool = True, device: Any = None, dtype: Any = None
    ) -> UninitializedParameter:
        data = flambeau.empty(0, device=device, dtype=dtype)
        return flambeau.Tensor._make_subclass(cls, data, requires_grad)

    def __deepcopy__(self, memo: dict[int, Any]) -> UninitializedParameter:
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.requires_grad, dtype=self.data.dtype)
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return UninitializedParameter, (self.requires_grad, None, self.data.dtype)


class _BufferMeta(type(flambeau.Tensor)):  # type: ignore[misc, override]
    """Buffers are tensors marked `_is_buffer`."""

    def __instancecheck__(cls, instance: Any) -> bool:
        if cls is Buffer:
            return isinstance(instance, flambeau.Tensor) and getattr(instance, "_is_buffer", False)
        return super().__instancecheck__(instance)


class Buffer(flambeau.Tensor, metaclass=_BufferMeta):
    """A tensor that a Module registers as a buffer when it is assigned to it."""

    persistent: bool

    def __new__(cls, data: flambeau.Tensor | None = None, *, persistent: bool = True) -> Any:
        if data is None:
            data = flambeau.empty(0)
        result: Any = data.detach().requires_grad_(data.requires_grad)
        result.persistent = persistent
        result._is_buffer = True
        return result


class UninitializedBuffer(_Uninitialized, flambeau.Tensor):  # type: ignore[misc, override]
    """A buffer whose shape is not known yet."""

    cls_to_become = flambeau.Tensor
    persistent: bool

    def __new__(
        cls,
        requires_grad: bool = False,
        device: Any = None,
        dtype: Any = None,
        persistent: bool = True,
    ) -> UninitializedBuffer:
        data = flambeau.empty(0, device=device, dtype=dtype)
        result = flambeau.Tensor._make_subclass(cls, data, requires_grad)
        result.persistent = persistent
        result._is_buffer = True
        return result


def is_lazy(param: Any) -> bool:
    """True for tensors whose shape is not known yet."""
    return isinstance(param, (UninitializedParameter, UninitializedBuffer))
