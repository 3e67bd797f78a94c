"""torch.fx: tracing, graphs, generated code, interpreters and rewriting; texts are PyTorch 2.7.1's."""

from __future__ import annotations

import copy
import importlib
import math
import operator
import pickle
import textwrap
from collections import namedtuple
from pathlib import Path
from typing import Any

import flambeau as torch
import pytest
from flambeau import fx, nn

pytestmark = pytest.mark.supports
Pair = namedtuple("Pair", "a b")


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(3, 4)
        self.p = nn.Parameter(torch.ones(4))
        self.seq = nn.Sequential(nn.ReLU(), nn.Linear(4, 4))

    def forward(self, x, y=None, *, k=3):  # type: ignore[no-untyped-def]
        a = self.seq(self.lin(x) + self.p)
        b = torch.relu(a).view(a.size(0), -1)[:, 1:]
        return {"o": torch.cat([b, b], dim=1), "t": (1 / b.shape[0], -b, torch.zeros(3) + x)}


def code(module: Any) -> str:
    return module.code.strip("\n ").replace("\n    ", "\n")


def test_graphs_and_code_of_a_module() -> None:
    model = Model()
    traced = fx.symbolic_trace(model)
    assert str(traced.graph) == textwrap.dedent("""\
        graph():
            %x : [num_users=2] = placeholder[target=x]
            %y : [num_users=0] = placeholder[target=y](default=None)
            %k : [num_users=0] = placeholder[target=k](default=3)
            %lin : [num_users=1] = call_module[target=lin](args = (%x,), kwargs = {})
            %p : [num_users=1] = get_attr[target=p]
            %add : [num_users=1] = call_function[target=operator.add](args = (%lin, %p), kwargs = {})
            %seq_0 : [num_users=1] = call_module[target=seq.0](args = (%add,), kwargs = {})
            %seq_1 : [num_users=2] = call_module[target=seq.1](args = (%seq_0,), kwargs = {})
            %relu : [num_users=1] = call_function[target=torch.relu](args = (%seq_1,), kwargs = {})
            %size : [num_users=1] = call_method[target=size](args = (%seq_1, 0), kwargs = {})
            %view : [num_users=1] = call_method[target=view](args = (%relu, %size, -1), kwargs = {})
            %getitem : [num_users=3] = call_function[target=operator.getitem](args = (%view, (slice(None, None, None), slice(1, None, None))), kwargs = {})
            %cat : [num_users=1] = call_function[target=torch.cat](args = ([%getitem, %getitem],), kwargs = {dim: 1})
            %getattr_1 : [num_users=1] = call_function[target=builtins.getattr](args = (%getitem, shape), kwargs = {})
            %getitem_1 : [num_users=1] = call_function[target=operator.getitem](args = (%getattr_1, 0), kwargs = {})
            %truediv : [num_users=1] = call_function[target=operator.truediv](args = (1, %getitem_1), kwargs = {})
            %neg : [num_users=1] = call_function[target=operator.neg](args = (%getitem,), kwargs = {})
            %_tensor_constant0 : [num_users=1] = get_attr[target=_tensor_constant0]
            %add_1 : [num_users=1] = call_method[target=add](args = (%_tensor_constant0, %x), kwargs = {})
            return {'o': cat, 't': (truediv, neg, add_1)}""")
    assert traced.code == (
        "\n\n\n"
        "def forward(self, x, y = None, k = 3):\n"
        "    lin = self.lin(x)\n"
        "    p = self.p\n"
        "    add = lin + p;  lin = p = None\n"
        '    seq_0 = getattr(self.seq, "0")(add);  add = None\n'
        '    seq_1 = getattr(self.seq, "1")(seq_0);  seq_0 = None\n'
        "    relu = torch.relu(seq_1)\n"
        "    size = seq_1.size(0);  seq_1 = None\n"
        "    view = relu.view(size, -1);  relu = size = None\n"
        "    getitem = view[(slice(None, None, None), slice(1, None, None))];  view = None\n"
        "    cat = torch.cat([getitem, getitem], dim = 1)\n"
        "    getattr_1 = getitem.shape\n"
        "    getitem_1 = getattr_1[0];  getattr_1 = None\n"
        "    truediv = 1 / getitem_1;  getitem_1 = None\n"
        "    neg = -getitem;  getitem = None\n"
        "    _tensor_constant0 = self._tensor_constant0\n"
        "    add_1 = _tensor_constant0.add(x);  _tensor_constant0 = x = None\n"
        "    return {'o': cat, 't': (truediv, neg, add_1)}\n"
        "    "
    )
    x = torch.randn(2, 3)
    for module in (traced, copy.deepcopy(traced), pickle.loads(pickle.dumps(traced))):
        assert torch.equal(module(x)["o"], model(x)["o"])
        assert module.code == traced.code
        assert type(module).__name__ == "Model"
        module(x)["o"].sum().backward()
    assert model.lin.weight.grad is not None  # The traced module has the model's parameters.
    assert [*traced.state_dict()] == [
        "p", "_tensor_constant0", "lin.weight", "lin.bias", "seq.1.weight", "seq.1.bias",
    ]  # fmt: skip
    assert "# To see more debug info, please use `graph_module.print_readable()`" in str(traced)
    assert traced.print_readable(print_output=False).startswith(
        "class Model(torch.nn.Module):\n    def forward(self, x, y = None, k = 3):\n"
        "        # No stacktrace found for following nodes\n        lin = self.lin(x)\n"
    )


