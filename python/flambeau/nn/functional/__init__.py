"""Functions of networks: the operations of `nn.functional`, and those that are a few calls of them.

An operation that the core defines under `nn.functional.NAME` is taken from there; the files of this
folder add what PyTorch's functions have beside it (`inplace=`, `dim=None`, `return_indices=`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flambeau._absent import attribute
from flambeau._overridable import make_overridable
from flambeau.nn.functional import (
    _activation,
    _attention,
    _distance,
    _dropout,
    _embedding,
    _folding,
    _fractional_pooling,
    _loss,
    _normalization,
    _pooling,
    _sequence,
)
from flambeau.nn.functional._operations import OPERATIONS as _OPERATIONS

globals().update(_OPERATIONS)
_PARTS = (
    _activation,
    _attention,
    _distance,
    _dropout,
    _embedding,
    _folding,
    _fractional_pooling,
    _loss,
    _normalization,
    _pooling,
    _sequence,
)
for _part in _PARTS:
    make_overridable(vars(_part), _part.__all__)

from flambeau.nn.functional._activation import *  # noqa: E402, F403
from flambeau.nn.functional._attention import *  # noqa: E402, F403
from flambeau.nn.functional._attention import (  # noqa: E402
    _canonical_mask,
    _in_projection_packed,
    _none_or_dtype,
)
from flambeau.nn.functional._distance import *  # noqa: E402, F403
from flambeau.nn.functional._dropout import *  # noqa: E402, F403
from flambeau.nn.functional._embedding import *  # noqa: E402, F403
from flambeau.nn.functional._folding import *  # noqa: E402, F403
from flambeau.nn.functional._fractional_pooling import *  # noqa: E402, F403
from flambeau.nn.functional._loss import *  # noqa: E402, F403
from flambeau.nn.functional._normalization import *  # noqa: E402, F403
from flambeau.nn.functional._pooling import *  # noqa: E402, F403
from flambeau.nn.functional._sequence import *  # noqa: E402, F403

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """The operations, which only exist at run time."""

else:
    __getattr__ = attribute(__name__)

__all__ = [
    *(name for name in _OPERATIONS if not name.startswith("_")),
    *(name for part in _PARTS for name in part.__all__ if name not in _OPERATIONS),
]
