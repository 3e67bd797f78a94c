"""Multi-head attention as one function (Vaswani et al., 2017)."""

from __future__ import annotations

import math
import warnings
from typing import Any

import flambeau
from flambeau import Tensor
from flambeau.nn.functional._dropout import dropout
from flambeau.nn.functional._operations import OPERATIONS

__all__ = ["multi_head_attention_forward"]

linear = OPERATIONS["linear"]
scaled_dot_product_attention = OPERATIONS["scaled_dot_product_attention"]


def _canonical_mask(
    mask: Tensor | None,
    mask_name: str,
    other_type: Any,
    other_name: str,
    target_type: Any,
    check_other: bool = True,
) -> Tensor | None:
    """A mask as numbers to add: boolean masks become 0 and -inf (where they are True)."""
    if mask is None:
        return None
    if not mask.is_floating_point() and mask.dtype != flambeau.bool:
        raise AssertionError(f"only bool and floating types of {mask_name} are supported")
    if check_other and other_type is not None and mask.dtype != other_type:
        warnings.warn(
            f"Support for mismatched {mask_name} and {other_name} is deprecated. Use same type for "
            "both instead.",
            stacklevel=3,
        )
    if mask.is_floating_point():
        return mask
    zeros = flambeau.zeros_like(mask, dtype=target_type)
    return zeros.masked_fill_(mask, -math.inf)


def _none_or_dtype(tensor: Tensor | None) -> Any:
    return None if tensor is None else tensor.dtype


def _assert(holds: bool, message: str) -> None:
    if not holds:
        raise AssertionError(message)


def _is_batched(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_padding_mask: Tensor | None,
    attn_mask: Tensor | None,
    num_heads: int,
) -> bool:
    """Checks the ranks. True for (time, batch, width), False for (time, width)."""
    if query.dim() not in (2, 3):
        raise AssertionError(
            f"query should be unbatched 2D or batched 3D tensor but received {query.dim()}-D query "
            "tensor"
        )
    batched = query.dim() == 3
    kind, rank = ("batched (3-D)", 3) if batched else ("unbatched (2-D)", 2)
    _assert(
        key.dim() == rank and value.dim() == rank,
        f"For {kind} `query`, expected `key` and `value` to be {rank}-D but found {key.dim()}-D "
        f"and {value.dim()}-D tensors respectively",
    )
    if key_padding_mask is not None:
        _assert(
            key_padding_mask.dim() == rank - 1,
            f"For {kind} `query`, expected `key_padding_mask` to be `None` or {rank - 1}-D but "
            f"found {key_padding_mask.dim()}-D tensor instead",
        )
    if attn_mask is not None:
        _assert(
            attn_mask.dim() in (2, 3),
            f"For {kind} `query`, expected `attn_mask` to be `None`, 2-D or 3-D but found "
            f"{attn_mask.dim()}-D tensor instead",
        )
        if not batched and attn_mask.dim() == 3:
            wanted = (num_heads, query.shape[0], key.shape[0])
            _assert(
                attn_mask.shape == wanted,
                f"Expected `attn_mask` shape to be {wanted} but got {attn_mask.shape}",
            )
    return batched


