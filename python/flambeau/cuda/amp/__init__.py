"""Mixed precision on CUDA devices."""

from flambeau._absent import attribute
from flambeau.cuda.amp.autocast_mode import autocast, custom_bwd, custom_fwd
from flambeau.cuda.amp.grad_scaler import GradScaler

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd"]

__getattr__ = attribute(__name__)
