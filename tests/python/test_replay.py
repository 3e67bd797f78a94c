"""compile(replay=True): calls that run without Python give what Python would have."""

from __future__ import annotations

import gc
import io
import random
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

import flambeau
import numpy
import pytest
from flambeau import nn

F = nn.functional


def assert_equal(a: Any, b: Any) -> None:
    assert a.dtype == b.dtype and a.shape == b.shape
    assert a.detach().numpy().tobytes() == b.detach().numpy().tobytes()


RUNS = io.BytesIO()  # how often Python ran: what is written to files is not among what a call uses


def runs() -> int:
    return len(RUNS.getvalue())


def counted(function: Any) -> Any:
    RUNS.seek(0)
    RUNS.truncate()

    def counting(*args: Any, **kwargs: Any) -> Any:
        RUNS.write(b".")
        return function(*args, **kwargs)

    return flambeau.compile(counting, replay=True)


def test_other_values_and_python_runs_once() -> None:
    weight = flambeau.randn(4, 5)
    f = counted(lambda x: (x @ weight).relu().sum(1))
    for _ in range(5):
        x = flambeau.randn(3, 4)
        assert_equal(f(x), (x @ weight).relu().sum(1))
    assert runs() == 1


def test_another_signature_is_another_recording() -> None:
    f = counted(lambda x, scale=2: x * scale)
    for x in (
        flambeau.randn(3),
        flambeau.randn(4),
        flambeau.randn(3).double(),
        flambeau.randn(3, 3).t(),
        flambeau.randn(3, 3),
    ):
        for scale in (2, 3, 2.0, 3):
            for _ in range(2):
                assert_equal(f(x, scale=scale), x * scale)
    assert runs() == 5 * 3


def test_arguments_in_containers_and_results_in_containers() -> None:
    f = counted(lambda pair, named: ([pair[0] + 1, None, 3], {"b": named["b"] * 2, "c": ("x",)}))
    for _ in range(3):
        a, b = flambeau.randn(2), flambeau.randn(3)
        (first, none, three), rest = f([a, 7], {"b": b})
        assert_equal(first, a + 1)
        assert_equal(rest["b"], b * 2)
        assert none is None and three == 3 and rest["c"] == ("x",)
    assert runs() == 1


def test_windows_of_one_tensor() -> None:
    data = flambeau.randn(40, 3)
    f = counted(lambda x: x.exp().sum(0))
    for i in range(10):
        assert_equal(f(data[4 * i : 4 * i + 4]), data[4 * i : 4 * i + 4].exp().sum(0))
    assert runs() == 1


def test_tensors_that_share_memory_are_another_call() -> None:
    def add_to_first(a: Any, b: Any) -> Any:
        a.add_(1)
        return a + b

    f = counted(add_to_first)
    for shared in (False, True, False, True):
        a = flambeau.zeros(4)
        b = a if shared else flambeau.zeros(4)
        assert f(a, b).tolist() == ([2.0] * 4 if shared else [1.0] * 4)
        assert a.tolist() == [1.0] * 4
    assert runs() == 2
    overlapping = flambeau.zeros(5)
    result = f(overlapping[:4], overlapping[1:])
    assert result.tolist() == [2.0, 2.0, 2.0, 1.0]


def test_what_is_written_in_place_counts_versions() -> None:
    total = flambeau.zeros(3)
    f = counted(lambda x: total.add_(x).sum())
    version = total._version
    for i in range(1, 5):
        assert f(flambeau.ones(3)).item() == 3 * i
        assert total._version == version + i
    assert runs() == 1


def test_the_argument_itself_and_views_of_it_come_back() -> None:
    f = counted(lambda x: (x.add_(1), x[1:], x.view(2, 2)))
    for _ in range(3):
        x = flambeau.zeros(4)
        same, part, square = f(x)
        for tensor in (same, part, square):
            assert tensor.untyped_storage().data_ptr() == x.untyped_storage().data_ptr()
        assert part.tolist() == [1.0] * 3 and square.shape == (2, 2)
        x.zero_()
        assert square.sum().item() == 0


