"""BERT-base with its masked language modelling head (Devlin et al., 2018), against PyTorch's API.

Attention is written out as people write it: matmul, scale, masked_fill, softmax, dropout, matmul.
"""

from __future__ import annotations

import math
from typing import Any

VOCABULARY = 30522
IGNORED = -100  # the target of a token that was not masked


def build(
    torch: Any,
    layers: int = 12,
    width: int = 768,
    heads: int = 12,
    vocabulary: int = VOCABULARY,
    context: int = 512,
    dropout: float = 0.1,
) -> Any:
    """model(ids, padding) gives logits (batch, time, vocabulary); padding is True where to look."""
    nn, functional = torch.nn, torch.nn.functional

    class Embeddings(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(vocabulary, width, padding_idx=0)
            self.positions = nn.Embedding(context, width)
            self.types = nn.Embedding(2, width)
            self.norm = nn.LayerNorm(width, eps=1e-12)
            self.dropout = nn.Dropout(dropout)

        def forward(self, ids: Any) -> Any:
            positions = torch.arange(ids.shape[1]).unsqueeze(0)
            x = self.words(ids) + self.positions(positions) + self.types(torch.zeros_like(ids))
            return self.dropout(self.norm(x))

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query = nn.Linear(width, width)
            self.key = nn.Linear(width, width)
            self.value = nn.Linear(width, width)
            self.dropout = nn.Dropout(dropout)

        def forward(self, x: Any, padding: Any) -> Any:
            batch, time, _ = x.shape

            def split(y: Any) -> Any:
                return y.view(batch, time, heads, width // heads).transpose(1, 2)

            query, key, value = split(self.query(x)), split(self.key(x)), split(self.value(x))
            scores = query @ key.transpose(-1, -2) / math.sqrt(width // heads)
            scores = scores.masked_fill(~padding[:, None, None, :], torch.finfo(scores.dtype).min)
            weights = self.dropout(functional.softmax(scores, dim=-1))
            return (weights @ value).transpose(1, 2).reshape(batch, time, width)

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = Attention()
            self.out = nn.Linear(width, width)
            self.norm1 = nn.LayerNorm(width, eps=1e-12)
            self.wide = nn.Linear(width, 4 * width)
            self.narrow = nn.Linear(4 * width, width)
            self.norm2 = nn.LayerNorm(width, eps=1e-12)
            self.dropout = nn.Dropout(dropout)

        def forward(self, x: Any, padding: Any) -> Any:
            x = self.norm1(x + self.dropout(self.out(self.attention(x, padding))))
            return self.norm2(x + self.dropout(self.narrow(functional.gelu(self.wide(x)))))

    class Bert(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embeddings = Embeddings()
            self.layers = nn.ModuleList([Layer() for _ in range(layers)])
            self.transform = nn.Linear(width, width)
            self.norm = nn.LayerNorm(width, eps=1e-12)
            self.decoder = nn.Linear(width, vocabulary)
            for module in self.modules():
                if isinstance(module, (nn.Linear, nn.Embedding)):
                    nn.init.normal_(module.weight, std=0.02)
                if isinstance(module, nn.Linear):
                    nn.init.zeros_(module.bias)
            self.decoder.weight = self.embeddings.words.weight

        def forward(self, ids: Any, padding: Any) -> Any:
            x = self.embeddings(ids)
            for layer in self.layers:
                x = layer(x, padding)
            return self.decoder(self.norm(functional.gelu(self.transform(x))))

    return Bert()


def batch(torch: Any, size: int = 2, time: int = 128, vocabulary: int = VOCABULARY) -> Any:
    """The model's inputs, and the targets: 15 % of the tokens, at least one of each text."""
    ids = torch.randint(1, vocabulary, (size, time))
    lengths = torch.randint(time // 2, time + 1, (size,))
    lengths[0] = time
    padding = torch.arange(time) < lengths[:, None]
    masked = (torch.rand(size, time) < 0.15) & padding
    masked[:, 1] = True
    targets = ids.masked_fill(~masked, IGNORED)
    return (ids.masked_fill(masked, 3).masked_fill(~padding, 0), padding), targets


def loss_of(torch: Any, logits: Any, targets: Any) -> Any:
    return torch.nn.functional.cross_entropy(
        logits.view(-1, logits.shape[-1]), targets.view(-1), ignore_index=IGNORED
    )
