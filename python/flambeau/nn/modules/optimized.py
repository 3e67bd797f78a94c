"""What `flambeau.compile` makes of a Module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..._compile import recorded
from .module import Module


class OptimizedModule(Module):
    """A Module whose calls are recorded; everything else is that of `_orig_mod`."""

    _orig_mod: Module

    def __init__(self, mod: Module, wrap: Callable[..., Any] = recorded) -> None:
        super().__init__()
        self._orig_mod = mod
        self.training = mod.training
        self.__dict__["_compiled_call_impl"] = wrap(mod.__call__)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self(*args, **kwargs)

    def train(self, mode: bool = True) -> OptimizedModule:
        super().train(mode)
        return self

    def __reduce__(self) -> Any:
        return OptimizedModule, (self._orig_mod,)

    def __getattr__(self, name: str) -> Any:
        if name == "_orig_mod":
            return super().__getattr__(name)
        return getattr(self._orig_mod, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if (
            name in ("_orig_mod", "training", "_compiled_call_impl")
            or "_orig_mod" not in self._modules
        ):
            super().__setattr__(name, value)
        else:
            setattr(self._orig_mod, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._orig_mod, name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *dir(self._orig_mod)})