def with_everything(x, *args, **kw):  # type: ignore[no-untyped-def]
    a, _ = x
    return {"a": (a, 1, None, "s", torch.float32, range(3), ...), "b": args[0] + kw["n"]}


def specialised(x, flag, n):  # type: ignore[no-untyped-def]
    return x + n if flag else x - n


def nested(x, d):  # type: ignore[no-untyped-def]
    return x + d["a"] + d["b"]


CODES = {
    "arguments": (
        with_everything,
        None,
        "def forward(self, x, *args, **kw):\n_args = args\n_kw = kw\n"
        "getitem = x[0]\ngetitem_1 = x[1];  x = getitem_1 = None\n"
        "getitem_2 = _args[0];  _args = None\ngetitem_3 = _kw['n'];  _kw = None\n"
        "add = getitem_2 + getitem_3;  getitem_2 = getitem_3 = None\n"
        "return {'a': (getitem, 1, None, 's', torch.float32, range(0, 3), Ellipsis), 'b': add}",
    ),
    "concrete": (
        specialised,
        {"flag": True},
        "def forward(self, x, flag_1, n):\neq = flag_1 == True;  flag_1 = None\n"
        "_assert = torch._assert(eq, 'flag has been specialized to have value True but got another value');"
        "  eq = _assert = None\nadd = x + n;  x = n = None\nreturn add",
    ),
    "nested": (
        nested,
        {"d": {"a": fx.PH, "b": 3}},
        "def forward(self, x, d):\n"
        "x, d_1, d_2, = fx_pytree.tree_flatten_spec([x, d], self._in_spec)\neq = d_2 == 3;  d_2 = None\n"
        "_assert = torch._assert(eq, 'd has been specialized to have value 3 but got another value');"
        "  eq = _assert = None\nadd = x + d_1;  x = d_1 = None\nadd_1 = add + 3;  add = None\n"
        "return pytree.tree_unflatten([add_1], self._out_spec)",
    ),
    "named tuple": (
        lambda x: Pair(x, 2),
        None,
        f"def forward(self, x):\npair = {__name__.replace('.', '_')}_Pair(x, 2);  x = None\nreturn pair",
    ),
    "in place": (
        lambda x: operator.iadd(x, 1),
        None,
        "def forward(self, x):\nadd = x + 1;  x = None\nreturn add",
    ),
}


@pytest.mark.parametrize("name", CODES)
def test_code_of_functions(name: str) -> None:
    function, concrete, wanted = CODES[name]
    assert code(fx.symbolic_trace(function, concrete_args=concrete)) == wanted


def test_traced_functions_run() -> None:
    x = torch.tensor([1.0, 2.0])
    assert fx.symbolic_trace(with_everything)(x, 2, n=3)["b"] == 5
    concrete = fx.symbolic_trace(specialised, concrete_args={"flag": True})
    assert concrete(x, True, 1).tolist() == [2, 3]
    with pytest.raises(AssertionError, match="specialized to have value True"):
        concrete(x, False, 1)
    tree = fx.symbolic_trace(nested, concrete_args={"d": {"a": fx.PH, "b": 3}})
    assert tree(x, {"a": 1, "b": 3}).tolist() == [5, 6]
    assert fx.Interpreter(tree).run(x, {"a": 1, "b": 3}).tolist() == [5, 6]


def test_what_cannot_be_traced() -> None:
    def iterates(x):  # type: ignore[no-untyped-def]
        return [i for i in x]

    for function, error, text in (
        (lambda x: 1 if x.sum() > 0 else 2, fx.proxy.TraceError, "inputs to control flow"),
        (iterates, fx.proxy.TraceError, "Proxy object cannot be iterated"),
        (lambda x: len(x), RuntimeError, "'len' is not supported in symbolic tracing by default"),
        (lambda x: torch.add(x, object()), NotImplementedError, "argument of type"),
    ):
        with pytest.raises(error, match=text):
            fx.symbolic_trace(function)
    with pytest.raises(NotImplementedError, match="top level of a module"):
        fx.wrap("len")
    with pytest.raises(RuntimeError, match="Unsupported type for global function"):
        fx.wrap(3)
    # What was patched for a trace that failed is as it was.
    assert nn.Linear(2, 2)(torch.ones(2)).shape == (2,)
    assert not fx._symbolic_trace.is_fx_tracing()


