"""Attention whose scores are changed by a function."""

from __future__ import annotations

from typing import Any

from flambeau._absent import attribute, feature

__all__ = ["BlockMask", "create_block_mask", "flex_attention"]

_DEFAULT_SPARSE_BLOCK_SIZE = 128


class BlockMask:
    """Which blocks of scores there are."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise feature("nn.attention.flex_attention.BlockMask")


def create_block_mask(*args: Any, **kwargs: Any) -> Any:
    raise feature("nn.attention.flex_attention.create_block_mask")


def flex_attention(*args: Any, **kwargs: Any) -> Any:
    raise feature("nn.attention.flex_attention")


__getattr__ = attribute(__name__)
