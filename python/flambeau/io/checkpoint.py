"""Checkpoints: any nesting of dicts, lists, tuples, numbers, texts and tensors in one safetensors
file. Tensors are the file's tensors, named by their path ("model.head.weight"); the rest is JSON in
its metadata.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from flambeau import Tensor
from flambeau.io.safetensors import _load, save_file

__all__ = ["load_checkpoint", "save_checkpoint"]

_FORMAT = "flambeau.checkpoint.1"


def _packed(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """`value` as JSON; its tensors go to `tensors`. What JSON lacks is a one-entry object whose key
    begins with "$"."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": str(value)}
    if isinstance(value, Tensor):
        while path in tensors:  # {"a.b": t, "a": {"b": u}}
            path += "'"
        tensors[path] = value.detach()
        return {"$tensor": path}
    if isinstance(value, (list, tuple)):
        items = [_packed(item, f"{path}.{i}", tensors) for i, item in enumerate(value)]
        return {"$tuple": items} if isinstance(value, tuple) else items
    if isinstance(value, Mapping):
        pairs = [
            (k, _packed(v, f"{path}.{k}" if path else str(k), tensors)) for k, v in value.items()
        ]
        if all(isinstance(key, str) and not key.startswith("$") for key, _ in pairs):
            return dict(pairs)
        return {"$dict": [[_packed(key, path, tensors), item] for key, item in pairs]}
    raise TypeError(
        f"save_checkpoint: '{path}' is a {type(value).__name__}; expected tensors, numbers, texts, "
        "None, and lists, tuples and dicts of them"
    )


def _unpacked(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpacked(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((key, content),) = value.items()
        if key == "$float":
            return float(content)
        if key == "$tensor":
            return tensors[content]
        if key == "$tuple":
            return tuple(_unpacked(item, tensors) for item in content)
        if key == "$dict":
            return {_unpacked(k, tensors): _unpacked(v, tensors) for k, v in content}
    return {key: _unpacked(item, tensors) for key, item in value.items()}


def save_checkpoint(state: Mapping[str, Any], path: Any) -> None:
    """Writes `state`; at every moment `path` is a whole checkpoint, the new one or the old one.

    TypeError for what is no data, OSError where the file cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    text = json.dumps(_packed(state, "", tensors))
    save_file(tensors, path, {"format": _FORMAT, "state": text})


def load_checkpoint(path: Any) -> dict[str, Any]:
    """What save_checkpoint wrote. ValueError for a file that is damaged or no checkpoint."""
    tensors, metadata = _load(path, False)
    if metadata.get("format") != _FORMAT:
        raise ValueError(
            f"load_checkpoint: '{path}' is no checkpoint: its format is "
            f"{metadata.get('format')!r}, expected {_FORMAT!r}"
        )
    try:
        return _unpacked(json.loads(metadata["state"]), tensors)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"load_checkpoint: '{path}' is damaged: {error!r}") from None
