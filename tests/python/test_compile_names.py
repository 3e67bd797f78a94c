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
    names = torch._dynamo.list_backends()
    assert {"inductor", "eager", "aot_eager", "flambeau"} <= set(names)
    for name in names:
        assert torch.compile(lambda x: x + 1, backend=name)(torch.ones(1)).item() == 2.0
    with pytest.raises(torch._dynamo.exc.InvalidBackend, match="Invalid backend: 'nonsense', see"):
        torch.compile(lambda x: x, backend="nonsense")
    with pytest.warns(UserWarning, match="is not called"):
        f = torch.compile(lambda x: x + 1, backend=lambda graph, inputs: graph.forward)
    assert f(torch.ones(1)).item() == 2.0


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


@pytest.mark.parametrize("package", ["_dynamo", "_inductor", "_functorch"])
def test_settings_are_kept(package: str) -> None:
    config = importlib.import_module(f"flambeau.{package}.config")
    assert config is getattr(torch, package).config
    with pytest.raises(AttributeError, match=f"torch.{package}.config.new_one is not set"):
        _ = config.new_one
    with config.patch(new_one=1), config.patch("new_one", 2), config.patch({"new_one": 3}):
        assert config.new_one == 3
    assert not hasattr(config, "new_one")

    @config.patch(new_one=4)
    def patched() -> int:
        return config.new_one

    assert patched() == patched() == 4
    with pytest.raises(KeyError), config.patch(new_one=1):
        raise KeyError
    assert not hasattr(config, "new_one")


def test_parts_of_settings() -> None:
    config = torch._inductor.config
    with config.patch({"triton.cudagraphs": True}):
        assert config.triton.cudagraphs
    assert not config.triton.cudagraphs
    with pytest.raises(AttributeError), config.patch({"nothing.at_all": 1}):
        pass


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
        torch.compile(function, options={"activation_memory_budget": number, "unknown": 1})
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
