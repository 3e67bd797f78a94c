"""SparseAdam, for gradients that are sparse tensors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flambeau import Tensor
from flambeau.optim.optimizer import PerParameter, check_betas, check_not_negative

__all__ = ["SparseAdam"]


class SparseAdam(PerParameter):
    """Adam on the rows that have a gradient. Gradients are dense here, which it refuses as
    PyTorch's does.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        maximize: bool = False,
    ) -> None:
        check_not_negative(lr=("learning rate", lr), eps=("epsilon value", eps))
        check_betas(betas)
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize})

    def _fresh_state(self, parameter: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        raise RuntimeError(
            "SparseAdam does not support dense gradients, please consider Adam instead"
        )

    def _update(
        self, parameter: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        self._fresh_state(parameter, group)
