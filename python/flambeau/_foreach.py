"""`torch._foreach_NAME(tensors, ...)`: what `Tensor.NAME` does, for each tensor of a list. Other arguments are lists, with
one value for each tensor, or the same for all.
"""

from __future__ import annotations

from typing import Any, Callable

from . import _C
from ._C import Tensor

__all__ = ["function"]

_PREFIX = "_foreach_"
# Their last argument is taken by position here, and by name there.
_VALUE = ("addcdiv", "addcmul")


def _norm(tensor: Tensor, ord: Any = 2, dtype: Any = None) -> Tensor:
    return _C._functions["linalg_vector_norm"](tensor, ord, dtype=dtype)


def _method(name: str) -> Callable[..., Any] | None:
    if name == "norm":
        return _norm
    if name in ("maximum_", "minimum_"):
        in_one = getattr(Tensor, name.rstrip("_"))
        return lambda tensor, other: tensor.copy_(in_one(tensor, other))
    method = getattr(Tensor, name, None)
    return method if callable(method) else None


def function(name: str) -> Callable[..., Any] | None:
    """The function of that name; None where Tensor has no such method."""
    if not name.startswith(_PREFIX):
        return None
    what = name[len(_PREFIX) :]
    method = _method(what)
    if method is None:
        return None

    at_once = _C._functions.get(name)

    def each(self: Any, *args: Any, **kwargs: Any) -> Any:
        if at_once is not None and not kwargs and not (args and isinstance(args[0], list)):
            try:
                return at_once(self, *args)
            except TypeError:
                pass  # Arguments of another overload: its operation takes a tensor, or a number.
        tensors = list(self)
        for given in (*args, *kwargs.values()):
            if isinstance(given, (list, tuple)) and len(given) != len(tensors):
                raise RuntimeError(
                    f"{name}: Tensor lists must have the same number of tensors, got {len(tensors)} and "
                    f"{len(given)}"
                )
        if "scalars" in kwargs:
            kwargs["value"] = kwargs.pop("scalars")
        if what.rstrip("_") in _VALUE and len(args) == 3:
            *args, kwargs["value"] = args  # type: ignore[assignment]
            if isinstance(kwargs["value"], Tensor):
                kwargs["value"] = kwargs["value"].tolist()
        results = []
        for i, tensor in enumerate(tensors):

            def of(value: Any, i: int = i) -> Any:
                return value[i] if isinstance(value, (list, tuple)) else value

            named = {key: of(value) for key, value in kwargs.items()}
            results.append(method(tensor, *map(of, args), **named))
        return None if what.endswith("_") else results

    each.__name__ = each.__qualname__ = name
    return each
