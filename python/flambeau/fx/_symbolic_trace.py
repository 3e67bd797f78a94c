"""Tracing: a function is called with proxies, and what it does with them becomes a graph.

module = torch.fx.symbolic_trace(lambda x: torch.relu(x) + 1)
print(module.code)
"""

from __future__ import annotations

import collections
import inspect
import math
import types
import warnings
from typing import Any, Callable

import flambeau
from flambeau import Tensor
from flambeau.nn import Module, Parameter, Sequential
from flambeau.utils import _pytree as pytree

from ._patching import Patcher, autowrap, patch_wrapped, wrap
from .graph import Graph, _PyTreeCodeGen, _PyTreeInfo
from .graph_module import GraphModule
from .node import Node, _is_ours
from .proxy import ParameterProxy, Proxy, Scope, ScopeContextManager, TracerBase

__all__ = [
    "PH",
    "PHBase",
    "ProxyableClassMeta",
    "Tracer",
    "is_fx_tracing",
    "symbolic_trace",
    "wrap",
]

_tracing = 0
_proxyable_classes: dict[type, None] = {}
_ROOT = __name__.partition(".")[0]


def is_fx_tracing() -> bool:
    """Whether a function is being traced."""
    return _tracing > 0


class ProxyableClassMeta(type):
    """The class of classes whose objects, made of proxies, become calls of the class in graphs."""

    def __init__(cls, name: str, bases: Any, attrs: Any) -> None:
        _proxyable_classes.setdefault(cls)
        super().__init__(name, bases, attrs)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        instance = cls.__new__(cls)  # type: ignore[call-overload]
        if not is_fx_tracing():
            instance.__init__(*args, **kwargs)
            return instance
        leaves = pytree.tree_leaves((args, kwargs))
        found = [value for value in leaves if isinstance(value, Proxy)]
        if found:
            return found[0].tracer.create_proxy("call_function", cls, args, kwargs)
        instance.__init__(*args, **kwargs)
        return instance


class PHBase:
    """In `concrete_args`, stands for what stays an input."""

    def __repr__(self) -> str:
        return "PH"


PH = PHBase()


def _assert_is_none(value: Any, msg: str) -> None:
    assert value is None, msg


