"""Stochastic gradient descent with momentum (Sutskever et al. 2013)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import flambeau
from flambeau.optim.optimizer import Optimizer, evaluate

__all__ = ["SGD"]


class SGD(Optimizer):
    """g += weight_decay * p; buf = momentum * buf + (1 - dampening) * g (the first time g);
    p -= lr * buf (with nesterov: lr * (g + momentum * buf)). One fused update over all parameters.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        if not lr >= 0.0:
            raise ValueError(f"Invalid learning rate: {lr}")
        if not momentum >= 0.0:
            raise ValueError(f"Invalid momentum value: {momentum}")
        if not weight_decay >= 0.0:
            raise ValueError(f"Invalid weight_decay value: {weight_decay}")
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        if differentiable:
            raise NotImplementedError("SGD: differentiable=True is not provided")
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = evaluate(closure)
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            fresh = [p for p in params if self.state[p].get("momentum_buffer") is None]
            known = [p for p in params if self.state[p].get("momentum_buffer") is not None]
            if group["momentum"] == 0:
                fresh, known = [], params
            for parameter in fresh:
                self.state[parameter]["momentum_buffer"] = flambeau.zeros_like(parameter)
            for some, is_first_step in ((fresh, True), (known, False)):
                if not some:
                    continue
                options = {
                    "lr": float(group["lr"]),
                    "weight_decay": group["weight_decay"],
                    "maximize": group["maximize"],
                }
                grads = [parameter.grad for parameter in some]
                if group["momentum"] == 0:
                    flambeau._fused_sgd_(some, grads, **options)
                    continue
                flambeau._fused_sgd_(
                    some,
                    grads,
                    [self.state[p]["momentum_buffer"] for p in some],
                    momentum=group["momentum"],
                    dampening=group["dampening"],
                    nesterov=group["nesterov"],
                    is_first_step=is_first_step,
                    **options,
                )
        return loss
