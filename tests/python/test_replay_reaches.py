"""compile(replay=True): what a function gets at in roundabout ways: through its arguments, through
modules that are no globals, by names that come later."""

from __future__ import annotations

import dataclasses
import dis
import enum
import importlib
import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any

import flambeau
import numpy
import pytest
from flambeau import nn
from flambeau._reachable import Reachable, _globals
from flambeau.nn.utils import parametrize

MODULE_NAME = "settings_of_a_test"


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Any:
    module = types.ModuleType(MODULE_NAME)
    exec("scale = 1.0\ndef get(): return scale", vars(module))
    monkeypatch.setitem(sys.modules, MODULE_NAME, module)
    return module


class Whole(int):
    scale: float


class Choice(enum.IntEnum):
    ONE = 1


def later(x: Any) -> Any:
    return x


class Scaled(nn.Module):
    def __init__(self, settings: Any) -> None:
        super().__init__()
        self.settings = settings

    def forward(self, x: Any) -> Any:
        return x * self.settings.scale


def local_import(x: Any) -> Any:
    import settings_of_a_test  # type: ignore[import-not-found]

    return x * settings_of_a_test.scale


def local_from_import(x: Any) -> Any:
    from settings_of_a_test import scale  # type: ignore[import-not-found]

    return x * scale


def uses_of_modules(settings: Any) -> dict[str, Callable[[Any], Any]]:
    return {
        "closure": lambda x: x * settings.scale,
        "default": lambda x, s=settings: x * s.scale,  # type: ignore[misc]
        "function of a module": lambda x: x * settings.get(),
        "attribute": Scaled(settings),
        "local import": local_import,
        "local import of a name": local_from_import,
        "getattr": lambda x: x * getattr(settings, "scale"),  # noqa: B009
        "vars": lambda x: x * vars(settings)["scale"],
        "sys.modules": lambda x: x * sys.modules["settings_of_a_test"].scale,
        "importlib": lambda x: x * importlib.import_module("settings_of_a_test").scale,
    }


VALUES = (1.0, 1.0, 1.0, 2.0, 2.0, 3.0)


def outcomes(function: Callable[[Any], Any], change: Callable[[float], Any]) -> list[float]:
    found = []
    for value in VALUES:
        change(value)
        found.append(function(flambeau.ones(2))[0].item())
    return found


@pytest.mark.parametrize("name", uses_of_modules(None))
def test_modules_that_are_no_globals(name: str, settings: Any) -> None:
    function = uses_of_modules(settings)[name]
    replayed = flambeau.compile(function, replay=True)
    assert outcomes(replayed, lambda value: setattr(settings, "scale", value)) == list(VALUES)


