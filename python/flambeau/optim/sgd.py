"""Stochastic gradient descent with momentum (Sutskever et al. 2013)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import flambeau
from flambeau.optim.optimizer import (
    Optimizer,
    all_as_real,
    check_not_negative,
    decayed,
    evaluate,
    fused,
)

__all__ = ["SGD"]


class SGD(Optimizer):
    """g += weight_decay * p; buf = momentum * buf + (1 - dampening) * g (the first time g);
    p -= lr * buf (with nesterov: lr * (g + momentum * buf)). One fused update over all parameters.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: Any = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_not_negative(
            lr=("learning rate", lr),
            momentum=("momentum value", momentum),
            weight_decay=("weight_decay value", weight_decay),
        )
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
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        super().__init__(params, defaults)
        if fused and differentiable:
            raise RuntimeError("`fused` does not support `differentiable`")

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = evaluate(closure)
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if group["differentiable"]:
                for parameter in params:
                    self._update(parameter, group)
            elif group["momentum"] == 0:
                self._fused(params, None, False, group)
            else:
                fresh = [p for p in params if self.state[p].get("momentum_buffer") is None]
                new = {*map(id, fresh)}
                for parameter in fresh:
                    self.state[parameter]["momentum_buffer"] = flambeau.zeros_like(parameter)
                for some, first in (
                    (fresh, True),
                    ([p for p in params if id(p) not in new], False),
                ):
                    buffers = [self.state[p]["momentum_buffer"] for p in some]
                    self._fused(some, buffers, first, group)
        return loss

    def _fused(
        self, params: list[Any], buffers: list[Any] | None, first: bool, group: dict[str, Any]
    ) -> None:
        if not params:
            return
        update, rate = fused("sgd", group)
        options: dict[str, Any] = {
            "lr": rate,
            "weight_decay": float(group["weight_decay"]),
            "maximize": group["maximize"],
        }
        grads = [parameter.grad for parameter in params]
        if buffers is None:
            update(*all_as_real(params, grads), **options)
            return
        update(
            *all_as_real(params, grads, buffers),
            momentum=group["momentum"],
            dampening=group["dampening"],
            nesterov=group["nesterov"],
            is_first_step=first,
            **options,
        )

    def _update(self, parameter: Any, group: dict[str, Any]) -> None:
        """One parameter's update by operations that autograd records."""
        grad = decayed(parameter, -parameter.grad if group["maximize"] else parameter.grad, group)
        momentum = group["momentum"]
        if momentum != 0:
            state = self.state[parameter]
            buffer = state.get("momentum_buffer")
            if buffer is None:
                buffer = grad.detach().clone()
            else:
                buffer = buffer * momentum + grad * (1 - group["dampening"])
            state["momentum_buffer"] = buffer
            grad = grad.add(buffer, alpha=momentum) if group["nesterov"] else buffer
        parameter.add_(grad * -group["lr"])
