"""Attention whose scores are changed, and left out, by functions of their places.

    def causal(batch, head, query, key):
        return query >= key

    mask = create_block_mask(causal, None, None, length, length, device="cpu")
    flex_attention(q, k, v, score_mod=lambda score, b, h, i, j: score - (i - j).abs(), block_mask=mask)

The functions see one score and its place; they are run by `vmap`, once for all places.
"""

from __future__ import annotations

import enum
import inspect
import math
from typing import Any, Callable

import flambeau
from flambeau import Tensor
from flambeau._absent import attribute, feature
from flambeau.func import vmap
from flambeau.nn import functional as F

from ._block_mask import (
    _DEFAULT_SPARSE_BLOCK_SIZE,
    BlockMask,
    _pair,
    dense_to_ordered,
    noop_mask,
    ordered_to_dense,
)

__all__ = [
    "BlockMask",
    "and_masks",
    "create_block_mask",
    "create_mask",
    "create_nested_block_mask",
    "flex_attention",
    "noop_mask",
    "or_masks",
]

_score_mod_signature = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
_mask_mod_signature = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


class _ModificationType(enum.Enum):
    SCORE_MOD = 1
    MASK_MOD = 2
    UNKNOWN = 3


def _get_mod_type(fn: Callable[..., Any]) -> _ModificationType:
    """What a function of places is for, by the number of its parameters without a default."""
    parameters = inspect.signature(fn).parameters.values()
    count = sum(p.default is inspect.Parameter.empty for p in parameters)
    kinds = {5: _ModificationType.SCORE_MOD, 4: _ModificationType.MASK_MOD}
    return kinds.get(count, _ModificationType.UNKNOWN)


def _vmap_for_bhqkv(
    fn: Callable[..., Any], prefix: tuple[int | None, ...], suffix: tuple[int | None, ...] = ()
) -> Callable[..., Any]:
    """The function of one place over (batch, head, query, key), from a list of each. `prefix` says which axes of
    the parameters before these go along."""
    for axis in (3, 2, 1, 0):
        place = tuple(0 if i == axis else None for i in range(4))
        fn = vmap(fn, in_dims=(*prefix, *place, *suffix), out_dims=0)
    return fn


def _places(sizes: tuple[int, ...], device: Any) -> list[Tensor]:
    return [flambeau.arange(size, device=device) for size in sizes]