@pytest.mark.parametrize("how", ["environ", "getenv"])
def test_the_environment_through_a_closure(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    def by_environ(x: Any) -> Any:
        return x * float(os.environ.get("SCALE_OF_A_TEST", "1"))

    def by_getenv(x: Any) -> Any:
        return x * float(os.getenv("SCALE_OF_A_TEST", "1"))

    function = by_environ if how == "environ" else by_getenv
    change = lambda value: monkeypatch.setenv("SCALE_OF_A_TEST", str(value))  # noqa: E731
    assert outcomes(flambeau.compile(function, replay=True), change) == list(VALUES)


def test_attributes_of_numbers_and_choices() -> None:
    whole = Whole(1)

    def function(x: Any) -> Any:
        return x * whole.scale * Choice.ONE.scale  # type: ignore[attr-defined]

    def change(value: float) -> None:
        whole.scale = value
        Choice.ONE.scale = value  # type: ignore[attr-defined]

    wanted = [value * value for value in VALUES]
    assert outcomes(flambeau.compile(function, replay=True), change) == wanted


def by_global(x: Any) -> Any:
    try:
        return x * LATER  # type: ignore[name-defined] # noqa: F821
    except NameError:
        return x * 1.0


def by_builtin(x: Any) -> Any:
    return x * max(1.0, 0.5)


def by_function(x: Any) -> Any:
    return x * getattr(later, "scale", 1.0)


def of_parameter(weight: Any) -> Callable[[Any], Any]:
    return lambda x: x * weight.detach() * getattr(weight, "scale", 1.0)


@pytest.mark.parametrize("what", ["LATER", "max", "function", "parameter"])
def test_names_that_come_later(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    weight = nn.Parameter(flambeau.ones(2))
    functions = {"LATER": by_global, "max": by_builtin, "function": by_function}
    function = functions.get(what) or of_parameter(weight)

    def change(value: float) -> None:
        if value == 1.0:
            return
        if what == "LATER":
            monkeypatch.setitem(globals(), what, value)
        elif what == "max":
            monkeypatch.setitem(globals(), what, lambda *_: value)
        else:
            monkeypatch.setattr(later if what == "function" else weight, "scale", value, False)

    assert outcomes(flambeau.compile(function, replay=True), change) == list(VALUES)


def hooked(register: str, scale: list[float]) -> Callable[[Any], None]:
    def post(x: Any) -> None:
        x.grad.mul_(scale[0])

    def hang(x: Any) -> None:
        if register == "register_post_accumulate_grad_hook":
            x.register_post_accumulate_grad_hook(post)
        elif register == "register_hook":
            x.register_hook(lambda gradient: gradient * scale[0])
        else:
            node = x.view_as(x).grad_fn.next_functions[0][0]
            x.node = node  # it lives as long as somebody holds it
            node.register_prehook(lambda gradients: (gradients[0] * scale[0],))

    return hang


@pytest.mark.parametrize(
    "register", ["register_hook", "register_post_accumulate_grad_hook", "register_prehook"]
)
@pytest.mark.parametrize("is_argument", [True, False])
def test_hooks_are_looked_into(register: str, is_argument: bool) -> None:
    scale, used = [1.0], nn.Parameter(flambeau.ones(2))
    hang = hooked(register, scale)
    hang(used)

    def function(x: Any) -> Any:
        (x * x if is_argument else used * used * x).sum().backward()
        return x.detach() * 1

    replayed = flambeau.compile(function, replay=True)
    found = []
    for value in VALUES:
        scale[0], used.grad = value, None
        x = flambeau.ones(2, requires_grad=is_argument)
        if is_argument:
            hang(x)
        replayed(x)
        gradient = (x if is_argument else used).grad
        assert gradient is not None
        found.append(gradient[0].item())
    assert found == [2 * value for value in VALUES]


def test_each_argument_has_hooks_of_its_own() -> None:
    def function(x: Any) -> Any:
        (x * x).sum().backward()
        return x.detach() * 1

    replayed = flambeau.compile(function, replay=True)
    for value in VALUES:
        x = flambeau.ones(2, requires_grad=True)
        x.register_hook(lambda gradient, value=value: gradient * value)
        replayed(x)
        assert x.grad is not None and x.grad.tolist() == [2 * value] * 2


def test_objects_that_arguments_hold() -> None:
    held = types.SimpleNamespace(scale=1.0)

    def function(x: Any) -> Any:
        return x * x.held.scale

    replayed = flambeau.compile(function, replay=True)
    for value in VALUES:
        x = flambeau.ones(2)
        x.held, held.scale = held, value  # type: ignore[attr-defined]
        assert replayed(x).tolist() == [value] * 2


def test_an_argument_that_the_function_trains() -> None:
    """What it is given is also what its optimizer holds."""

    def steps(replay: bool) -> list[list[float]]:
        z, weight = nn.Parameter(flambeau.ones(2)), nn.Parameter(flambeau.arange(3.0) + 1)
        optimizer = flambeau.optim.SGD([z, weight], lr=0.125)

        def step(z: Any) -> Any:
            optimizer.zero_grad()
            loss = (z.sum() * weight).square().sum()
            loss.backward()
            optimizer.step()
            return loss

        step = flambeau.compile(step, replay=replay)
        found = []
        for _ in range(6):
            step(z)
            assert z.grad is not None and weight.grad is not None
            found.append(z.grad.tolist() + weight.grad.tolist() + z.tolist())
        return found

    assert steps(True) == steps(False)


def test_cached_parametrizations_are_not_kept() -> None:
    class Doubled(nn.Module):
        def forward(self, x: Any) -> Any:
            return x * 2

    layer = nn.Linear(2, 2, bias=False)
    parametrize.register_parametrization(layer, "weight", Doubled())
    weight = layer.parametrizations["weight"].original

    @flambeau.compile(replay=True)
    def function(x: Any) -> Any:
        return (x @ layer.weight.t()).detach()

    x = flambeau.ones(1, 2)
    for i, is_cached in enumerate([True, True, False, False, True, False]):
        with flambeau.no_grad():
            weight.fill_(float(i))
        if not is_cached:
            assert function(x).tolist() == [[4.0 * i] * 2]
            continue
        with parametrize.cached():
            before = function(x).tolist()
            with flambeau.no_grad():
                weight.add_(1)
            assert function(x).tolist() == before == [[4.0 * i] * 2]


def test_two_tensors_on_the_memory_of_one_array() -> None:
    def function(x: Any, y: Any) -> Any:
        doubled = x * 2
        y.add_(1)
        return doubled + x

    def on_one_array() -> tuple[Any, Any]:
        array = numpy.zeros(3, numpy.float32)
        return flambeau.from_numpy(array), flambeau.from_numpy(array)

    replayed = flambeau.compile(function, replay=True)
    with pytest.raises(RuntimeError, match="it writes to memory of another library"):
        replayed(*on_one_array())
    for _ in range(3):
        assert replayed(flambeau.zeros(3), flambeau.zeros(3)).tolist() == [0.0] * 3
        x, y = (flambeau.from_numpy(numpy.zeros(3, numpy.float32)) for _ in range(2))
        assert replayed(x, y).tolist() == [0.0] * 3
    with pytest.raises(RuntimeError, match="it writes to memory of another library"):
        replayed(*on_one_array())


def test_tensors_on_the_memory_of_one_array_are_read() -> None:
    whole = numpy.arange(12.0, dtype=numpy.float32).reshape(2, 6)
    first, second = flambeau.from_numpy(whole[:, :3]), flambeau.from_numpy(whole[:, 3:])
    replayed = flambeau.compile(lambda x, y: (x * y).sum(), replay=True)
    for scale in (1.0, 1.0, 2.0, 3.0):
        whole[:] = scale * numpy.arange(12.0).reshape(2, 6)
        assert replayed(first, second).item() == (whole[:, :3] * whole[:, 3:]).sum()


def test_hooks_of_one_kind_are_not_those_of_another() -> None:
    weight = nn.Parameter(flambeau.ones(2))
    node = weight.view_as(weight).grad_fn.next_functions[0][0]  # type: ignore[union-attr]

    @flambeau.compile(replay=True)
    def step(x: Any) -> None:
        (weight * weight * x).sum().backward()

    def gradient() -> list[float]:
        weight.grad = None
        step(flambeau.ones(2))
        assert weight.grad is not None
        return weight.grad.tolist()  # type: ignore[no-any-return]

    for _ in range(2):
        hook = weight.register_hook(lambda gradient: gradient * 2)
        assert [gradient() for _ in range(3)] == [[4.0, 4.0]] * 3
        hook.remove()
        hook = node.register_prehook(lambda gradients: (gradients[0] * 100,))
        assert [gradient() for _ in range(3)] == [[200.0, 200.0]] * 3
        hook.remove()


def test_an_argument_that_holds_itself_is_refused() -> None:
    x = flambeau.ones(2)
    x.me = [x]  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError, match="holds itself"):
        flambeau.compile(lambda x: x * 2, replay=True)(x)


def test_relative_imports(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "package_of_a_test"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "settings.py").write_text("scale = 1.0\n")
    (package / "code.py").write_text(
        "def of_a_name(x):\n    from .settings import scale\n    return x * scale\n"
        "def of_a_module(x):\n    from . import settings\n    return x * settings.scale\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    code = importlib.import_module("package_of_a_test.code")
    for function in (code.of_a_name, code.of_a_module):
        replayed = flambeau.compile(function, replay=True)
        replayed(flambeau.ones(2))  # it imports
        settings = importlib.import_module("package_of_a_test.settings")
        assert outcomes(replayed, lambda v: setattr(settings, "scale", v)) == list(VALUES)  # noqa: B023


def test_modules_that_import_each_other_are_looked_at_once(settings: Any) -> None:
    modules = [types.ModuleType(f"module_of_a_test_{i}") for i in range(40)]
    for module in modules:
        vars(module).update({each.__name__: each for each in modules}, scale=1.0)
    settings.modules = modules
    source = "def f(x):\n    import settings_of_a_test as s\n    x = x * s.modules[3].scale\n"
    source += "".join(f"    m = s.{each.__name__} if 0 else 0\n" for each in modules)
    scope: dict[str, Any] = {"__name__": "__main__"}
    exec(source + "    return x\n", scope)
    reachable = Reachable()
    reachable.visit(scope["f"], "f")
    reachable.finish()
    assert len(reachable.holders) < 500
    replayed = flambeau.compile(scope["f"], replay=True)
    assert outcomes(replayed, lambda value: setattr(modules[3], "scale", value)) == list(VALUES)


def test_globals_of_code_are_those_that_dis_finds() -> None:
    def codes(code: types.CodeType) -> Iterator[types.CodeType]:
        yield code
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                yield from codes(constant)

    many = "\n".join(f"name_{i}" for i in range(600))  # numbers of more than a byte
    sources = [inspect.getsource(module) for module in (dataclasses, inspect, typing)]
    for source in (*sources, many, "def f():\n  " + many.replace("\n", "\n  ")):
        for code in codes(compile(source, "source", "exec")):
            loads = [step for step in dis.get_instructions(code) if step.opname in dis.opmap]
            wanted = [s.argval for s in loads if s.opname in ("LOAD_GLOBAL", "LOAD_NAME")]
            assert list(_globals(code)) == wanted
