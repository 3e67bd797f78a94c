"""Modules made of graphs: their forward is generated from the graph, their state copied from the module traced."""

from __future__ import annotations

import copy
import itertools
import linecache
import os
import pathlib
import pickle
import warnings
from typing import Any

import flambeau
from flambeau import Tensor
from flambeau.nn import Module, Parameter

from ._codegen import PythonCode, _PyTreeCodeGen
from ._namespace import BUILTINS
from .graph import Graph
from .node import _get_qualified_name

__all__ = ["GraphModule", "reduce_graph_module"]

_count = itertools.count()


def _exec_with_source(src: str, scope: dict[str, Any]) -> None:
    """Runs the source with a name of its own, under which tracebacks find its lines."""
    name = f"<eval_with_key>.{next(_count)}"
    linecache.cache[name] = (len(src), None, src.splitlines(keepends=True), name)
    exec(compile(src, name, "exec"), scope)


def _forward_from_src(src: str, scope: dict[str, Any]) -> Any:
    own = dict(scope)
    _exec_with_source(src, own)
    return own["forward"]


def _import_of(name: str, obj: Any) -> str:
    if name in BUILTINS:
        return BUILTINS[name].import_str
    module = getattr(obj, "__module__", None)
    attribute = getattr(obj, "__qualname__", _get_qualified_name(obj))
    if module is None or "<" in attribute:
        raise RuntimeError(f"Could not import {obj}: it is not an attribute of a module")
    return f"from {module} import {attribute} as {name}"


def _format_import_block(scope: dict[str, Any]) -> str:
    return "\n".join(sorted({_import_of(name, obj) for name, obj in scope.items()}))


# -- attributes by path -----------------------------------------------------------------------------


def _copy_attr(from_module: Module, to_module: Module, target: str) -> None:
    """Makes what `from_module` has at a path an attribute of `to_module` at the same path."""
    *folders, name = target.split(".")
    source: Any = from_module
    place: Any = to_module
    for folder in folders:
        source = getattr(source, folder)
        if source is place:
            return  # They are one module from here on.
        if getattr(place, folder, None) is None:
            setattr(place, folder, Module())
        place = getattr(place, folder)
    _put(place, name, getattr(source, name))


def _assign_attr(from_obj: Any, to_module: Module, target: str) -> None:
    """Makes `from_obj` the attribute of `to_module` at a path."""
    *folders, name = target.split(".")
    place: Any = to_module
    for folder in folders:
        if getattr(place, folder, None) is None:
            setattr(place, folder, Module())
        place = getattr(place, folder)
    _put(place, name, from_obj)


def _put(place: Any, name: str, value: Any) -> None:
    if isinstance(value, Tensor) and not isinstance(value, Parameter):
        place.register_buffer(name, value)
    else:
        setattr(place, name, value)


