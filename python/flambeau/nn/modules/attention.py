"""Causal self-attention block of a GPT."""

from __future__ import annotations

from flambeau import Tensor
from flambeau.nn import functional as F
from flambeau.nn.modules.linear import Linear
from flambeau.nn.modules.module import Module

__all__ = ["CausalSelfAttention"]


class CausalSelfAttention(Module):
    """Multi-head attention in which position t sees positions up to t; (batch, time, width) in and
    out. One Linear makes queries, keys and values.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0, bias: bool = True) -> None:
        super().__init__()
        if width % heads != 0:
            raise ValueError(
                f"CausalSelfAttention: width {width} is not a multiple of {heads} heads"
            )
        self.heads = heads
        self.dropout = dropout
        self.qkv = Linear(width, 3 * width, bias=bias)
        self.out = Linear(width, width, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        batch, time, width = x.shape
        qkv = self.qkv(x).view(batch, time, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout, is_causal=True)
        return self.out(mixed.transpose(1, 2).reshape(batch, time, width))