@fx.wrap
def helper(a: Any, b: int = 2) -> Any:
    return a * b if torch.is_tensor(a) and a.sum() > 0 else a


def test_functions_that_are_one_call() -> None:
    traced = fx.symbolic_trace(lambda x: helper(x, b=3) + helper(4) + math.sqrt(x))
    name = f"{__name__.replace('.', '_')}_helper"
    assert f'torch.fx._symbolic_trace.wrap("{name}")' in traced.code
    assert f"helper = {name}(x, b = 3)" in traced.code
    assert "sqrt = math_sqrt(x)" in traced.code
    assert traced(torch.tensor(4.0)) == 18


def test_graphs_are_made_and_changed() -> None:
    graph = fx.Graph()
    x = graph.placeholder("x")
    added = graph.call_function(torch.add, (x, x))
    relu = graph.call_method("relu", (added,))
    graph.call_function(torch.tanh, (added,))
    graph.output([relu, {"k": relu}])
    assert (len(graph.nodes), x.next, relu.prev, [*added.users]) == (5, added, added, [relu, graph.find_nodes(op="call_function", target=torch.tanh)[0]])  # fmt: skip
    assert graph.eliminate_dead_code()
    assert not graph.eliminate_dead_code()
    with graph.inserting_before(relu):
        neg = graph.call_function(torch.neg, (added,))
    with graph.inserting_after(neg):
        graph.call_function(len, (neg,))
    with pytest.raises(RuntimeError, match=r"erase Node add but it still had 2 users in the graph"):
        graph.erase_node(added)
    assert added.replace_all_uses_with(neg) == [relu, neg]
    with pytest.raises(RuntimeError, match="'neg' was used before it has been defined"):
        graph.lint()
    neg.args = (added,)
    graph.lint()
    assert str(graph).splitlines()[2:] == [
        "    %add : [num_users=1] = call_function[target=torch.add](args = (%x, %x), kwargs = {})",
        "    %neg : [num_users=2] = call_function[target=torch.neg](args = (%add,), kwargs = {})",
        "    %len_1 : [num_users=0] = call_function[target=builtins.len](args = (%neg,), kwargs = {})",
        "    %relu : [num_users=1] = call_method[target=relu](args = (%neg,), kwargs = {})",
        "    return [relu, {'k': relu}]",
    ]
    assert x < added < relu
    assert graph.output_node().args[0][0] is relu
    with pytest.raises(TypeError, match="does not support mutation"):
        graph.output_node().args[0].append(1)
    module = fx.GraphModule({}, graph)
    assert module(torch.ones(2))[0].tolist() == [0, 0]
    relu.target = "abs"
    module.recompile()
    assert module(torch.ones(2))[0].tolist() == [2, 2]
    copied = fx.Graph()
    assert str(copied.graph_copy(graph, {})) == "[relu, {'k': relu}]"
    relu.update_kwarg("out", 5)
    relu.insert_arg(0, 1)
    relu.update_arg(1, x)
    assert (relu.args, relu.kwargs, relu.all_input_nodes) == ((1, x), {"out": 5}, [x])


def test_names_are_given_once() -> None:
    graph = fx.Graph()
    names = ["x", "x", "class", "len", "self", "add_1", "torch"]
    found = [graph.placeholder(name).name for name in names]
    found += [graph.call_method("add").name, graph.call_method("add").name]
    found.append(graph.create_node("call_method", "f", name="my.name 3").name)
    assert found == ["x", "x_1", "class_1", "len_1", "self", "add_1", "torch_1", "add", "add_2", "my_name_3"]  # fmt: skip


def test_modules_of_graphs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    traced = fx.symbolic_trace(Model())
    assert traced.add_submodule("q.r", nn.ReLU())
    assert traced.delete_submodule("q.r")
    assert not traced.delete_submodule("nothing")
    traced.delete_all_unused_submodules()
    assert [name for name, _ in traced.named_children()] == ["lin", "seq"]
    with pytest.raises(RuntimeError, match="that target was not provided"):
        fx.GraphModule({}, traced.graph)
    with pytest.warns(UserWarning, match="saved as pickled files instead"):
        traced.to_folder(tmp_path / "written", "Written")
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("written").Written()
    x = torch.ones(2, 3)
    assert torch.equal(module(x)["o"], traced(x)["o"])


