"""A multi-layer perceptron, small enough that only the host's work counts."""

from __future__ import annotations

from typing import Any


def build(torch: Any, width: int = 64, hidden: int = 2, dropout: float = 0.0) -> Any:
    """model(x) gives (batch, width)."""
    nn = torch.nn
    layers: list[Any] = []
    for _ in range(hidden):
        layers += [nn.Linear(width, width), nn.ReLU()]
        if dropout > 0:
            layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers, nn.Linear(width, width))


def batch(torch: Any, size: int = 32, width: int = 64) -> Any:
    """The model's inputs, and the targets."""
    return (torch.randn(size, width),), torch.randn(size, width)


def loss_of(torch: Any, outputs: Any, targets: Any) -> Any:
    return torch.nn.functional.mse_loss(outputs, targets)
