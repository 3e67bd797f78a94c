"""nn.utils.spectral_norm, which is a hook; the one of parametrizations is elsewhere."""

from __future__ import annotations

from typing import Any

import flambeau as torch
import pytest
from flambeau import nn
from flambeau.nn.utils import remove_spectral_norm, spectral_norm


@pytest.mark.parametrize(
    ("layer", "size"),
    [
        (lambda: nn.Linear(3, 4), (2, 3)),
        (lambda: nn.Conv2d(2, 3, 2), (1, 2, 4, 4)),
        (lambda: nn.ConvTranspose2d(2, 3, 2), (1, 2, 4, 4)),
    ],
)
def test_the_largest_singular_value_is_1(layer: Any, size: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    module = spectral_norm(layer(), n_power_iterations=50)
    assert [*module.state_dict()] == ["bias", "weight_orig", "weight_u", "weight_v"]
    assert [name for name, _ in module.named_parameters()] == ["bias", "weight_orig"]
    assert not isinstance(module.weight, nn.Parameter)
    module(torch.ones(size))
    weight = module.weight
    rows = weight.movedim(1 if isinstance(module, nn.ConvTranspose2d) else 0, 0).flatten(1)
    assert torch.linalg.matrix_norm(rows, 2).item() == pytest.approx(1, abs=1e-4)
    assert torch.allclose(weight * (module.weight_orig / weight).mean(), module.weight_orig)


def test_training_goes_on_with_the_vectors() -> None:
    torch.manual_seed(0)
    module = spectral_norm(nn.Linear(3, 4))
    u = module.weight_u.clone()
    x = torch.ones(2, 3)
    first = module(x)
    assert not module.weight_u.equal(u)
    module(x)  # Writes the vectors that the first backward needs.
    first.sum().backward()
    assert module.weight_orig.grad is not None
    module.eval()
    u = module.weight_u.clone()
    assert module(x).equal(module(x))
    assert module.weight_u.equal(u)
    before = module.weight.clone()
    assert remove_spectral_norm(module) is module
    assert [*module.state_dict()] == ["bias", "weight"]
    assert isinstance(module.weight, nn.Parameter)
    assert module.weight.equal(before)


def test_the_numbers_of_pytorch() -> None:
    """Of PyTorch 2.7.1."""
    module = spectral_norm(nn.Linear(3, 4), n_power_iterations=2)
    for value in module.state_dict().values():
        value.copy_(torch.arange(1.0, value.numel() + 1).view(value.shape).sin())
    total = module(torch.ones(2, 3)).sum()
    total.square().backward()
    assert total.item() == pytest.approx(2.169048309326172, rel=1e-5)
    assert module.weight_u.sum().item() == pytest.approx(-0.00345036, abs=1e-6)


def test_refusals() -> None:
    module = spectral_norm(nn.Linear(3, 2))
    with pytest.raises(RuntimeError, match="Cannot register two spectral_norm hooks on the same"):
        spectral_norm(module)
    with pytest.raises(ValueError, match="Expected n_power_iterations to be positive, but got"):
        spectral_norm(nn.Linear(3, 2), n_power_iterations=0)
    with pytest.raises(KeyError):
        spectral_norm(nn.Linear(3, 2), "nothing")
    with pytest.raises(ValueError, match="`SpectralNorm` cannot be applied as parameter `bias` is"):
        spectral_norm(nn.Linear(3, 2, bias=False), "bias")
    with pytest.raises(ValueError, match="spectral_norm of 'bias' not found in Linear"):
        remove_spectral_norm(module, "bias")
