"""What is measured of compiled programs. A name is "WHAT, HOW" with HOW one of eager, compiled and
replay; worker.py runs it on either side."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from cases import Case
from models import bert, gpt, gpt2, mlp, training

MODELS: dict[str, tuple[ModuleType, dict[str, Any]]] = {
    "BERT": (bert, {}),
    "GPT-2": (gpt2, {}),
    "GPT": (gpt, {"dropout": 0.1}),
    "MLP": (mlp, {}),
}
CASES: dict[str, Case] = {}


def compiler(torch: Any, how: str) -> Callable[[Any], Any]:
    """What a function or model is wrapped in; without a `compile` nothing, so the row is eager."""
    compile = getattr(torch, "compile", None)
    if how == "eager" or compile is None:
        return lambda f: f
    return compile if how == "compiled" else lambda f: compile(f, replay=True)


def make_model(torch: Any, name: str) -> tuple[ModuleType, Any]:
    kind, options = MODELS[name]
    torch.manual_seed(0)
    return kind, kind.build(torch, **options)


def train_step(torch: Any, name: str, how: str, **size: int) -> Callable[[], Any]:
    kind, model = make_model(torch, name)
    batch = kind.batch(torch, **size)
    return training.train_step(torch, kind, model, *batch, compiler(torch, how))


def two_tokens(torch: Any, name: str, how: str) -> Callable[[], Any]:
    """What a step costs but for the work on its tokens."""
    return train_step(torch, name, how, size=1, time=2)


def mlp_steps(torch: Any, how: str) -> Callable[[], Any]:
    step = train_step(torch, "MLP", how)
    return lambda: [step() for _ in range(20)]


def replayed_mlp_steps(torch: Any, how: str) -> Callable[[], Any]:
    """The whole step is given to the compiler; the loss is read outside."""
    kind, model = make_model(torch, "MLP")
    inputs, targets = kind.batch(torch)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, fused=True)

    def step(*inputs: Any) -> Any:
        loss = kind.loss_of(torch, model(*inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    wrapped = compiler(torch, how)(step)
    return lambda: [wrapped(*inputs).item() for _ in range(20)]


def inference(torch: Any, name: str, how: str) -> Callable[[], Any]:
    kind, model = make_model(torch, name)
    inputs, _ = kind.batch(torch, size=1)
    run = training.inference(torch, model, inputs, compiler(torch, how))
    return lambda: run().sum().item() if name == "MLP" else run()[0, -1, 0].item()


MASKED = (8, 12, 256, 256)
ROWS = (4096, 1024)


def masked_softmax(torch: Any, how: str) -> Callable[[], Any]:
    x = torch.randn(*MASKED)
    mask = torch.rand(MASKED[0], 1, 1, MASKED[3]) < 0.2

    def chain(x: Any) -> Any:
        return torch.nn.functional.softmax(x.masked_fill(mask, -1e9), dim=-1)

    return read_of(compiler(torch, how)(chain), x)


def long_chain(torch: Any, how: str) -> Callable[[], Any]:
    functional = torch.nn.functional
    x, residual = torch.randn(*ROWS), torch.randn(*ROWS)
    bias, weight, shift = torch.randn(ROWS[1]), torch.randn(ROWS[1]), torch.randn(ROWS[1])

    def chain(x: Any, residual: Any) -> Any:
        hidden = functional.dropout(functional.gelu(x) + bias, 0.1)
        return functional.layer_norm(hidden + residual, ROWS[1:], weight, shift)

    return read_of(compiler(torch, how)(chain), x, residual)


def read_of(function: Callable[..., Any], *inputs: Any) -> Callable[[], Any]:
    def run() -> Any:
        return function(*inputs).flatten()[0].item()  # what was recorded runs

    return run


ADAMW_ELEMENTS = 110 * 10**6


def adamw(torch: Any, how: str) -> Callable[[], Any]:
    """The parameters of a model of 110 M, each with a gradient."""
    shapes = [(30522, 768)] + [(768, 3072), (3072, 768)] * 12 + [(768, 768)] * 48
    missing = ADAMW_ELEMENTS - sum(a * b for a, b in shapes)
    shapes += [(768,)] * (missing // 768)
    parameters = [torch.nn.Parameter(torch.randn(*shape)) for shape in shapes]
    for p in parameters:
        p.grad = torch.randn(*p.shape)
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, fused=True)
    step = compiler(torch, how)(lambda: optimizer.step())

    def run() -> Any:
        step()
        return parameters[0].detach()[0, 0].item()

    for _ in range(3):  # the state is made, and what is left of a step by the read is known
        run()
    return run


def small_ops(torch: Any, how: str) -> Callable[[], Any]:
    """500 operations on small tensors: what is known is found again."""
    x = torch.randn(4)

    def chain(x: Any) -> Any:
        for _ in range(250):
            x = x * 0.5 + 1.0
        return x

    return read_of(compiler(torch, how)(chain), x)


def read(torch: Any, how: str) -> Callable[[], Any]:
    x = torch.randn(2**28)
    return lambda: x.sum().item()


def copy(torch: Any, how: str) -> Callable[[], Any]:
    """256 MB are read and 256 MB written."""
    a, b = torch.randn(2**26), torch.randn(2**26)
    return lambda: b.copy_(a)


def _add() -> None:
    def case(what: str, make: Callable[..., Any], *arguments: Any) -> None:
        for how in ("eager", "compiled", "replay"):
            setup = lambda torch, how=how: make(torch, *arguments, how)  # noqa: E731
            CASES[f"{what}, {how}"] = Case(setup)

    for name in ("BERT", "GPT-2", "GPT"):
        case(f"{name} train step", train_step, name)
        case(f"{name} train step of 2 tokens", two_tokens, name)
    for name in MODELS:
        case(f"{name} inference", inference, name)
    case("MLP train step x 20", mlp_steps)
    case("MLP train step as a whole x 20", replayed_mlp_steps)
    case("masked_fill + softmax", masked_softmax)
    case("gelu-bias-dropout-residual-layer_norm", long_chain)
    case("AdamW of 110 M", adamw)
    case("500 small operations", small_ops)
    case("read of 1 GB", read)
    case("copy of 256 MB", copy)


_add()
