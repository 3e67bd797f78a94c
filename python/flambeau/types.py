"""Names of types, for annotations."""

from __future__ import annotations

import builtins
import os
from collections.abc import Sequence
from typing import Any, Union

import flambeau
from flambeau import Size, Tensor, layout
from flambeau import device as _device

__all__ = ["Device", "FileLike", "Number", "Storage"]

_TensorOrTensors = Union[Tensor, Sequence[Tensor]]
_TensorOrTensorsOrGradEdge = Union[Tensor, Sequence[Tensor], Any]
_int, _float, _bool, _complex = builtins.int, builtins.float, builtins.bool, builtins.complex
_size = Union[Size, "list[int]", "tuple[int, ...]"]
_layout = layout
_dispatchkey = Union[str, Any]
Number = Union[int, float, bool]
Device = Union[_device, str, int, None]
FileLike = Union[str, "os.PathLike[str]", Any]
Storage = flambeau.UntypedStorage
_symint = Any