def train(how: str, optimizer: str, steps: int = 8, dropout: float = 0.2) -> Any:
    flambeau.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(6, 8), nn.GELU(), nn.Dropout(dropout), nn.LayerNorm(8), nn.Linear(8, 4)
    )
    opt = getattr(flambeau.optim, optimizer)(model.parameters(), lr=0.05)

    def step(x: Any, target: Any) -> Any:
        opt.zero_grad()
        loss = F.cross_entropy(model(x), target)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        opt.step()
        return loss.detach()

    run = {"eager": step, "replay": counted(step)}[how]
    losses = []
    for _ in range(steps):
        x, target = flambeau.randn(5, 6), flambeau.randint(4, (5,))
        losses.append(run(x, target))
    return losses, [*model.parameters()], [p.grad for p in model.parameters()]


@pytest.mark.parametrize("optimizer", ["SGD", "AdamW", "Adam"])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_train_step(optimizer: str, threads: int) -> None:
    before = flambeau.get_num_threads()
    flambeau.set_num_threads(threads)
    try:
        eager, replay = train("eager", optimizer), train("replay", optimizer)
    finally:
        flambeau.set_num_threads(before)
    # The first call makes gradients and states; the second finds them.
    assert runs() <= 3
    for mine, theirs in zip(replay, eager):
        for a, b in zip(mine, theirs):
            assert_equal(a, b)


def test_gradients_that_add_up() -> None:
    weight = nn.Parameter(flambeau.ones(3))

    def accumulate(x: Any) -> None:
        (x * weight).sum().backward()

    f = counted(accumulate)
    for i in range(1, 6):
        f(flambeau.full((3,), 2.0))
        assert weight.grad.tolist() == [2.0 * i] * 3
    assert runs() == 2
    weight.grad = None
    f(flambeau.full((3,), 2.0))
    assert weight.grad.tolist() == [2.0] * 3


def test_a_learning_rate_that_changes() -> None:
    def losses(replay: bool) -> list[float]:
        flambeau.manual_seed(1)
        weight = nn.Parameter(flambeau.randn(3))
        opt = flambeau.optim.SGD([weight], lr=0.1)
        schedule = flambeau.optim.lr_scheduler.StepLR(opt, 2, 0.5)

        def step() -> Any:
            opt.zero_grad()
            loss = weight.square().sum()
            loss.backward()
            opt.step()
            return loss.detach()

        run = flambeau.compile(step, replay=True) if replay else step
        values = []
        for _ in range(8):
            values.append(run().item())
            schedule.step()
        return values

    assert losses(True) == losses(False)


def test_modules_and_their_state() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5), nn.BatchNorm1d(3))
    compiled = flambeau.compile(model, replay=True)
    x = flambeau.randn(4, 3)
    with flambeau.no_grad():
        for training in (True, False, True, False):
            model.train(training)
            for _ in range(3):
                state = {name: value.clone() for name, value in model.state_dict().items()}
                flambeau.manual_seed(2)
                expected = model(x)
                after = {name: value.clone() for name, value in model.state_dict().items()}
                model.load_state_dict(state)
                flambeau.manual_seed(2)
                assert_equal(compiled(x), expected)
                for name, value in model.state_dict().items():
                    assert_equal(value, after[name])
        # Other parameters, other memory, another module.
        model[0].weight = nn.Parameter(flambeau.randn(3, 3))
        assert_equal(compiled(x), model(x))
        model[0].weight.data = flambeau.randn(3, 3)
        assert_equal(compiled(x), model(x))
        model[1] = nn.ReLU()
        assert_equal(compiled(x), model(x))


@pytest.mark.parametrize("around", [False, True])
def test_mixed_precision(around: bool) -> None:
    """A parameter that is used often is converted once a call: its gradients add up in bfloat16."""

    def losses(replay: bool) -> list[float]:
        flambeau.manual_seed(0)
        layer = nn.Linear(3, 3)
        optimizer = flambeau.optim.SGD(layer.parameters(), lr=0.1)

        def step(x: Any) -> Any:
            with flambeau.autocast("cpu", dtype=flambeau.bfloat16):
                h = x
                for _ in range(5):
                    h = flambeau.tanh(layer(h))
                loss = h.float().pow(2).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        run = flambeau.compile(step, replay=True) if replay else step
        found = []
        with flambeau.autocast("cpu", enabled=around, dtype=flambeau.bfloat16):
            for _ in range(6):
                found.append(run(flambeau.randn(4, 3)).item())
                layer(flambeau.randn(1, 3))
        return found + layer.weight.flatten().tolist()

    assert losses(True) == losses(False)


