"""compile(replay=True): whatever a function uses may change between calls; each call does what Python
would, or says that it cannot be replayed."""

from __future__ import annotations

import array
import collections
import contextvars
import dataclasses
import enum
import functools
import io
import itertools
import os
import threading
import types
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import flambeau
import numpy
import pytest
from flambeau import nn
from flambeau.overrides import TorchFunctionMode
from flambeau.utils import _pytree

F = nn.functional


class Config:
    scale = 1.0
    numbers = [1.0]

    @staticmethod
    def apply(x: Any) -> Any:
        return x * SCALE

    @classmethod
    def of_class(cls, x: Any) -> Any:
        return x * SCALE

    @property
    def scaled(self) -> float:
        return SCALE

    def method(self, x: Any) -> Any:
        return x * 1.0


class Slots:
    __slots__ = ("__hidden", "scale")

    def __init__(self) -> None:
        self.scale = self.__hidden = 1.0

    def hide(self, value: float) -> None:
        self.__hidden = value

    def hidden(self) -> float:
        return self.__hidden


class Scaled(nn.Module):
    scale = 1.0

    def forward(self, x: Any) -> Any:
        return x * self.scale


class Choice(enum.Enum):
    ONE = 1.0


SCALE = 1.0
MODULE = types.ModuleType("a_module")
VARIABLE = contextvars.ContextVar("VARIABLE", default=1.0)
LOCAL = threading.local()


def set_global(value: float) -> None:
    global SCALE
    SCALE = value


def scaled(x: Any, scale: float = 1.0, *, other: float = 1.0) -> Any:
    return x * scale * other


def once(x: Any) -> Any:
    return x * 1.0


def twice(x: Any) -> Any:
    return x * 2.0


def thrice(x: Any) -> Any:
    return x * 3.0


@functools.lru_cache
def cached() -> float:
    return float(Config.numbers[0])


Change = Callable[[float], Any]


def uses() -> dict[str, tuple[Callable[[Any], Any], Change]]:
    """Functions, and what changes what they use."""
    config, slots, module = Config(), Slots(), Scaled()
    deque, array_, bytes_ = collections.deque([1.0]), array.array("d", [1.0]), bytearray([1])
    numbers, strided, known = numpy.ones(3), numpy.ones((3, 3))[:, 1], {1.0}
    hidden = {"scale": 1.0}
    view, chain = types.MappingProxyType(hidden), collections.ChainMap({}, hidden)
    weak = weakref.ref(config)
    weight = nn.Parameter(flambeau.ones(3))
    MODULE.scale = MODULE.part = LOCAL.scale = 1.0  # type: ignore[attr-defined]
    MODULE.part = types.SimpleNamespace(scale=1.0)  # type: ignore[attr-defined]

    def set_cached(value: float) -> None:
        if Config.numbers[0] == value:
            return
        Config.numbers[0] = value
        cached.cache_clear()

    def refill(value: float) -> None:
        known.clear()
        known.add(value)

    def patch(value: float) -> None:
        once.__code__ = (thrice if value == 1.0 else twice).__code__

    def attribute(holder: Any, name: str = "scale") -> Change:
        return lambda value: setattr(holder, name, value)

    def item(holder: Any, key: Any, kind: Any = float) -> Change:
        return lambda value: holder.__setitem__(key, kind(value))

    return {
        "class": (lambda x: x * Config.scale, attribute(Config)),
        "class of a module": (module, attribute(Scaled)),
        "list of a class": (lambda x: x * config.numbers[0], item(Config.numbers, 0)),
        "class made inside": (lambda x: x * Config().scale, attribute(Config)),
        "slots": (lambda x: x * slots.scale, attribute(slots)),
        "hidden slots": (lambda x: x * slots.hidden(), slots.hide),
        "module's global": (lambda x: x * MODULE.scale, attribute(MODULE)),
        "module's object": (lambda x: x * MODULE.part.scale, attribute(MODULE.part)),
        "static method": (lambda x: config.apply(x), set_global),
        "class method": (lambda x: Config.of_class(x), set_global),
        "property": (lambda x: x * config.scaled, set_global),
        "method": (
            lambda x: config.method(x),
            lambda value: setattr(Config, "method", lambda self, x: x * value),
        ),
        "defaults": (lambda x: scaled(x), lambda v: setattr(scaled, "__defaults__", (v,))),
        "keyword defaults": (
            lambda x: scaled(x),
            lambda value: setattr(scaled, "__kwdefaults__", {"other": value}),
        ),
        "code": (lambda x: once(x), patch),
        "deque": (lambda x: x * deque[0], item(deque, 0)),
        "set": (lambda x: x * max(known), refill),
        "array": (lambda x: x * array_[0], item(array_, 0)),
        "bytearray": (lambda x: x * bytes_[0], item(bytes_, 0, int)),
        "NumPy": (lambda x: x * float(numbers[0]), item(numbers, 0)),
        "strided NumPy": (lambda x: x * float(strided[1]), item(strided, 1)),
        "mapping": (lambda x: x * view["scale"], item(hidden, "scale")),
        "chain": (lambda x: x * chain["scale"], item(chain, "scale")),
        "enumeration": (lambda x: x * Choice.ONE.value, attribute(Choice.ONE, "_value_")),
        "weak reference": (lambda x: x * weak().scale, attribute(config)),  # type: ignore[union-attr]
        "context": (lambda x: x * VARIABLE.get(), VARIABLE.set),
        "thread": (lambda x: x * LOCAL.scale, attribute(LOCAL)),
        "environment": (
            lambda x: x * float(os.environ.get("SCALE", 1)),
            item(os.environ, "SCALE", str),
        ),
        "getenv": (lambda x: x * float(os.getenv("SCALE", "1")), item(os.environ, "SCALE", str)),
        "cache": (lambda x: x * cached(), set_cached),
        "function's attribute": (lambda x: x * twice.scale, attribute(twice)),  # type: ignore[attr-defined]
        "tensor's attribute": (lambda x: x * x.scale, None),  # type: ignore[dict-item]
        "parameter's attribute": (
            lambda x: (x * weight).detach() * getattr(weight, "scale", 1.0),
            attribute(weight),
        ),
        "function of the library": (
            lambda x: F.silu(x),
            lambda value: setattr(F, "silu", functools.partial(scaled, scale=value)),
        ),
        "deterministic": (
            lambda x: x * (1 + flambeau.are_deterministic_algorithms_enabled()),
            lambda value: flambeau.use_deterministic_algorithms(value == 2.0),
        ),
    }


