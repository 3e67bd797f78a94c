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
