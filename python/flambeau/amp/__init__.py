"""Mixed precision: `autocast` and `GradScaler`."""

from __future__ import annotations

from flambeau._absent import attribute
from flambeau.amp.autocast_mode import autocast, custom_bwd, custom_fwd, is_autocast_available
from flambeau.amp.grad_scaler import GradScaler

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd", "is_autocast_available"]

__getattr__ = attribute(__name__)
