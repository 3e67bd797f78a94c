"""One call in a graph: what is called with which arguments, and who uses the result."""

from __future__ import annotations

import builtins
import operator
import types
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Callable

import flambeau
from flambeau import Tensor
from flambeau._absent import _public

from .immutable_collections import immutable_dict, immutable_list

if TYPE_CHECKING:
    from .graph import Graph

__all__ = ["Node", "has_side_effect", "map_aggregate", "map_arg"]

_legal_ops = (
    "placeholder", "call_method", "call_module", "call_function", "get_attr", "output", "root",
)  # fmt: skip
base_types = (
    str, int, float, bool, complex, Tensor, flambeau.dtype, flambeau.device, flambeau.memory_format,
    flambeau.layout,
)  # fmt: skip

_side_effectful_functions: set[Callable[..., Any]] = {flambeau._assert, operator.setitem}


def has_side_effect(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Marks a function whose calls matter though nobody uses their results."""
    _side_effectful_functions.add(fn)
    return fn


# -- names ----------------------------------------------------------------------------------------


def _is_ours(value: Any) -> bool:
    """Whether a function or a type is of torch, and so is reached by its name in it."""
    module = getattr(value, "__module__", None) or ""
    return module.partition(".")[0] == __name__.partition(".")[0]


def _get_qualified_name(func: Any) -> str:
    """The dotted name by which programs reach a function."""
    name = getattr(func, "__name__", None)
    if name is not None and getattr(builtins, name, None) is func:
        return str(name)
    module = getattr(func, "__module__", None)
    if module in ("_operator", "operator"):
        return f"operator.{name}"
    if module == "math" or name is None:
        return f"{module}.{name}" if name else repr(func)
    if _is_ours(func):
        from flambeau.overrides import resolve_name

        return resolve_name(func) or _public(f"{module}.{func.__qualname__}")
    return f"{module}.{name}"


def _type_repr(obj: Any) -> str:
    """A type as annotations show it."""
    if isinstance(obj, type) and not isinstance(obj, types.GenericAlias):
        if obj.__module__ == "builtins":
            return obj.__qualname__
        name = f"{obj.__module__}.{obj.__qualname__}"
        return _public(name) if _is_ours(obj) else name
    if obj is ...:
        return "..."
    if isinstance(obj, types.FunctionType):
        return obj.__name__
    return repr(obj)


def _format_arg(arg: Any) -> str:
    """An argument as graphs print it; nodes have a % in front of their names."""
    if isinstance(arg, list):
        return f"[{', '.join(map(_format_arg, arg))}]"
    if isinstance(arg, tuple):
        comma = "," if len(arg) == 1 else ""
        return f"({', '.join(map(_format_arg, arg))}{comma})"
    if isinstance(arg, dict):
        return f"{{{', '.join(f'{key}: {_format_arg(value)}' for key, value in arg.items())}}}"
    return f"%{arg}" if isinstance(arg, Node) else _text(arg, str)


def _text(value: Any, form: Callable[[Any], str] = repr) -> str:
    """str or repr of a value, with torch for the package in names of dtypes and the like."""
    if isinstance(value, (flambeau.dtype, flambeau.memory_format, flambeau.layout)):
        return _public(repr(value))
    return form(value)


# -- arguments ------------------------------------------------------------------------------------


def map_aggregate(a: Any, fn: Callable[[Any], Any]) -> Any:
    """`a` with `fn` of each value in its tuples, lists, dictionaries and slices; lists and dictionaries of
    the result cannot be changed."""
    if isinstance(a, tuple):
        items = [map_aggregate(item, fn) for item in a]
        return type(a)(*items) if hasattr(a, "_fields") else tuple(items)
    if isinstance(a, list):
        return immutable_list([map_aggregate(item, fn) for item in a])
    if isinstance(a, dict):
        return immutable_dict({key: map_aggregate(value, fn) for key, value in a.items()})
    if isinstance(a, slice):
        return slice(*(map_aggregate(part, fn) for part in (a.start, a.stop, a.step)))
    return fn(a)


def map_arg(a: Any, fn: Callable[[Node], Any]) -> Any:
    """`map_aggregate` of the nodes alone."""
    return map_aggregate(a, lambda value: fn(value) if isinstance(value, Node) else value)


class Node:
    """A call of a graph. `op` says what `target` is: the name of a parameter ("placeholder"), the path of an
    attribute or module of the root ("get_attr", "call_module"), a function ("call_function"), the name
    of a method of the first argument ("call_method"), or "output".
    """

    def __init__(
        self,
        graph: Graph,
        name: str,
        op: str,
        target: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        return_type: Any = None,
    ) -> None:
        assert op in _legal_ops
        if op == "call_function":
            if not callable(target):
                raise ValueError(
                    f"Node [graph = {graph}, name = '{name}'] target {target} has type {type(target)} "
                    "but a Callable is expected"
                )
        elif not isinstance(target, str):
            raise ValueError(
                f"Node [graph = {graph}, name = '{name}'] target {target} has type {type(target)} "
                "but a str is expected"
            )
        self.graph = graph
        self.name = name
        self.op = op
        self.target = target
        self.users: dict[Node, None] = {}
        self.type = return_type
        self.meta: dict[str, Any] = {}
        self._input_nodes: dict[Node, None] = {}
        self._args: tuple[Any, ...] = ()
        self._kwargs: dict[str, Any] = {}
        self._prev = self._next = self
        self._erased = False
        self._set_inputs(map_arg(args, lambda x: x), map_arg(kwargs, lambda x: x))

    def __repr__(self) -> str:
        return self.name

    def __lt__(self, other: Node) -> bool:
        return self.graph._position(self) < self.graph._position(other)

    def __gt__(self, other: Node) -> bool:
        return other < self

    def __le__(self, other: Node) -> bool:
        return self is other or self < other

    def __ge__(self, other: Node) -> bool:
        return other <= self

    # -- place --

    @property
    def next(self) -> Node:
        """The node after this one in the graph."""
        return self._next

    @property
    def prev(self) -> Node:
        """The node before this one in the graph."""
        return self._prev

    def prepend(self, x: Node) -> None:
        """Moves `x` of the same graph before this node."""
        assert self.graph == x.graph, "Attempting to move a Node into a different Graph"
        if self is x:
            return
        x._remove_from_list()
        before = self._prev
        before._next, x._prev = x, before
        x._next, self._prev = self, x
        self.graph._moved()

    def append(self, x: Node) -> None:
        """Moves `x` of the same graph behind this node."""
        self._next.prepend(x)

    def _remove_from_list(self) -> None:
        self._prev._next, self._next._prev = self._next, self._prev

    # -- arguments --

    @property
    def args(self) -> tuple[Any, ...]:
        """The arguments; a new tuple can be assigned."""
        return self._args

    @args.setter
    def args(self, a: tuple[Any, ...]) -> None:
        self._set_inputs(map_arg(a, lambda x: x), self._kwargs)

    @property
    def kwargs(self) -> dict[str, Any]:
        """The arguments by name; a new dictionary can be assigned."""
        return self._kwargs

    @kwargs.setter
    def kwargs(self, k: dict[str, Any]) -> None:
        self._set_inputs(self._args, map_arg(k, lambda x: x))

    def _set_inputs(self, args: Any, kwargs: Any) -> None:
        for node in self._input_nodes:
            node.users.pop(self, None)
        self._args, self._kwargs, self._input_nodes = args, kwargs, {}

        def note(node: Node) -> Node:
            self._input_nodes.setdefault(node)
            node.users.setdefault(self)
            return node

        map_arg(args, note)
        map_arg(kwargs, note)

    @property
    def all_input_nodes(self) -> list[Node]:
        """The nodes among the arguments, each once."""
        return list(self._input_nodes)

    def update_arg(self, idx: int, arg: Any) -> None:
        args = list(self.args)
        args[idx] = arg
        self.args = tuple(args)

    def insert_arg(self, idx: int, arg: Any) -> None:
        assert 0 <= idx <= len(self.args), "insert_args index must be between 0 and len(self.args)"
        self.args = (*self.args[:idx], arg, *self.args[idx:])

    def update_kwarg(self, key: str, arg: Any) -> None:
        self.kwargs = {**self.kwargs, key: arg}

    def replace_input_with(self, old_input: Node, new_input: Node) -> None:
        """`new_input` wherever `old_input` is among the arguments."""

        def put(node: Node) -> Node:
            return new_input if node is old_input else node

        self._set_inputs(map_arg(self.args, put), map_arg(self.kwargs, put))

    def replace_all_uses_with(
        self,
        replace_with: Node,
        delete_user_cb: Callable[[Node], bool] = lambda user: True,
        *,
        propagate_meta: bool = False,
    ) -> list[Node]:
        """Those who use this node use `replace_with` instead, where `delete_user_cb` agrees; they are returned."""
        if propagate_meta:
            assert not replace_with.meta, "propagate_meta: the other node has metadata already"
            replace_with.meta.update(self.meta)
        changed = [user for user in self.users if delete_user_cb(user)]
        for user in changed:
            user.replace_input_with(self, replace_with)
        return changed

    # -- what it is --

    @property
    def stack_trace(self) -> str | None:
        """Where the call was made, if that was recorded."""
        return self.meta.get("stack_trace")

    @stack_trace.setter
    def stack_trace(self, trace: str | None) -> None:
        self.meta["stack_trace"] = trace

    def is_impure(self) -> bool:
        """Whether it matters though nobody uses it."""
        if self.op in ("placeholder", "output"):
            return True
        if self.op == "call_function":
            return self.target in _side_effectful_functions
        if self.op == "call_module":
            assert self.graph.owning_module is not None, "self.graph.owning_module not set"
            module = self.graph.owning_module.get_submodule(self.target)
            return bool(getattr(module, "_is_impure", False))
        return False

    def normalized_arguments(
        self,
        root: Any,
        arg_types: Any = None,
        kwarg_types: Any = None,
        normalize_to_only_use_kwargs: bool = False,
    ) -> Any:
        """The arguments by the parameters' names, as an ArgsKwargsPair; None where they are not known."""
        from .operator_schemas import normalize_function, normalize_module

        if self.op == "call_function":
            return normalize_function(
                self.target,
                self.args,
                self.kwargs,
                arg_types,
                kwarg_types,
                normalize_to_only_use_kwargs,
            )
        if self.op == "call_module":
            return normalize_module(
                root, self.target, self.args, self.kwargs, normalize_to_only_use_kwargs
            )
        return None

    def _pretty_print_target(self, target: Any) -> str:
        if isinstance(target, str):
            return target
        name = _get_qualified_name(target)
        return name if "." in name else f"builtins.{name}"

    def format_node(
        self,
        placeholder_names: list[str] | None = None,
        maybe_return_typename: list[str] | None = None,
    ) -> str | None:
        """The line that stands for it where graphs are printed. With lists to fill, placeholders go to the first
        and the result's type to the second."""
        kind = f"{_type_repr(self.type)} " if self.type is not None else ""
        start = f"%{self.name} : {kind}[num_users={len(self.users)}] = {self.op}"
        if self.op == "placeholder":
            if placeholder_names is not None:
                shown = f" : {_type_repr(self.type)}" if self.type is not None else ""
                placeholder_names.append(f"{self.target}{shown}")
                return None
            default = f"(default={self.args[0]})" if self.args else ""
            return f"{start}[target={self.target}]{default}"
        target = self._pretty_print_target(self.target)
        if self.op == "get_attr":
            return f"{start}[target={target}]"
        if self.op == "output":
            if self.type is not None and maybe_return_typename:
                maybe_return_typename[0] = f" -> {_type_repr(self.type)}"
            return f"return {_text(self.args[0], str)}"
        args, kwargs = _format_arg(self.args), _format_arg(self.kwargs)
        return f"{start}[target={target}](args = {args}, kwargs = {kwargs})"

    def _rename(self, candidate: str) -> None:
        """Gives it the name, or one like it where another node has it."""
        if candidate != self.name:
            self.name = self.graph._graph_namespace.create_name(candidate, None)


def _nodes_of(values: Iterable[Any]) -> list[Node]:
    """The nodes in arguments, in order, each as often as it is there."""
    found: list[Node] = []
    map_arg(tuple(values), lambda node: found.append(node))
    return found
