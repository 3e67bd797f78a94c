"""ASGD (Polyak & Juditsky 1992) and Rprop (Riedmiller & Braun 1993)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import flambeau
from flambeau import Tensor
from flambeau.optim.optimizer import (
    PerParameter,
    check_not_negative,
    decayed,
    filled_like,
    zero_step,
)

__all__ = ["ASGD", "Rprop"]


class ASGD(PerParameter):
    """SGD with a falling rate, and the average of the parameters from step t0 on in "ax"."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_not_negative(
            lr=("learning rate", lr), weight_decay=("weight_decay value", weight_decay)
        )
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _fresh_state(self, parameter: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        return {
            "step": zero_step(),
            "eta": zero_step() + float(group["lr"]),
            "mu": zero_step() + 1,
            "ax": flambeau.zeros_like(parameter).detach(),
        }

    def _update(
        self, parameter: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        grad = decayed(parameter, grad, group)
        rate, lambd, step = float(group["lr"]), group["lambd"], state["step"].item()
        eta, mu, average = state["eta"].item(), state["mu"].item(), state["ax"]
        parameter.mul_(1 - lambd * eta)
        parameter.add_(grad, alpha=-eta)
        if mu == 1:
            average.copy_(parameter)
        else:
            average.add_((parameter - average) * mu)
        state["eta"].fill_(rate / (1 + lambd * rate * step) ** group["alpha"])
        state["mu"].fill_(1 / max(1, step - group["t0"]))


class Rprop(PerParameter):
    """Step sizes that grow while the gradient keeps its sign, and shrink where it changes."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_not_negative(lr=("learning rate", lr))
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        defaults = {
            "lr": lr,
            "etas": etas,
            "step_sizes": step_sizes,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _fresh_state(self, parameter: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        return {
            "step": zero_step(),
            "prev": flambeau.zeros_like(parameter).detach(),
            "step_size": filled_like(parameter, float(group["lr"])),
        }

    def _update(
        self, parameter: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        shrink, grow = group["etas"]
        agreement = grad * state["prev"]
        turned = agreement < 0
        factor = flambeau.where(turned, shrink, flambeau.where(agreement > 0, grow, 1.0))
        size = state["step_size"].mul_(factor.to(grad.dtype)).clamp_(*group["step_sizes"])
        # Where the sign changed the parameter rests for a step.
        grad = grad.masked_fill(turned, 0.0)
        parameter.addcmul_(grad.sign(), size, value=-1)
        state["prev"].copy_(grad)
