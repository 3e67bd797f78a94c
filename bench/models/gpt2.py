"""GPT-2 with 124 M parameters (Radford et al., 2019), against PyTorch's API.

Weights lie as GPT-2's do, (inputs, outputs), and attention is written out as Hugging Face's eager
path does it: matmul, scale, where, softmax, dropout, matmul.
"""

from __future__ import annotations

from typing import Any

VOCABULARY = 50257


def build(
    torch: Any,
    layers: int = 12,
    width: int = 768,
    heads: int = 12,
    vocabulary: int = VOCABULARY,
    context: int = 1024,
    dropout: float = 0.1,
) -> Any:
    """model(ids) gives logits (batch, time, vocabulary)."""
    nn, functional = torch.nn, torch.nn.functional

    class Conv1D(nn.Module):
        def __init__(self, inputs: int, outputs: int) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.empty(inputs, outputs))
            self.bias = nn.Parameter(torch.zeros(outputs))
            nn.init.normal_(self.weight, std=0.02)

        def forward(self, x: Any) -> Any:
            shape = (*x.shape[:-1], self.weight.shape[1])
            return torch.addmm(self.bias, x.view(-1, x.shape[-1]), self.weight).view(shape)

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            causal = torch.tril(torch.ones(context, context, dtype=torch.bool))
            self.register_buffer("causal", causal.view(1, 1, context, context), persistent=False)
            self.qkv = Conv1D(width, 3 * width)
            self.out = Conv1D(width, width)
            self.attention_dropout = nn.Dropout(dropout)
            self.dropout = nn.Dropout(dropout)

        def forward(self, x: Any) -> Any:
            batch, time, _ = x.shape

            def split(y: Any) -> Any:
                return y.view(batch, time, heads, width // heads).transpose(1, 2)

            query, key, value = map(split, self.qkv(x).split(width, dim=2))
            scores = torch.matmul(query, key.transpose(-1, -2)) / (width // heads) ** 0.5
            least = torch.full([], torch.finfo(scores.dtype).min, dtype=scores.dtype)
            scores = torch.where(self.causal[:, :, :time, :time], scores, least)
            weights = self.attention_dropout(functional.softmax(scores, dim=-1))
            mixed = torch.matmul(weights, value).transpose(1, 2).contiguous()
            return self.dropout(self.out(mixed.view(batch, time, width)))

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1 = nn.LayerNorm(width)
            self.attention = Attention()
            self.norm2 = nn.LayerNorm(width)
            self.wide = Conv1D(width, 4 * width)
            self.narrow = Conv1D(4 * width, width)
            self.dropout = nn.Dropout(dropout)

        def forward(self, x: Any) -> Any:
            x = x + self.attention(self.norm1(x))
            hidden = functional.gelu(self.wide(self.norm2(x)), approximate="tanh")
            return x + self.dropout(self.narrow(hidden))

    class GPT2(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.Embedding(vocabulary, width)
            self.positions = nn.Embedding(context, width)
            self.dropout = nn.Dropout(dropout)
            self.blocks = nn.ModuleList([Block() for _ in range(layers)])
            self.norm = nn.LayerNorm(width)
            self.head = nn.Linear(width, vocabulary, bias=False)
            nn.init.normal_(self.tokens.weight, std=0.02)
            nn.init.normal_(self.positions.weight, std=0.02)
            self.head.weight = self.tokens.weight

        def forward(self, ids: Any) -> Any:
            positions = torch.arange(ids.shape[1]).unsqueeze(0)
            x = self.dropout(self.tokens(ids) + self.positions(positions))
            for block in self.blocks:
                x = block(x)
            return self.head(self.norm(x))

    return GPT2()


def batch(torch: Any, size: int = 1, time: int = 128, vocabulary: int = VOCABULARY) -> Any:
    """The model's inputs, and as targets the tokens, which the loss shifts."""
    ids = torch.randint(0, vocabulary, (size, time))
    return (ids,), ids


def loss_of(torch: Any, logits: Any, targets: Any) -> Any:
    shifted = logits[:, :-1, :].contiguous()
    return torch.nn.functional.cross_entropy(
        shifted.view(-1, shifted.shape[-1]), targets[:, 1:].contiguous().view(-1)
    )