def test_empty_tensors_that_it_makes() -> None:
    def f(x: Any) -> Any:
        nothing = flambeau.empty(0, requires_grad=True)
        return x.sum() + nothing.sum(), x[:0] * 2, nothing.detach()

    replayed = counted(f)
    for _ in range(3):
        x = flambeau.randn(3, 2)
        for got, wanted in zip(replayed(x), f(x)):
            assert_equal(got, wanted)
    assert runs() == 1


@pytest.mark.parametrize("preserve", [False, True])
def test_checkpoints(preserve: bool) -> None:
    layer, last = nn.Linear(4, 4), nn.Linear(4, 4)

    def f(x: Any) -> Any:
        layer.zero_grad()
        hidden = flambeau.utils.checkpoint.checkpoint(
            lambda x: F.dropout(layer(x), 0.5 * preserve).tanh(),
            x,
            use_reentrant=False,
            preserve_rng_state=preserve,
        )
        loss = F.dropout(last(hidden), 0.5).sum()
        loss.backward()
        return loss.detach(), layer.weight.grad + 0

    def results(g: Any) -> list[Any]:
        flambeau.manual_seed(3)
        found = [value for i in range(5) for value in g(flambeau.ones(3, 4) * i)]
        return [*found, flambeau.get_rng_state()]

    replayed = counted(f)
    for got, wanted in zip(results(replayed), results(f)):
        assert_equal(got, wanted)
    assert runs() == 2  # before there are gradients, and then


def test_what_is_made_and_given_is_new_in_each_call() -> None:
    def constants(x: Any) -> Any:
        made = flambeau.tensor([1.0, 2.0])
        index = flambeau.tensor([1, 0])
        return x * made, made, made[1:], x[index], index

    f = counted(constants)
    x = flambeau.arange(2.0)
    for _ in range(3):
        results = f(x)
        for got, wanted in zip(results, constants(x)):
            assert_equal(got, wanted)
        results[2].fill_(7.0)
        assert results[1].tolist() == [1.0, 7.0]  # one memory, as in eager
        results[4].zero_()
    assert runs() == 1

    def total(x: Any) -> Any:
        sum, count = flambeau.tensor(0.0), flambeau.tensor([0, 5])
        for row in x:
            sum += row.sum()
            count[0] += 1
        return sum, x * count[0]

    f = counted(total)
    for _ in range(3):
        x = flambeau.randn(4, 3)
        for got, wanted in zip(f(x), total(x)):
            assert_equal(got, wanted)
    assert runs() == 1

    f = flambeau.compile(lambda x: flambeau.from_numpy(numpy.ones(2)), replay=True)
    for _ in range(2):
        assert f(x).add_(1).tolist() == [2.0, 2.0]
    with pytest.raises(RuntimeError, match="memory of another library"):
        f(x)


def test_a_tensor_that_is_given_back_is_the_same() -> None:
    weight = nn.Parameter(flambeau.ones(2))
    f = counted(lambda x: (x, weight, x[:1], weight.detach()))
    x = flambeau.zeros(2, requires_grad=True)
    for _ in range(3):
        same, parameter, part, detached = f(x)
        assert same is x and parameter is weight
        assert part.data_ptr() == x.data_ptr() and part.requires_grad
        assert detached.data_ptr() == weight.data_ptr() and not detached.requires_grad
    assert runs() == 1


def test_variables_that_a_call_makes_require_grad() -> None:
    f = counted(lambda x: (flambeau.tensor([1.0], requires_grad=True), (x * 2).requires_grad_()))
    for _ in range(3):
        for variable in f(flambeau.ones(2)):
            assert variable.requires_grad and variable.is_leaf
            variable.sum().backward()
            assert variable.grad is not None
    assert runs() == 1


def test_functions_of_the_library_that_are_held() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.activation = F.gelu

        def forward(self, x: Any) -> Any:
            return self.activation(x) + flambeau.exp(x)

    x = flambeau.randn(7)
    assert_equal(flambeau.compile(Net(), replay=True)(x), F.gelu(x) + flambeau.exp(x))
    assert_equal(flambeau.compile(flambeau.exp, replay=True)(x), flambeau.exp(x))


def test_grad_mode_is_part_of_the_signature() -> None:
    weight = nn.Parameter(flambeau.ones(2))
    f = counted(lambda: weight * 2)
    for _ in range(2):
        assert f().requires_grad
        with flambeau.no_grad():
            assert not f().requires_grad
    assert runs() == 2


