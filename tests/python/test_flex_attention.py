"""torch.nn.attention.flex_attention: functions of scores and of places, block masks; texts are PyTorch 2.7.1's."""

from __future__ import annotations

import math
from typing import Any, Callable

import flambeau as torch
import pytest
from flambeau.nn.attention.flex_attention import (
    BlockMask,
    and_masks,
    create_block_mask,
    create_mask,
    flex_attention,
    noop_mask,
    or_masks,
)

pytestmark = pytest.mark.supports


def causal(b: Any, h: Any, q: Any, kv: Any) -> Any:
    return q >= kv


BIAS = torch.tensor([0.5, -1.0, 2.0, 1.5])
DOCUMENT = torch.arange(40) // 12


def changed(score: Any, b: Any, h: Any, q: Any, kv: Any) -> Any:
    return score * BIAS[h] - (q - kv).abs() * 0.1 + b


def documents(b: Any, h: Any, q: Any, kv: Any) -> Any:
    return ((DOCUMENT[q] == DOCUMENT[kv]) & (q >= kv) | (b == 1)) & (q != 5)


def by_hand(
    query: Any,
    key: Any,
    value: Any,
    score_mod: Callable[..., Any] | None,
    mask_mod: Any,
    scale: float,
) -> tuple[Any, Any]:
    """Score by score, from its definition."""
    groups = query.size(1) // key.size(1)
    rows, lse = [], []
    for b in range(query.size(0)):
        for h in range(query.size(1)):
            for i in range(query.size(2)):
                scores = query[b, h, i] @ key[b, h // groups].T * scale
                place = [torch.tensor(n) for n in (b, h, i)]
                every = [[*place, torch.tensor(j)] for j in range(key.size(2))]
                kept = [mask_mod is None or bool(mask_mod(*p)) for p in every]
                if score_mod is not None:
                    scores = torch.stack([score_mod(s, *p) for s, p in zip(scores, every)])
                if not any(kept):
                    rows.append(torch.zeros(value.size(-1)))
                    lse.append(torch.tensor(-math.inf))
                    continue
                scores = scores[torch.tensor(kept)]
                rows.append(scores.softmax(0) @ value[b, h // groups][torch.tensor(kept)])
                lse.append(scores.logsumexp(0))
    shape = query.shape[:3]
    return torch.stack(rows).view(*shape, -1), torch.stack(lse).view(shape)


@pytest.mark.parametrize("score_mod", [None, changed])
@pytest.mark.parametrize("mask_mod", [None, causal, documents])
def test_values_and_gradients(score_mod: Any, mask_mod: Any) -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(2, 4, 40, 8), torch.randn(2, 2, 40, 8), torch.randn(2, 2, 40, 6)
    mask = mask_mod and create_block_mask(mask_mod, 2, None, 40, 40, device="cpu", BLOCK_SIZE=16)
    found = []
    for compute in ("flex", "by hand"):
        given = [t.clone().requires_grad_() for t in (query, key, value)]
        if compute == "flex":
            result, lse = flex_attention(
                *given, score_mod, mask, 0.3, enable_gqa=True, return_lse=True
            )
        else:
            result, lse = by_hand(*given, score_mod, mask_mod, 0.3)
        (result * torch.arange(6.0)).sum().backward()
        found.append([result, lse, *(t.grad for t in given)])
    for ours, wanted in zip(*found):
        torch.testing.assert_close(ours, wanted, atol=1e-5, rtol=1e-4)
    if mask_mod is documents:
        assert (found[0][0][:, :, 5] == 0).all()
        assert (found[0][2][:, :, 5] == 0).all()


def test_captured_tensors_get_gradients() -> None:
    bias = torch.zeros(2, requires_grad=True)
    q = torch.randn(1, 2, 5, 4)
    result = flex_attention(q, q, q, lambda s, b, h, i, j: s + bias[h] * (i - j))
    result.square().sum().backward()
    assert (bias.grad != 0).all()
    table = torch.randn(5, 5)
    wanted = (q @ q.transpose(-2, -1) / 2 + table).softmax(-1) @ q
    torch.testing.assert_close(
        flex_attention(q, q, q, lambda s, b, h, i, j: s + table[i, j]), wanted
    )


def test_bits_are_the_same_compiled() -> None:
    q = torch.randn(1, 2, 40, 8)
    mask = create_block_mask(causal, None, None, 40, 40, device="cpu")
    compiled = torch.compile(flex_attention)
    assert torch.equal(compiled(q, q, q, changed, mask), flex_attention(q, q, q, changed, mask))
    half = q.bfloat16()
    assert flex_attention(half, half, half, changed, mask).dtype == torch.bfloat16


def test_blocks_of_a_mask() -> None:
    mask = create_block_mask(causal, None, None, 256, 256, device="cpu")
    assert (mask.shape, mask.numel(), mask.sparsity(), mask.BLOCK_SIZE) == (
        (1, 1, 256, 256), 65536, 25.0, (128, 128),
    )  # fmt: skip
    assert [t.tolist() for t in mask.as_tuple()[2:10]] == [
        [[[1, 1]]], [[[[0, 1], [1, 0]]]], [[[0, 1]]], [[[[0, 1], [0, 1]]]],
        [[[1, 1]]], [[[[0, 1], [1, 0]]]], [[[1, 0]]], [[[[1, 0], [0, 1]]]],
    ]  # fmt: skip
    assert len(mask.as_tuple(False)) == 11
    assert mask.to_dense().tolist() == [[[[1, 0], [1, 1]]]]
    assert str(mask) == (
        "BlockMask(shape=(1, 1, 256, 256), sparsity=25.00%, \n(0, 0)\n██  \n████\n)"
    )
    assert repr(mask).splitlines()[2:] == [
        "    kv_indices=torch.Size([1, 1, 2, 2]),",
        "    full_kv_num_blocks=torch.Size([1, 1, 2]),",
        "    full_kv_indices=torch.Size([1, 1, 2, 2]),",
        "    q_num_blocks=torch.Size([1, 1, 2]),",
        "    q_indices=torch.Size([1, 1, 2, 2]),",
        "    full_q_num_blocks=torch.Size([1, 1, 2]),",
        "    full_q_indices=torch.Size([1, 1, 2, 2]),",
        "    BLOCK_SIZE=(128, 128),",
        "    shape=(1, 1, 256, 256),",
        "    sparsity=25.00%,",
        "    mask_mod=causal",
        ")",
    ]

    def window(b: Any, h: Any, q: Any, kv: Any) -> Any:
        return (q >= kv) & (b >= 0) & (q - kv < 150)

    wide = create_block_mask(window, 2, 3, 500, 700, device="cpu", BLOCK_SIZE=(64, 128))
    assert wide.kv_num_blocks[0, 0].tolist() == [1, 1, 2, 2, 3, 2, 3, 2]
    assert wide.to_string(grid_size=(4, 3), limit=1) == (
        "(0, 0)\n░░    \n██    \n░░░░  \n░░██  \n\n...\n"
        "To print out more, set BlockMask.to_string(limit=N)\n"
        "You can also index (BlockMask[batch, head]) to choose a specific batch or head"
    )
    assert round(wide.sparsity(), 6) == 62.550857
    assert (wide[0].shape, wide[0, 1].shape) == ((3, 500, 700), (500, 700))
    assert wide._adjust(200, 300).shape == (2, 3, 256, 384)
    assert wide.to("cpu").shape == wide.shape
    blocks = BlockMask.from_kv_blocks(torch.tensor([[[1]]]), torch.tensor([[[[0]]]]))
    assert blocks.shape == (1, 1, 128, 128)
    with pytest.raises(RuntimeError, match="must have at least 2 dimensions"):
        BlockMask.from_kv_blocks(torch.tensor([1]), torch.tensor([0]))


def test_blocks_that_are_given_are_kept() -> None:
    """Of 2 x 2 blocks the first row has the first, the second both; no function says more."""
    q = torch.randn(1, 1, 8, 4)
    mask = BlockMask.from_kv_blocks(
        torch.tensor([[[1, 2]]], dtype=torch.int32),
        torch.tensor([[[[0, 1], [0, 1]]]], dtype=torch.int32),
        BLOCK_SIZE=4,
    )
    allowed = torch.ones(8, 8, dtype=torch.bool)
    allowed[:4, 4:] = False
    wanted = (q @ q.transpose(-2, -1) / 2).masked_fill(~allowed, -math.inf).softmax(-1) @ q
    torch.testing.assert_close(flex_attention(q, q, q, block_mask=mask), wanted)


def test_masks_of_places() -> None:
    def late(b: Any, h: Any, q: Any, kv: Any) -> Any:
        return kv > 2

    assert create_mask(causal, None, None, 4, 5, device="cpu")[0, 0].equal(
        torch.ones(4, 5, dtype=torch.bool).tril()
    )
    scored = create_mask(
        lambda s, b, h, q, kv: torch.where(kv == 1, -math.inf, s), 1, 2, 2, 3, device="cpu"
    )
    assert scored.tolist() == [[[[True, False, True]] * 2] * 2]
    three, two = torch.tensor(3), torch.tensor(2)
    assert and_masks(causal, late)(two, two, three, three)
    assert not and_masks(causal, late)(two, two, three, two)
    assert or_masks(causal, late)(two, two, three, two)
    assert noop_mask(two, two, two, two)


def test_what_is_refused() -> None:
    q, k = torch.randn(2, 4, 16, 8), torch.randn(2, 2, 16, 8)
    small = create_block_mask(causal, None, None, 8, 8, device="cpu")
    large = create_block_mask(causal, None, None, 256, 256, device="cpu")
    for args, error, text in (
        ((q, k, k), ValueError, "Hq=4 and Hkv=2. Try setting enable_gqa=True"),
        ((q[0], q[0], q[0]), NotImplementedError, "must be 4D tensors"),
        ((q, q.half(), q), ValueError, "to have the same dtype"),
        ((q[..., :4], q, q), ValueError, "same embedding dimension but got E=4 and E=8"),
        ((q, q[:1], q[:1]), ValueError, "block_mask=None, Bq=2, and Bkv=1"),
        ((q, q, q, None, small), ValueError, "smaller length than you're using it for"),
        ((q, q, q, None, large), ValueError, "larger length than you're using it for"),
    ):
        with pytest.raises(error, match=text):
            flex_attention(*args)
    with pytest.raises(AssertionError, match="requires a mask_mod function"):
        create_block_mask(changed, None, None, 8, 8, device="cpu")
