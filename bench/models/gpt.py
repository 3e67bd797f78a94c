"""A byte-level GPT of pre-norm blocks on scaled_dot_product_attention, against PyTorch's API."""

from __future__ import annotations

from typing import Any

VOCABULARY = 256  # bytes


def build(
    torch: Any,
    layers: int = 6,
    width: int = 384,
    heads: int = 6,
    context: int = 256,
    dropout: float = 0.0,
) -> Any:
    """model(ids) gives logits (batch, time, 256)."""
    nn, functional = torch.nn, torch.nn.functional

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1 = nn.LayerNorm(width)
            self.qkv = nn.Linear(width, 3 * width)
            self.out = nn.Linear(width, width)
            self.norm2 = nn.LayerNorm(width)
            self.mlp = nn.Sequential(
                nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
            )
            self.dropout = nn.Dropout(dropout)

        def forward(self, x: Any) -> Any:
            batch, time, _ = x.shape
            qkv = self.qkv(self.norm1(x)).view(batch, time, 3, heads, width // heads)
            query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
            mixed = functional.scaled_dot_product_attention(
                query, key, value, dropout_p=dropout if self.training else 0.0, is_causal=True
            )
            x = x + self.dropout(self.out(mixed.transpose(1, 2).reshape(batch, time, width)))
            return x + self.dropout(self.mlp(self.norm2(x)))

    class GPT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.Embedding(VOCABULARY, width)
            self.positions = nn.Embedding(context, width)
            self.dropout = nn.Dropout(dropout)
            self.blocks = nn.ModuleList([Block() for _ in range(layers)])
            self.norm = nn.LayerNorm(width)
            self.head = nn.Linear(width, VOCABULARY, bias=False)

        def forward(self, ids: Any) -> Any:
            x = self.dropout(self.tokens(ids) + self.positions(torch.arange(ids.shape[1])))
            for block in self.blocks:
                x = block(x)
            return self.head(self.norm(x))

    return GPT()


def batch(torch: Any, size: int = 8, time: int = 256) -> Any:
    """The model's inputs, and the targets."""
    ids = torch.randint(0, VOCABULARY, (size, time))
    return (ids,), torch.randint(0, VOCABULARY, (size, time))


def loss_of(torch: Any, logits: Any, targets: Any) -> Any:
    return torch.nn.functional.cross_entropy(logits.view(-1, VOCABULARY).float(), targets.view(-1))