def test_backward_of_a_result_says_what_to_do() -> None:
    weight = nn.Parameter(flambeau.ones(2))
    f = flambeau.compile(lambda: (weight * 2).sum(), replay=True)
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"replay=True keeps no tape; call backward\(\)"):
            f().backward()


def test_dropout_draws_anew() -> None:
    f = flambeau.compile(lambda x: F.dropout(F.dropout(x, 0.5), 0.5), replay=True)
    x = flambeau.ones(64)
    flambeau.manual_seed(3)
    expected = [F.dropout(F.dropout(x, 0.5), 0.5) for _ in range(4)]
    flambeau.manual_seed(3)
    results = [f(x) for _ in range(4)]
    for result, value in zip(results, expected):
        assert_equal(result, value)
    assert results[1].tolist() != results[2].tolist()


def test_numpy_memory_is_read_at_each_call() -> None:
    array = numpy.zeros(3, numpy.float32)
    tensor = flambeau.from_numpy(array)
    f = flambeau.compile(lambda: tensor + 1, replay=True)
    for value in range(4):
        array[:] = value
        assert f().tolist() == [value + 1.0] * 3


def read(x: Any) -> Any:
    return x * x.sum().item()


def test_reading_a_value_is_refused_where_it_happens() -> None:
    f = flambeau.compile(read, replay=True)
    with pytest.raises(RuntimeError, match="replay=True cannot be had here: a value is read") as e:
        f(flambeau.ones(2))
    assert e.traceback[-1].name == "read"
    for reader in (
        lambda x: x.numpy(),
        lambda x: x + 1 if x[0] > 0 else x,
        lambda x: (x + 1).tolist(),
        lambda x: print(x * 2),
        lambda x: flambeau.nonzero(x),
    ):
        with pytest.raises(RuntimeError, match="replay=True cannot be had here"):
            flambeau.compile(reader, replay=True)(flambeau.ones(2))
    # What was refused was recorded as any other work.
    x = flambeau.ones(2)
    with pytest.raises(RuntimeError, match="replay=True"):
        flambeau.compile(lambda x: x.add_(1).sum().item(), replay=True)(x)
    assert x.tolist() == [2.0, 2.0]


def test_host_kernels_are_replayed() -> None:
    def ranks(x: Any) -> Any:
        values, places = (x * 2).sort()
        return values.cumsum(0) + places, (x + 1).topk(2)[0]

    f = counted(ranks)
    for _ in range(3):
        x = flambeau.randn(5)
        for got, wanted in zip(f(x), ranks(x)):
            assert_equal(got, wanted)
    assert runs() == 1


def test_values_that_no_argument_changes_may_be_read() -> None:
    def positions(x: Any) -> Any:
        index = flambeau.arange(4)
        return x + index * int(index.max().item())

    f = counted(positions)
    for _ in range(3):
        x = flambeau.randn(4)
        assert_equal(f(x), positions(x))
    assert runs() == 1


def test_indices_are_checked_at_each_call() -> None:
    table = flambeau.randn(5, 2)
    f = counted(lambda index: F.embedding(index, table) + F.embedding(flambeau.arange(2), table))
    for values in ([0, 4], [1, 1]):
        index = flambeau.tensor(values)
        expected = F.embedding(index, table) + F.embedding(flambeau.arange(2), table)
        assert_equal(f(index), expected)
    with pytest.raises(IndexError):
        f(flambeau.tensor([0, 5]))
    assert runs() == 2  # which Python raises


def test_random_numbers_of_python_and_numpy_are_refused() -> None:
    for draw in (
        random.random,
        lambda: random.choice([1, 2]),
        random.Random(3).random,
        numpy.random.rand,
        numpy.random.default_rng(0).random,
    ):
        f = flambeau.compile(lambda x, draw=draw: x * float(draw()), replay=True)
        with pytest.raises(RuntimeError, match="draws from a generator of (Python|NumPy)"):
            f(flambeau.ones(2))
    with pytest.raises(RuntimeError, match="rand draws its numbers outside of the program"):
        flambeau.compile(lambda x: x + flambeau.rand(2), replay=True)(flambeau.ones(2))


class Model:
    def __init__(self) -> None:
        self.steps = 0
        self.last: Any = None
        self.scale = 2.0

    def count(self, x: Any) -> Any:
        self.steps += 1
        return x * self.scale

    def keep(self, x: Any) -> Any:
        self.last = x * 2
        return self.last + 1


KEPT: list[Any] = []


