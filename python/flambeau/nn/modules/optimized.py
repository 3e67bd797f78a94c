"""What `flambeau.compile` makes of a Module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..._compile import recorded
from .module import Module


class OptimizedModule(Module):
    """A Module whose calls are recorded, and around which hooks of its own may run; everything else
    is that of `_orig_mod`."""

    _orig_mod: Module

    def __init__(self, mod: Module, wrap: Callable[..., Any] = recorded) -> None:
        super().__init__()
        del self.__dict__["training"]
        self._orig_mod = mod
        self.__dict__["dynamo_ctx"] = wrap  # what compiles other methods in the same way
        self.__dict__["forward"] = wrap(mod.__call__)

    @property
    def training(self) -> bool:  # type: ignore[override]
        return self._orig_mod.training

    @training.setter
    def training(self, mode: bool) -> None:
        self._orig_mod.training = mode

    def train(self, mode: bool = True) -> OptimizedModule:
        super().train(mode)
        return self

    def __reduce__(self) -> Any:
        return OptimizedModule, (self._orig_mod, self.dynamo_ctx)

    def __getattr__(self, name: str) -> Any:
        if name == "_orig_mod":
            return super().__getattr__(name)
        return getattr(self._orig_mod, name)

    def __setattr__(self, name: str, value: Any) -> None:
        # What a Module keeps of its own (hooks), while it is built and later.
        if "_orig_mod" not in self._modules or name == "_orig_mod" or name in self.__dict__:
            super().__setattr__(name, value)
        else:
            setattr(self._orig_mod, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._orig_mod, name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *dir(self._orig_mod)})
