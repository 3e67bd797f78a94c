"""`flambeau.compile`: what a program does while it is recorded gives the bits of eager calls."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import flambeau as torch
import numpy as np
import pytest
from flambeau import nn

F = nn.functional


def bits(value: Any) -> Any:
    """What is compared: the bytes of tensors in nested lists."""
    if isinstance(value, torch.Tensor):
        return (
            str(value.dtype),
            tuple(value.shape),
            value.stride(),
            value.detach().numpy().tobytes(),
        )
    if isinstance(value, (list, tuple)):
        return [bits(item) for item in value]
    if isinstance(value, np.ndarray):
        return value.tobytes()
    return value


def identity(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def same(program: Callable[[Callable[..., Any]], Any]) -> None:
    """`program(wrap)` gives the same with `wrap` the identity and flambeau.compile, repeatedly."""
    torch.manual_seed(0)
    eager = bits(program(identity))
    for _ in range(3):
        torch.manual_seed(0)
        assert bits(program(torch.compile)) == eager
        torch.compiler.flush()
        torch._C._compile_wait()  # from then on regions run as one program


class Net(nn.Module):
    def __init__(self, width: int = 12) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(5, width),
            nn.GELU(),
            nn.LayerNorm(width),
            nn.Dropout(0.25),
            nn.Linear(width, 3),
        )

    def forward(self, x: Any) -> Any:
        return self.body(x)


def train(wrap: Callable[..., Any], reads: bool) -> Any:
    net = Net()
    model = wrap(net)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    losses = []
    for step in range(5):
        x, y = torch.randn(4 + step % 2, 5), torch.randint(0, 3, (4 + step % 2,))
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 0.5)
        optimizer.step()
        losses.append(loss.item() if reads else loss)
    return losses, list(net.parameters()), [p.grad for p in net.parameters()]


@pytest.mark.parametrize("reads", [True, False])
def test_train_steps(reads: bool) -> None:
    same(lambda wrap: train(wrap, reads))


def test_branches_on_values_and_loops() -> None:
    def program(wrap: Callable[..., Any]) -> Any:
        @wrap
        def step(x: Any) -> Any:
            total = x
            while total.abs().sum() < 100:
                total = total * 1.5 + 1 if total.sum() > 0 else total * 2 - 1
            return total, bool((total > 0).any()), int(total.argmax())

        return [step(torch.randn(6)) for _ in range(4)]

    same(program)


def test_in_place_on_views_and_data() -> None:
    def program(wrap: Callable[..., Any]) -> Any:
        @wrap
        def step(x: Any, weight: Any) -> Any:
            y = x * 2
            y[:, 1] = x[:, 0] * 3
            y.t()[2].add_(1)
            row = y[1]
            row.mul_(-1)
            z = (y * weight).sum(1)
            y += z.unsqueeze(1)
            weight.data.mul_(0.5)
            with torch.no_grad():
                weight[0] += y.mean()
            return y, row, z

        weight = torch.randn(4)
        outputs = [step(torch.randn(3, 4), weight) for _ in range(3)]
        return outputs, weight

    same(program)


def test_what_is_written_where_it_was_read() -> None:
    def program(wrap: Callable[..., Any]) -> Any:
        @wrap
        def shift(x: Any, y: Any) -> None:
            head = x[:, :3]
            head[1:] = head[:-1].clone()
            old_x, old_y = x.clone(), y.clone()
            x.copy_(old_y)
            y.copy_(old_x)

        x, y = torch.randn(5, 5), torch.randn(5, 5)
        shift(x, y)
        return x, y

    same(program)


@pytest.mark.parametrize("columns", [100, 5000])
def test_a_chain_is_normalised_where_it_was_read(columns: int) -> None:
    # The passes over a row share what the first one computes, and the row is read again at the end.
    def program(wrap: Callable[..., Any]) -> Any:
        @wrap
        def chain(x: Any, y: Any) -> None:
            hidden = F.dropout(F.gelu(x) + y, 0.1)
            x.copy_(F.layer_norm(hidden, (columns,)) + x)

        x, y = torch.randn(6, columns), torch.randn(columns)
        for _ in range(4):
            chain(x, y)
            x.sum().item()
        return x

    same(program)


def test_a_chain_joins_the_kernel_of_its_normalisation() -> None:
    def chain(x: Any, y: Any) -> Any:
        return F.layer_norm(F.dropout(F.gelu(x), 0.1) + y, x.shape[1:])

    text = str(torch.compiler.explain(chain)(torch.randn(512, 1024), torch.randn(512, 1024)))
    assert "4 runs (0 unneeded) in 1 regions, 1 launches" in text, text


def test_two_views_of_one_storage_are_written_in_order() -> None:
    def program(wrap: Callable[..., Any]) -> Any:
        @wrap
        def step(x: Any) -> Any:
            y = x.sigmoid()
            torch.add(y.clone(), 1, out=y.mT)
            z = x.exp()
            torch.add(z.clone(), 1, out=z.t())
            return y, z

        return step(torch.randn(4, 4))

    same(program)


def test_in_place_through_autograd() -> None:
    def program(wrap: Callable[..., Any]) -> Any:
        @wrap
        def step(x: Any) -> Any:
            y = x * 2
            y[0].mul_(x[1])
            y[:, 1:].add_(x[:, :-1])
            return (y * y).sum()

        x = torch.randn(3, 4, requires_grad=True)
        loss = step(x)
        loss.backward()
        return loss, x.grad

    same(program)


def test_numpy_in_between() -> None:
    def program(wrap: Callable[..., Any]) -> Any:
        seen = []

        @wrap
        def step(x: Any) -> Any:
            y = x.sin()
            array = y.numpy()
            seen.append(array.copy())
            y.mul_(3)  # the array shows it at once
            seen.append(array.copy())
            z = y + 1
            array[0] = 7  # recorded reads were before
            seen.append(bits(y))
            return z + y

        return [step(torch.randn(4)) for _ in range(2)], seen

    same(program)


def test_arrays_that_change_after_a_recorded_read() -> None:
    def program(wrap: Callable[..., Any]) -> Any:
        array = np.arange(4, dtype=np.float32)
        shared = torch.from_numpy(array)

        @wrap
        def step() -> Any:
            y = shared * 2
            array[:] = 100
            return y + shared

        return step()

    same(program)


def test_static_buffers_refilled() -> None:
    def program(wrap: Callable[..., Any]) -> Any:
        buffer = torch.zeros(3)
        step = wrap(lambda: buffer * buffer + 1)
        outputs = []
        for i in range(4):
            buffer.copy_(torch.full((3,), float(i)))
            outputs.append(step())
        return outputs

    same(program)


def test_hooks_and_custom_functions() -> None:
    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x * x

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            (x,) = ctx.saved_tensors
            return gradient * 3 * x * x

    def program(wrap: Callable[..., Any]) -> Any:
        seen: list[Any] = []

        @wrap
        def step(x: Any) -> Any:
            y = Cube.apply(x)
            y.register_hook(lambda g: seen.append(g * 1) or g * 2)
            return (y + x).sum()

        x = torch.randn(5, requires_grad=True)
        x.register_hook(lambda g: seen.append(g + 0))
        step(x).backward()
        return x.grad, seen

    same(program)


def test_random_numbers() -> None:
    def program(wrap: Callable[..., Any]) -> Any:
        @wrap
        def step(x: Any) -> Any:
            y = F.dropout(x, 0.5) + torch.rand(3) + torch.randn(3)
            return y, torch.randperm(4), torch.bernoulli(torch.full((3,), 0.5)), y.normal_()

        return [step(torch.ones(3)) for _ in range(3)], torch.get_rng_state()

    same(program)


def test_an_exception_half_way_keeps_what_was_done() -> None:
    def program(wrap: Callable[..., Any]) -> Any:
        state = torch.zeros(2)

        @wrap
        def step(x: Any) -> Any:
            state.add_(x)
            if float(state.sum()) > 3:
                raise RuntimeError("too much")
            state.mul_(2)
            return state * 1

        def attempt() -> Any:
            try:
                return step(torch.ones(2))
            except RuntimeError as error:
                return str(error)

        return [attempt() for _ in range(4)], state

    same(program)


def test_errors_are_raised_where_they_arise() -> None:
    @torch.compile
    def step(x: Any, ids: Any) -> Any:
        y = x * 2
        return F.embedding(ids, y)

    with pytest.raises(IndexError):
        step(torch.randn(3, 2), torch.tensor([5]))
    with pytest.raises(RuntimeError, match="mm|matmul|linear"):
        torch.compile(lambda x: (x + 1) @ (x + 2))(torch.randn(2, 3))
    assert step(torch.ones(3, 2), torch.tensor([1])).tolist() == [[2.0, 2.0]]


def test_nested_generators_and_deletions() -> None:
    def program(wrap: Callable[..., Any]) -> Any:
        inner = wrap(lambda x: x.tanh() + 1)

        def parts(x: Any) -> Iterator[Any]:
            for i in range(3):
                y = inner(x + i)
                yield y
                del y

        @wrap
        def step(x: Any) -> Any:
            unused = x.exp()
            del unused
            return sum(part.sum() for part in parts(x))

        return step(torch.randn(3)), inner(torch.randn(2))

    same(program)


def test_module_state_that_changes_between_calls() -> None:
    class Counter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.calls = 0
            self.register_buffer("mean", torch.zeros(3))
            self.norm = nn.BatchNorm1d(3)

        def forward(self, x: Any) -> Any:
            self.calls += 1
            self.mean.lerp_(x.mean(0), 0.1)
            return self.norm(x) * self.calls + self.mean

    def program(wrap: Callable[..., Any]) -> Any:
        module = Counter()
        model = wrap(module)
        outputs = [model(torch.randn(4, 3)) for _ in range(3)]
        model.eval()
        return [*outputs, model(torch.randn(4, 3))], list(module.buffers()), module.calls

    same(program)


def test_accumulation_and_moving_averages() -> None:
    def program(wrap: Callable[..., Any]) -> Any:
        net = Net()
        model = wrap(net)
        averages = [p.detach().clone() for p in net.parameters()]
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        for _ in range(3):
            for _ in range(2):
                (model(torch.randn(2, 5)).square().mean() / 2).backward()
            optimizer.step()
            optimizer.zero_grad()
            with torch.no_grad():
                for average, parameter in zip(averages, net.parameters(), strict=True):
                    average.mul_(0.9).add_(parameter, alpha=0.1)
        return averages, list(net.parameters())

    same(program)


def test_layer_drop_and_experts() -> None:
    def program(wrap: Callable[..., Any]) -> Any:
        layers = nn.ModuleList([nn.Linear(4, 4) for _ in range(4)])

        @wrap
        def step(x: Any) -> Any:
            for layer in layers:
                if torch.rand(()) < 0.5:
                    x = x + layer(x)
            choice = x.argmax(-1)
            out = torch.zeros_like(x)
            for index, expert in enumerate(layers):
                mask = choice == index
                if mask.any():
                    out[mask] = expert(x[mask])
            return out

        outputs = []
        for _ in range(3):
            out = step(torch.randn(6, 4))
            out.sum().backward()
            outputs.append(out)
        return outputs, [p.grad for p in layers.parameters()]

    same(program)


@pytest.mark.parametrize("length", [700, 1000])
def test_a_long_unrolled_loop(length: int) -> None:
    def program(wrap: Callable[..., Any]) -> Any:
        cell = nn.Linear(4, 4)

        @wrap
        def step(x: Any) -> Any:
            h = torch.zeros(2, 4)
            for t in range(length):
                h = torch.tanh(cell(h) + x[t % 5] * 0.5 - 0.1)
            return h.sum()

        loss = step(torch.randn(5, 2, 4))
        loss.backward()
        return loss, list(cell.parameters()), [p.grad for p in cell.parameters()]

    same(program)


def test_several_threads() -> None:
    def work(wrap: Callable[..., Any], outputs: list[Any], index: int) -> None:
        net = nn.Linear(6, 6)
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.fill_(0.01 * (index + 1))
        model = wrap(net)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        for _ in range(5):
            optimizer.zero_grad()
            model(torch.ones(3, 6)).square().sum().backward()
            optimizer.step()
        outputs[index] = list(net.parameters())

    def program(wrap: Callable[..., Any]) -> Any:
        outputs: list[Any] = [None] * 4
        threads = [threading.Thread(target=work, args=(wrap, outputs, i)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return outputs

    same(program)


def test_another_thread_reads_what_is_pending() -> None:
    result = torch.compile(lambda x: x * 3 + 1)(torch.ones(4))
    values: list[Any] = []
    thread = threading.Thread(target=lambda: values.append((result + 1).tolist()))
    thread.start()
    thread.join()
    assert values == [[5.0] * 4]
    assert result.tolist() == [4.0] * 4


def test_a_child_of_fork_sees_what_was_pending() -> None:
    result = torch.compile(lambda x: x * 3)(torch.ones(2))
    child = os.fork()
    if child == 0:
        os._exit(0 if result.tolist() == [3.0, 3.0] else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert result.tolist() == [3.0, 3.0]


def test_memory_of_dropped_values_is_never_taken() -> None:
    @torch.compile
    def step(x: Any) -> Any:
        terabytes = x.unsqueeze(1) * x
        del terabytes
        return x + 1

    assert step(torch.ones(2**20))[0].item() == 2


def test_compiled_modules_are_modules() -> None:
    net = Net()
    model = torch.compile(net)
    assert model._orig_mod is net
    assert isinstance(model, nn.Module)
    assert list(model.state_dict()) == ["_orig_mod." + name for name in net.state_dict()]
    assert model.eval() is model
    assert not net.training
    model.extra = 3
    assert net.extra == 3
    x = torch.randn(2, 5)
    assert bits(model(x)) == bits(net(x))


def test_hooks_of_compiled_modules() -> None:
    net = nn.Linear(5, 2)
    model = torch.compile(net)
    seen = []
    net.register_forward_hook(lambda *_: seen.append("net"))
    model.register_forward_pre_hook(lambda *_: seen.append("before"))
    model.register_forward_hook(lambda module, args, result: result * 2)
    x = torch.randn(3, 5)
    assert bits(model(x)) == bits(2 * net(x))
    assert seen == ["before", "net", "net"]
    got: list[Any] = []
    model.register_full_backward_hook(lambda module, grads, outer: got.append(outer))
    model(x).sum().backward()
    assert [g.shape for g in got[0]] == [(3, 2)]


def test_copies_of_compiled_modules_are_compiled_alike() -> None:
    x = torch.randn(3, 5)
    for model in (torch.compile(Net(), replay=True), torch.compile(Net(), numerics="fast")):
        model.eval()
        for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert copied._orig_mod is not model._orig_mod
            assert copied.dynamo_ctx.keywords == model.dynamo_ctx.keywords
            for _ in range(2):
                assert bits(copied(x)) == bits(model(x))


def test_modules_compile_themselves() -> None:
    torch.manual_seed(0)
    net = Net()
    wanted = bits(Net.forward(net.eval(), torch.ones(2, 5)))
    seen = []
    net.register_forward_hook(lambda module, args, result: seen.append(result + 1))
    names = list(net.state_dict())
    assert net.compile(fullgraph=True) is None
    before = torch.compiler.stats()["runs"]
    result = net(torch.ones(2, 5))
    assert torch.compiler.stats()["runs"] == before, "it is recorded"
    assert bits(result) == wanted
    assert torch.compiler.stats()["runs"] == before + 1
    assert len(seen) == 1
    assert list(net.state_dict()) == names
    for copied in (copy.deepcopy(net), pickle.loads(pickle.dumps(Net().eval()))):
        before = torch.compiler.stats()["runs"]
        copied(torch.ones(2, 5))
        torch.compiler.flush()
        assert torch.compiler.stats()["runs"] == before, "copies are not compiled"
    inner = nn.Sequential(nn.Linear(5, 5), nn.ReLU())
    inner[0].compile()
    x = torch.randn(3, 5)
    assert bits(inner(x)) == bits((x @ inner[0].weight.t() + inner[0].bias).relu())
    inner[0].compile(disable=True)
    assert bits(inner(x)) == bits(torch.relu(F.linear(x, inner[0].weight, inner[0].bias)))


def test_arguments_are_those_of_torch_compile() -> None:
    @torch.compile(fullgraph=True, dynamic=True, backend="inductor", mode="max-autotune")
    def step(x: Any) -> Any:
        return x + 1

    assert step(torch.zeros(1)).item() == 1
    assert torch.compile(identity, disable=True) is identity
    with pytest.raises(RuntimeError, match="Unrecognized mode"):
        torch.compile(identity, mode="fastest")
    with pytest.raises(ValueError, match="numerics"):
        torch.compile(identity, numerics="sloppy")
    with pytest.raises(TypeError, match="expected a function or a Module"):
        torch.compile(3)


def test_explain_shows_programs_and_why_they_are_cut() -> None:
    net = Net()

    def step(x: Any) -> Any:
        loss = net(x).square().sum()
        loss.backward()
        return loss

    explanation = torch.compiler.explain(step)(torch.randn(4, 5))
    text = str(explanation)
    assert "program 0" in text
    assert "linear" in text
    assert "LayerNormBackward0" in text
    assert "apart: " in text
    assert 0 < explanation.launches < explanation.programs[0]["runs"] + 20
    page = explanation.html()
    assert "<svg" in page
    assert "http" not in page


def test_explain_a_script(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nimport flambeau as torch\n"
        "print(sys.argv[1:], torch.compile(lambda x: (x + 1).relu())(torch.ones(3)).tolist())\n"
    )
    command = [sys.executable, "-m", "flambeau", "explain", "--html", str(tmp_path / "page.html")]
    done = subprocess.run(
        [*command, str(script), "--flag"], capture_output=True, text=True, check=True
    )
    assert "['--flag'] [2.0, 2.0, 2.0]" in done.stdout
    assert "program 0: 2 runs" in done.stdout
    assert "<svg" in (tmp_path / "page.html").read_text()
    missing = subprocess.run([*command, "no.py"], capture_output=True, text=True, check=False)
    assert missing.returncode == 2
    assert "'no.py' cannot be read: No such file or directory" in missing.stderr
    script.write_text(
        "import sys\nimport flambeau as torch\n"
        "y = torch.compile(lambda x: x + 1)(torch.ones(3))\n"
        "if sys.argv[1] == 'pending': z = y * 2\n"
        "else: print(y.sum().item())\n"
        "if sys.argv[1] == 'exit': sys.exit(3)\n"
        "if sys.argv[1] == 'raise': raise RuntimeError('of the script')\n"
    )
    for how, status in (("exit", 3), ("raise", 1), ("pending", 0)):
        ended = subprocess.run(
            [*command, str(script), how], capture_output=True, text=True, check=False
        )
        assert ended.returncode == status
        assert "program 0: " in ended.stdout
        if how == "raise":
            assert f'Traceback (most recent call last):\n  File "{script}"' in ended.stderr
            assert ended.stderr.endswith("\nRuntimeError: of the script\n")
        else:
            assert ended.stderr == ""
        if how == "pending":
            assert "ended by the script's end\n" in ended.stdout


def test_a_disabled_function_leaves_nothing_pending() -> None:
    step = torch.compile(torch.compiler.disable(lambda x: x * 2 + 1))
    before = torch.compiler.stats()["runs"]
    result = step(torch.ones(2))
    assert torch.compiler.stats()["runs"] == before + 1
    assert result.tolist() == [3.0, 3.0]


def test_gradients_are_summed_in_place() -> None:
    table = torch.randn(4096, 32, requires_grad=True)
    index = torch.arange(64)

    def backward() -> None:
        table.grad = None
        embedding = nn.functional.embedding
        (embedding(index, table).sin().sum() + embedding(index + 5, table).sum()).backward()

    backward()
    expected = table.grad.clone()
    explanation = torch.compiler.explain(backward)()
    held = max(r["live_bytes"] for p in explanation.programs for r in p["regions"])
    assert held < 2.5 * 4 * table.numel()  # the sum has no memory of its own
    assert torch.equal(table.grad, expected)


def test_a_gradient_that_somebody_holds_is_not_summed_into() -> None:
    x = torch.ones(4, requires_grad=True)
    held = []

    class Hold(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            held.append(gradient * 3)
            return held[-1]

    shared = torch.full((4,), 5.0)
    y = Hold.apply(x)
    z = Hold.apply(x)
    (y.sum() + 2 * z.sum() + (x * shared).sum()).backward()
    assert sorted(h.tolist()[0] for h in held) == [3.0, 6.0]
    assert shared.tolist() == [5.0] * 4 and x.grad.tolist() == [14.0] * 4


def test_fast_numerics_round_less_and_leave_exact_programs_alone() -> None:
    torch.manual_seed(0)
    x = torch.randn(300, 70)
    halves = x.bfloat16()

    def function(x: torch.Tensor, halves: torch.Tensor) -> torch.Tensor:
        chain = ((halves * 0.3 + halves) * halves + 1.0).float()
        return torch.softmax(x * x + x, -1) + chain

    want = function(x, halves)
    exact, fast = torch.compile(function), torch.compile(function, numerics="fast")
    replayed = torch.compile(function, numerics="fast", replay=True)
    for _ in range(3):  # the first may run op by op
        results = [f(x, halves) for f in (fast, exact, replayed)]
        [float(result[0, 0]) for result in results]
        torch._C._compile_wait()
    assert (results[1] == want).all()
    for result in (results[0], results[2]):
        assert (result != want).any()
        torch.testing.assert_close(result, want, rtol=0.02, atol=0.02)
    double = function(x.double(), halves.double())
    assert (results[0] - double).abs().mean() < (want - double).abs().mean()


def test_fast_numerics_divide_by_the_least_numbers() -> None:
    x = torch.tensor([[1e-40, 2e-40, 0, 3e-40], [1, 2, 3, 4], [1e38, 1e38, 0, 1e37]])
    tiny = torch.tensor([[2e-320, 1e-319, 0]], dtype=torch.float64)
    functions: list[Callable[[torch.Tensor], torch.Tensor]] = [
        lambda x: x / x.sum(-1, keepdim=True),
        lambda x: (x * 1.5) / x.amax(-1, keepdim=True),
        lambda x: x / (x.norm(dim=-1, keepdim=True) + 1e-40),
        lambda x: (x + 1e-41) / 1e-39,
    ]
    for function in functions:
        for values in (x, tiny):
            fast = torch.compile(function, numerics="fast")(values)
            assert torch.allclose(fast, function(values), rtol=1e-5)


def test_fast_numerics_hold_for_what_follows_but_not_in_an_exact_function_inside() -> None:
    x = torch.randn(4000)

    def poly(x: torch.Tensor) -> torch.Tensor:
        return (x * x + 0.1) * x + 0.3

    def bits_differ(step) -> bool:
        for _ in range(3):
            result = step()
            float(result[0])
            torch._C._compile_wait()
        return bool((result != poly(x)).any())

    fast = torch.compile(lambda f: f(x), numerics="fast")
    exact = torch.compile(poly)
    assert bits_differ(lambda: fast(poly))
    assert not bits_differ(lambda: fast(exact))
    assert bits_differ(lambda: poly(fast(lambda x: x + 0.0)))


def test_fast_numerics_hold_for_nothing_beside_what_they_computed() -> None:
    x = torch.randn(4000)

    def poly(x: torch.Tensor) -> torch.Tensor:
        return (x * x + 0.1) * x + 0.3

    fast = torch.compile(poly, numerics="fast")
    want = poly(x)
    for _ in range(4):  # the first may run op by op, later ones follow the first
        result = fast(x)
        beside = poly(x)  # of what is pending, as it is read there
        over = fast(x)
        torch.add(x, 0, out=over)
        after = poly(over)
        assert (beside == want).all() and (after == want).all()
        assert torch.allclose(result, want, rtol=1e-5, atol=1e-5)
        torch._C._compile_wait()
    assert (result != want).any()
