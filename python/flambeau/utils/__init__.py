"""Utilities: data loading, checkpointing, hooks, exchange with other libraries."""

from flambeau._absent import attribute
from flambeau.utils import dlpack

__all__ = ["checkpoint", "data", "dlpack", "hooks"]

# Submodules load when they are first named, so that importing Flambeau stays cheap.
__getattr__ = attribute(__name__)