@pytest.fixture(autouse=True)
def everything_as_before(monkeypatch: pytest.MonkeyPatch) -> Any:
    for holder, name in (
        (Config, "scale"), (Config, "method"), (Scaled, "scale"), (Choice.ONE, "_value_"), (F, "silu"),
        (scaled, "__defaults__"), (scaled, "__kwdefaults__"), (once, "__code__"),
    ):  # fmt: skip
        monkeypatch.setattr(holder, name, vars(holder).get(name, getattr(holder, name)))
    monkeypatch.setattr(Config, "numbers", [1.0])
    monkeypatch.setenv("SCALE", "1.0")
    twice.scale = 1.0  # type: ignore[attr-defined]
    set_global(1.0)
    cached.cache_clear()
    VARIABLE.set(1.0)
    yield
    flambeau.use_deterministic_algorithms(False)


@pytest.mark.parametrize("name", uses())
def test_what_changes_is_seen(name: str) -> None:
    function, change = uses()[name]

    def outcomes(f: Callable[[Any], Any]) -> list[list[float]]:
        found = []
        for value in (1.0, 1.0, 2.0, 2.0, 1.0, 3.0):
            x = flambeau.arange(3.0)
            x.scale = value
            if change is not None:
                change(value)
            found.append(f(x).tolist())
        return found

    assert outcomes(flambeau.compile(function, replay=True)) == outcomes(function)


def advance() -> dict[str, Any]:
    return {
        "count": itertools.count(1),
        "cycle": itertools.cycle([1.0, 2.0]),
        "list": iter([1.0, 2.0, 3.0, 4.0]),
        "zip": zip([1.0, 2.0, 3.0]),
        "generator": (float(i) for i in range(9)),
        "generator in a map": map(float, (i for i in range(9))),
    }


@pytest.mark.parametrize("kind", advance())
def test_steps_of_iterators_are_refused(kind: str) -> None:
    iterator = advance()[kind]
    f = flambeau.compile(lambda x: (x, next(iterator))[0] * 2, replay=True)
    with pytest.raises(
        RuntimeError, match="takes from the iterator iterator.*, which was made before"
    ):
        f(flambeau.ones(2))
    own = flambeau.compile(
        lambda x: x * next(advance()[kind] if kind != "zip" else iter([2.0])), replay=True
    )
    for _ in range(3):
        own(flambeau.ones(2))


