"""scaled_dot_product_attention against the formula in float64, forward and backward."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import flambeau as torch
import pytest
from flambeau.nn import functional as F


def composed(
    query: Any,
    key: Any,
    value: Any,
    mask: Any = None,
    causal: bool = False,
    scale: float | None = None,
    shared: bool = False,
) -> Any:
    """The formula, written out on the whole matrix of scores."""
    if shared:
        groups = query.shape[-3] // key.shape[-3]
        key, value = (x.repeat_interleave(groups, -3) for x in (key, value))
    scores = query @ key.transpose(-1, -2) * (scale or 1 / math.sqrt(query.shape[-1]))
    if causal:
        rows, keys = scores.shape[-2:]
        hidden = ~torch.ones(rows, keys, dtype=torch.bool).tril()
        scores = scores.masked_fill(hidden, -math.inf)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
    weights = scores.softmax(-1)
    return torch.where(weights.isnan(), 0.0, weights) @ value


def tensors(*shapes: tuple[int, ...]) -> list[Any]:
    torch.manual_seed(0)
    return [torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


def blind_rows() -> Any:
    mask = torch.ones(150, 260, dtype=torch.bool)
    mask[3] = False
    mask[140:] = False
    mask[:, :140] = False
    return mask


CASES: dict[str, tuple[list[tuple[int, ...]], dict[str, Any]]] = {
    "plain": ([(2, 3, 150, 8), (2, 3, 260, 8), (2, 3, 260, 5)], {}),
    "small": ([(3, 4), (5, 4), (5, 2)], {}),
    "one query": ([(1, 8), (260, 8), (260, 5)], {}),
    "one key": ([(3, 7, 8), (3, 1, 8), (3, 1, 5)], {}),
    "width 1": ([(150, 1), (260, 1), (260, 1)], {}),
    "causal": ([(2, 129, 8), (2, 129, 8), (2, 129, 5)], {"is_causal": True, "scale": 0.3}),
    "causal, more keys": ([(2, 130, 4), (2, 300, 4), (2, 300, 4)], {"is_causal": True}),
    "causal, more queries": ([(2, 300, 4), (2, 130, 4), (2, 130, 4)], {"is_causal": True}),
    "bool mask": ([(2, 3, 150, 4), (2, 3, 260, 4), (2, 3, 260, 4)], {"mask": (2, 1, 1, 260)}),
    "blind rows": ([(2, 3, 150, 4), (2, 3, 260, 4), (2, 3, 260, 4)], {"mask": "blind"}),
    "float mask": ([(2, 3, 150, 4), (2, 3, 260, 4), (2, 3, 260, 4)], {"shift": (2, 1, 150, 260)}),
    "shared heads": ([(2, 6, 40, 4), (2, 2, 140, 4), (2, 2, 140, 4)], {"enable_gqa": True}),
    "shared heads, mask": (
        [(2, 6, 40, 4), (2, 2, 140, 4), (2, 2, 140, 4)],
        {"enable_gqa": True, "shift": (2, 6, 40, 140)},
    ),
    "broadcast": ([(2, 4, 40, 4), (2, 1, 140, 4), (1, 4, 140, 4)], {}),
    "other ranks": ([(4, 40, 4), (140, 4), (4, 140, 4)], {}),
    "no query": ([(2, 0, 4), (2, 7, 4), (2, 7, 3)], {}),
    "no batch": ([(0, 5, 4), (0, 7, 4), (0, 7, 3)], {}),
}


def arguments_of(options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    options = dict(options)
    mask = options.pop("mask", None)
    if mask == "blind":
        mask = blind_rows()
    elif mask is not None:
        mask = torch.randn(*mask) > 0
    if "shift" in options:
        mask = torch.randn(*options.pop("shift"), dtype=torch.float64, requires_grad=True)
    return mask, options


@pytest.mark.parametrize("name", CASES)
def test_equals_the_formula(name: str) -> None:
    shapes, options = CASES[name]
    inputs = tensors(*shapes)
    mask, options = arguments_of(options)
    out = F.scaled_dot_product_attention(*inputs, attn_mask=mask, **options)
    cotangent = torch.randn_like(out)
    if mask is not None and mask.requires_grad:
        inputs.append(mask)
    gradients = torch.autograd.grad(out, inputs, cotangent)

    copies = [x.detach().clone().requires_grad_() for x in inputs]
    if mask is not None:
        mask = copies[3] if len(copies) > 3 else mask
    wanted = composed(
        *copies[:3],
        mask,
        causal=options.get("is_causal", False),
        scale=options.get("scale"),
        shared=options.get("enable_gqa", False),
    )
    torch.testing.assert_close(out, wanted)
    for got, expected in zip(gradients, torch.autograd.grad(wanted, copies, cotangent)):
        torch.testing.assert_close(got, expected)


def test_no_key_gives_zeros() -> None:
    query, key, value = tensors((2, 5, 4), (2, 0, 4), (2, 0, 3))
    out = F.scaled_dot_product_attention(query, key, value)
    assert out.tolist() == torch.zeros(2, 5, 3).tolist()
    out.sum().backward()
    assert query.grad.tolist() == torch.zeros(2, 5, 4).tolist()


@pytest.mark.parametrize("causal", [False, True])
def test_second_derivatives(causal: bool) -> None:
    inputs = tensors((2, 3, 4), (2, 3, 4), (2, 3, 4))
    copies = [x.detach().clone().requires_grad_() for x in inputs]
    seconds = []
    for x, attend in (
        (inputs, lambda *q: F.scaled_dot_product_attention(*q, is_causal=causal)),
        (copies, lambda *q: composed(*q, causal=causal)),
    ):
        firsts = torch.autograd.grad((attend(*x) ** 2).sum(), x, create_graph=True)
        total = sum((g**2).sum() for g in firsts)
        seconds.append(torch.autograd.grad(total, x))
    for got, expected in zip(*seconds):
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_row_alone_is_the_row_in_its_batch(dtype: str, causal: bool) -> None:
    query, key, value = (x.to(getattr(torch, dtype)) for x in tensors(*[(2, 3, 200, 16)] * 3))
    whole = F.scaled_dot_product_attention(query, key, value, is_causal=causal)
    if causal:  # position 130 is the last of the first 131
        part = F.scaled_dot_product_attention(query[..., :131, :], key, value, is_causal=True)
        assert torch.equal(part, whole[..., :131, :])
        last = F.scaled_dot_product_attention(
            query[..., 130:131, :], key[..., :131, :], value[..., :131, :]
        )
        assert torch.equal(last, whole[..., 130:131, :])
        return
    for row in (0, 127, 128, 199):
        alone = F.scaled_dot_product_attention(
            query[1:, 2:, row : row + 1], key[1:, 2:], value[1:, 2:]
        )
        assert torch.equal(alone, whole[1:, 2:, row : row + 1])


def test_dropout_drops_the_same_in_the_backward() -> None:
    query, key, _ = tensors((2, 200, 8), (2, 200, 8), (1, 1))
    value = torch.eye(200, dtype=torch.float64).expand(2, 200, 200).clone().requires_grad_()
    dropped = F.scaled_dot_product_attention(query, key, value, dropout_p=0.25)
    ratio = (dropped / F.scaled_dot_product_attention(query, key, value)).detach()
    assert 0.74 < (ratio > 0.5).double().mean().item() < 0.76
    torch.testing.assert_close(ratio[ratio > 0.5], torch.full_like(ratio[ratio > 0.5], 4 / 3))
    # With an identity for value, the result is the weights, whose columns' sums value's gradient is.
    (gradient,) = torch.autograd.grad(dropped.sum(), value)
    torch.testing.assert_close(gradient[..., 0], dropped.detach().sum(-2))


MEMORY = """
import resource
import flambeau as torch
q, k, v = (torch.randn(1, 2, 8192, 16, requires_grad=True) for _ in range(3))
attend = torch.nn.functional.scaled_dot_product_attention
attend(q[..., :256, :], k[..., :256, :], v[..., :256, :], is_causal=True).sum().backward()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
attend(q, k, v, is_causal=True).sum().backward()
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_no_matrix_of_scores_is_kept() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 128  # MiB; the scores of one head alone are 256