def test_changing_python_is_refused_and_named() -> None:
    model = Model()
    f = flambeau.compile(model.count, replay=True)
    for _ in range(2):
        assert f(flambeau.ones(2)).tolist() == [2.0, 2.0]
    with pytest.raises(RuntimeError, match=r"\['steps'\] is 3, was 2"):
        f(flambeau.ones(2))
    f = flambeau.compile(model.keep, replay=True)
    for _ in range(2):
        assert f(flambeau.ones(2)).tolist() == [3.0, 3.0]
    with pytest.raises(RuntimeError, match=r"\['last'\] is a Tensor, was another one"):
        f(flambeau.ones(2))

    def hide(x: Any) -> Any:
        threading.current_thread().hidden = y = x * 3  # type: ignore[attr-defined]
        return y + 1

    f = flambeau.compile(hide, replay=True)
    for _ in range(2):
        assert f(flambeau.ones(2)).tolist() == [4.0, 4.0]
    with pytest.raises(
        RuntimeError, match=r"something outside holds what mul computed, float32\[2\]"
    ):
        f(flambeau.ones(2))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: x.t_(), r"float32\[2, 3\] is float32\[3, 2\], changed in place"),
        (lambda x: x.unsqueeze_(0), r"float32\[2, 3\] is float32\[1, 2, 3\], changed in place"),
        (lambda x: setattr(x, "data", x.data + 1), "in other memory"),
        (lambda x: x.requires_grad_(), "requires_grad has changed"),
    ],
)
def test_arguments_that_become_other_tensors_are_refused(change: Any, said: str) -> None:
    def step(x: Any, w: Any) -> Any:
        (w * w).sum().backward()
        change(x)
        return x.detach() * 2

    f = flambeau.compile(step, replay=True)
    for attempt in range(3):
        x, same = (flambeau.arange(6.0).reshape(2, 3) for _ in range(2))
        w = flambeau.ones(2, requires_grad=True)
        change(same)
        if attempt == 2:
            with pytest.raises(RuntimeError, match=said):
                f(x, w)
            continue
        assert_equal(f(x, w), same.detach() * 2)
        assert_equal(x, same)
        assert_equal(w.grad, flambeau.full((2,), 2.0))


def test_a_parameter_that_changes_its_shape_is_refused_with_its_gradient_whole() -> None:
    def step(w: Any) -> Any:
        (w * w).sum().backward()
        with flambeau.no_grad():
            w.unsqueeze_(0)
        return w.detach() * 2

    w = flambeau.ones(2, requires_grad=True)
    assert flambeau.compile(step, replay=True)(w).shape == (1, 2)
    assert w.shape == (1, 2) and w.grad.tolist() == [2.0, 2.0]


def test_a_call_that_records_nothing() -> None:
    f = counted(lambda x: (x, 3))
    x = flambeau.ones(2)
    for _ in range(6):
        same, three = f(x)
        assert three == 3 and same.tolist() == [1.0, 1.0]
        flambeau._C._compile_wait()
    assert runs() == 1


def test_a_constant_that_is_read_after_others_used_it_is_refused() -> None:
    """To read it, all that was recorded had to run: once."""

    def f(x: Any) -> Any:
        constant = flambeau.eye(3).sum()
        product = x * constant
        return product + constant.item()

    replayed = flambeau.compile(f, replay=True)
    for value in (1.0, 2.0):
        assert replayed(flambeau.full((2,), value)).tolist() == [3 * value + 3] * 2
        flambeau._C._compile_wait()
    with pytest.raises(RuntimeError, match="a value is read of what operations before the read"):
        replayed(flambeau.ones(2))


MAKES_MUCH = """
import flambeau as torch

first, last = torch.zeros(3), torch.zeros(3)

def step(x):
    first.add_(1)
    wide = torch.softmax(x.unsqueeze(1) * x, 0)
    narrow = (wide @ wide[:, :8]).sum(0)
    last.add_(narrow[:3])
    return narrow

x = torch.ones(4096)
spare, sizes = 1 << 24, ()
"""

PACKS_MUCH = """
import flambeau as torch

first, last = torch.zeros(3), torch.zeros(512, 4096)
a, b = torch.ones(512, 4096), torch.ones(4096, 4096)

def step(x):
    first.add_(x)
    torch.mm(a, b, out=last)
    return first.sum()

x = torch.ones(3)
spare, sizes = 1 << 10, (1 << 18, 1 << 14)
"""

