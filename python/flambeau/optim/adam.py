"""Adam (Kingma & Ba 2015) and AdamW (Loshchilov & Hutter 2019).

Every variant but differentiable is one fused update over all parameters of a group, whatever
`fused`, `foreach` and `capturable` say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import flambeau
from flambeau.optim.optimizer import (
    Optimizer,
    all_as_real,
    check_betas,
    check_not_negative,
    decayed,
    evaluate,
    fused,
    zero_step,
)

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    """m = lerp(m, g, 1 - beta1); v = beta2 v + (1 - beta2) g^2;
    p -= lr / (1 - beta1^t) * m / (sqrt(v / (1 - beta2^t)) + eps), with g += weight_decay * p first.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: Any = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        if isinstance(lr, flambeau.Tensor) and lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        check_not_negative(lr=("learning rate", lr), eps=("epsilon value", eps))
        check_betas(betas)
        check_not_negative(weight_decay=("weight_decay value", weight_decay))
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
        if fused and differentiable:
            raise RuntimeError("`fused` does not support `differentiable`")
        if fused and foreach:
            raise RuntimeError("`fused` and `foreach` cannot be `True` together.")

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = evaluate(closure)
        for group in self.param_groups:
            params, grads, states = [], [], []
            for parameter in group["params"]:
                grad = parameter.grad
                if grad is None:
                    continue
                params.append(parameter)
                grads.append(grad)
                states.append(self.state[parameter] or self._make_state(parameter, group))
            if not params:
                continue
            flambeau._foreach_add_([state["step"] for state in states], 1)
            self._step(params, grads, states, group)
        return loss

    def _make_state(self, parameter: Any, group: dict[str, Any]) -> dict[str, Any]:
        state = self.state[parameter]
        state["step"] = zero_step()
        state["exp_avg"] = flambeau.zeros_like(parameter).detach()
        state["exp_avg_sq"] = flambeau.zeros_like(parameter).detach()
        if group["amsgrad"]:
            state["max_exp_avg_sq"] = flambeau.zeros_like(parameter).detach()
        return state

    def _step(
        self,
        params: list[Any],
        grads: list[Any],
        states: list[dict[str, Any]],
        group: dict[str, Any],
    ) -> None:
        if group["differentiable"]:
            for parameter, state in zip(params, states):
                self._update(parameter, state, group)
            return
        update, rate = fused("adamw" if group["decoupled_weight_decay"] else "adam", group)
        params, grads, *moments = all_as_real(
            params,
            grads,
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            *([[state["max_exp_avg_sq"] for state in states]] if group["amsgrad"] else []),
        )
        update(
            params,
            grads,
            *moments,
            [state["step"] for state in states],
            lr=rate,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            weight_decay=float(group["weight_decay"]),
            eps=group["eps"],
            maximize=group["maximize"],
        )

    def _update(self, parameter: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        """One parameter's update by operations, with amsgrad's largest second moment so far (Reddi
        et al. 2018).
        """
        beta1, beta2 = group["betas"]
        step = state["step"].item()
        grad = -parameter.grad if group["maximize"] else parameter.grad
        grad = decayed(parameter, grad, group, group["decoupled_weight_decay"])
        mean = state["exp_avg"].lerp(grad, 1 - beta1)
        square = state["exp_avg_sq"] * beta2 + grad * grad * (1 - beta2)
        self._store(state, "exp_avg", mean, group)
        self._store(state, "exp_avg_sq", square, group)
        if group["amsgrad"]:
            square = flambeau.maximum(state["max_exp_avg_sq"], square)
            self._store(state, "max_exp_avg_sq", square, group)
        # The square root has no gradient at 0.
        guard = 1e-30 * (square == 0) if group["differentiable"] else 0.0
        scale = (square + guard).sqrt() / (1 - beta2**step) ** 0.5 + group["eps"]
        parameter.add_(mean / scale * (-group["lr"] / (1 - beta1**step)))

    def _store(self, state: dict[str, Any], name: str, value: Any, group: dict[str, Any]) -> None:
        if group["differentiable"]:
            state[name] = value
        else:
            state[name].copy_(value)


class AdamW(Adam):
    """Adam with the weight decay applied to the parameter: p *= 1 - lr * weight_decay."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: Any = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True