def and_masks(*mask_mods: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A mask_mod of the scores that all of the given ones keep."""
    if not all(callable(each) for each in mask_mods):
        raise RuntimeError(f"All inputs should be callable mask_mods: {mask_mods}")

    def and_mask(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        result = b.new_ones((), dtype=flambeau.bool)
        for mask in mask_mods:
            result = result & mask(b, h, q_idx, kv_idx)
        return result

    return and_mask


def or_masks(*mask_mods: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A mask_mod of the scores that one of the given ones keeps."""
    if not all(callable(each) for each in mask_mods):
        raise RuntimeError(f"All inputs should be callable mask_mods: {mask_mods}")

    def or_mask(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        result = b.new_zeros((), dtype=flambeau.bool)
        for mask in mask_mods:
            result = result | mask(b, h, q_idx, kv_idx)
        return result

    return or_mask


def create_mask(
    mod_fn: Callable[..., Tensor],
    B: int | None,
    H: int | None,
    Q_LEN: int,
    KV_LEN: int,
    device: Any = "cuda",
) -> Tensor:
    """True for the scores (B, H, Q_LEN, KV_LEN) that a mask_mod keeps, or that a score_mod does not make -inf."""
    sizes = (1 if B is None else B, 1 if H is None else H, Q_LEN, KV_LEN)
    kind = _get_mod_type(mod_fn)
    if kind is _ModificationType.SCORE_MOD:
        zeros = flambeau.zeros(sizes, device=device)
        # The outermost of the four goes over the first axis, which is gone for the next.
        result = _vmap_for_bhqkv(mod_fn, prefix=(0,))(zeros, *_places(sizes, device))
        return ~flambeau.isneginf(result)
    if kind is _ModificationType.MASK_MOD:
        return _vmap_for_bhqkv(mod_fn, prefix=())(*_places(sizes, device))
    raise AssertionError


def create_block_mask(
    mask_mod: Callable[..., Tensor],
    B: int | None,
    H: int | None,
    Q_LEN: int,
    KV_LEN: int,
    device: Any = "cuda",
    BLOCK_SIZE: int | tuple[int, int] = _DEFAULT_SPARSE_BLOCK_SIZE,
    _compile: bool = False,
) -> BlockMask:
    """The blocks of scores that `mask_mod` keeps something of. B, H: None where it is the same for all."""
    del _compile
    kind = _get_mod_type(mask_mod)
    assert kind is _ModificationType.MASK_MOD, (
        f"create-block_mask requires a mask_mod function! Got {mask_mod}"
    )
    size = _pair(BLOCK_SIZE)
    mask = create_mask(mask_mod, B, H, Q_LEN, KV_LEN, device)
    rows, columns = -(-Q_LEN // size[0]), -(-KV_LEN // size[1])
    mask = F.pad(mask, (0, columns * size[1] - KV_LEN, 0, rows * size[0] - Q_LEN))
    blocks = mask.reshape(*mask.shape[:2], rows, size[0], columns, size[1])
    kept = blocks.sum((3, 5))
    full = kept == size[0] * size[1]
    return BlockMask.from_kv_blocks(
        *dense_to_ordered((kept > 0) & ~full),
        *dense_to_ordered(full),
        BLOCK_SIZE=size,
        mask_mod=mask_mod,
        seq_lengths=(Q_LEN, KV_LEN),
    )


def create_nested_block_mask(*args: Any, **kwargs: Any) -> Any:
    raise feature("nn.attention.flex_attention.create_nested_block_mask")


def _check(
    query: Tensor, key: Tensor, value: Tensor, mask: BlockMask | None, enable_gqa: bool
) -> None:
    if not query.dtype == key.dtype == value.dtype:
        raise ValueError(
            "Expected query, key, and value to have the same dtype, but got query.dtype: "
            f"{query.dtype}, key.dtype: {key.dtype}, and value.dtype: {value.dtype} instead."
        )
    if query.dim() != 4 or key.dim() != 4 or value.dim() != 4:
        raise NotImplementedError("NYI: query, key, and value must be 4D tensors")
    if query.size(-1) != key.size(-1):
        raise ValueError(
            "Expect query and key/value to have the same embedding dimension but got "
            f"E={query.size(-1)} and E={key.size(-1)}."
        )
    heads, kv_heads = query.size(1), key.size(1)
    if not enable_gqa and heads != kv_heads:
        raise ValueError(
            "Expect query and key/value to have the same number of heads but got "
            f"Hq={heads} and Hkv={kv_heads}. Try setting enable_gqa=True for GQA."
        )
    if enable_gqa and heads % kv_heads != 0:
        raise ValueError(
            "Expect number of query heads to be a multiple of kv heads for GQA but got "
            f"Hq={heads} and Hkv={kv_heads}."
        )
    if query.size(0) != key.size(0):
        if mask is None:
            raise ValueError(
                "Expect query and key/value to have the same batch size, or non-none block_mask, but "
                f"got block_mask=None, Bq={query.size(0)}, and Bkv={key.size(0)}."
            )
        if mask.kv_num_blocks.size(0) != query.size(0):
            raise ValueError(
                "Expect query and key/value to have the same batch size, or block_mask and query to have "
                f"the same batch size, but got Bq={query.size(0)}, Bkv={key.size(0)}, "
                f"B_block_mask={mask.kv_num_blocks.size(0)}."
            )
    if mask is not None:
        _check_lengths(query.size(-2), key.size(-2), mask)


def _check_lengths(q_len: int, kv_len: int, mask: BlockMask) -> None:
    start = (
        f"block_mask was created for block_mask.shape={mask.shape} but got q_len={q_len} and "
        f"kv_len={kv_len}. As the block mask was created for a "
    )
    if q_len > mask.shape[-2] or kv_len > mask.shape[-1]:
        raise ValueError(
            f"{start}smaller length than you're using it for, you likely need to create a new block mask."
        )
    rows, columns = mask.kv_indices.shape[-2:]
    if -(-q_len // mask.BLOCK_SIZE[0]) < rows or -(-kv_len // mask.BLOCK_SIZE[1]) < columns:
        raise ValueError(
            f"{start}larger length than you're using it for, you can either 1. create a new block mask "
            "with the correct length, or 2. 'adjust' the existing block mask to the correct length by "
            "calling block_mask._adjust(q_len, kv_len). This essentially 'crops' the block mask to the "
            "upper left corner, which does not work for all mask_mods!"
        )


def _kept(mask: BlockMask, sizes: tuple[int, ...], device: Any) -> Tensor:
    """The scores that a mask keeps: in its partial blocks those of its mask_mod, and its full blocks."""

    def scores_of(counts: Tensor, columns: Tensor) -> Tensor:
        dense = ordered_to_dense(counts, columns).to(flambeau.bool)
        for axis, size in ((-2, mask.BLOCK_SIZE[0]), (-1, mask.BLOCK_SIZE[1])):
            dense = dense.repeat_interleave(size, axis)
        return dense[..., : sizes[2], : sizes[3]]

    kept = _vmap_for_bhqkv(mask.mask_mod, prefix=())(*_places(sizes, device))
    kept = kept & scores_of(mask.kv_num_blocks, mask.kv_indices)
    if mask.full_kv_num_blocks is None or mask.full_kv_indices is None:
        return kept
    return kept | scores_of(mask.full_kv_num_blocks, mask.full_kv_indices)


def flex_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    score_mod: Callable[..., Tensor] | None = None,
    block_mask: BlockMask | None = None,
    scale: float | None = None,
    enable_gqa: bool = False,
    return_lse: bool = False,
    kernel_options: dict[str, Any] | None = None,
) -> Any:
    """softmax(score_mod(query @ key.T * scale)) @ value over the scores that `block_mask` keeps.

    query (B, Hq, L, E), key (B, Hkv, S, E), value (B, Hkv, S, Ev), of one floating dtype; scores are computed in float32
    (float64 for float64). A query that keeps no key gives 0. With `return_lse` also the logarithm of the sum of the
    exponentials of each query's scores, (B, Hq, L).
    """
    del kernel_options
    _check(query, key, value, block_mask, enable_gqa)
    if query.size(1) != key.size(1):
        groups = query.size(1) // key.size(1)
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    scale = 1 / math.sqrt(query.size(-1)) if scale is None else scale
    working = flambeau.float64 if query.dtype == flambeau.float64 else flambeau.float32
    scores = (query @ key.transpose(-2, -1)).to(working) * scale
    sizes = tuple(scores.shape)
    if score_mod is not None:
        places = _places(sizes, query.device)
        scores = _vmap_for_bhqkv(score_mod, prefix=(0,))(scores, *places).to(working)
    if block_mask is not None:
        kept = _kept(block_mask, sizes, query.device)
        scores = flambeau.where(kept, scores, -math.inf)
    # A row of nothing but -inf gives 0, and no gradient.
    empty = (scores == -math.inf).all(-1, keepdim=True)
    scores = flambeau.where(empty, 0.0, scores)
    weights = flambeau.where(empty, 0.0, F.softmax(scores, -1))
    result = weights.to(query.dtype) @ value
    if not return_lse:
        return result
    lse = flambeau.where(empty, -math.inf, flambeau.logsumexp(scores, -1, keepdim=True))
    return result, lse.squeeze(-1)


__getattr__ = attribute(__name__)
