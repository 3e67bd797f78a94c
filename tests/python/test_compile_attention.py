"""Attention written out, compiled: rows in blocks, with the bits of the operations one by one."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flambeau as torch
import pytest
from flambeau.nn import functional as F

Mask = Callable[[Any], Any]  # scores -> scores
WARM_UP = 2  # runs: the first asks for every kernel


def no_mask(scores: Any) -> Any:
    return scores


def causal(scores: Any) -> Any:
    hidden = ~torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    return scores.masked_fill(hidden, -math.inf)


def padding(scores: Any) -> Any:
    keys = scores.shape[-1]
    return scores.masked_fill((torch.arange(keys) >= keys - keys // 3)[None, None, None], -math.inf)


def added(scores: Any) -> Any:
    slope = torch.arange(scores.shape[-1]) - torch.arange(scores.shape[-2])[:, None]
    return scores + slope.to(scores.dtype) / 16


def where(scores: Any) -> Any:
    seen = torch.ones(1, 1, *scores.shape[-2:], dtype=torch.bool).tril()
    return torch.where(seen, scores, torch.full([], torch.finfo(scores.dtype).min).to(scores.dtype))


def attention(query: Any, key: Any, value: Any, mask: Mask = no_mask, dropout: float = 0) -> Any:
    scores = mask(query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1]))
    weights = F.softmax(scores, dim=-1)
    return F.dropout(weights, dropout) @ value if dropout else weights @ value


def heads(batch: int, number: int, rows: int, keys: int, width: int, dtype: Any) -> list[Any]:
    torch.manual_seed(0)
    return [torch.randn(batch, number, length, width).to(dtype) for length in (rows, keys, keys)]


def bits(tensors: Any) -> list[bytes]:
    return [t.detach().contiguous().view(torch.uint8).numpy().tobytes() for t in tensors]


def regions(function: Callable[..., Any], *arguments: Any) -> list[str]:
    """Those that take rows in blocks, as compiler.explain shows their operations."""
    explanation = torch.compiler.explain(function)(*arguments)
    return [
        " + ".join(region["ops"])
        for program in explanation.programs
        for region in program["regions"]
        if any(step["text"].startswith("scan") for step in region["steps"])
    ]


def same(function: Callable[..., list[Any]], *arguments: Any) -> None:
    def seeded(function: Callable[..., list[Any]]) -> list[bytes]:
        torch.manual_seed(7)
        return bits(function(*arguments))

    expected = seeded(function)
    compiled = torch.compile(function)
    for _ in range(WARM_UP):
        before = torch.compiler.stats()["regions_one_by_one"]
        assert seeded(compiled) == expected
        torch._C._compile_wait()
    assert torch.compiler.stats()["regions_one_by_one"] == before, "kernels are still missing"


SIZES = [(2, 3, 130, 130, 16), (1, 2, 257, 300, 24), (3, 2, 7, 300, 5)]


@pytest.mark.parametrize("mask", [no_mask, causal, padding, added, where])
@pytest.mark.parametrize("sizes", SIZES)
def test_forward_has_eager_bits(sizes: tuple[int, ...], mask: Mask) -> None:
    same(lambda *a: [attention(*a, mask)], *heads(*sizes, torch.float32))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_dtypes(dtype: Any) -> None:
    same(lambda *a: [attention(*a, causal, 0.2)], *heads(2, 3, 200, 200, 16, dtype))


def test_no_region_holds_all_scores() -> None:
    found = regions(lambda *a: attention(*a, causal), *heads(2, 4, 256, 256, 64, torch.float32))
    assert len(found) == 1
    assert "matmul + div + masked_fill + softmax + matmul" in found[0]


def train(mask: Mask, dropout: float) -> Callable[..., list[Any]]:
    """The result and the gradients, which depend on it as those in a network do."""

    def step(*tensors: Any) -> list[Any]:
        leaves = [t.detach().clone().requires_grad_() for t in tensors]
        result = attention(*leaves, mask, dropout)
        # Every gradient depends on all of the result, so that the backward is a region of its own.
        (result * result).sum().log().backward()
        return [result, *(leaf.grad for leaf in leaves)]

    return step


@pytest.mark.parametrize("dropout", [0, 0.25])
@pytest.mark.parametrize("mask", [no_mask, causal, padding, added, where])
@pytest.mark.parametrize("sizes", [*SIZES, (1, 2, 600, 520, 8)])
def test_backward_has_eager_bits(sizes: tuple[int, ...], mask: Mask, dropout: float) -> None:
    same(train(mask, dropout), *heads(*sizes, torch.float32))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("rows", [130, 600])
def test_backward_of_other_dtypes(rows: int, dtype: Any) -> None:
    same(train(causal, 0.2), *heads(1, 2, rows, rows, 16, dtype))


def test_weights_are_computed_again_in_the_backward() -> None:
    """In place of those that the forward would keep for every row."""
    found = regions(train(causal, 0.1), *heads(2, 4, 256, 256, 64, torch.float32))
    forward = "matmul + div + masked_fill + softmax + dropout"
    assert [forward in ops.replace("_functional_", "") for ops in found] == [True, True], found
    assert "+ matmul" in found[0]
    assert found[1].count("MatmulBackward0") == 2


def test_a_result_that_is_seen_is_kept() -> None:
    def step(*tensors: Any) -> list[Any]:
        leaves = [t.detach().clone().requires_grad_() for t in tensors]
        scores = leaves[0] @ leaves[1].transpose(-2, -1)
        weights = F.softmax(scores, dim=-1)
        result = weights @ leaves[2]
        (result * result).sum().backward()
        return [result, weights, *(leaf.grad for leaf in leaves)]

    same(step, *heads(2, 3, 140, 140, 16, torch.float32))


def test_queries_that_change_before_the_backward_are_not_read_then() -> None:
    """What would be computed again from memory that is written in between is kept."""

    def step(*tensors: Any) -> list[Any]:
        leaves = [t.detach().clone().requires_grad_() for t in tensors]
        query = leaves[0] * 2
        weights = F.softmax(query @ leaves[1].transpose(-2, -1), dim=-1)
        result = weights @ leaves[2]
        loss = (result * result).sum()
        with torch.no_grad():
            query.detach().data.copy_(tensors[2])
        loss.backward()
        return [result, *(leaf.grad for leaf in leaves)]

    same(step, *heads(2, 3, 140, 140, 16, torch.float32))


RANDOM_SIZES = """
import os, pathlib, flambeau as torch
from flambeau.nn import functional as F
layers = [torch.nn.Linear(12, 12) for _ in range(4)]

