"""Files of named tensors in the safetensors format."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from flambeau import _C, Tensor

__all__ = ["load_file", "load_metadata", "save_file"]

_Path = Any  # str or os.PathLike


def _load(path: _Path, read_only: bool) -> tuple[dict[str, Tensor], dict[str, str]]:
    name = os.fspath(path)
    with open(name, "rb"):
        pass  # Python's own exceptions for files that cannot be opened: FileNotFoundError, ...
    return _C._load_file(name, read_only)


def load_file(path: _Path, *, read_only: bool = False) -> dict[str, Tensor]:
    """The tensors of a file, mapped without a copy. Writing to them changes this process's memory
    only; with `read_only` it is refused. ValueError for a damaged file, OSError for one that cannot
    be read.
    """
    return _load(path, read_only)[0]


def load_metadata(path: _Path) -> dict[str, str]:
    """The texts that were saved with the tensors."""
    return _load(path, True)[1]


def save_file(
    tensors: Mapping[str, Tensor], path: _Path, metadata: Mapping[str, str] | None = None
) -> None:
    """Writes the tensors so that `path` is either the whole new file or what it was before, at
    every moment. OSError where it cannot be written.
    """
    for name, tensor in tensors.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise TypeError(
                "save_file: expected a dict of str to Tensor, got an item "
                f"{type(name).__name__}: {type(tensor).__name__}"
            )
    for key, text in (metadata or {}).items():
        if not isinstance(key, str) or not isinstance(text, str):
            raise TypeError(
                "save_file: metadata must map str to str, got an item "
                f"{type(key).__name__}: {type(text).__name__}"
            )
    _C._save_file(dict(tensors), os.fspath(path), dict(metadata or {}))
