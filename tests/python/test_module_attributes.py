"""How a module's attributes are found, and its parameters without their names."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict
from typing import Any

import flambeau
import pytest
from flambeau import nn


class Layer(nn.Module):
    kind = "class attribute"
    weight: nn.Parameter

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(flambeau.ones(2))
        self.register_buffer("total", flambeau.zeros(1))
        self.inner = nn.Linear(2, 2)
        self.plain = 3

    @property
    def broken(self) -> int:
        return self.missing_inside  # type: ignore[no-any-return]


def test_registries_are_searched_after_the_object_and_its_class() -> None:
    layer = Layer()
    assert layer.weight is layer._parameters["weight"]
    assert layer.total is layer._buffers["total"]
    assert layer.inner is layer._modules["inner"]
    assert layer.plain == 3 and layer.kind == "class attribute"
    layer._parameters["kind"] = layer.weight
    assert layer.kind == "class attribute"
    layer.__dict__["weight"] = "own"
    assert layer.weight == "own"  # type: ignore[comparison-overlap]


def test_what_is_missing_is_said_with_the_class() -> None:
    layer = Layer()
    for name in ("absent", "broken"):
        with pytest.raises(AttributeError, match=f"'Layer' object has no attribute '{name}'"):
            getattr(layer, name)
    assert getattr(layer, "absent", None) is None and not hasattr(layer, "absent")
    # Before super().__init__() there are no registries.
    with pytest.raises(AttributeError, match="'Layer' object has no attribute 'weight'"):
        Layer.__new__(Layer).weight  # noqa: B018


def test_own_getattr_and_getattribute_have_their_say() -> None:
    class Wrapper(nn.Module):
        def __init__(self, wrapped: nn.Module) -> None:
            super().__init__()
            self.wrapped = wrapped

        def __getattr__(self, name: str) -> object:
            try:
                return super().__getattr__(name)
            except AttributeError:
                return getattr(self.wrapped, name)

    class Asked(nn.Linear):
        asked: list[str] = []

        def __getattribute__(self, name: str) -> object:
            Asked.asked.append(name)
            return super().__getattribute__(name)

    wrapper = Wrapper(Layer())
    assert wrapper.plain == 3 and wrapper.weight is wrapper.wrapped.weight
    asked = Asked(2, 2)
    assert asked.weight.shape == (2, 2) and "weight" in Asked.asked


def test_modules_with_other_bases_are_copied_and_pickled() -> None:
    class Mixin:
        def double(self) -> int:
            return 2 * self.plain  # type: ignore[attr-defined, no-any-return]

    class Mixed(Mixin, Layer):
        pass

    assert Mixed().double() == 6
    for again in (copy.deepcopy(Layer()), pickle.loads(pickle.dumps(Layer()))):
        assert again.weight.tolist() == [1, 1] and again.inner.weight.requires_grad


def test_parameters_are_those_of_named_parameters() -> None:
    shared = nn.Linear(2, 2)
    model = nn.Sequential(shared, nn.ReLU(), Layer(), shared)
    model.register_parameter("none", None)
    model.again = shared.weight
    expected = [p for _, p in model.named_parameters()]
    assert len(expected) == 5
    assert all(a is b for a, b in zip(model.parameters(), expected, strict=True))
    assert [*model.parameters(recurse=False)] == [shared.weight]


def test_parameters_are_found_in_any_shape_of_modules() -> None:
    ring = nn.Sequential(nn.Linear(2, 2))
    ring.append(ring)
    assert len([*ring.parameters()]) == 2
    moved = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)})
    moved._modules = OrderedDict(moved._modules)
    moved._modules.move_to_end("a")
    assert [*moved.parameters()] == [p for _, p in moved.named_parameters()]
    deep: nn.Module = nn.Linear(2, 2)
    for _ in range(100_000):
        outer = nn.Module.__new__(nn.Module)
        outer.__dict__.update(_parameters={}, _modules={"inner": deep})
        deep = outer
    with pytest.raises(RecursionError):
        [*deep.parameters()]
    while deep is not None:  # one by one, as freeing a chain nests, too
        deep = deep.__dict__.pop("_modules", {}).pop("inner", None)

    class Unfinished(nn.Module):
        def __init__(self) -> None:
            pass

    with pytest.raises(AttributeError, match="_parameters|_modules"):
        [*Unfinished().parameters()]


def test_parameters_follow_a_class_that_names_them_itself() -> None:
    class Chosen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kept, self.hidden = nn.Linear(2, 2), nn.Linear(2, 2)

        def named_modules(self, memo=None, prefix="", remove_duplicate=True):  # type: ignore[no-untyped-def]
            yield from self.kept.named_modules(memo, prefix + ".kept", remove_duplicate)

    model = nn.Sequential(Chosen())
    assert [*model.parameters()] == [model[0].kept.weight, model[0].kept.bias]


class Doubled(nn.Module):
    def forward(self, x: int, *more: int, scale: int = 2) -> tuple[int, ...]:
        return tuple(scale * item for item in (x, *more))


def test_a_call_is_forward_with_its_arguments() -> None:
    module = Doubled()
    assert module(1) == (2,)
    assert module(*range(20)) == tuple(range(0, 40, 2))
    assert module(1, scale=3) == (3,) == module(x=1, scale=3)
    assert module._call_impl(1, 2) == (2, 4) == nn.Module.__call__(module, 1, 2)
    with pytest.raises(TypeError, match=r"forward\(\) missing 1 required positional argument: 'x'"):
        module()
    with pytest.raises(NotImplementedError, match='"forward"'):
        nn.Module()()


def test_forward_may_be_the_instance_s_or_anything_that_is_called() -> None:
    class Static(nn.Module):
        @staticmethod
        def forward(x: int) -> int:
            return x + 1

    class Held(nn.Module):
        forward = Doubled()

    class Found(nn.Module):
        forward = None

        def __getattribute__(self, name: str) -> object:
            return (lambda x: x + 3) if name == "forward" else super().__getattribute__(name)

    module = Doubled()
    module.forward = lambda x: x + 2  # type: ignore[method-assign, assignment]
    assert (Static()(1), Held()(1), Found()(1), module(1)) == (2, (2,), 4, 3)
    del module.forward
    assert module(1) == (2,)


def test_call_may_be_overridden_and_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    class Louder(Doubled):
        def __call__(self, *args: int, **kwargs: int) -> tuple[int, ...]:
            return (*super().__call__(*args, **kwargs), 0)

    assert Louder()(1, scale=1) == (1, 0)
    original = nn.Module.__call__
    monkeypatch.setattr(nn.Module, "__call__", lambda self, *args: [original(self, *args)])
    assert Doubled()(1) == [(2,)] and Louder()(1) == ((2,), 0)
    monkeypatch.undo()
    assert Doubled()(1) == (2,)


def test_a_class_that_gets_its_own_look_up_later_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = Layer()
    monkeypatch.setattr(Layer, "__getattr__", lambda self, name: f"made {name}")
    assert layer.absent == "made absent" and layer.plain == 3
    assert layer.weight is layer._parameters["weight"]
    monkeypatch.undo()
    assert layer.weight is layer._parameters["weight"] and not hasattr(layer, "absent")


def test_hooks_of_all_modules_and_of_one_are_called() -> None:
    module = Doubled()
    for register in (module.register_forward_hook, nn.modules.module.register_module_forward_hook):
        handle = register(lambda _, args, result: (*args, *result))
        assert module(1) == (1, 2)
        handle.remove()
        assert module(1) == (2,)
    with pytest.raises(AttributeError, match="'Doubled' object has no attribute '_forward_hooks'"):
        Doubled.__new__(Doubled)(1)


def test_a_compiled_module_calls_what_was_compiled() -> None:
    module = Layer()
    module.forward = lambda x: module.inner(x) + 1  # type: ignore[method-assign, assignment]
    x = flambeau.ones(1, 2)
    expected = module(x)
    optimized = flambeau.compile(module)
    module.compile()
    for called in (optimized, module, optimized.forward, copy.copy(module)):
        assert flambeau.equal(called(x), expected)


def test_a_module_may_keep_its_compiled_call() -> None:
    """As Transformers' generation does, under this name, unless there is one."""
    module, x = nn.Linear(2, 2), flambeau.ones(1, 2)
    expected = module(x)
    assert not hasattr(module, "_compiled_call") and module._compiled_call_impl is None
    module._compiled_call = flambeau.compile(module.__call__)
    assert flambeau.equal(module(x), expected)
    assert flambeau.equal(module._compiled_call(x), expected)


def test_a_missing_attribute_says_which_and_whose() -> None:
    layer = Layer()
    with pytest.raises(AttributeError) as caught:
        layer.wieght  # noqa: B018
    error: Any = caught.value  # Python suggests "weight" from these
    assert error.name == "wieght" and error.obj is layer
