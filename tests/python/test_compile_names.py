"""What programs name of PyTorch's compiler: backends, settings, attributes of what is compiled."""

from __future__ import annotations

import copy
import importlib
import pickle
from typing import Any

import flambeau as torch
import pytest
from flambeau import nn


def test_backends() -> None:
    names = torch._dynamo.list_backends(())
    assert {"inductor", "eager", "aot_eager", "flambeau"} <= set(names)
    assert "inductor" in torch._dynamo.list_backends()
    assert "eager" not in torch._dynamo.list_backends()
    for name in names:
        assert torch.compile(lambda x: x + 1, backend=name)(torch.ones(1)).item() == 2.0
    with pytest.raises(torch._dynamo.exc.InvalidBackend, match="Invalid backend: 'nonsense', see"):
        torch.compile(lambda x: x, backend="nonsense")
    with pytest.warns(UserWarning, match="is not called"):
        f = torch.compile(lambda x: x + 1, backend=lambda graph, inputs: graph.forward)
    assert f(torch.ones(1)).item() == 2.0
    with pytest.raises(TypeError, match="backend must be a name or a callable, got int"):
        torch.compile(lambda x: x, backend=3)


def test_backends_are_registered() -> None:
    @torch._dynamo.register_backend(name="of_this_test", tags=("debug",))
    def backend(graph: Any, inputs: Any) -> Any:
        raise AssertionError

    assert "of_this_test" in torch._dynamo.list_backends(())
    assert "of_this_test" not in torch._dynamo.list_backends()
    with pytest.warns(UserWarning, match="backend='of_this_test' is not called"):
        f = torch.compile(lambda x: x + 1, backend="of_this_test")
    assert f(torch.ones(1)).item() == 2.0
    for name in ("of_this_test", "eager"):
        with pytest.raises(AssertionError, match=f"duplicate name: {name}"):
            torch._dynamo.register_backend(backend, name)


def test_the_older_name_of_compile() -> None:
    def function(x: Any) -> Any:
        return x + 1

    optimize = torch._dynamo.optimize
    decorators = (optimize(), optimize("eager"), optimize(nopython=True))
    for decorator in (*decorators, torch._dynamo.optimize_assert("inductor")):
        compiled = decorator(function)
        assert compiled._torchdynamo_orig_callable is function
        assert compiled(torch.ones(1)).item() == 2.0
    assert optimize(disable=True)(function) is function
    with pytest.raises(torch._dynamo.exc.InvalidBackend):
        optimize("nonsense")(function)


def test_explanations() -> None:
    def function(x: Any) -> Any:
        y = x + float((x * 2).sum())
        return y.sin()

    told = torch._dynamo.explain(function)(torch.ones(2))
    assert told.graph_count == len(told.ops_per_graph) == 2
    assert (told.graph_break_count, told.break_reasons) == (0, [])
    assert told.ops_per_graph == [["mul", "sum"], ["add", "sin"]]
    assert told.op_count == 4
    assert "add + sin" in str(told)
    with pytest.warns(FutureWarning, match="is deprecated, use explain"):
        assert torch._dynamo.explain(function, torch.ones(2)).op_count == 4
    with pytest.raises(NotImplementedError, match="_dynamo.export.*torch.fx.symbolic_trace"):
        torch._dynamo.export(function)


def test_what_is_logged() -> None:
    set_logs = torch._logging.set_logs
    set_logs(all=10, dynamo=20, inductor=None, graph_code=True, modules={"guards": False})
    with pytest.raises(
        TypeError, match=r"set_logs\(\) got an unexpected keyword argument 'nothing'"
    ):
        set_logs(nothing=True)
    with pytest.raises(
        ValueError, match="Expected bool to enable artifact graph_code, received 10"
    ):
        set_logs(graph_code=10)
    with pytest.raises(ValueError, match="Unrecognized log level for log dynamo: 7, valid level"):
        set_logs(dynamo=7)
    with pytest.raises(
        ValueError, match="Unrecognized log or artifact name passed to set_logs: a.b"
    ):
        set_logs(modules={"a.b": 10})
    counters = importlib.import_module("flambeau._dynamo.utils").counters
    assert not counters["graph_break"]


