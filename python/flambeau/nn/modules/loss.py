"""Losses as modules. Each calls the function of nn.functional with its stored arguments."""

from __future__ import annotations

from typing import Any

from flambeau import Tensor
from flambeau.nn import functional as F
from flambeau.nn.modules.module import Module

# class name: (function of nn.functional, buffers, arguments with their defaults)
_TABLE: dict[str, tuple[str, tuple[str, ...], dict[str, Any]]] = {
    "BCELoss": ("binary_cross_entropy", ("weight",), {}),
    "BCEWithLogitsLoss": ("binary_cross_entropy_with_logits", ("weight", "pos_weight"), {}),
    "CosineEmbeddingLoss": ("cosine_embedding_loss", (), {"margin": 0.0}),
    "CrossEntropyLoss": (
        "cross_entropy",
        ("weight",),
        {"ignore_index": -100, "label_smoothing": 0.0},
    ),
    "HingeEmbeddingLoss": ("hinge_embedding_loss", (), {"margin": 1.0}),
    "HuberLoss": ("huber_loss", (), {"delta": 1.0}),
    "KLDivLoss": ("kl_div", (), {"log_target": False}),
    "L1Loss": ("l1_loss", (), {}),
    "MSELoss": ("mse_loss", (), {}),
    "MarginRankingLoss": ("margin_ranking_loss", (), {"margin": 0.0}),
    "NLLLoss": ("nll_loss", ("weight",), {"ignore_index": -100}),
    "SmoothL1Loss": ("smooth_l1_loss", (), {"beta": 1.0}),
    "SoftMarginLoss": ("soft_margin_loss", (), {}),
}


class _Loss(Module):
    function: str
    buffer_names: tuple[str, ...]
    defaults: dict[str, Any]

    def __init__(self, *args: Any, reduction: str = "mean", **kwargs: Any) -> None:
        super().__init__()
        if "size_average" in kwargs or "reduce" in kwargs:
            raise TypeError(
                f"{type(self).__name__}: size_average and reduce are replaced by reduction="
            )
        names = [*self.buffer_names[:1], *self.defaults, *self.buffer_names[1:]]
        values = dict(zip(names, args))
        for name, value in kwargs.items():
            if name not in names or name in values:
                raise TypeError(
                    f"{type(self).__name__}.__init__() got an unexpected keyword argument '{name}'"
                )
            values[name] = value
        for name in self.buffer_names:
            self.register_buffer(name, values.get(name))
        for name, default in self.defaults.items():
            setattr(self, name, values.get(name, default))
        self.reduction = reduction

    def forward(self, *inputs: Tensor) -> Tensor:
        arguments = {name: getattr(self, name) for name in (*self.buffer_names, *self.defaults)}
        return getattr(F, self.function)(*inputs, **arguments, reduction=self.reduction)


def _make(name: str, row: tuple[str, tuple[str, ...], dict[str, Any]]) -> type[_Loss]:
    function, buffers, defaults = row
    fields = {
        "function": function,
        "buffer_names": buffers,
        "defaults": defaults,
        "__doc__": f"nn.functional.{function} as a module.",
        "__module__": __name__,
    }
    return type(name, (_Loss,), fields)


for _name, _row in _TABLE.items():
    globals()[_name] = _make(_name, _row)

__all__ = [*_TABLE]