class GraphModule(Module):
    """A module whose forward makes the calls of a graph. `recompile` follows changes of the graph."""

    def __new__(cls, *args: Any, **kwargs: Any) -> GraphModule:
        # Every module has its own class, whose forward is that of its graph.
        base: Any = next(b for b in cls.__mro__ if not b.__dict__.get("_is_generated"))
        made = type("GraphModuleImpl", (base,), {"_is_generated": True})
        made.__module__ = cls.__module__
        made.__qualname__ = "GraphModule.__new__.<locals>.GraphModuleImpl"
        return super().__new__(made)

    def __init__(
        self, root: Module | dict[str, Any], graph: Graph, class_name: str = "GraphModule"
    ) -> None:
        """`root` has what the graph names: a module, or a dictionary of paths."""
        super().__init__()
        type(self).__name__ = class_name
        targets = [n.target for n in graph.nodes if n.op in ("get_attr", "call_module")]
        if isinstance(root, Module):
            self.training = root.training
            for target in targets:
                _copy_attr(root, self, target)
        elif isinstance(root, dict):
            for node in graph.nodes:
                if node.op in ("get_attr", "call_module") and node.target not in root:
                    raise RuntimeError(
                        f"Node {node} referenced target {node.target} but that target was not provided "
                        "in ``root``!"
                    )
            for target in sorted(targets, key=lambda t: t.count(".")):
                _assign_attr(root[target], self, target)
        else:
            raise RuntimeError("Unsupported type " + str(root) + " passed for root!")
        self.meta: dict[str, Any] = dict(root.meta) if isinstance(root, GraphModule) else {}
        self.graph = graph
        self._tracer_cls = graph._tracer_cls
        self._tracer_extras = graph._tracer_extras

    @property
    def graph(self) -> Graph:
        """The graph; after changing it, call `recompile`."""
        return self._graph

    @graph.setter
    def graph(self, g: Graph) -> None:
        assert isinstance(g, Graph), f"Expected a Graph instance, but got {type(g)}"
        self._graph = g
        g.owning_module = self
        self.recompile()

    @property
    def code(self) -> str:
        """The source of forward."""
        if not hasattr(self, "_code"):
            raise RuntimeError("Code has not been generated! Please report a bug")
        return self._code

    def recompile(self) -> PythonCode:
        """Generates forward anew from the graph."""
        codegen = self._graph._codegen
        if isinstance(codegen, _PyTreeCodeGen):
            self._in_spec = codegen.pytree_info.in_spec
            self._out_spec = codegen.pytree_info.out_spec
        python_code = self._graph.python_code(root_module="self")
        self._code = python_code.src
        type(self).forward = _forward_from_src(python_code.src, python_code.globals)  # type: ignore[method-assign]
        return python_code

    # -- submodules --

    def add_submodule(self, target: str, m: Module) -> bool:
        """Adds a module at a path; False where something that is no module is in the way."""
        *folders, name = target.split(".")
        place: Any = self
        for folder in folders:
            if not hasattr(place, folder):
                setattr(place, folder, Module())
            place = getattr(place, folder)
            if not isinstance(place, Module):
                return False
        place.add_module(name, m)
        return True

    def delete_submodule(self, target: str) -> bool:
        """Takes away the module at a path; False where there is none."""
        *folders, name = target.split(".")
        place: Any = self
        for folder in folders:
            place = getattr(place, folder, None)
            if not isinstance(place, Module):
                return False
        if not isinstance(getattr(place, name, None), Module):
            return False
        delattr(place, name)
        return True

    def delete_all_unused_submodules(self) -> None:
        """Takes away the modules that no node calls or takes an attribute of, and that hold none of those."""
        used: set[str] = set()
        for node in self.graph.nodes:
            if node.op not in ("get_attr", "call_module"):
                continue
            parts = node.target.split(".")
            used.update(".".join(parts[:i]) for i in range(1, len(parts) + 1))
            if node.op == "call_module":
                module = self.get_submodule(node.target)
                used.update(f"{node.target}.{name}" for name, _ in module.named_modules())
        for name in [name for name, _ in self.named_modules() if name and name not in used]:
            self.delete_submodule(name)

    # -- as text --

    def __str__(self) -> str:
        hint = "# To see more debug info, please use `graph_module.print_readable()`"
        return "\n".join([super().__repr__(), self._code, hint])

    def print_readable(
        self,
        print_output: bool = True,
        include_stride: bool = False,
        include_device: bool = False,
        colored: bool = False,
    ) -> str:
        """The source of this module and of those in it, as classes; prints it, too."""
        del include_stride, include_device, colored
        text = self._readable(self._get_name())
        if print_output:
            print(text)
        return text

    def _readable(self, name: str) -> str:
        code = self._graph.python_code(root_module="self", verbose=True).src.lstrip("\n")
        lines = [f"class {name}(torch.nn.Module):"]
        lines += [f"    {line}" for line in code.split("\n")]
        for child_name, child in self.named_children():
            if isinstance(child, GraphModule):
                lines += [f"    {line}" for line in child._readable(child_name).split("\n")]
        return "\n".join(lines)

    def to_folder(self, folder: str | os.PathLike[str], module_name: str = "FxModule") -> None:
        """Writes a package with this module's source and state, from which it can be imported."""
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        flambeau.save(self.state_dict(), folder / "state_dict.pt")
        python_code = self._graph.python_code(root_module="self")
        lines = [
            "import pathlib",
            "import pickle",
            _format_import_block(python_code.globals),
            "",
            f"from {__name__.partition('.')[0]}.nn import *",
            f"class {module_name}(torch.nn.Module):",
            "    def __init__(self):",
            "        super().__init__()",
        ]
        pickled = []
        for name, child in self.named_children():
            text = repr(child)
            if "\n" in text or not hasattr(flambeau.nn, type(child).__name__):
                (folder / f"{name}.pickle").write_bytes(pickle.dumps(child))
                pickled.append(name)
                text = f"pickle.loads(pathlib.Path(r'{folder / name}.pickle').read_bytes())"
            lines.append(f"        setattr(self, {name!r}, {text})")
        for name, buffer in self._buffers.items():
            if buffer is not None:
                shape = list(buffer.shape)
                lines.append(
                    f"        self.register_buffer({name!r}, torch.empty({shape}, dtype={_dtype(buffer)}))"
                )
        for name, parameter in self._parameters.items():
            if parameter is not None:
                shape = list(parameter.shape)
                lines.append(
                    f"        setattr(self, {name!r}, torch.nn.Parameter(torch.empty({shape}, "
                    f"dtype={_dtype(parameter)})))"
                )
        lines.append(f"        self.load_state_dict(torch.load(r'{folder / 'state_dict.pt'}'))")
        lines += [f"    {line}" for line in self._code.split("\n")]
        (folder / "module.py").write_text("\n".join(lines) + "\n")
        (folder / "__init__.py").write_text("from .module import *\n")
        if pickled:
            warnings.warn(
                "Was not able to save the following children modules as reprs -saved as pickled files "
                f"instead: {pickled}",
                stacklevel=2,
            )

    # -- copies --

    def __reduce__(self) -> Any:
        state = self.__dict__.copy()
        del state["_graph"]
        state["_graphmodule_cls_name"] = type(self).__name__
        block = _format_import_block(self._graph.python_code(root_module="self").globals)
        return (reduce_graph_module, (state, block))

    def __deepcopy__(self, memo: Any) -> GraphModule:
        made = type(self).__new__(type(self))
        memo[id(self)] = made
        Module.__init__(made)
        for name, value in self.__dict__.items():
            if name != "_graph":
                made.__dict__[name] = copy.deepcopy(value, memo)
        type(made).__name__ = type(self).__name__
        made.graph = copy.deepcopy(self._graph)
        return made

    def __copy__(self) -> GraphModule:
        made = GraphModule(self, copy.deepcopy(self._graph), type(self).__name__)
        made.meta = dict(self.meta)
        return made


def _dtype(tensor: Tensor) -> str:
    return f"torch.{str(tensor.dtype).rpartition('.')[2]}"


class _CodeOnly(Module):
    """What is left of a graph's module in a file: its state, and its forward as source."""

    def __init__(self, state: dict[str, Any]) -> None:
        super().__init__()
        self.__dict__.update(state)


def reduce_graph_module(body: dict[Any, Any], import_block: str) -> GraphModule:
    """The module whose state and source were kept: the source is traced anew, calls of modules stay calls."""
    from ._symbolic_trace import Tracer

    state = dict(body)
    name = state.pop("_graphmodule_cls_name", "GraphModule")
    scope: dict[str, Any] = {}
    exec(import_block, scope)
    forward = _forward_from_src(import_block + state["_code"], {})
    root = type("_CodeOnly", (_CodeOnly,), {"forward": forward})(state)

    class KeepModules(Tracer):
        def is_leaf_module(self, m: Module, module_qualified_name: str) -> bool:
            return True

    graph = KeepModules().trace(root)
    graph._tracer_cls = state.get("_tracer_cls")
    made = GraphModule(root, graph, name)
    for key, value in state.items():
        if key not in made.__dict__:
            made.__dict__[key] = value
    return made