@pytest.mark.parametrize("replay", [False, True])
def test_instances_of_a_compiled_class_are_compiled(replay: bool) -> None:
    decorate = torch.compile(replay=replay)

    @decorate
    class Doubled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2))

        def forward(self, x: Any) -> Any:
            return x * self.weight * 2

    class Tripled(Doubled):
        def forward(self, x: Any) -> Any:
            return super().forward(x) * 1.5

    @decorate
    class Called:
        def __call__(self, x: Any) -> Any:
            return x * 2 + 1

    @decorate
    class Plain:
        number = 3

    for callee, value in ((Doubled(), 2.0), (Tripled(), 3.0), (Called(), 3.0)):
        with torch.no_grad():
            runs = torch.compiler.stats()["runs"]
            for _ in range(2):
                assert callee(torch.ones(2)).tolist() == [value, value]
            assert torch.compiler.stats()["runs"] == runs + (1 if replay else 2)
    assert isinstance(Doubled(), Doubled)
    assert Plain().number == 3


def test_modules_and_classes_are_disabled() -> None:
    @torch.compiler.disable
    class Doubled(nn.Linear):
        def forward(self, x: Any) -> Any:
            return super().forward(x) * 2

    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    want = model(torch.ones(1, 2))
    for disable in (torch.compiler.disable, torch._dynamo.disable(), torch._disable_dynamo):
        other = copy.deepcopy(model)
        other[1] = disable(other[1])
        assert list(other.state_dict()) == [
            "0.weight", "0.bias", "1._orig_mod.weight", "1._orig_mod.bias"
        ]  # fmt: skip
        for disabled in (other, copy.deepcopy(other), pickle.loads(pickle.dumps(other))):
            runs = torch.compiler.stats()["runs"]
            result = torch.compile(disabled)(torch.ones(1, 2))
            assert torch.compiler.stats()["runs"] == runs + 2  # Before it, and its own.
            assert torch.equal(result, want)
    runs = torch.compiler.stats()["runs"]
    kept = torch.compile(Doubled(2, 2))(torch.ones(1, 2))
    assert torch.compiler.stats()["runs"] == runs + 1
    assert isinstance(Doubled(2, 2), nn.Linear) and kept.shape == (1, 2)


def test_functions_of_arrays() -> None:
    @torch.compiler.wrap_numpy
    def function(array: Any, by: dict[str, Any]) -> Any:
        assert type(array).__module__ == "numpy"
        array += by["number"]
        return [array, 3]

    x = torch.ones(2)
    result, three = function(x, {"number": torch.tensor(2.0)})
    assert three == 3
    assert isinstance(result, torch.Tensor)
    assert result.data_ptr() == x.data_ptr()
    assert result.tolist() == [3.0, 3.0]
    with pytest.raises(TypeError, match="wrap_numpy: expected a function or a Module, got int"):
        torch.compiler.wrap_numpy(3)


def test_the_mode_of_a_compiled_module_is_that_of_the_module() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
    compiled = torch.compile(module)
    assert compiled.training and "training" not in vars(compiled)
    module.eval()
    assert not compiled.training
    compiled.train()
    assert module.training and module[1].training
    compiled.eval()
    assert not module.training and not module[1].training
    for other in (copy.deepcopy(compiled), pickle.loads(pickle.dumps(compiled))):
        assert not other.training and not other._orig_mod.training
        other.train()
        assert not module.training


def test_other_methods_are_compiled_in_the_same_way() -> None:
    module = nn.Linear(2, 2)
    compiled = torch.compile(module)
    forward = compiled.dynamo_ctx(module.forward)
    runs = torch.compiler.stats()["runs"]
    result = forward(torch.ones(1, 2)) * 2
    assert torch.equal(result, module(torch.ones(1, 2)) * 2)
    assert torch.compiler.stats()["runs"] == runs + 1

    def function(x: Any) -> Any:
        return x

    for replay in (False, True):
        assert torch.compile(function, replay=replay)._torchdynamo_orig_callable is function


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("_dynamo", "capture_scalar_outputs"),
        ("_inductor", "coordinate_descent_tuning"),
        ("_functorch", "recompute_views"),
    ],
)
def test_settings_are_kept(package: str, name: str) -> None:
    config = importlib.import_module(f"flambeau.{package}.config")
    assert config is getattr(torch, package).config
    assert getattr(config, name) is False
    with config.patch({name: 1}), config.patch(name, 2), config.patch(**{name: 3}):
        assert getattr(config, name) == 3
    assert getattr(config, name) is False

    @config.patch(name, 4)
    def patched() -> int:
        return getattr(config, name)

    assert patched() == patched() == 4
    with pytest.raises(KeyError), config.patch(name, 1):
        raise KeyError
    assert getattr(config, name) is False


