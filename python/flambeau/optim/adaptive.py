"""Adagrad, Adadelta, RMSprop, Adamax: steps scaled by the size of past gradients."""

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
    filled_like,
    zero_step,
)

__all__ = ["Adadelta", "Adagrad", "Adamax", "RMSprop"]


class Adagrad(PerParameter):
    """sum += g^2; p -= lr / (1 + (t - 1) lr_decay) * g / (sqrt(sum) + eps) (Duchi et al. 2011)."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_not_negative(
            lr=("learning rate", lr),
            lr_decay=("lr_decay value", lr_decay),
            weight_decay=("weight_decay value", weight_decay),
            initial=("initial_accumulator_value value", initial_accumulator_value),
            eps=("epsilon value", eps),
        )
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter].update(self._fresh_state(parameter, group))

    def share_memory(self) -> None:
        """Moves the sums to memory that child processes see."""
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter]["sum"].share_memory_()

    def _fresh_state(self, parameter: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        start = group["initial_accumulator_value"]
        return {"step": zero_step(), "sum": filled_like(parameter, start)}

    def _update(
        self, parameter: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        grad = decayed(parameter, grad, group)
        rate = group["lr"] / (1 + (state["step"].item() - 1) * group["lr_decay"])
        state["sum"].addcmul_(grad, grad, value=1)
        parameter.addcdiv_(grad, state["sum"].sqrt().add_(group["eps"]), value=-float(rate))


class Adadelta(PerParameter):
    """Steps in the units of the parameter (Zeiler 2012)."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_not_negative(lr=("learning rate", lr))
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        check_not_negative(
            eps=("epsilon value", eps), weight_decay=("weight_decay value", weight_decay)
        )
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _fresh_state(self, parameter: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        return {
            "step": zero_step(),
            "square_avg": flambeau.zeros_like(parameter).detach(),
            "acc_delta": flambeau.zeros_like(parameter).detach(),
        }

    def _update(
        self, parameter: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        grad = decayed(parameter, grad, group)
        rho, eps = group["rho"], group["eps"]
        square, moved = state["square_avg"], state["acc_delta"]
        square.mul_(rho).addcmul_(grad, grad, value=1 - rho)
        delta = (moved + eps).sqrt() / (square + eps).sqrt() * grad
        moved.mul_(rho).addcmul_(delta, delta, value=1 - rho)
        parameter.add_(delta, alpha=-float(group["lr"]))


class RMSprop(PerParameter):
    """p -= lr * g / (sqrt(mean of g^2) + eps), optionally with momentum and without the mean of g
    (Hinton 2012; Graves 2013).
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_not_negative(
            lr=("learning rate", lr),
            eps=("epsilon value", eps),
            momentum=("momentum value", momentum),
            weight_decay=("weight_decay value", weight_decay),
            alpha=("alpha value", alpha),
        )
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _fresh_state(self, parameter: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        names = ["square_avg"]
        names += ["momentum_buffer"] if group["momentum"] > 0 else []
        names += ["grad_avg"] if group["centered"] else []
        zeros = {name: flambeau.zeros_like(parameter).detach() for name in names}
        return {"step": zero_step(), **zeros}

    def _update(
        self, parameter: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        grad = decayed(parameter, grad, group)
        alpha, square = group["alpha"], state["square_avg"]
        square.mul_(alpha).addcmul_(grad, grad, value=1 - alpha)
        size = square
        if group["centered"]:
            mean = state["grad_avg"].lerp_(grad, 1 - alpha)
            size = square.addcmul(mean, mean, value=-1)
        size = size.sqrt().add_(group["eps"])
        rate = float(group["lr"])
        if group["momentum"] > 0:
            buffer = state["momentum_buffer"].mul_(group["momentum"]).addcdiv_(grad, size)
            parameter.add_(buffer, alpha=-rate)
        else:
            parameter.addcdiv_(grad, size, value=-rate)


class Adamax(PerParameter):
    """Adam with the largest gradient so far as the scale (Kingma & Ba 2015)."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_not_negative(lr=("learning rate", lr), eps=("epsilon value", eps))
        check_betas(betas)
        check_not_negative(weight_decay=("weight_decay value", weight_decay))
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
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
            "exp_avg": flambeau.zeros_like(parameter).detach(),
            "exp_inf": flambeau.zeros_like(parameter).detach(),
        }

    def _update(
        self, parameter: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        grad = decayed(parameter, grad, group)
        beta1, beta2 = group["betas"]
        mean = state["exp_avg"].lerp_(grad, 1 - beta1)
        largest = state["exp_inf"]
        largest.copy_(flambeau.maximum(largest * beta2, grad.abs() + group["eps"]))
        rate = float(group["lr"]) / (1 - beta1 ** state["step"].item())
        parameter.addcdiv_(mean, largest, value=-rate)
