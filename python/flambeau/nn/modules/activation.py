"""Activations as modules. Each calls the function of nn.functional with its stored arguments."""

from __future__ import annotations

from typing import Any

from flambeau import Tensor
from flambeau.nn import functional as F
from flambeau.nn.modules.module import Module

_INPLACE: dict[str, Any] = {"inplace": False}

# class name: (function of nn.functional, arguments with their defaults)
_TABLE: dict[str, tuple[str, dict[str, Any]]] = {
    "CELU": ("celu", {"alpha": 1.0, **_INPLACE}),
    "ELU": ("elu", {"alpha": 1.0, **_INPLACE}),
    "GELU": ("gelu", {"approximate": "none"}),
    "GLU": ("glu", {"dim": -1}),
    "Hardshrink": ("hardshrink", {"lambd": 0.5}),
    "Hardsigmoid": ("hardsigmoid", {**_INPLACE}),
    "Hardswish": ("hardswish", {**_INPLACE}),
    "Hardtanh": ("hardtanh", {"min_val": -1.0, "max_val": 1.0, **_INPLACE}),
    "LeakyReLU": ("leaky_relu", {"negative_slope": 0.01, **_INPLACE}),
    "LogSigmoid": ("logsigmoid", {}),
    "LogSoftmax": ("log_softmax", {"dim": None}),
    "Mish": ("mish", {**_INPLACE}),
    "ReLU": ("relu", {**_INPLACE}),
    "ReLU6": ("relu6", {**_INPLACE}),
    "SELU": ("selu", {**_INPLACE}),
    "SiLU": ("silu", {**_INPLACE}),
    "Sigmoid": ("sigmoid", {}),
    "Softmax": ("softmax", {"dim": None}),
    "Softmin": ("softmin", {"dim": None}),
    "Softplus": ("softplus", {"beta": 1.0, "threshold": 20.0}),
    "Softshrink": ("softshrink", {"lambd": 0.5}),
    "Softsign": ("softsign", {}),
    "Tanh": ("tanh", {}),
    "Tanhshrink": ("tanhshrink", {}),
}


class _Activation(Module):
    function: str
    defaults: dict[str, Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        if len(args) > len(self.defaults):
            raise TypeError(
                f"{type(self).__name__}.__init__() takes at most {len(self.defaults)} arguments, "
                f"got {len(args)}"
            )
        values = dict(zip(self.defaults, args))
        for name, value in kwargs.items():
            if name not in self.defaults or name in values:
                raise TypeError(
                    f"{type(self).__name__}.__init__() got an unexpected keyword argument '{name}'"
                )
            values[name] = value
        for name, default in self.defaults.items():
            setattr(self, name, values.get(name, default))

    def forward(self, input: Tensor) -> Tensor:
        arguments = {name: getattr(self, name) for name in self.defaults}
        if not arguments.get("inplace", True):
            del arguments["inplace"]
        return getattr(F, self.function)(input, **arguments)

    def extra_repr(self) -> str:
        shown = {n: getattr(self, n) for n in self.defaults if n != "inplace" or self.inplace}
        return ", ".join(f"{name}={value!r}" for name, value in shown.items())


def _make(name: str, function: str, defaults: dict[str, Any]) -> type[_Activation]:
    doc = f"nn.functional.{function} as a module."
    fields = {"function": function, "defaults": defaults, "__doc__": doc, "__module__": __name__}
    return type(name, (_Activation,), fields)


for _name, (_function, _defaults) in _TABLE.items():
    globals()[_name] = _make(_name, _function, _defaults)

__all__ = [*_TABLE]