@pytest.mark.parametrize("package", ["_dynamo", "_inductor", "_functorch"])
def test_settings_that_pytorch_lacks(package: str) -> None:
    config = getattr(torch, package).config
    missing = f"torch.{package}.config.new_one does not exist"
    with pytest.raises(AttributeError, match=missing):
        _ = config.new_one
    with pytest.raises(AttributeError, match=missing):
        config.new_one = 1
    with pytest.raises(AttributeError, match=missing), config.patch(new_one=1):
        pass


def test_settings_with_two_names() -> None:
    config = torch._dynamo.config
    assert config.cache_size_limit == config.recompile_limit == 8
    with config.patch(cache_size_limit=64):
        assert config.recompile_limit == 64
    assert config.cache_size_limit == config.recompile_limit == 8


def test_parts_of_settings() -> None:
    config = torch._inductor.config
    with config.patch({"triton.cudagraphs": True}):
        assert config.triton.cudagraphs
    assert not config.triton.cudagraphs
    with pytest.raises(AttributeError), config.patch({"nothing.at_all": 1}):
        pass
    with pytest.raises(AttributeError, match="torch._inductor.config.triton.nothing does not"):
        config.triton.nothing = 1


def test_options() -> None:
    def function(x: Any) -> Any:
        return x

    for options in (
        {},
        {"max_autotune": True, "triton.cudagraphs": False, "cpp.simdlen": 8},
        {"max-autotune": True, "activation-memory-budget": 0.5},
        torch._inductor.list_mode_options("max-autotune"),
    ):
        torch.compile(function, options=options)
    with pytest.raises(RuntimeError, match="Unexpected optimization option max_autotun, known opt"):
        torch.compile(options={"max_autotun": True})
    with pytest.raises(RuntimeError, match="Unexpected type of attr max_autotune, got str should"):
        torch.compile(options={"max_autotune": "yes"}, backend="inductor")
    torch.compile(function, options={"nonsense": True}, backend="eager")
    assert {"activation_memory_budget", "max_autotune"} <= set(torch._inductor.list_options())
    with pytest.raises(ValueError, match="activation_memory_budget must be in"):
        torch.compile(function, options={"activation-memory-budget": 2})


def test_arguments_that_are_refused() -> None:
    def function(x: Any) -> Any:
        return x

    for options in (3, "x", [("activation_memory_budget", 1)]):
        message = f"compile: options must be a dict, got {type(options).__name__}"
        with pytest.raises(TypeError, match=message):
            torch.compile(options=options)
    for budget, error in (("x", TypeError), (None, TypeError), (2, ValueError), (-1e9, ValueError)):
        with pytest.raises(error, match="compile: activation_memory_budget must be "):
            torch.compile(function, options={"activation_memory_budget": budget})
    for number in (1, True, 0.5, torch.tensor(0.5)):
        torch.compile(function, options={"activation_memory_budget": number})
    for name, given in (("dynamic", "yes"), ("dynamic", 1), ("replay", "no"), ("replay", None)):
        with pytest.raises(TypeError, match=f"compile: {name} must be a bool, got "):
            torch.compile(**{name: given})
    for name in ("interpreted", "disable"):
        with pytest.raises(TypeError, match=f"{name}: expected a function or a Module, got int"):
            getattr(torch.compiler, name)(3)


def test_stances() -> None:
    for stance in ("default", "force_eager", "eager_on_recompile", "fail_on_recompile"):
        with torch.compiler.set_stance(stance, skip_guard_eval_unsafe=True):
            assert torch.compile(lambda x: x + 1)(torch.ones(1)).item() == 2
    with pytest.raises(RuntimeError, match="invalid torch.compile stance 'bad'"):
        torch.compiler.set_stance("bad")
    with pytest.raises(RuntimeError, match="non-default stance cannot have force_backend set"):
        torch.compiler.set_stance("force_eager", force_backend="eager")