def attend(x):
    query, key, value = (f(x).view(*x.shape[:2], 3, 4).transpose(1, 2) for f in layers[:3])
    hidden = torch.arange(x.shape[1])[None, None, None] >= x.shape[1] - 1
    scores = (query @ key.transpose(-2, -1) * 0.5).masked_fill(hidden, -1e9)
    result = F.dropout(F.softmax(scores, -1), 0.1) @ value
    return layers[3](result.transpose(1, 2).reshape(x.shape))

def kernels():
    torch._C._compile_wait()
    folder = pathlib.Path(os.environ["FLAMBEAU_CACHE_DIR"])
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())

def step(function, batch, length):
    loss = (function(torch.ones(batch, length, 12)) ** 2).mean()
    loss.backward()
    loss.item()

compiled = torch.compile(attend)
sizes = [(3, 40), (40, 300), (64, 31), (2, 130), (50, 200), (64, 7), (2, 2), (9, 257), (64, 31)]
for size in sizes:  # first the kernels of single operations and parts of products
    step(attend, *size)
for rows in (1, 100):
    a, b = torch.ones(2, rows, 257), torch.ones(2, 257, 4)
    for x in (a, a.transpose(1, 2).contiguous().transpose(1, 2)):
        x @ b, b.transpose(1, 2) @ x.transpose(1, 2), x.transpose(1, 2) @ torch.ones(2, rows, 4)
        torch.ones(2, rows, 4) @ b.transpose(1, 2)
for number, size in enumerate(sizes):
    step(compiled, *size)
    if number == 2:
        before = kernels(), torch.compiler.stats()["programs_made"]
print(kernels() - before[0], torch.compiler.stats()["programs_made"] - before[1])
"""


def test_new_sizes_need_no_kernels(tmp_path: Path) -> None:
    """Short ones, long ones, and a last block of one row."""
    done = subprocess.run(
        [sys.executable, "-c", RANDOM_SIZES],
        env=os.environ | {"FLAMBEAU_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["0", "0"], done.stdout + done.stderr


def test_a_batch_without_members_needs_no_kernels() -> None:
    product = torch.compile(lambda x: torch.cholesky_inverse(x))
    assert product(torch.zeros(0, 2, 2)).numpy().shape == (0, 2, 2)
