"""The names of torch._functorch that programs use."""

from __future__ import annotations

from flambeau._absent import attribute
from flambeau._compiler_settings import settings

__all__ = ["config"]

config = settings("torch._functorch.config")

__getattr__ = attribute(__name__)
