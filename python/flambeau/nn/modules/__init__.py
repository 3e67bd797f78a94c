"""The modules of flambeau.nn."""

from flambeau.nn.modules import activation, attention, container, linear, loss, normalization
from flambeau.nn.modules.activation import *  # noqa: F403
from flambeau.nn.modules.attention import *  # noqa: F403
from flambeau.nn.modules.container import *  # noqa: F403
from flambeau.nn.modules.linear import *  # noqa: F403
from flambeau.nn.modules.loss import *  # noqa: F403
from flambeau.nn.modules.module import Module
from flambeau.nn.modules.normalization import *  # noqa: F403

__all__ = [
    "Module",
    *activation.__all__,
    *attention.__all__,
    *container.__all__,
    *linear.__all__,
    *loss.__all__,
    *normalization.__all__,
]
