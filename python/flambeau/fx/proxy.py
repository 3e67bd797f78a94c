"""What stands for a value while a function is traced: every use of it becomes a node."""

from __future__ import annotations

import collections
import copy
import dataclasses
import dis
import enum
import inspect
import operator
import sys
import traceback
from collections.abc import Iterator
from typing import Any, Callable

from flambeau.overrides import is_tensor_method_or_property

from ._codegen import _BINARY
from .graph import Graph
from .node import Node, base_types, map_aggregate, map_arg

__all__ = [
    "Attribute",
    "GraphAppendingTracer",
    "ParameterProxy",
    "Proxy",
    "Scope",
    "ScopeContextManager",
    "TraceError",
    "TracerBase",
]


class TraceError(ValueError):
    """What a function does cannot be traced."""


@dataclasses.dataclass
class Scope:
    """The module that is being called: its path and its type."""

    module_path: str
    module_type: Any


class ScopeContextManager:
    """Within it, `scope` is as `current_scope`."""

    def __init__(self, scope: Scope, current_scope: Scope) -> None:
        self._scope = scope
        self._before = copy.copy(scope)
        scope.module_path, scope.module_type = current_scope.module_path, current_scope.module_type

    def __enter__(self) -> Scope:
        return self._scope

    def __exit__(self, *exception: object) -> None:
        self._scope.module_path = self._before.module_path
        self._scope.module_type = self._before.module_type


class TracerBase:
    """Makes nodes of calls, and arguments of values."""

    graph: Graph
    record_stack_traces: bool = False
    traced_func_name: str = "forward"
    scope: Scope
    module_stack: collections.OrderedDict[str, tuple[str, Any]]

    def create_node(
        self,
        kind: str,
        target: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        name: str | None = None,
        type_expr: Any = None,
    ) -> Node:
        node = self.graph.create_node(kind, target, args, kwargs, name, type_expr)
        if getattr(self, "module_stack", None):
            node.meta["nn_module_stack"] = copy.copy(self.module_stack)
        return node

    def proxy(self, node: Node) -> Proxy:
        return Proxy(node, self)

    def create_proxy(
        self,
        kind: str,
        target: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        name: str | None = None,
        type_expr: Any = None,
        proxy_factory_fn: Callable[[Node], Proxy] | None = None,
    ) -> Any:
        """A node of a call on values, and what stands for its result."""
        made_args = self.create_arg(args)
        made_kwargs = self.create_arg(kwargs)
        assert isinstance(made_args, tuple)
        assert isinstance(made_kwargs, dict)
        node = self.create_node(kind, target, made_args, made_kwargs, name, type_expr)
        proxy = (proxy_factory_fn or self.proxy)(node)
        if self.record_stack_traces:
            node.stack_trace = "".join(_users_frames().format())
        return proxy

    def create_arg(self, a: Any) -> Any:
        """The value as an argument of a node. NotImplementedError for a type that cannot be one."""
        if isinstance(a, Proxy):
            return a.node
        if hasattr(a, "__fx_create_arg__"):
            return a.__fx_create_arg__(self)
        if isinstance(a, tuple):
            items = [self.create_arg(item) for item in a]
            return type(a)(*items) if hasattr(a, "_fields") else tuple(items)
        if isinstance(a, list):
            return [self.create_arg(item) for item in a]
        if isinstance(a, dict):
            return self._create_dict(a)
        if isinstance(a, slice):
            return slice(*(self.create_arg(part) for part in (a.start, a.stop, a.step)))
        if isinstance(a, range):
            return range(*(self.create_arg(part) for part in (a.start, a.stop, a.step)))
        if dataclasses.is_dataclass(a) and not isinstance(a, type):
            fields = {f.name: self.create_arg(getattr(a, f.name)) for f in dataclasses.fields(a)}
            return self.create_node("call_function", type(a), (), fields)
        if isinstance(a, (*base_types, enum.Enum)) or a is None or a is ...:
            return a
        if isinstance(a, Node) or (callable(a) and inspect.isfunction(a)) or _is_operation(a):
            return a
        raise NotImplementedError(f"argument of type: {type(a)}")

    def _create_dict(self, a: dict[Any, Any]) -> dict[Any, Any]:
        made = {}
        for key, value in a.items():
            made_key = key if isinstance(key, str) else self.create_arg(key)

            def refuse(node: Node, a: Any = a, made_key: Any = made_key) -> None:
                raise RuntimeError(
                    "Keys for dictionaries used as an argument cannot contain a Node. Got key: "
                    f"{made_key}"
                )

            map_arg(made_key, refuse)
            made[made_key] = self.create_arg(value)
        return made

    def to_bool(self, obj: Proxy) -> bool:
        """What `if` and `and` ask. A tracer that knows may answer."""
        raise TraceError("symbolically traced variables cannot be used as inputs to control flow")

    def iter(self, obj: Proxy) -> Iterator[Any]:
        """What `for` and `*` ask. A tracer that knows may answer."""
        raise TraceError(
            "Proxy object cannot be iterated. This can be attempted when the Proxy is used in a loop or "
            "as a *args or **kwargs function argument. See the torch.fx docs on pytorch.org for a more "
            "detailed explanation of what types of control flow can be traced, and check out the Proxy "
            "docstring for help troubleshooting Proxy iteration errors"
        )

    def keys(self, obj: Proxy) -> Any:
        """What `**` asks."""
        return Attribute(obj, "keys")()


