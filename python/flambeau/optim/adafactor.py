"""Adafactor, whose second moments are products of row and column means (Shazeer & Stern, 2018)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import flambeau
from flambeau import Tensor
from flambeau.optim.optimizer import PerParameter, check_not_negative, zero_step

__all__ = ["Adafactor"]


class Adafactor(PerParameter):
    """Steps relative to the size of each parameter, with little memory."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        check_not_negative(lr=("Learning rate", lr))
        if beta2_decay > 0:
            raise ValueError(f"beta2_decay should be <= 0 but is: {beta2_decay}")
        if eps[0] is not None and eps[0] < 0:
            raise ValueError(f"epsilon1 should be >= 0 but is: {eps[0]}")
        if eps[1] < 0:
            raise ValueError(f"epsilon2 should be >= 0 but is: {eps[1]}")
        if d < 1:
            raise ValueError(f"Clipping threshold d should be >= 1 but is: {d}")
        check_not_negative(weight_decay=("weight_decay value", weight_decay))
        defaults = {
            "lr": lr,
            "beta2_decay": beta2_decay,
            "eps": eps,
            "d": d,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        if any(parameter.is_complex() for parameter in self.param_groups[-1]["params"]):
            self.param_groups.pop()
            raise RuntimeError("Adafactor does not support complex parameters")

    def _fresh_state(self, parameter: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        if parameter.dim() < 2:
            return {"step": zero_step(), "variance": flambeau.zeros_like(parameter).detach()}
        rows, columns = list(parameter.shape), list(parameter.shape)
        rows[-1] = columns[-2] = 1
        return {
            "step": zero_step(),
            "row_var": parameter.new_zeros(rows).detach(),
            "col_var": parameter.new_zeros(columns).detach(),
        }

    def _update(
        self, parameter: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        if group["maximize"]:
            grad = -grad
        smallest, relative = group["eps"]
        if smallest is None:
            smallest = flambeau.finfo(parameter.dtype).eps
        step = state["step"].item()
        weight = step ** group["beta2_decay"]
        rate = min(float(group["lr"]), 1 / math.sqrt(step))
        size = parameter.norm(2).item() / math.sqrt(parameter.numel())
        if group["weight_decay"] != 0:
            parameter.mul_(1 - float(group["lr"]) * group["weight_decay"])
        if parameter.dim() > 1:
            rows, columns = state["row_var"], state["col_var"]
            rows.lerp_(grad.norm(dim=-1, keepdim=True).square_().div_(grad.size(-1)), weight)
            columns.lerp_(grad.norm(dim=-2, keepdim=True).square_().div_(grad.size(-2)), weight)
            estimate = rows @ columns
            estimate.div_(rows.mean(-2, keepdim=True).clamp_(min=smallest))
        else:
            state["variance"].lerp_(grad.square(), weight)
            estimate = state["variance"].clone()
        update = estimate.clamp_(min=smallest * smallest).rsqrt_().mul_(grad)
        root_mean = update.norm(2).item() / math.sqrt(update.numel())
        clipped = max(1.0, root_mean / group["d"])
        parameter.add_(update, alpha=-max(relative, size) * rate / clipped)