# Calls `step` with `spare` more bytes than there are, and what is left of them in use by `sizes`.
SCARCE = """
import resource

replayed = torch.compile(step, replay=True)
for _ in range(4):
    replayed(x)
    torch._C._compile_wait()
schedules = torch._C._compile_stats()["schedules"]
assert schedules > 0
seen = last.clone()
last.equal(seen)
for size in sizes:
    torch.empty(size).fill_(0)
torch._C._empty_cache()
used = 1024 * int(next(l for l in open("/proc/self/status") if l.startswith("VmSize")).split()[1])
resource.setrlimit(resource.RLIMIT_AS, (used + spare, resource.RLIM_INFINITY))
held = []
for size in sizes:
    try:
        while True:
            held.append(torch.empty(size).fill_(0))
    except RuntimeError:
        pass
try:
    replayed(x)
except RuntimeError as error:
    print(error)
again = torch._C._compile_stats()["schedules"] == schedules
held.clear()
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(first.tolist(), last.equal(seen), again)
replayed(x)
print(first.tolist(), torch._C._compile_stats()["schedules"] == schedules + 1)
"""


@pytest.mark.parametrize("text", [MAKES_MUCH, PACKS_MUCH], ids=["what is made", "a product"])
def test_without_memory_what_was_called_before_has_happened(tmp_path: Path, text: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(text + SCARCE)
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    said, after, again = run.stdout.splitlines()
    assert "the system gave no CPU memory for" in said and "script.py:" in said, said
    assert after == "[5.0, 5.0, 5.0] True True", run.stderr
    assert again == "[6.0, 6.0, 6.0] True", run.stderr


def test_attributes_that_change_between_calls() -> None:
    model = Model()
    f = flambeau.compile(lambda x: x * model.scale, replay=True)
    for scale in (1.0, 2.0, 1.0, -0.0, 0.0):
        model.scale = scale
        for _ in range(2):
            x = flambeau.ones(2)
            assert_equal(f(x), x * scale)


def test_results_of_other_types_are_refused() -> None:
    f = flambeau.compile(lambda x: {x * 2}, replay=True)
    with pytest.raises(RuntimeError, match="the function returns a set"):
        f(flambeau.ones(2))


def test_an_argument_with_a_history_is_refused() -> None:
    x = nn.Parameter(flambeau.ones(2)) * 2
    with pytest.raises(RuntimeError, match=r"has a history \(grad_fn\)"):
        flambeau.compile(lambda x: x * 2, replay=True)(x)


def test_an_exception_half_way() -> None:
    def fail(x: Any) -> Any:
        x.mul_(2)
        raise KeyError("no")

    f = flambeau.compile(fail, replay=True)
    x = flambeau.ones(2)
    for i in range(1, 4):
        with pytest.raises(KeyError):
            f(x)
        assert x.tolist() == [2.0**i] * 2


def test_inside_another_compiled_function() -> None:
    inner = flambeau.compile(lambda x: x * 2 + 1, replay=True)
    outer = flambeau.compile(lambda x: inner(inner(x + 1)) - 1)
    whole = flambeau.compile(lambda x: inner(inner(x + 1)) - 1, replay=True)
    for _ in range(3):
        x = flambeau.randn(5)
        expected = ((x + 1) * 2 + 1) * 2 + 1 - 1
        assert_equal(outer(x), expected)
        assert_equal(whole(x), expected)


def test_threads_share_what_was_recorded() -> None:
    weight = flambeau.randn(8, 8)
    f = flambeau.compile(lambda x: (x @ weight).tanh().sum(1), replay=True)
    wrong = []

    def work(seed: int) -> None:
        for i in range(200):
            x = flambeau.full((4, 8), float(seed * 1000 + i)) / 5000
            if f(x).tolist() != (x @ weight).tanh().sum(1).tolist():
                wrong.append((seed, i))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_nothing_is_kept_alive() -> None:
    class Owner:
        def __init__(self) -> None:
            self.weight = flambeau.randn(3)
            self.step = flambeau.compile(lambda x: x * self.weight, replay=True)

    owner = Owner()
    for _ in range(3):
        owner.step(flambeau.ones(3))
    gone = weakref.ref(owner)
    del owner
    gc.collect()
    assert gone() is None


def test_as_a_decorator() -> None:
    @flambeau.compile(replay=True)
    def double(x: Any) -> Any:
        """Twice."""
        return x * 2

    assert double.__doc__ == "Twice." and double(flambeau.ones(2)).tolist() == [2.0, 2.0]