def _is_operation(value: Any) -> bool:
    from flambeau.overrides import _is_overridable

    return _is_overridable(value)


def _users_frames() -> traceback.StackSummary:
    """The stack without the frames of this package."""
    frames = traceback.extract_stack()
    own = __file__.rpartition("/")[0]
    return traceback.StackSummary.from_list([f for f in frames if not f.filename.startswith(own)])


class GraphAppendingTracer(TracerBase):
    """Appends to a graph that is there."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.scope = Scope("", None)
        self.module_stack = collections.OrderedDict()


class Proxy:
    """Stands for the result of a node. Functions of torch, operators, methods and attributes on it become
    nodes; its value cannot be asked.
    """

    def __init__(self, node: Node, tracer: TracerBase | None = None) -> None:
        self.tracer = GraphAppendingTracer(node.graph) if tracer is None else tracer
        self.node = node

    def __repr__(self) -> str:
        return f"Proxy({self.node.name})"

    def __getattr__(self, k: str) -> Attribute:
        if k in ("tracer", "node"):  # It is being made.
            raise AttributeError(k)
        return Attribute(self, k)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ = state

    def __deepcopy__(self, memo: Any) -> Proxy:
        made = Proxy.__new__(Proxy)
        made.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return made

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.tracer.create_proxy("call_method", "__call__", (self, *args), kwargs)

    def __iter__(self) -> Iterator[Any]:
        frame = sys._getframe(1)
        for instruction in dis.get_instructions(frame.f_code):
            if instruction.offset == frame.f_lasti:
                if instruction.opname == "UNPACK_SEQUENCE":
                    return (self[i] for i in range(instruction.argval))
                break
        return self.tracer.iter(self)

    def __getitem__(self, item: Any) -> Any:
        return self.tracer.create_proxy("call_function", operator.getitem, (self, item), {})

    def __abs__(self) -> Any:
        return self.tracer.create_proxy("call_function", operator.abs, (self,), {})

    def __bool__(self) -> bool:
        return self.tracer.to_bool(self)

    def keys(self) -> Any:
        return self.tracer.keys(self)

    def __len__(self) -> int:
        raise RuntimeError(
            "'len' is not supported in symbolic tracing by default. If you want this call to be "
            "recorded, please call torch.fx.wrap('len') at module scope"
        )

    __hash__ = object.__hash__

    @classmethod
    def __torch_function__(
        cls, orig_method: Any, types: Any, args: Any = None, kwargs: Any = None
    ) -> Any:
        args, kwargs = args or (), kwargs or {}
        found: dict[TracerBase, None] = {}

        def note(value: Any) -> None:
            if isinstance(value, Proxy):
                found.setdefault(value.tracer)

        map_aggregate(args, note)
        map_aggregate(kwargs, note)
        if len(found) > 1:
            raise RuntimeError(
                f"Found multiple different tracers {list(found)} while trying to trace operations "
                f"{orig_method}"
            )
        tracer = next(iter(found))
        name = orig_method.__name__
        if is_tensor_method_or_property(orig_method):
            return tracer.create_proxy("call_method", name, args, kwargs)
        return tracer.create_proxy(
            "call_function", orig_method, args, kwargs, name=tracer.graph._target_to_str(name)
        )


class Attribute(Proxy):
    """An attribute of a proxy: a node once it is used as a value, a call of a method where it is called."""

    def __init__(self, root: Proxy, attr: str) -> None:
        self.root = root
        self.attr = attr
        self.tracer = root.tracer
        self._node: Node | None = None

    @property
    def node(self) -> Node:  # type: ignore[override]
        if self._node is None:
            args = (self.root, self.attr)
            self._node = self.tracer.create_proxy("call_function", getattr, args, {}).node
        return self._node

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.tracer.create_proxy("call_method", self.attr, (self.root, *args), kwargs)


class ParameterProxy(Proxy):
    """A parameter whose shape is known."""

    def __init__(self, tracer: TracerBase, node: Node, name: str, param: Any) -> None:
        super().__init__(node, tracer)
        self.param = param
        self.name = name

    def __repr__(self) -> str:
        return f"ParameterProxy({self.name})"

    @property
    def shape(self) -> Any:
        return self.param.shape

    def size(self) -> Any:
        return self.param.size()

    def dim(self) -> int:
        return int(self.param.dim())

    @property
    def ndim(self) -> int:
        return int(self.param.ndim)

    def numel(self) -> int:
        return int(self.param.numel())

    def nelement(self) -> int:
        return int(self.param.nelement())


def _forward(target: Any) -> Callable[..., Any]:
    def method(*args: Any, **kwargs: Any) -> Any:
        return args[0].tracer.create_proxy("call_function", target, args, kwargs)

    return method


def _reflected(target: Any) -> Callable[..., Any]:
    def method(self: Proxy, rhs: Any) -> Any:
        return self.tracer.create_proxy("call_function", target, (rhs, self), {})

    return method


for _name in (*_BINARY, "pos", "neg", "invert"):
    _target = getattr(operator, _name)
    _method = _name.rstrip("_")
    setattr(Proxy, f"__{_method}__", _forward(_target))
    if _name in _BINARY and _name not in ("eq", "ne", "lt", "gt", "le", "ge"):
        setattr(Proxy, f"__r{_method}__", _reflected(_target))
