"""What is measured. Each case sets itself up and returns a function that does one repetition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from models import gpt

Case = Callable[[Any], Callable[[], Any]]


def _repeat(count: int, once: Callable[[], Any]) -> Callable[[], None]:
    def run() -> None:
        for _ in range(count):
            once()

    return run


def _train_step(torch: Any, model: Any, inputs: Any, loss_of: Callable[[Any], Any]) -> Any:
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, fused=True)

    def step() -> float:
        loss = loss_of(model(inputs))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def gpt_step(torch: Any) -> Callable[[], Any]:
    torch.manual_seed(0)
    model = gpt.build(torch)
    ids = torch.randint(0, 256, (8, 256))
    targets = torch.randint(0, 256, (8, 256)).view(-1)
    cross_entropy = torch.nn.functional.cross_entropy
    return _train_step(
        torch, model, ids, lambda logits: cross_entropy(logits.view(-1, 256), targets)
    )


def mlp_step(torch: Any) -> Callable[[], Any]:
    nn = torch.nn
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64)
    )
    x, y = torch.randn(32, 64), torch.randn(32, 64)
    step = _train_step(torch, model, x, lambda out: nn.functional.mse_loss(out, y))
    return _repeat(20, step)


def _matmul(size: int) -> Case:
    def case(torch: Any) -> Callable[[], Any]:
        a, b = torch.randn(size, size), torch.randn(size, size)
        return _repeat(max(1, (1024 // size) ** 3), lambda: a @ b)

    return case


def add4(torch: Any) -> Callable[[], Any]:
    a, b = torch.ones(4), torch.ones(4)
    return _repeat(5000, lambda: a + b)


def add4_grad(torch: Any) -> Callable[[], Any]:
    a, b = torch.ones(4, requires_grad=True), torch.ones(4)
    return _repeat(5000, lambda: a + b)


def _on_matrix(make: Callable[[Any], Callable[[Any], Any]]) -> Case:
    def case(torch: Any) -> Callable[[], Any]:
        x = torch.randn(4096, 1024)
        function = make(torch)
        return lambda: function(x)

    return case


CASES: dict[str, Case] = {
    "add of 4 elements x 5000": add4,
    "add of 4 elements, recorded x 5000": add4_grad,
    "MLP train step x 20": mlp_step,
    "matmul 512 x 8": _matmul(512),
    "matmul 1024": _matmul(1024),
    "matmul 2048": _matmul(2048),
    "gelu 4096 x 1024": _on_matrix(lambda torch: torch.nn.functional.gelu),
    "softmax 4096 x 1024": _on_matrix(lambda torch: lambda x: x.softmax(-1)),
    "layer_norm 4096 x 1024": _on_matrix(
        lambda torch: lambda x: torch.nn.functional.layer_norm(x, (1024,))
    ),
    "add 4096 x 1024": _on_matrix(lambda torch: lambda x: x + x),
    "sum(0) 4096 x 1024": _on_matrix(lambda torch: lambda x: x.sum(0)),
    "sum(1) 4096 x 1024": _on_matrix(lambda torch: lambda x: x.sum(1)),
    "transposed copy 4096 x 1024": _on_matrix(lambda torch: lambda x: x.t().contiguous()),
    "GPT train step": gpt_step,
}
