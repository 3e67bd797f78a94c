"""Adam (Kingma & Ba 2015) and AdamW (Loshchilov & Hutter 2019).

Every variant but amsgrad is one fused update over all parameters of a group, whatever `fused`,
`foreach` and `capturable` say.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import flambeau
from flambeau import Tensor
from flambeau.optim.optimizer import Optimizer, evaluate

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    """m = lerp(m, g, 1 - beta1); v = beta2 v + (1 - beta2) g^2;
    p -= lr / (1 - beta1^t) * m / (sqrt(v / (1 - beta2^t)) + eps), with g += weight_decay * p first.
    """

    _decoupled = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool | None = None,
    ) -> None:
        if not lr >= 0.0:
            raise ValueError(f"Invalid learning rate: {lr}")
        if not eps >= 0.0:
            raise ValueError(f"Invalid epsilon value: {eps}")
        for i, beta in enumerate(betas):
            if not 0.0 <= beta < 1.0:
                raise ValueError(f"Invalid beta parameter at index {i}: {beta}")
        if not weight_decay >= 0.0:
            raise ValueError(f"Invalid weight_decay value: {weight_decay}")
        if differentiable:
            raise NotImplementedError(f"{type(self).__name__}: differentiable=True is not provided")
        if decoupled_weight_decay is None:
            decoupled_weight_decay = self._decoupled
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = evaluate(closure)
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            for parameter in params:
                state = self.state[parameter]
                if not state:
                    state["step"] = flambeau.zeros((), dtype=flambeau.float32)
                    state["exp_avg"] = flambeau.zeros_like(parameter)
                    state["exp_avg_sq"] = flambeau.zeros_like(parameter)
                    if group["amsgrad"]:
                        state["max_exp_avg_sq"] = flambeau.zeros_like(parameter)
            by_step: defaultdict[float, list[Any]] = defaultdict(list)
            for parameter in params:
                step = self.state[parameter]["step"]
                step += 1
                by_step[step.item()].append(parameter)
            for step, some in by_step.items():
                self._update(group, some, step)
        return loss

    def _update(self, group: dict[str, Any], params: list[Any], step: float) -> None:
        states = [self.state[parameter] for parameter in params]
        grads = [parameter.grad for parameter in params]
        if group["amsgrad"]:
            for parameter, grad, state in zip(params, grads, states):
                _amsgrad(parameter, grad, state, group, step)
            return
        decoupled = group["decoupled_weight_decay"]
        update = flambeau._fused_adamw_ if decoupled else flambeau._fused_adam_
        update(
            params,
            grads,
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            lr=float(group["lr"]),
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            step=step,
            maximize=group["maximize"],
        )


def _amsgrad(
    parameter: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any], step: float
) -> None:
    """One parameter's update with the largest second moment so far (Reddi et al. 2018)."""
    lr, (beta1, beta2), decay = float(group["lr"]), group["betas"], group["weight_decay"]
    if group["maximize"]:
        grad = -grad
    if group["decoupled_weight_decay"]:
        parameter.mul_(1 - lr * decay)
    elif decay != 0:
        grad = grad + parameter * decay
    mean, square, largest = (state[k] for k in ("exp_avg", "exp_avg_sq", "max_exp_avg_sq"))
    mean.lerp_(grad, 1 - beta1)
    square.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    largest.copy_(flambeau.maximum(largest, square))
    scale = largest.sqrt() / (1 - beta2**step) ** 0.5 + group["eps"]
    parameter.addcdiv_(mean, scale, value=-lr / (1 - beta1**step))


class AdamW(Adam):
    """Adam with the weight decay applied to the parameter: p *= 1 - lr * weight_decay."""

    _decoupled = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, **options)
