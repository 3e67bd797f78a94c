"""CUDA's libraries: not used on the CPU."""

from __future__ import annotations

from typing import Any, NamedTuple

from flambeau._watched import watched
from flambeau.backends._library import Settings

__all__ = [
    "SDPAParams", "can_use_cudnn_attention", "can_use_efficient_attention", "can_use_flash_attention",
    "cudnn_sdp_enabled", "enable_cudnn_sdp", "enable_flash_sdp", "enable_math_sdp",
    "enable_mem_efficient_sdp", "flash_sdp_enabled", "is_built", "is_flash_attention_available",
    "math_sdp_enabled", "matmul", "mem_efficient_sdp_enabled",
]  # fmt: skip

matmul = Settings(
    allow_tf32=False,
    allow_fp16_reduced_precision_reduction=True,
    allow_bf16_reduced_precision_reduction=True,
    allow_fp16_accumulation=False,
)
_enabled = watched(
    {"flash": True, "mem_efficient": True, "math": True, "cudnn": True}, "ways of attention"
)


class SDPAParams(NamedTuple):
    """A call of scaled_dot_product_attention."""

    query: Any
    key: Any
    value: Any
    attn_mask: Any
    dropout: float
    is_causal: bool
    enable_gqa: bool


def is_built() -> bool:
    return False


def is_flash_attention_available() -> bool:
    return False


def _cannot_use(params: SDPAParams, debug: bool = False) -> bool:
    return False


can_use_flash_attention = can_use_efficient_attention = can_use_cudnn_attention = _cannot_use


def enable_flash_sdp(enabled: bool) -> None:
    _enabled["flash"] = enabled


def enable_mem_efficient_sdp(enabled: bool) -> None:
    _enabled["mem_efficient"] = enabled


def enable_math_sdp(enabled: bool) -> None:
    _enabled["math"] = enabled


def enable_cudnn_sdp(enabled: bool) -> None:
    _enabled["cudnn"] = enabled


def flash_sdp_enabled() -> bool:
    return _enabled["flash"]


def mem_efficient_sdp_enabled() -> bool:
    return _enabled["mem_efficient"]


def math_sdp_enabled() -> bool:
    return _enabled["math"]


def cudnn_sdp_enabled() -> bool:
    return _enabled["cudnn"]
