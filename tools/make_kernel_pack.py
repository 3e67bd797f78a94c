#!/usr/bin/env python3
"""Makes the pack of compiled kernels that ships with the package.

    tools/make_kernel_pack.py FILE

Runs what common programs run (training steps of a GPT, a BERT, a GPT-2, an MLP and a small
convolutional network in float32 and bfloat16, as they are and compiled; every function of one to three tensors that the registry knows; reductions
along each axis) while every kernel is compiled for each instruction set, and writes them to FILE.
A program that uses other kernels compiles them at its first run, as before.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "bench"))

import flambeau
from flambeau import _C

# As its users see it; the models are written against PyTorch's names.
torch: Any = flambeau
nn = torch.nn
F = nn.functional
gpt: Any = importlib.import_module("models.gpt")
training: Any = importlib.import_module("models.training")

DTYPES = (torch.float32, torch.bfloat16)


def train(model: Any, inputs: Any, loss_of: Callable[[Any], Any]) -> None:
    """A step with each optimiser, and one in evaluation mode without gradients."""
    parameters = list(model.parameters())
    for optimizer in (
        torch.optim.AdamW(parameters, lr=1e-3),
        torch.optim.Adam(parameters, lr=1e-3),
        torch.optim.SGD(parameters, lr=1e-3),
        torch.optim.SGD(parameters, lr=1e-3, momentum=0.9),
    ):
        for _ in range(2):  # gradients are new, then added to
            loss_of(model(inputs)).backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    with torch.no_grad():
        loss_of(model(inputs)).item()


def language_model(dtype: Any) -> None:
    model = gpt.build(torch, layers=1).to(dtype)
    ids, targets = torch.randint(0, 256, (8, 256)), torch.randint(0, 256, (8 * 256,))
    train(model, ids, lambda logits: F.cross_entropy(logits.float().view(-1, 256), targets))
    with torch.no_grad():
        logits = model(ids[:1, :7])[:, -1].float()
        torch.multinomial((logits / 0.8).softmax(-1), 1)


def classify(y: Any, out: Any) -> Any:
    return F.cross_entropy(out.float(), y)


def perceptron(dtype: Any) -> None:
    # Sizes that fill vectors, and some that do not.
    for activation, width, hidden in (
        (nn.ReLU, 64, 128), (nn.GELU, 64, 128), (nn.Tanh, 64, 128), (nn.Sigmoid, 64, 128),
        (nn.SiLU, 64, 128), (nn.GELU, 20, 30),
    ):  # fmt: skip
        model = nn.Sequential(
            nn.Linear(width, hidden), activation(), nn.Dropout(0.1), nn.Linear(hidden, 10)
        ).to(dtype)
        x, y = torch.randn(32, width).to(dtype), torch.randint(0, 10, (32,))
        train(model, x, functools.partial(classify, y))
        train(model, x, lambda out: F.mse_loss(out, torch.zeros_like(out)))


def image_model() -> None:
    class Net(nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.weights = nn.ParameterList(
                [torch.randn(8, 3, 3, 3) * 0.1, torch.randn(16, 8, 3, 3) * 0.1]
            )
            self.head = nn.Linear(16 * 8 * 8, 10)

        def forward(self, x: Any) -> Any:
            for weight in self.weights:
                x = F.max_pool2d(F.conv2d(x, weight, padding=1).relu(), 2)
            return self.head(x.flatten(1))

    y = torch.randint(0, 10, (4,))
    train(Net(), torch.randn(4, 3, 32, 32), lambda out: F.cross_entropy(out, y))


def transformer(name: str, compile: Callable[[Any], Any]) -> None:
    """Steps of a model as it is written and compiled, whose kernels do several operations each; and
    inference."""
    kind: Any = importlib.import_module(f"models.{name}")
    model = kind.build(torch, layers=2, vocabulary=1000)
    inputs, targets = kind.batch(torch, vocabulary=1000)
    step = training.train_step(torch, kind, model, inputs, targets, compile)
    for _ in range(3):
        step()
    training.inference(torch, model, inputs, compile)().sum().item()


def operands(dtype: Any, count: int) -> Iterator[list[Any]]:
    """Tensors of one shape; and where there are two, the second a row, a column and one number."""

    def make(*shape: int) -> Any:
        if dtype.is_floating_point:
            return torch.rand(shape).to(dtype)
        return torch.randint(1, 5, shape).to(dtype)

    yield [make(48, 96) for _ in range(count)]
    if count == 1:
        yield [make(96, 48).t()]
    if count == 2:
        for shape in ((96,), (48, 1), ()):
            yield [make(48, 96), make(*shape)]


def every_function() -> Iterator[Callable[[], Any]]:
    """Calls of all functions that need only tensors, and of reductions along each axis."""
    for entry in _C._registry():
        required = [p for p in entry["parameters"] if not p["has_default"]]
        function = _C._functions.get(entry["name"])
        if function is None or not required or len(required) > 3 or entry["writes"]:
            continue
        tensors = [p for p in required if p["type"] == "Tensor"]
        names = {p["name"] for p in entry["parameters"]}
        dims = [p for p in entry["parameters"] if p["name"] == "dim"]
        if len(tensors) + len([p for p in required if p["name"] == "dim"]) != len(required):
            continue
        axes: list[dict[str, Any]] = [{}] if not any(p in required for p in dims) else []
        if "dim" in names:
            axes += [{"dim": 0}, {"dim": -1}]
        for dtype in (torch.float32, torch.bfloat16, torch.int64):
            for given in operands(dtype, len(tensors)):
                for axis in axes:
                    yield functools.partial(recorded, function, given, axis)


def recorded(function: Any, given: list[Any], options: dict[str, Any]) -> None:
    """The call, and its backward where there is one."""
    leaves = [x.detach().requires_grad_() if x.dtype.is_floating_point else x for x in given]
    result = function(*leaves, **options)
    if isinstance(result, torch.Tensor) and result.requires_grad:
        result.backward(torch.ones_like(result))


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    torch.manual_seed(0)
    _C._record_kernels()
    for dtype in DTYPES:
        language_model(dtype)
        perceptron(dtype)
    image_model()
    for name in ("bert", "gpt2"):
        transformer(name, lambda model: model)
        transformer(name, torch.compile)
    for dtype in DTYPES:
        train(
            torch.compile(gpt.build(torch, layers=2, dropout=0.1).to(dtype)),
            torch.randint(0, 256, (8, 256)),
            lambda logits: logits.float().logsumexp(-1).mean(),
        )
    warnings.simplefilter("ignore")
    for call in every_function():
        # What these operands do not fit refuses them, as it should.
        with contextlib.suppress(Exception):
            call()
    count = _C._write_recorded_kernels(sys.argv[1])
    size = Path(sys.argv[1]).stat().st_size
    print(f"{count} kernels, {size / 2**20:.1f} MiB in {sys.argv[1]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
