"""Networks: modules, parameters, initialisers, functions."""

from flambeau.nn import functional, init, parameter, utils
from flambeau.nn.modules import *  # noqa: F403
from flambeau.nn.modules import __all__ as _modules
from flambeau.nn.parameter import Buffer, Parameter

__all__ = ["Buffer", "Parameter", "functional", "init", "parameter", "utils", *_modules]