class Tracer(TracerBase):
    """Traces functions and modules. Subclasses say which modules stay calls (`is_leaf_module`) and what becomes of
    arguments and calls.
    """

    def __init__(
        self,
        autowrap_modules: tuple[types.ModuleType, ...] = (math,),
        autowrap_functions: tuple[Callable[..., Any], ...] = (),
        param_shapes_constant: bool = False,
    ) -> None:
        self._autowrap_function_ids = {
            id(value)
            for module in autowrap_modules
            for name, value in vars(module).items()
            if not name.startswith("_") and callable(value)
        } | {id(function) for function in autowrap_functions}
        self._autowrap_search = list(autowrap_modules)
        self.param_shapes_constant = param_shapes_constant
        self.submodule_paths: dict[Module, str] | None = None
        self.root_module_name = ""
        self.scope = Scope("", None)
        self.module_stack = collections.OrderedDict()
        self.tensor_attrs: dict[Any, str] = {}
        self._counts: dict[str, int] = collections.defaultdict(int)

    def get_fresh_qualname(self, prefix: str) -> str:
        """`prefix` with a number, as the root has no attribute yet."""
        while True:
            name = f"{prefix}{self._counts[prefix]}"
            self._counts[prefix] += 1
            if not hasattr(self.root, name):
                return name

    # -- arguments and calls --

    def create_arg(self, a: Any) -> Any:
        if isinstance(a, Parameter):
            for name, parameter in self.root.named_parameters():
                if a is parameter:
                    return self.create_node("get_attr", name, (), {})
            raise NameError("parameter is not a member of this module")
        if isinstance(a, Tensor):
            for name, buffer in self.root.named_buffers():
                if a is buffer:
                    return self.create_node("get_attr", name, (), {})
            name = self.tensor_attrs.get(a) or ""
            if not name:
                name = self.get_fresh_qualname("_tensor_constant")
                self.tensor_attrs[a] = name
                setattr(self.root, name, a)
            return self.create_node("get_attr", name, (), {})
        if isinstance(a, tuple) and hasattr(a, "_fields") and type(a).__module__ != "torch":
            return self.create_node("call_function", type(a), tuple(map(self.create_arg, a)), {})
        if type(a) in _proxyable_classes:
            name = self.get_fresh_qualname(f"_{type(a).__name__}_constant_")
            setattr(self.root, name, a)
            return self.create_node("get_attr", name, (), {})
        return super().create_arg(a)

    def is_leaf_module(self, m: Module, module_qualified_name: str) -> bool:
        """Whether a module is one call in the graph; by default, those of torch.nn but for Sequential."""
        del module_qualified_name
        ours = m.__module__.startswith((f"{_ROOT}.nn", "torch.nn", "torch.ao.nn"))
        return ours and not isinstance(m, Sequential)

    def path_of_module(self, mod: Module) -> str:
        """The name of a module in the root; NameError where it is none of it."""
        path = None if self.submodule_paths is None else self.submodule_paths.get(mod)
        if path is None:
            raise NameError("module is not installed as a submodule")
        return path

    def call_module(
        self, m: Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """What a call of a module becomes: a node for a leaf, the nodes of its forward for others."""
        path = self.path_of_module(m)
        with ScopeContextManager(self.scope, Scope(path, type(m))):
            key = f"{path}@{len(self.module_stack)}" if path in self.module_stack else path
            self.module_stack[key] = (path, type(m))
            try:
                if self.is_leaf_module(m, path):
                    return self.create_proxy("call_module", path, args, kwargs)
                return forward(*args, **kwargs)
            finally:
                self.module_stack.popitem(last=True)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """What an attribute of a module becomes: parameters of the root are nodes."""
        del attr
        if not isinstance(attr_val, Parameter):
            return attr_val
        for name, parameter in self.root.named_parameters():
            if attr_val is parameter:
                if name not in parameter_proxy_cache:
                    factory = None
                    if self.param_shapes_constant:

                        def factory(node: Node, name: str = name) -> Proxy:
                            return ParameterProxy(self, node, name, attr_val)

                    parameter_proxy_cache[name] = self.create_proxy(
                        "get_attr", name, (), {}, proxy_factory_fn=factory
                    )
                return parameter_proxy_cache[name]
        return attr_val

    # -- the root's parameters --

    def create_args_for_root(
        self, root_fn: Any, is_module: bool, concrete_args: Any = None
    ) -> tuple[Any, list[Any]]:
        """A function to call, and what to call it with: proxies for its parameters."""
        function = inspect.unwrap(root_fn)
        code = function.__code__
        count = code.co_argcount + code.co_kwonlyargcount
        names = iter(code.co_varnames)
        args: list[Any] = []
        if is_module:
            if count == 0:
                raise RuntimeError("`self` argument cannot be part of *args expansion!")
            next(names)
            args.append(self.root)
        parameters = inspect.signature(function).parameters
        own = [next(names) for _ in range(count - len(args))]
        if isinstance(concrete_args, tuple):
            if len(own) != len(concrete_args):
                raise RuntimeError(
                    f"Tracing expected {len(own)} arguments but got {len(concrete_args)} concrete arguments"
                )
            concrete_args = dict(zip(own, concrete_args))
        given = concrete_args or {}
        args += [self._placeholder(n, given, parameters, function) for n in own]
        flags = code.co_flags
        if given or flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS):
            if flags & inspect.CO_VARARGS:
                args.append(self._placeholder(f"*{next(names)}", given, {}, function))
            if flags & inspect.CO_VARKEYWORDS:
                args.append(self._placeholder(f"**{next(names)}", given, {}, function))
            root_fn = _taking_positions(function, len(args))
        elif code.co_kwonlyargcount:
            root_fn = _taking_positions(function, len(args))
        flat, spec = pytree.tree_flatten(tuple(args))
        if all(child.is_leaf() for child in spec.children_specs):
            return root_fn, args
        names_of = [name for name in code.co_varnames[:count]]
        codegen = _PyTreeCodeGen(_PyTreeInfo(names_of, self._inputs_spec(spec, is_module), None))
        self.graph.set_codegen(codegen)

        def flat_function(*leaves: Any) -> Any:
            result = root_fn(*pytree.tree_unflatten(list(leaves), spec))
            flat_result, out_spec = pytree.tree_flatten(result)
            codegen.pytree_info = codegen.pytree_info._replace(out_spec=out_spec)
            return flat_result

        return flat_function, flat

    @staticmethod
    def _inputs_spec(spec: Any, is_module: bool) -> Any:
        """The structure of the arguments without self, as a list's: generated code gives them as one."""
        children = spec.children_specs[1:] if is_module else spec.children_specs
        return pytree.TreeSpec(list, None, list(children))

    def _placeholder(self, name: str, given: dict[str, Any], parameters: Any, function: Any) -> Any:
        kind = _annotation(function, name)
        if name not in given:
            default: tuple[Any, ...] = ()
            if not name.startswith("*"):
                value = parameters[name].default
                default = () if value is inspect.Parameter.empty else (value,)
            return self.create_proxy("placeholder", name, default, {}, type_expr=kind)
        count = 0

        def replace(value: Any) -> Any:
            nonlocal count
            count += 1
            default = parameters[name].default
            args = () if default is inspect.Parameter.empty else (default,)
            if value is PH:
                return self.create_proxy("placeholder", f"{name}_{count}", args, {}, type_expr=kind)
            made = self.create_proxy("placeholder", f"{name}_{count}", (), {})
            message = f"{name} has been specialized to have value {value} but got another value"
            if isinstance(value, (bool, float, int, str)):
                flambeau._assert(made == value, message)
            elif value is None:
                self.create_proxy("call_function", _assert_is_none, (made, message), {})
            else:
                warnings.warn(
                    f"Was not able to add assertion to guarantee correct input {name} to specialized "
                    "function. It is up to the user to make sure that your inputs match the inputs you "
                    "specialized the function with.",
                    stacklevel=2,
                )
            return value

        return pytree.tree_map(replace, given[name])

    # -- tracing --

    def trace(
        self, root: Module | Callable[..., Any], concrete_args: dict[str, Any] | None = None
    ) -> Graph:
        """The graph of a module's forward, or of a function; `concrete_args` are not traced, but taken as they are."""
        global _tracing
        if isinstance(root, Module):
            self.root = root
            if not hasattr(type(root), self.traced_func_name):
                raise AssertionError(
                    f"traced_func_name={self.traced_func_name} doesn't exist in {type(root).__name__}"
                )
            function = getattr(type(root), self.traced_func_name)
            self.root_module_name = root._get_name()
            self.submodule_paths = {module: name for name, module in root.named_modules()}
        else:
            self.root = Module()
            function = root
            self.submodule_paths = None
        self.graph = Graph(tracer_cls=getattr(self, "__class__", None))
        self.tensor_attrs = {}
        self._collect_tensors(self.root, [])
        before, _tracing = _tracing, _tracing + 1
        try:
            called, args = self.create_args_for_root(
                function, isinstance(root, Module), concrete_args
            )
            with Patcher() as patcher:
                self._patch(patcher, inspect.unwrap(function).__globals__)
                result = self.create_arg(called(*args))
            kind = _annotation(inspect.unwrap(function), "return")
            self.create_node("output", "output", (result,), {}, type_expr=kind)
            self.submodule_paths = None
        finally:
            _tracing = before
        return self.graph

    def _collect_tensors(self, module: Module, path: list[str]) -> None:
        for name, value in module.__dict__.items():
            if isinstance(value, Tensor):
                self.tensor_attrs[value] = ".".join([*path, name])
        for name, child in module.named_children():
            self._collect_tensors(child, [*path, name])

    def _patch(self, patcher: Patcher, scope: dict[str, Any]) -> None:
        cache: dict[str, Any] = {}
        plain_getattr, plain_call = Module.__getattr__, Module.__call__

        def module_getattr(module: Module, name: str) -> Any:
            return self.getattr(name, plain_getattr(module, name), cache)

        def module_call(module: Module, *args: Any, **kwargs: Any) -> Any:
            def forward(*args: Any, **kwargs: Any) -> Any:
                return plain_call(module, *args, **kwargs)

            own = getattr(getattr(module, "forward", module), "__globals__", {})
            autowrap(patcher, own, self._autowrap_function_ids)
            return self.call_module(module, forward, args, kwargs)

        patcher.patch_method(Module, "__getattr__", module_getattr)
        patcher.patch_method(Module, "__call__", module_call)
        patch_wrapped(patcher)
        autowrap(patcher, scope, self._autowrap_function_ids)
        for module in self._autowrap_search:
            autowrap(patcher, module.__dict__, self._autowrap_function_ids)


def _annotation(function: Any, name: str) -> Any:
    """A parameter's type as programs wrote it; those of this package are texts, and are left out."""
    kind = getattr(function, "__annotations__", {}).get(name)
    return None if isinstance(kind, str) and _is_ours(function) else kind


def _taking_positions(function: Any, count: int) -> Any:
    """The function with `count` parameters by position, those for *args, **kwargs and by name included."""
    code = function.__code__
    flags = code.co_flags & ~(inspect.CO_VARARGS | inspect.CO_VARKEYWORDS)
    changed = code.replace(
        co_argcount=count, co_posonlyargcount=0, co_kwonlyargcount=0, co_flags=flags
    )
    made = types.FunctionType(
        changed,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    made.__annotations__ = function.__annotations__
    return made


def symbolic_trace(
    root: Module | Callable[..., Any], concrete_args: dict[str, Any] | None = None
) -> GraphModule:
    """A module that makes the calls that `root` makes. What depends on values cannot be traced: TraceError."""
    tracer = Tracer()
    graph = tracer.trace(root, concrete_args)
    name = type(root).__name__ if isinstance(root, Module) else root.__name__
    return GraphModule(tracer.root, graph, name)
