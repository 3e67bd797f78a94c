"""Networks: modules, parameters, initialisers, functions."""

from flambeau._absent import attribute
from flambeau.nn import functional, init, modules, parameter, utils
from flambeau.nn.modules import *  # noqa: F403
from flambeau.nn.modules import __all__ as _modules
from flambeau.nn.parameter import (
    Buffer,
    Parameter,
    UninitializedBuffer,
    UninitializedParameter,
)

__all__ = [
    "Buffer",
    "Parameter",
    "UninitializedBuffer",
    "UninitializedParameter",
    "functional",
    "init",
    "modules",
    "parameter",
    "utils",
    *_modules,
]

# Submodules load when they are first named.
__getattr__ = attribute(__name__, {"DataParallel": "parallel"})
