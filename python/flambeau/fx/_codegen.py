"""From a graph to the source of a Python function that makes its calls."""

from __future__ import annotations

import dataclasses
import enum
import typing
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

import flambeau
from flambeau.utils import _pytree as pytree

from ._namespace import BUILTINS, Namespace
from .node import Node, _get_qualified_name, _is_ours, _text, _type_repr, map_arg

if TYPE_CHECKING:
    from .graph import Graph

__all__ = ["CodeGen", "PythonCode", "_PyTreeCodeGen", "_PyTreeInfo"]

_BINARY = {
    "eq": "==", "ne": "!=", "lt": "<", "gt": ">", "le": "<=", "ge": ">=", "add": "+", "sub": "-", "mul": "*",
    "floordiv": "//", "truediv": "/", "mod": "%", "pow": "**", "lshift": "<<", "rshift": ">>", "and_": "&",
    "or_": "|", "xor": "^", "matmul": "@",
}  # fmt: skip
_MAGIC = {name: f"{{}} {sign} {{}}" for name, sign in _BINARY.items()}
_MAGIC |= {"pos": "+{}", "neg": "-{}", "invert": "~{}", "getitem": "{}[{}]"}
_IN_PLACE = {
    f"i{name.rstrip('_')}": f"{{}} {_BINARY[name]}= {{}}"
    for name in _BINARY
    if name not in ("eq", "ne", "lt", "gt", "le", "ge")
}


@dataclasses.dataclass
class PythonCode:
    """A function's source and what it refers to."""

    src: str
    globals: dict[str, Any]


def _format_target(base: str, target: str) -> str:
    """`base.a.b`, with getattr where a part is no name."""
    result = base
    for part in target.split("."):
        result = f"{result}.{part}" if part.isidentifier() else f'getattr({result}, "{part}")'
    return result


