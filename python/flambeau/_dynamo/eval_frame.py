"""Under this name libraries ask whether a module is compiled."""

from flambeau._absent import attribute
from flambeau.compiler import disable, is_compiling, reset
from flambeau.nn.modules.optimized import OptimizedModule

__all__ = ["OptimizedModule", "disable", "is_compiling", "reset"]

__getattr__ = attribute(__name__)