def test_tracers_decide_what_stays_a_call() -> None:
    class Everything(fx.Tracer):
        def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
            return False

    model = Model()
    tracer = Everything()
    traced = fx.GraphModule(model, tracer.trace(model))
    assert not traced.graph.find_nodes(op="call_module")
    assert "linear = torch.nn.functional.linear(x, lin_weight, lin_bias)" in traced.code
    x = torch.randn(2, 3)
    assert torch.equal(traced(x)["o"], model(x)["o"])
    node = fx.symbolic_trace(model).graph.find_nodes(op="call_module", target="seq.1")[0]
    assert [*node.meta["nn_module_stack"]] == ["seq", "seq.1"]


def test_interpreters_and_transformers() -> None:
    class Watching(fx.Interpreter):
        seen: list[str] = []

        def run_node(self, n: fx.Node) -> Any:
            self.seen.append(n.name)
            return super().run_node(n)

    class Subtracting(fx.Transformer):
        def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
            return super().call_function(
                torch.sub if target is operator.add else target, args, kwargs
            )

    traced = fx.symbolic_trace(lambda x, y=2: torch.relu(x) + y)
    watching = Watching(traced)
    assert watching.run(torch.tensor(3.0)) == 5
    assert watching.seen == ["x", "y", "relu", "add", "output"]
    assert watching.env.keys() == {traced.graph.output_node()}
    assert code(Subtracting(traced).transform()) == (
        "def forward(self, x, y = 2):\nrelu = torch.relu(x);  x = None\n"
        "sub = torch.sub(relu, y);  relu = y = None\nreturn sub"
    )
    with pytest.raises(TypeError, match="While executing %relu"):
        fx.Interpreter(traced).run("text")


def test_patterns_are_replaced() -> None:
    traced = fx.symbolic_trace(lambda x, y: torch.relu(x + y) * torch.relu(x + 3))
    matches = fx.replace_pattern(
        traced, lambda a, b: torch.relu(a + b), lambda a, b: torch.add(b, a)
    )
    assert code(traced) == (
        "def forward(self, x, y):\nadd_2 = torch.add(y, x);  y = None\n"
        "add_3 = torch.add(3, x);  x = None\nmul = add_2 * add_3;  add_2 = add_3 = None\nreturn mul"
    )
    assert [str(match) for match in matches] == [
        "Match(anchor=relu, nodes_map={relu: relu, add: add, a: x, b: y})",
        "Match(anchor=relu, nodes_map={relu: relu_1, add: add_1, a: x, b: 3})",
    ]
    other = fx.symbolic_trace(lambda x: torch.neg(torch.relu(x)) + torch.relu(x))  # fmt: skip
    assert (
        len(fx.replace_pattern(other, lambda a: torch.neg(torch.relu(a)), lambda a: torch.tanh(a)))
        == 1
    )
    # An inner value that is used elsewhere is no place.
    used = fx.Graph()
    x = used.placeholder("x")
    relu = used.call_function(torch.relu, (x,))
    used.output((used.call_function(torch.neg, (relu,)), relu))
    module = fx.GraphModule({}, used)
    assert (
        fx.replace_pattern(module, lambda a: torch.neg(torch.relu(a)), lambda a: torch.tanh(a))
        == []
    )
    # A chain: what was put in is what the next place starts from.
    chain = fx.symbolic_trace(lambda x: torch.relu(torch.relu(torch.relu(x))))
    assert len(fx.replace_pattern(chain, lambda a: torch.relu(a), lambda a: torch.tanh(a) + 1)) == 3
    x = torch.tensor(0.5)
    assert chain(x) == ((x.tanh() + 1).tanh() + 1).tanh() + 1


def test_bits_of_a_traced_model_are_the_models_compiled_or_not() -> None:
    model = Model()
    traced = fx.symbolic_trace(model)
    x = torch.randn(5, 3)
    wanted = model(x)["o"]
    assert torch.equal(traced(x)["o"], wanted)
    assert torch.equal(torch.compile(traced)(x)["o"], wanted)


def test_types_of_values_are_noted() -> None:
    from flambeau.fx.passes.shape_prop import ShapeProp

    traced = fx.symbolic_trace(Model())
    ShapeProp(traced).propagate(torch.ones(2, 3))
    node = traced.graph.find_nodes(op="call_module", target="seq.1")[0]
    meta = node.meta["tensor_meta"]
    assert (meta.shape, meta.dtype, meta.stride) == ((2, 4), torch.float32, (4, 1))
    assert node.meta["type"] is torch.Tensor
    output = traced.graph.output_node().meta["tensor_meta"]
    assert output["o"].shape == (2, 6)


def test_sizes_are_always_known() -> None:
    from flambeau.fx.experimental import symbolic_shapes as shapes

    assert shapes.guard_or_false(torch.ones(2).shape[0] == 2)
    assert not shapes.guard_or_true(3 == 4)
    assert shapes.free_symbols(torch.ones(2)) == set()
