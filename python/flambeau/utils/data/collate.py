"""Batches from items."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import flambeau
from flambeau import Tensor

__all__ = ["default_collate", "default_convert"]


def _is_array(value: Any) -> bool:
    return type(value).__module__ == "numpy" and hasattr(value, "dtype")


def _checked_array(value: Any) -> Any:
    if value.dtype.kind in "SaUO":
        raise TypeError(
            "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; "
            f"found {value.dtype}"
        )
    return flambeau.as_tensor(value)


def _like(original: Any, values: Any) -> Any:
    """`values` as a container of the type of `original`; for plain tuples a list, as in PyTorch."""
    if isinstance(original, tuple) and hasattr(original, "_fields"):
        return type(original)(*values)
    if isinstance(original, Mapping):
        try:
            result = copy.copy(original)
            result.update(values)  # type: ignore[attr-defined]
            return result
        except (AttributeError, TypeError):
            return values
    return [*values]


def default_convert(data: Any) -> Any:
    """Arrays in `data` as tensors; everything else as it is."""
    if isinstance(data, Tensor):
        return data
    if _is_array(data):
        return data if data.dtype.kind in "SaUO" else flambeau.as_tensor(data)
    if isinstance(data, Mapping):
        return _like(data, {key: default_convert(value) for key, value in data.items()})
    if isinstance(data, (tuple, list)):
        return _like(data, [default_convert(value) for value in data])
    return data


def default_collate(batch: Sequence[Any]) -> Any:
    """One batch from a list of items: tensors and arrays are stacked, numbers become a tensor,
    strings a list, and containers a container of batches.
    """
    first = batch[0]
    if isinstance(first, Tensor):
        return flambeau.stack([*batch], 0)
    if _is_array(first):
        return flambeau.stack([_checked_array(item) for item in batch], 0)
    if isinstance(first, float):
        return flambeau.tensor(batch, dtype=flambeau.float64)
    if isinstance(first, int):
        return flambeau.tensor(batch)
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, Mapping):
        return _like(first, {key: default_collate([item[key] for item in batch]) for key in first})
    if isinstance(first, Sequence):
        if any(len(item) != len(first) for item in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        return _like(first, [default_collate(column) for column in zip(*batch)])
    raise TypeError(
        "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found "
        f"{type(first)}"
    )