def test_members_that_a_call_changes_are_refused() -> None:
    def count(x: Any) -> Any:
        Config.scale += 1
        return x * Config.scale

    f = flambeau.compile(count, replay=True)
    for _ in range(2):
        f(flambeau.ones(2))
    with pytest.raises(RuntimeError, match=r"Config\['scale'\] is 4.0, was 3.0"):
        f(flambeau.ones(2))


def swallowing(action: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def function(x: Any) -> Any:
        try:
            n = action(x)
        except Exception:
            n = 0
        return x + n

    return function


@pytest.mark.parametrize(
    "action",
    [
        lambda x: x.sum().item(),
        lambda x: x.tolist()[0],
        lambda x: flambeau.rand(1),
        lambda x: __import__("random").random(),
    ],
)
def test_a_refusal_that_is_caught_stays_one(action: Callable[[Any], Any]) -> None:
    f = flambeau.compile(swallowing(action), replay=True)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="replay=True cannot be had here"):
            f(flambeau.ones(2))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_refusal_in_a_finalizer_is_said() -> None:
    class Reads:
        def __init__(self, tensor: Any) -> None:
            self.tensor = tensor

        def __del__(self) -> None:
            self.tensor.sum().item()

    def function(x: Any) -> Any:
        Reads(x * 2)
        return x + 1

    with pytest.raises(RuntimeError, match="the function caught this error"):
        flambeau.compile(function, replay=True)(flambeau.ones(2))


def train_step(layer: nn.Module) -> Callable[[Any], Any]:
    def step(x: Any) -> Any:
        layer.zero_grad()
        layer(x).square().sum().backward()
        return layer.weight.grad

    return step


@pytest.mark.parametrize("kind", ["tensor", "accumulated", "module", "all modules"])
def test_hooks_that_come_and_go(kind: str) -> None:
    def outcomes(wrap: Callable[..., Any]) -> list[Any]:
        flambeau.manual_seed(0)
        layer = nn.Linear(3, 2)
        step, found, factor = wrap(train_step(layer)), [], [2.0]

        def scale_grad(parameter: Any) -> None:
            parameter.grad.mul_(factor[0])

        add = {
            "tensor": lambda: layer.weight.register_hook(lambda g: g * factor[0]),
            "accumulated": lambda: layer.weight.register_post_accumulate_grad_hook(scale_grad),
            "module": lambda: layer.register_forward_hook(lambda m, a, o: o * factor[0]),
            "all modules": lambda: nn.modules.module.register_module_forward_hook(
                lambda m, a, o: o * factor[0]
            ),
        }[kind]
        handle = None
        for i in range(10):
            if i == 2:
                handle = add()
            if i == 5:
                factor[0] = 5.0  # what the hook uses
            if i == 8:
                handle.remove()
            found.append(step(flambeau.ones(4, 3) * i).clone().tolist())
        return found

    assert outcomes(lambda f: flambeau.compile(f, replay=True)) == outcomes(lambda f: f)


def test_what_sees_operations_sees_those_of_a_replayed_call() -> None:
    layer = nn.Linear(3, 2)
    step = flambeau.compile(train_step(layer), replay=True)
    x = flambeau.ones(4, 3)
    plain = [step(x).clone() for _ in range(3)][-1]

    class Log(TorchFunctionMode):
        names: list[str] = []

        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            self.names.append(getattr(func, "__name__", ""))
            return func(*args, **(kwargs or {}))

    with Log():
        step(x)
    assert "linear" in Log.names
    packed = []
    with flambeau.autograd.graph.saved_tensors_hooks(
        lambda t: packed.append(t) or t * 2, lambda t: t
    ):
        twofold = step(x).clone()
    assert packed and not flambeau.equal(twofold, plain)
    assert flambeau.equal(step(x), plain)
    flambeau.autograd.set_detect_anomaly(True)
    try:
        with pytest.raises(RuntimeError, match="returned nan values"):
            step(x * float("nan"))
    finally:
        flambeau.autograd.set_detect_anomaly(False)