def _in_projection_packed(
    query: Tensor, key: Tensor, value: Tensor, weight: Tensor, bias: Tensor | None
) -> tuple[Tensor, ...]:
    """Queries, keys and values by the rows of one weight (3 width, width)."""
    width = query.size(-1)
    if key is value and query is key:
        return linear(query, weight, bias).chunk(3, -1)
    if key is value:
        q, kv = weight.split([width, 2 * width])
        b_q, b_kv = (None, None) if bias is None else bias.split([width, 2 * width])
        return (linear(query, q, b_q), *linear(key, kv, b_kv).chunk(2, -1))
    weights = weight.chunk(3)
    biases = (None, None, None) if bias is None else bias.chunk(3)
    inputs = (query, key, value)
    return tuple(linear(x, w, b) for x, w, b in zip(inputs, weights, biases))


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Projects (time, batch, width) to heads, attends, projects back; also the weights, averaged
    over heads or not, where they are needed. Masks are True, or -inf, where not to look.
    """
    batched = _is_batched(query, key, value, key_padding_mask, attn_mask, num_heads)
    if not batched:
        # One batch of one; attention to itself stays recognisable.
        same_qk, same_kv = query is key, key is value
        query = query.unsqueeze(1)
        key = query if same_qk else key.unsqueeze(1)
        value = key if same_kv else value.unsqueeze(1)
        if key_padding_mask is not None:
            key_padding_mask = key_padding_mask.unsqueeze(0)
    tgt_len, bsz, embed_dim = query.shape
    src_len = key.shape[0]
    key_padding_mask = _canonical_mask(
        key_padding_mask, "key_padding_mask", _none_or_dtype(attn_mask), "attn_mask", query.dtype
    )
    if is_causal and attn_mask is None:
        raise RuntimeError(
            "Need attn_mask if specifying the is_causal hint. You may use the Transformer module "
            "method `generate_square_subsequent_mask` to create this mask."
        )
    if is_causal and key_padding_mask is None and not need_weights:
        attn_mask = None
    else:
        attn_mask = _canonical_mask(attn_mask, "attn_mask", None, "", query.dtype, False)
        is_causal = is_causal and key_padding_mask is None
    _assert(
        embed_dim == embed_dim_to_check,
        f"was expecting embedding dimension of {embed_dim_to_check}, but got {embed_dim}",
    )
    head_dim = embed_dim // num_heads
    _assert(
        head_dim * num_heads == embed_dim,
        f"embed_dim {embed_dim} not divisible by num_heads {num_heads}",
    )
    if use_separate_proj_weight:
        _assert(
            key.shape[:2] == value.shape[:2],
            f"key's sequence and batch dims {key.shape[:2]} do not match value's {value.shape[:2]}",
        )
    else:
        _assert(
            key.shape == value.shape,
            f"key shape {key.shape} does not match value shape {value.shape}",
        )

    if use_separate_proj_weight:
        weights = (q_proj_weight, k_proj_weight, v_proj_weight)
        for name, weight in zip(("q", "k", "v"), weights):
            _assert(
                weight is not None,
                f"use_separate_proj_weight is True but {name}_proj_weight is None",
            )
        biases = (None, None, None) if in_proj_bias is None else in_proj_bias.chunk(3)
        q, k, v = (linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases))
    else:
        if in_proj_weight is None:
            raise AssertionError("use_separate_proj_weight is False but in_proj_weight is None")
        q, k, v = _in_projection_packed(query, key, value, in_proj_weight, in_proj_bias)

    if attn_mask is not None:
        if attn_mask.dim() == 2:
            wanted: tuple[int, ...] = (tgt_len, src_len)
        else:
            wanted = (bsz * num_heads, tgt_len, src_len)
        if tuple(attn_mask.shape) != wanted:
            raise RuntimeError(
                f"The shape of the {attn_mask.dim()}D attn_mask is {attn_mask.shape}, but should "
                f"be {wanted}."
            )
        if attn_mask.dim() == 2:
            attn_mask = attn_mask.unsqueeze(0)

    if (bias_k is None) != (bias_v is None):
        raise AssertionError("bias_k and bias_v must be given together")
    if bias_k is not None and bias_v is not None:
        _assert(static_k is None, "bias cannot be added to static key.")
        _assert(static_v is None, "bias cannot be added to static value.")
        k = flambeau.cat([k, bias_k.repeat(1, bsz, 1)])
        v = flambeau.cat([v, bias_v.repeat(1, bsz, 1)])
        attn_mask, key_padding_mask = _one_more(attn_mask), _one_more(key_padding_mask)

    def heads(x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], bsz * num_heads, head_dim).transpose(0, 1)

    q = heads(q)
    for name, static in (("static_k", static_k), ("static_v", static_v)):
        if static is not None:
            _assert(
                static.size(0) == bsz * num_heads,
                f"expecting {name}.size(0) of {bsz * num_heads}, but got {static.size(0)}",
            )
            _assert(
                static.size(2) == head_dim,
                f"expecting {name}.size(2) of {head_dim}, but got {static.size(2)}",
            )
    k = heads(k) if static_k is None else static_k
    v = heads(v) if static_v is None else static_v
    if add_zero_attn:
        row = k.new_zeros([bsz * num_heads, 1, head_dim])
        k, v = flambeau.cat([k, row], 1), flambeau.cat([v, row.to(v.dtype)], 1)
        attn_mask, key_padding_mask = _one_more(attn_mask), _one_more(key_padding_mask)
    src_len = k.size(1)

    if key_padding_mask is not None:
        _assert(
            key_padding_mask.shape == (bsz, src_len),
            f"expecting key_padding_mask shape of {(bsz, src_len)}, but got "
            f"{key_padding_mask.shape}",
        )
        padding = key_padding_mask.view(bsz, 1, 1, src_len).expand(-1, num_heads, -1, -1)
        padding = padding.reshape(bsz * num_heads, 1, src_len)
        attn_mask = padding if attn_mask is None else attn_mask + padding
    if not training:
        dropout_p = 0.0

    attn_weights = None
    if need_weights:
        scaled = q * math.sqrt(1.0 / head_dim)
        scores = flambeau.bmm(scaled, k.transpose(-2, -1))
        if attn_mask is not None:
            scores = scores + attn_mask
        attn_weights = flambeau.softmax(scores, -1)
        if dropout_p > 0.0:
            attn_weights = dropout(attn_weights, dropout_p)
        attended = flambeau.bmm(attn_weights, v).view(bsz, num_heads, tgt_len, head_dim)
        attn_weights = attn_weights.view(bsz, num_heads, tgt_len, src_len)
        if average_attn_weights:
            attn_weights = attn_weights.mean(1)
        if not batched:
            attn_weights = attn_weights.squeeze(0)
    else:
        if attn_mask is not None:
            if attn_mask.size(0) == 1 and attn_mask.dim() == 3:
                attn_mask = attn_mask.unsqueeze(0)
            else:
                attn_mask = attn_mask.view(bsz, num_heads, -1, src_len)
        attended = scaled_dot_product_attention(
            q.view(bsz, num_heads, tgt_len, head_dim),
            k.view(bsz, num_heads, src_len, head_dim),
            v.view(bsz, num_heads, src_len, head_dim),
            attn_mask,
            dropout_p,
            is_causal,
        )
    output = linear(
        attended.permute(2, 0, 1, 3).reshape(tgt_len * bsz, embed_dim),
        out_proj_weight,
        out_proj_bias,
    ).view(tgt_len, bsz, -1)
    return (output if batched else output.squeeze(1)), attn_weights


def _one_more(mask: Tensor | None) -> Tensor | None:
    """A mask that also lets a last key be seen."""
    return None if mask is None else OPERATIONS["pad"](mask, (0, 1))
