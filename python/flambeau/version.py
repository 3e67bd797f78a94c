"""Versions: of the PyTorch whose programs run, and of Flambeau."""

from __future__ import annotations

from flambeau import _C
from flambeau.torch_version import TorchVersion

__all__ = ["__version__", "cuda", "debug", "flambeau", "git_version", "hip", "xpu"]

#: Programs compare it with the versions of PyTorch that they need.
__version__ = TorchVersion("2.7.1")
flambeau: str = _C.__version__
debug = False
cuda: str | None = None
hip: str | None = None
xpu: str | None = None
git_version = "flambeau-" + flambeau
