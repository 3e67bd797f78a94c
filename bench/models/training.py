"""What is done with each model: a train step as people write it, and inference."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

Compile = Callable[[Any], Any]


def train_step(
    torch: Any,
    kind: ModuleType,
    model: Any,
    inputs: tuple[Any, ...],
    targets: Any,
    compile: Compile = lambda f: f,
    clip: float | None = 1.0,
    optimizer: Any = None,
) -> Callable[..., float]:
    """A function that trains `model`, of the module `kind` of this folder, by a step, and reads its
    loss. It takes another batch, too. Only the model is given to `compile`. The optimizer is
    AdamW unless one is given."""
    if optimizer is None:
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, fused=True)
    forward = compile(model)
    model.train()

    def step(inputs: tuple[Any, ...] = inputs, targets: Any = targets) -> float:
        loss = kind.loss_of(torch, forward(*inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        return loss.item()

    return step


def inference(
    torch: Any, model: Any, inputs: tuple[Any, ...], compile: Compile = lambda f: f
) -> Callable[[], Any]:
    forward = compile(model)
    model.eval()

    def run() -> Any:
        with torch.no_grad():
            return forward(*inputs)

    return run
