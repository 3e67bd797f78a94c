"""torch.amp's scaler, for CUDA."""

from __future__ import annotations

from typing import Any

from flambeau import amp

__all__ = ["GradScaler"]


class GradScaler(amp.GradScaler):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("cuda", *args, **kwargs)
