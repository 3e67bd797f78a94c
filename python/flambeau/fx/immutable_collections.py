"""Lists and dictionaries that cannot be changed: what the arguments of nodes are made of."""

from __future__ import annotations

from typing import Any, Callable

from flambeau.utils._pytree import register_pytree_node

__all__ = ["immutable_dict", "immutable_list"]

_HELP = """If you are attempting to modify the kwargs or args of a torch.fx.Node object,
instead create a new copy of it and assign the copy to the node:

    new_args = ...  # copy and mutate args
    node.args = new_args
"""


def _refuse(self: Any, *args: Any, **kwargs: Any) -> Any:
    raise TypeError(f"{type(self).__name__!r} object does not support mutation. {_HELP}")


def _refusing(names: str) -> Callable[[type], type]:
    def decorate(kind: type) -> type:
        for name in names.split():
            setattr(kind, name, _refuse)
        return kind

    return decorate


@_refusing(
    "__delitem__ __iadd__ __imul__ __setitem__ append clear extend insert pop remove reverse sort"
)
class immutable_list(list):
    """A list that is never changed, and can be a key."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(self))

    def __reduce__(self) -> Any:
        return (type(self), (tuple(self),))


@_refusing("__delitem__ __ior__ __setitem__ clear pop popitem setdefault update")
class immutable_dict(dict):
    """A dictionary that is never changed, and can be a key."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> Any:
        return (type(self), (dict(self),))


register_pytree_node(
    immutable_list, lambda x: (list(x), None), lambda values, context: immutable_list(values)
)
register_pytree_node(
    immutable_dict,
    lambda x: (list(x.values()), list(x)),
    lambda values, context: immutable_dict(zip(context, values)),
)