class _Writer:
    """The function of one graph, as it is written."""

    def __init__(
        self, codegen: CodeGen, nodes: Any, root: str, namespace: Namespace, verbose: bool
    ):
        self.codegen = codegen
        self.root = root
        self.namespace = namespace
        self.verbose = verbose
        self.globals: dict[str, Any] = {}
        self.wrapped: dict[str, None] = {}
        self.parameters: list[str] = []
        self.lines: list[str] = []
        self.returns = [""]
        for name, builtin in BUILTINS.items():
            self.add_global(name, builtin.obj)
        self.last_uses = self._find_last_uses(nodes)
        self._traced: str | None = ""
        for node in nodes:
            if verbose:
                self._comment(node)
            self._write(node)

    @staticmethod
    def _find_last_uses(nodes: Any) -> dict[Node, list[Node]]:
        seen: set[Node] = set()
        found: dict[Node, list[Node]] = {}
        for user in reversed(nodes):

            def note(node: Node, user: Node = user) -> None:
                if node not in seen:
                    seen.add(node)
                    found.setdefault(user, []).append(node)

            map_arg(user.args, note)
            map_arg(user.kwargs, note)
        return found

    def add_global(self, hint: str, obj: Any) -> str:
        """The name by which the function refers to `obj`."""
        if _is_ours(obj) and obj is not flambeau.device and not isinstance(obj, type(flambeau)):
            return _get_qualified_name(obj) if not isinstance(obj, type) else _type_repr(obj)
        name = hint.replace(".", "_")
        if name in self.globals:
            assert self.globals[name] is obj
            return name
        name = self.namespace.create_name(name, obj)
        self.globals[name] = obj
        return name

    def type_name(self, kind: Any) -> str:
        if kind == ():
            return "()"
        name = _type_repr(kind)
        origin = typing.get_origin(kind)
        if origin is not None and hasattr(kind, "__args__"):
            base = self.add_global(_type_repr(origin), origin)
            return f"{base}[{', '.join(self.type_name(part) for part in kind.__args__)}]"
        return self.add_global(name, kind)

    def text(self, arg: Any) -> str:
        """An argument as source."""
        if isinstance(arg, Node):
            return repr(arg)
        if isinstance(arg, tuple) and hasattr(arg, "_fields"):
            name = self.add_global(_type_repr(type(arg)), type(arg))
            return f"{name}({', '.join(map(self.text, arg))})"
        if isinstance(arg, tuple):
            return f"({', '.join(map(self.text, arg))}{',' if len(arg) == 1 else ''})"
        if isinstance(arg, list):
            return f"[{', '.join(map(self.text, arg))}]"
        if isinstance(arg, dict):
            return f"{{{', '.join(f'{key!r}: {self.text(value)}' for key, value in arg.items())}}}"
        if isinstance(arg, slice):
            return f"slice({self.text(arg.start)}, {self.text(arg.stop)}, {self.text(arg.step)})"
        if isinstance(arg, enum.Enum):
            return f"{self.add_global(_type_repr(type(arg)), type(arg))}.{arg.name}"
        if isinstance(arg, type) or (callable(arg) and hasattr(arg, "__qualname__")):
            name = _type_repr(arg) if isinstance(arg, type) else _get_qualified_name(arg)
            return self.add_global(name, arg)
        return _text(arg)

    def arguments(self, args: Any, kwargs: Any) -> str:
        return ", ".join(
            [*map(self.text, args), *(f"{name} = {self.text(v)}" for name, v in kwargs.items())]
        )

    def _comment(self, node: Node) -> None:
        if node.op in ("placeholder", "output") or node.stack_trace == self._traced:
            return
        self._traced = node.stack_trace
        text = "No stacktrace found for following nodes"
        if node.stack_trace:
            lines = [line.strip() for line in node.stack_trace.splitlines() if line.strip()]
            text = " ".join(lines[-2:]).replace('File "', "File: ").replace('", line ', ":")
        self.lines.append(f"# {text}")

    def _write(self, node: Node) -> None:
        if node.op == "placeholder":
            self._parameter(node)
            return
        if node.op == "output":
            if node.type is not None:
                self.returns[0] = f" -> {self.type_name(node.type)}"
            self.lines.append(self.codegen.generate_output(node.args[0], self.text))
            return
        gone = list(self.last_uses.get(node, ()))
        if not node.users:
            gone.append(node)
        kind = f" : {self.type_name(node.type)}" if node.type is not None else ""
        delete = f";  {' = '.join([*map(repr, gone), 'None'])}" if gone else ""
        self.lines.append(self._statement(node, f"{node!r}{kind}") + delete)

    def _parameter(self, node: Node) -> None:
        kind = f" : {self.type_name(node.type)}" if node.type is not None else ""
        default = f" = {self.text(node.args[0])}" if node.args else ""
        self.parameters.append(f"{node.target}{kind}{default}")
        name = node.target.lstrip("*")
        if name != repr(node):
            self.lines.append(f"{node!r} = {name}")

    def _statement(self, node: Node, left: str) -> str:
        args, kwargs = node.args, node.kwargs
        if node.op == "get_attr":
            return f"{left} = {_format_target(self.root, node.target)}"
        if node.op == "call_module":
            called = _format_target(self.root, node.target)
        elif node.op == "call_method":
            called = _format_target(self.text(args[0]), node.target)
            args = args[1:]
        else:
            target = node.target
            name = getattr(target, "__name__", "")
            if getattr(target, "__module__", None) in ("_operator", "operator"):
                if name in _MAGIC:
                    return f"{left} = {_MAGIC[name].format(*map(self.text, args))}"
                if name in _IN_PLACE:
                    done = _IN_PLACE[name].format(*map(self.text, args))
                    return f"{done};  {left} = {self.text(args[0])}"
            called = self.add_global(_get_qualified_name(target), target)
            if called == "getattr" and len(args) == 2 and str(args[1]).isidentifier():
                return f"{left} = {_format_target(self.text(args[0]), args[1])}"
            if node.meta.get("is_wrapped"):
                self.wrapped.setdefault(called)
        return f"{left} = {called}({self.arguments(args, kwargs)})"