def test_vmap_and_the_tape_outside() -> None:
    weight = nn.Parameter(flambeau.randn(3))

    def function(x: Any) -> Any:
        return (x * weight).tanh().sum(-1)

    f = flambeau.compile(function, replay=True)
    x = flambeau.randn(4, 3)
    for _ in range(3):
        assert f(x).tolist() == function(x).tolist()
        assert flambeau.vmap(f)(x).tolist() == flambeau.vmap(function)(x).tolist()
        for wanted in (
            lambda: f(x).sum().backward(),
            lambda: flambeau.autograd.grad(f(x).sum() + weight.sum(), weight),
            lambda: flambeau.autograd.grad(f(x).sum(), weight, allow_unused=True),
            lambda: flambeau.func.grad(lambda x: f(x).sum())(x),
        ):
            with pytest.raises(RuntimeError, match="keeps no tape"):
                wanted()


def test_tensors_without_memory() -> None:
    f = flambeau.compile(lambda x: x * 2, replay=True)
    made = flambeau.compile(lambda x: flambeau.empty(3, device="meta") + x.numel(), replay=True)
    for _ in range(3):
        assert f(flambeau.ones(3, device="meta")).is_meta
        assert f(flambeau.ones(3)).tolist() == [2.0] * 3
        assert made(flambeau.ones(3)).is_meta


def test_the_default_device_is_part_of_the_signature() -> None:
    f = flambeau.compile(lambda x: flambeau.ones(3), replay=True)
    for device in ("cpu", "meta", "cpu", "meta"):
        with flambeau.device(device):
            assert f(flambeau.ones(2, device="cpu")).device.type == device


def test_inference_mode_gives_inference_tensors() -> None:
    f = flambeau.compile(lambda x: x * 2, replay=True)
    for inference in (False, False, True, True, False):
        with flambeau.inference_mode(inference):
            assert f(flambeau.ones(2)).is_inference() == inference


def test_what_an_error_leaves() -> None:
    def outcomes(wrap: Callable[..., Any]) -> list[Any]:
        flambeau.manual_seed(0)
        weight, table, found = flambeau.zeros(3), flambeau.ones(5, 3), []

        def step(index: Any) -> Any:
            weight.add_(1)
            F.dropout(table)
            return F.embedding(index, table) + weight

        f = wrap(step)
        for i in range(6):
            try:
                f(flambeau.tensor([0, 9 if i == 4 else 1]))
            except IndexError as error:
                found.append(str(error))
            found.append((weight.tolist(), flambeau.rand(1).item()))
        return found

    assert outcomes(lambda f: flambeau.compile(f, replay=True)) == outcomes(lambda f: f)


def test_facts_about_arguments() -> None:
    class Mine(flambeau.Tensor):
        pass

    x = flambeau.arange(6.0)
    by_identity = flambeau.compile(lambda a, b: a * (2 if a is b else 3), replay=True)
    by_class = flambeau.compile(
        lambda a: a.detach() * (2 if type(a) is flambeau.Tensor else 3), replay=True
    )
    by_offset = flambeau.compile(lambda a: a * a.storage_offset(), replay=True)
    for _ in range(3):
        assert by_identity(x, x).tolist() == (x * 2).tolist()
        assert by_identity(x, x.view(6)).tolist() == (x * 3).tolist()
        assert by_identity(x, x.clone()).tolist() == (x * 3).tolist()
        assert by_class(x).tolist() == (x * 2).tolist()
        assert by_class(nn.Parameter(x)).tolist() == (x * 3).tolist()
        for i in range(3):
            assert by_offset(x[i : i + 2]).tolist() == (x[i : i + 2] * i).tolist()
    with pytest.raises(RuntimeError, match="the function returns a Mine that it made"):
        flambeau.compile(lambda a: a * 2, replay=True)(x.as_subclass(Mine))
    with pytest.raises(RuntimeError, match="_version is read"):
        flambeau.compile(lambda a: a * a._version, replay=True)(x)


class Pair(NamedTuple):
    first: Any
    second: Any


@dataclasses.dataclass
class Record:
    logits: Any
    loss: Any = None


_pytree.register_dataclass(Record)


def test_results_and_arguments_that_are_nodes() -> None:
    calls = io.BytesIO()

    def function(given: Any) -> Any:
        calls.write(b".")
        x = given.first if isinstance(given, Pair) else given["x"]
        return (
            Pair(x * 2, 3),
            Record(x + 1),
            collections.OrderedDict(a=x - 1),
            flambeau.max(x, 0),
            flambeau.linalg.qr(x.diag()),
        )

    f = flambeau.compile(function, replay=True)
    for given in (Pair, lambda x, y: collections.OrderedDict(x=x, y=y)):
        for _ in range(4):
            x = flambeau.randn(3)
            pair, record, ordered, maximum, factors = f(given(x, 5))
            assert isinstance(pair, Pair) and pair.first.tolist() == (x * 2).tolist()
            assert isinstance(record, Record) and record.loss is None
            assert record.logits.tolist() == (x + 1).tolist()
            assert type(ordered) is collections.OrderedDict
            assert type(maximum) is type(flambeau.max(x, 0))
            assert maximum.values.item() == x.max().item() and len(factors) == 2
    assert len(calls.getvalue()) == 2


