"""Numbers that operations refuse, as PyTorch does, and with its exception types."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flambeau as torch
import flambeau.nn.functional as F
import pytest

X = torch.ones(1, 3, 9)
VOLUME, WEIGHT = torch.ones(1, 1, 4, 4, 4), torch.ones(1, 1, 2, 2, 2)
REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "delta": (lambda: F.huber_loss(X, X, delta=0), RuntimeError, "non-positive values for delta"),
    "beta": (lambda: F.smooth_l1_loss(X, X, beta=-1.0), RuntimeError, "negative values for beta"),
    "divisor": (
        lambda: F.avg_pool2d(X, 2, divisor_override=0),
        RuntimeError,
        "divisor must be not zero",
    ),
    "pad": (lambda: F.max_pool1d(X, 3, 1, 2, 2), RuntimeError, "at most half of kernel size"),
    "padding": (lambda: F.conv3d(VOLUME, WEIGHT, padding=-1), RuntimeError, "negative padding"),
    "transposed padding": (
        lambda: F.conv_transpose3d(VOLUME, WEIGHT, padding=-1),
        RuntimeError,
        "negative padding",
    ),
    "dims": (lambda: torch.roll(torch.tensor(1.0), 0, 0), IndexError, "has no dimensions"),
    "var": (lambda: F.gaussian_nll_loss(X, X, X[..., :2]), ValueError, "incorrect size"),
    "channels": (lambda: F.max_pool1d(torch.ones(0, 9), 1), RuntimeError, "0 dim batch size"),
    "unpooled space": (
        lambda: F.max_unpool1d(X[..., :0], X[..., :0].long(), 2),
        RuntimeError,
        "non-zero size for non-batch dimensions",
    ),
    "fractional channels": (
        lambda: F.fractional_max_pool2d(torch.ones(2, 0, 4, 4), 2, output_size=1),
        RuntimeError,
        "non-zero size for non-batch dimensions",
    ),
    "no channels to interpolate": (
        lambda: F.interpolate(X[:, :0], size=2),
        RuntimeError,
        "Non-empty 3D data tensor expected",
    ),
    "no channels to reflect": (
        lambda: F.pad(X[:, :0], (1, 1), mode="reflect"),
        RuntimeError,
        "0 batch size and other non-zero",
    ),
    "empty kernel": (
        lambda: F.conv1d(X, torch.ones(1, 3, 0)),
        RuntimeError,
        "kernel size should be greater than zero",
    ),
    "target": (
        lambda: F.binary_cross_entropy(X, X + 1),
        RuntimeError,
        "elements of target should be between 0 and 1",
    ),
    "filling vector": (
        lambda: X.index_fill(0, torch.tensor([0]), torch.ones(1)),
        RuntimeError,
        "only supports a 0-dimensional value tensor",
    ),
    "alpha": (lambda: F.celu(X, 0.0), RuntimeError, "alpha cannot be 0"),
    "convolved empty batch": (
        lambda: F.conv1d(torch.ones(0, 1, 0), torch.ones(1, 1, 2)),
        RuntimeError,
        "Kernel size can't be greater",
    ),
    "offset past the end": (
        lambda: F.embedding_bag(torch.tensor([0, 1]), torch.ones(3, 1), torch.tensor([0, 3])),
        RuntimeError,
        "can not be greater than input's length 2 but got offsets.-1. of 3",
    ),
    "first offset": (
        lambda: F.embedding_bag(torch.tensor([0, 1]), torch.ones(3, 1), torch.tensor([1])),
        RuntimeError,
        "has to be 0, .* However, got 1",
    ),
    "unordered offsets": (
        lambda: F.embedding_bag(
            torch.tensor([0, 1]), torch.ones(3, 1), torch.tensor([0, 2, 1]), mode="max"
        ),
        RuntimeError,
        "offsets must not decrease",
    ),
    "window layout": (
        lambda: torch.signal.windows.hann(3, layout=torch.sparse_coo),
        ValueError,
        "implemented for strided tensors only",
    ),
    "old window layout": (
        lambda: torch.hann_window(3, layout=torch.sparse_coo),
        RuntimeError,
        "hann_window is not implemented for sparse types",
    ),
    "layout": (
        lambda: torch.tril_indices(2, 2, layout=torch.sparse_coo),
        NotImplementedError,
        "no tensors of this layout",
    ),
    "factory layout": (
        lambda: torch.zeros(2, layout=torch.sparse_csr),
        NotImplementedError,
        "no tensors of this layout",
    ),
    "negative var": (lambda: F.gaussian_nll_loss(X, X, -X), ValueError, "negative entry"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_they_are_refused(name: str) -> None:
    call, error, text = REFUSED[name]
    with pytest.raises(error, match=text):
        call()


def test_what_is_at_the_limit_is_taken() -> None:
    assert F.smooth_l1_loss(X, X + 1, beta=0.0).item() == 1
    assert F.max_pool1d(X, 3, 1, 1, 2).shape == (1, 3, 7)
    assert F.interpolate(X[:0], size=2).shape == (0, 3, 2)
    assert F.pad(X[:0], (1, 1), mode="reflect").shape == (0, 3, 11)
    assert F.gaussian_nll_loss(X, X, X[..., 0]).item() == 0
    assert torch.roll(torch.tensor(1.0), 0).item() == 1
