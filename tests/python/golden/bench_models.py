"""The models of bench/models, small and without dropout: losses, gradients and weights of train steps, and inference."""

from __future__ import annotations

import pathlib
import sys
from typing import Any

import torch
from common import case

sys.path.insert(0, str(pathlib.Path(__file__).parents[3] / "bench"))
from models import bert, gpt, gpt2, mlp, training


def summary(tensor: Any) -> list[Any]:
    """The norm and some elements."""
    flat = tensor.detach().reshape(-1)
    return [flat.norm().item(), flat[:: max(1, flat.numel() // 3)]]


def follow(kind: Any, size: dict[str, Any], batch: dict[str, Any]) -> list[Any]:
    torch.manual_seed(0)
    model = kind.build(torch, **size)
    batches = [kind.batch(torch, **batch) for _ in range(3)]
    model.eval()
    logits = model(*batches[0][0])
    kind.loss_of(torch, logits, batches[0][1]).backward()
    rows = [[name, summary(p), summary(p.grad)] for name, p in model.named_parameters()]
    rows.append(["inference", summary(training.inference(torch, model, batches[1][0])())])
    step = training.train_step(torch, kind, model, *batches[0])
    rows.append(["losses", [step(*b) for b in batches]])
    return rows + [[name, summary(p)] for name, p in model.named_parameters()]


@case
def bert_steps() -> Any:
    size = {"layers": 2, "width": 24, "heads": 3, "vocabulary": 61, "context": 16, "dropout": 0.0}
    return follow(bert, size, {"size": 3, "time": 11, "vocabulary": 61})


@case
def gpt2_steps() -> Any:
    size = {"layers": 2, "width": 24, "heads": 3, "vocabulary": 61, "context": 16, "dropout": 0.0}
    return follow(gpt2, size, {"size": 2, "time": 13, "vocabulary": 61})


@case
def gpt_steps() -> Any:
    size = {"layers": 2, "width": 32, "heads": 2, "context": 16}
    return follow(gpt, size, {"size": 3, "time": 16})


@case
def mlp_steps() -> Any:
    return follow(mlp, {"width": 12}, {"size": 5, "width": 12})
