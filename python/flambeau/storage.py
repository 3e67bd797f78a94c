"""The memory of tensors."""

from __future__ import annotations

from typing import Any

from flambeau import UntypedStorage
from flambeau._absent import attribute, feature

__all__ = ["TypedStorage", "UntypedStorage"]


class TypedStorage:
    """Memory that knows its dtype, for isinstance: tensors here have untyped ones."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise feature("storage.TypedStorage")


__getattr__ = attribute(__name__)
