"""The names of torch._functorch that programs use."""

from __future__ import annotations

from flambeau._absent import attribute
from flambeau._compiler_settings import Settings

__all__ = ["config"]

config = Settings("torch._functorch.config", activation_memory_budget=1.0, donated_buffer=True)

__getattr__ = attribute(__name__)