def test_a_gradient_that_is_given_is_that_of_the_parameter() -> None:
    layer = nn.Linear(3, 2)
    step = flambeau.compile(lambda x: (train_step(layer)(x), layer.weight.grad), replay=True)
    for _ in range(4):
        first, second = step(flambeau.ones(2, 3))
        assert first is second is layer.weight.grad


def test_a_state_of_a_generator_is_refused() -> None:
    for function in (
        lambda x: flambeau.get_rng_state(),
        lambda x: x + flambeau.get_rng_state()[:2],
        lambda x: flambeau.default_generator.get_state()[0],
    ):
        f = flambeau.compile(function, replay=True)
        for _ in range(2):
            f(flambeau.ones(2))
        with pytest.raises(RuntimeError, match="the state of a generator of random numbers"):
            f(flambeau.ones(2))


def test_a_generator_that_is_set_is_refused() -> None:
    def same_twice(x: Any) -> Any:
        state = flambeau.get_rng_state()
        first = F.dropout(x, 0.5)
        flambeau.set_rng_state(state)
        return first, F.dropout(x, 0.5)

    def seeded(x: Any) -> Any:
        flambeau.manual_seed(0)
        return F.dropout(x, 0.5)

    def forked(x: Any) -> Any:
        with flambeau.random.fork_rng():
            return F.dropout(x, 0.5)

    x = flambeau.ones(100)
    f = flambeau.compile(same_twice, replay=True)
    for _ in range(4):  # in the end it is where one draw leads
        first, second = f(x)
        assert flambeau.equal(first, second)
    for function in (seeded, forked):
        f = flambeau.compile(function, replay=True)
        for _ in range(2):
            f(x)
        with pytest.raises(RuntimeError, match="it sets the state of the generator"):
            f(x)


@pytest.mark.parametrize("namespace", [{"__name__": "__main__"}, {}, {"__name__": "notebook"}])
def test_code_of_notebooks_is_looked_into(namespace: dict[str, Any]) -> None:
    # What runs it may be an installed program: here pytest is __main__.
    exec(
        "def inner(x): return x * scale\n"
        "class Of:\n"
        "    scale = 1.0\n"
        "def outer(x): return inner(x) * Of.scale\n",
        namespace,
    )
    namespace["scale"] = 2.0
    f = flambeau.compile(namespace["outer"], replay=True)
    for scale in (2.0, 2.0, 3.0, 3.0):
        namespace["scale"] = scale
        assert f(flambeau.ones(1)).item() == scale
    for scale in (1.0, 4.0, 4.0):
        namespace["Of"].scale = scale
        assert f(flambeau.ones(1)).item() == 3 * scale


@pytest.mark.parametrize("name", ["AdamW", "Adam", "AMSGrad", "SGD", "momentum"])
def test_a_learning_rate_that_is_a_tensor_is_not_read(name: str) -> None:
    def make(parameters: Any, lr: Any) -> Any:
        optim = flambeau.optim
        return {
            "AdamW": lambda: optim.AdamW(parameters, lr=lr),
            "Adam": lambda: optim.Adam(parameters, lr=lr, weight_decay=0.1),
            "AMSGrad": lambda: optim.AdamW(parameters, lr=lr, amsgrad=True),
            "SGD": lambda: optim.SGD(parameters, lr=lr),
            "momentum": lambda: optim.SGD(
                parameters, lr=lr, momentum=0.9, nesterov=True, weight_decay=0.1
            ),
        }[name]()

    def outcome(wrap: Callable[..., Any], as_tensor: bool) -> bytes:
        flambeau.manual_seed(0)
        layer = nn.Linear(4, 3)
        optimizer = make(layer.parameters(), flambeau.tensor(0.1) if as_tensor else 0.1)

        def step(x: Any) -> Any:
            optimizer.zero_grad()
            layer(x).square().sum().backward()
            optimizer.step()

        call = wrap(step)
        for i, rate in enumerate((0.1, 0.1, 0.05, 0.02, 0.01)):
            group = optimizer.param_groups[0]
            if as_tensor:
                group["lr"].fill_(rate)
            else:
                group["lr"] = flambeau.tensor(rate).item()
            call(flambeau.ones(2, 4) * i)
        return layer.weight.detach().numpy().tobytes()

    wanted = outcome(lambda f: f, as_tensor=False)
    assert outcome(lambda f: f, as_tensor=True) == wanted
    assert outcome(flambeau.compile, as_tensor=True) == wanted
    runs = flambeau.compiler.stats()["runs"]
    assert outcome(lambda f: flambeau.compile(f, replay=True), as_tensor=True) == wanted
    assert (
        flambeau.compiler.stats()["runs"] == runs + 2
    )  # it was recorded twice: without state, with


