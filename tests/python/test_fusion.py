"""torch.nn.utils.fusion: a layer and the batch norm behind it as one layer."""

from __future__ import annotations

import copy
from typing import Any

import flambeau as torch
import pytest
from flambeau import nn
from flambeau.nn.utils import fusion

LAYERS = {
    "conv2d": (lambda: nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), (2, 3, 5, 5)),
    "transposed": (lambda: nn.ConvTranspose1d(3, 4, 2), nn.BatchNorm1d(4, affine=False), (2, 3, 5)),
    "linear": (lambda: nn.Linear(3, 4), nn.BatchNorm1d(4), (6, 3)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_one_layer_does_what_two_did(name: str) -> None:
    make, norm, shape = LAYERS[name]
    layer: Any = make()
    norm = copy.deepcopy(norm)
    x = torch.randn(shape)
    for _ in range(3):
        norm(layer(x))
    with pytest.raises(AssertionError, match="Fusion only for eval"):
        fusion.fuse_linear_bn_eval(layer, norm)
    layer.eval()
    norm.eval()
    if name == "linear":
        fused = fusion.fuse_linear_bn_eval(layer, norm)
    else:
        fused = fusion.fuse_conv_bn_eval(layer, norm, transpose=name == "transposed")
    torch.testing.assert_close(fused(x), norm(layer(x)), atol=1e-5, rtol=1e-4)
    assert isinstance(fused.bias, nn.Parameter)
    assert fused is not layer
