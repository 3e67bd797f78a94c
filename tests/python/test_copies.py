"""Copies between layouts: pairs that lie side by side move as one."""

from __future__ import annotations

import flambeau as torch
import numpy as np
import pytest

LAYOUTS = {
    "pairs": ((5, 7, 2), (1, 0, 2)),
    "fours": ((5, 7, 2, 2), (1, 0, 2, 3)),
    "fours, pairs swapped": ((5, 7, 2, 2), (1, 0, 3, 2)),
    "eights": ((3, 6, 2, 2, 2), (1, 0, 2, 3, 4)),
    "long": ((70, 2, 65, 2), (2, 1, 0, 3)),
    "pairs alone": ((2, 40, 2), (1, 0, 2)),
    "not pairs": ((4, 9, 3), (1, 0, 2)),
}


@pytest.mark.parametrize("offset", [0, 1, 3])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float16", "float32", "float64", "complex64"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_permuted_tensors_become_contiguous(layout: str, dtype: str, offset: int) -> None:
    sizes, axes = LAYOUTS[layout]
    numbers = (np.arange(offset + np.prod(sizes)) % 251).astype(dtype)
    view = torch.from_numpy(numbers)[offset:].view(sizes).permute(axes)
    wanted = numbers[offset:].reshape(sizes).transpose(axes)
    assert np.array_equal(view.contiguous().numpy(), wanted)


def test_rows_of_an_odd_stride_keep_their_pairs() -> None:
    numbers = np.arange(63, dtype=np.float32).reshape(9, 7)
    view = torch.from_numpy(numbers)[:, 1:3]  # pairs that begin at odd places
    assert np.array_equal(view.contiguous().numpy(), numbers[:, 1:3])
    assert np.array_equal(view.t().contiguous().numpy(), numbers[:, 1:3].T)


# More than the caches of most machines hold: what is written goes past them.
LARGE = 24 * 2**20


@pytest.mark.parametrize("offset", [0, 1, 16])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.uint8])
def test_large_results_are_whole(dtype: torch.dtype, offset: int) -> None:
    x = torch.arange(LARGE + offset, dtype=torch.int32).remainder(251).to(dtype)
    y = x[offset:]
    out = torch.zeros(LARGE + offset, dtype=dtype)
    torch.add(y, 1, out=out[offset:])
    wanted = (np.arange(offset, LARGE + offset) % 251 + 1).astype(out.numpy().dtype)
    assert np.array_equal(out.numpy()[offset:], wanted)
    assert not out[:offset].any()
    assert np.array_equal(y.clone().numpy(), wanted - 1)
    y.add_(1)  # in place
    assert np.array_equal(y.numpy(), wanted)


def test_large_rows_have_eager_bits() -> None:
    def chain(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        hidden = torch.nn.functional.dropout(torch.nn.functional.gelu(x), 0.1) + y
        return torch.nn.functional.layer_norm(hidden, hidden.shape[-1:])

    for columns in (1024, 1000):
        x, y = torch.randn(8192, columns), torch.randn(8192, columns)
        torch.manual_seed(1)
        expected = chain(x, y)
        torch.manual_seed(1)
        assert torch.equal(torch.compile(chain)(x, y), expected)
        # In pieces, each of which the caches hold.
        torch.manual_seed(1)
        first = chain(x[:64], y[:64])
        assert torch.equal(first, expected[:64])