class CodeGen:
    """How a graph becomes a function: its signature, how it takes its arguments and gives its result."""

    def __init__(self) -> None:
        self._body_transformer: Callable[[list[str]], list[str]] | None = None

    def gen_fn_def(self, free_vars: list[str], maybe_return_annotation: str) -> str:
        """The line that begins the function."""
        if not free_vars or free_vars[0] != "self":
            free_vars.insert(0, "self")
        return f"def forward({', '.join(free_vars)}){maybe_return_annotation}:"

    def generate_output(self, output_args: Any, text: Callable[[Any], str] = repr) -> str:
        """The line that ends it."""
        return f"return {text(output_args)}"

    def process_inputs(self, *args: Any) -> Any:
        """What the graph's placeholders get for these arguments."""
        return args

    def process_outputs(self, outputs: Any) -> Any:
        """What the function returns for the graph's output."""
        return outputs

    def additional_globals(self) -> list[tuple[str, Any]]:
        """Names that its lines refer to."""
        return []

    def _gen_python_code(
        self, nodes: Any, root_module: str, namespace: Namespace, *, verbose: bool = False
    ) -> PythonCode:
        writer = _Writer(self, nodes, root_module, namespace, verbose)
        for name, value in self.additional_globals():
            writer.add_global(name, value)
        lines = [f"{line}\n" for line in writer.lines] or ["pass\n"]
        if self._body_transformer is not None:
            lines = self._body_transformer(lines)
        code = "\n".join("    " + line for line in "".join(lines).lstrip("\n").split("\n"))
        wrapped = "\n".join(f'torch.fx._symbolic_trace.wrap("{name}")' for name in writer.wrapped)
        start = self.gen_fn_def(writer.parameters, writer.returns[0])
        return PythonCode(f"\n{wrapped}\n\n{start}\n{code}", writer.globals)


class _PyTreeInfo(NamedTuple):
    """How arguments and results are nested."""

    orig_args: list[str]
    in_spec: pytree.TreeSpec
    out_spec: pytree.TreeSpec | None


class _PyTreeCodeGen(CodeGen):
    """A function with nested arguments and results, around a graph that has them flat."""

    def __init__(self, pytree_info: _PyTreeInfo) -> None:
        super().__init__()
        self.pytree_info = pytree_info

    def process_inputs(self, *args: Any) -> Any:
        return pytree.tree_flatten(args)[0]

    def process_outputs(self, outputs: Any) -> Any:
        if not isinstance(outputs, (list, tuple)):
            outputs = (outputs,)
        assert self.pytree_info.out_spec is not None
        return pytree.tree_unflatten(list(outputs), self.pytree_info.out_spec)

    def gen_fn_def(self, free_vars: list[str], maybe_return_annotation: str) -> str:
        given = list(self.pytree_info.orig_args)
        if not given or given[0] != "self":
            given.insert(0, "self")
        start = super().gen_fn_def(given, maybe_return_annotation)
        if free_vars:
            names = [name.partition(":")[0].partition("=")[0].strip() for name in free_vars]
            taken = ", ".join(given[1:])
            start += (
                f"\n    {', '.join(names)}, = fx_pytree.tree_flatten_spec([{taken}], self._in_spec)"
            )
        return start

    def generate_output(self, output_args: Any, text: Callable[[Any], str] = repr) -> str:
        if self.pytree_info.out_spec is None:
            return super().generate_output(output_args, text)
        return f"return pytree.tree_unflatten({text(output_args)}, self._out_spec)"


def code_of(graph: Graph, root_module: str, verbose: bool = False) -> PythonCode:
    """The function of a graph. Its nodes keep their names in it."""
    namespace = Namespace()
    for node in graph.nodes:
        namespace.associate_name_with_obj(node.name, node)
    return graph._codegen._gen_python_code(graph.nodes, root_module, namespace, verbose=verbose)
