"""NAdam (Dozat 2016) and RAdam (Liu et al. 2020): Adam with another start."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import flambeau
from flambeau import Tensor
from flambeau.optim.optimizer import (
    PerParameter,
    check_betas,
    check_not_negative,
    decayed,
    zero_step,
)

__all__ = ["NAdam", "RAdam"]


def _moments(parameter: Tensor) -> dict[str, Any]:
    return {
        "exp_avg": flambeau.zeros_like(parameter).detach(),
        "exp_avg_sq": flambeau.zeros_like(parameter).detach(),
    }


class NAdam(PerParameter):
    """Adam with Nesterov's look ahead and a momentum that grows."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_not_negative(lr=("learning rate", lr), eps=("epsilon value", eps))
        check_betas(betas)
        check_not_negative(
            weight_decay=("weight_decay value", weight_decay),
            momentum_decay=("momentum_decay value", momentum_decay),
        )
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _fresh_state(self, parameter: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        return {"step": zero_step(), "mu_product": zero_step() + 1, **_moments(parameter)}

    def _update(
        self, parameter: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        grad = decayed(parameter, grad, group, group["decoupled_weight_decay"])
        (beta1, beta2), rate, step = group["betas"], float(group["lr"]), state["step"].item()

        def momentum(at: float) -> float:
            return beta1 * (1.0 - 0.5 * 0.96 ** (at * group["momentum_decay"]))

        now, after = momentum(step), momentum(step + 1)
        state["mu_product"] *= now
        product = state["mu_product"].item()
        mean = state["exp_avg"].lerp_(grad, 1 - beta1)
        square = state["exp_avg_sq"].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        size = (square / (1 - beta2**step)).sqrt() + group["eps"]
        parameter.addcdiv_(grad, size, value=-rate * (1.0 - now) / (1.0 - product))
        parameter.addcdiv_(mean, size, value=-rate * after / (1.0 - product * after))


class RAdam(PerParameter):
    """Adam whose steps are scaled by the variance of their scale, and not adaptive at first."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_not_negative(lr=("learning rate", lr), eps=("epsilon value", eps))
        check_betas(betas)
        check_not_negative(weight_decay=("weight_decay value", weight_decay))
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _fresh_state(self, parameter: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        return {"step": zero_step(), **_moments(parameter)}

    def _update(
        self, parameter: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        grad = decayed(parameter, grad, group, group["decoupled_weight_decay"])
        (beta1, beta2), rate, step = group["betas"], float(group["lr"]), state["step"].item()
        mean = state["exp_avg"].lerp_(grad, 1 - beta1)
        square = state["exp_avg_sq"].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        direction = mean / (1 - beta1**step) * rate
        correction = 1 - beta2**step
        # The length of the moving average, at most and now.
        longest = 2 / (1 - beta2) - 1
        length = longest - 2 * step * beta2**step / correction
        if length > 5.0:
            variance = (length - 4) * (length - 2) * longest
            variance /= (longest - 4) * (longest - 2) * length
            scale = correction**0.5 / (square.sqrt() + group["eps"])
            direction = direction * scale * variance**0.5
        parameter.sub_(direction)