def test_a_large_array_that_may_change_is_refused() -> None:
    array_ = numpy.zeros(3 << 20)
    f = flambeau.compile(lambda x: x * float(array_[0]), replay=True)
    for _ in range(2):
        assert f(flambeau.ones(1)).item() == 0.0
    with pytest.raises(
        RuntimeError, match="it may use array_, 25165824 bytes of an array that may"
    ):
        f(flambeau.ones(1))
    array_.flags.writeable = False
    f = flambeau.compile(lambda x: x + float(array_[0]), replay=True)
    for _ in range(4):
        assert f(flambeau.ones(1)).item() == 1.0


def test_a_read_only_view_of_what_may_be_written() -> None:
    memory = numpy.ones(3, numpy.float32)
    view = memory.view()
    view.flags.writeable = False
    replayed = flambeau.compile(lambda x: x * float(view[0]), replay=True)
    for value in (1.0, 1.0, 1.0, 5.0):
        memory[:] = value
        assert replayed(flambeau.ones(2)).tolist() == [value] * 2


def _pop(batch: dict[str, Any]) -> Any:
    return batch["x"] * 2 - batch.pop("y")


def _rotate(batch: dict[str, Any]) -> Any:
    batch["parts"].append(batch["parts"].pop(0))
    return batch["x"] * 2


def _swap(batch: dict[str, Any]) -> Any:
    batch["x"], batch["y"] = batch["y"], batch["x"]
    return batch["x"] * 2


def _count(batch: dict[str, Any]) -> Any:
    batch["n"] += 1
    return batch["x"] * 2


def _tag(batch: dict[str, Any]) -> Any:
    batch["x"].tag = 5
    return batch["x"] * 2


@pytest.mark.parametrize("function", [_pop, _rotate, _swap, _count, _tag])
def test_a_call_that_changes_the_containers_that_it_is_given_is_refused(function: Any) -> None:
    """A replayed call would leave them as they are."""
    replayed = flambeau.compile(function, replay=True)

    def batch() -> dict[str, Any]:
        x, y = flambeau.ones(2), flambeau.zeros(2)
        return {"x": x, "y": y, "parts": [flambeau.ones(1), flambeau.zeros(1)], "n": 0}

    for _ in range(2):
        replayed(batch())
    with pytest.raises(RuntimeError, match="argument 0 is not what it was"):
        replayed(batch())
    by_name = flambeau.compile(function, replay=True)
    for _ in range(2):
        by_name(batch=batch())
    with pytest.raises(RuntimeError, match="argument batch is not what it was"):
        by_name(batch=batch())


def test_threads_and_what_weak_references_refer_to() -> None:
    class Owner:
        pass

    owner = Owner()
    reference = weakref.ref(owner)

    @flambeau.compile(replay=True)
    def function(x: Any) -> Any:
        return x * flambeau.get_num_threads() + (reference() is None)

    x = flambeau.ones(2)
    threads = flambeau.get_num_threads()
    try:
        for count in (1, 2, 1):
            flambeau.set_num_threads(count)
            assert function(x).tolist() == [count, count]
        del owner
        assert function(x).tolist() == [2, 2]
    finally:
        flambeau.set_num_threads(threads)


@pytest.mark.parametrize("read", [flambeau.initial_seed, flambeau.Generator().initial_seed])
def test_a_seed_that_is_read_is_refused(read: Any) -> None:
    function = flambeau.compile(lambda x: x + read() % 5, replay=True)
    with pytest.raises(RuntimeError, match=r"initial_seed\(\) is read"):
        function(flambeau.ones(2))
