"""torch.nn.utils.prune: masks on parameters, one after the other, and without them."""

from __future__ import annotations

import copy

import flambeau as torch
import pytest
from flambeau import nn
from flambeau.nn.utils import prune

pytestmark = pytest.mark.supports


def layer() -> nn.Linear:
    made = nn.Linear(3, 2)
    with torch.no_grad():
        made.weight.copy_(torch.tensor([[1.0, -5.0, 2.0], [-3.0, 4.0, 0.5]]))
    return made


def test_the_smallest_entries() -> None:
    module = prune.l1_unstructured(layer(), "weight", amount=2)
    assert [name for name, _ in module.named_parameters()] == ["bias", "weight_orig"]
    assert module.weight_mask.tolist() == [[0, 1, 1], [1, 1, 0]]
    assert module.weight.tolist() == [[0, -5, 2], [-3, 4, 0]]
    assert prune.is_pruned(nn.Sequential(module))
    module(torch.ones(3)).sum().backward()
    assert module.weight_orig.grad.tolist() == [[0, 1, 1], [1, 1, 0]]
    torch.optim.SGD([module.weight_orig], 1.0).step()
    module(torch.ones(3))
    assert module.weight.tolist() == [[0, -6, 1], [-4, 3, 0]]
    other = layer()
    prune.identity(other, "weight")
    other.load_state_dict(module.state_dict())
    assert torch.equal(other.weight_mask, module.weight_mask)
    assert copy.deepcopy(module.state_dict()).keys() == {"bias", "weight_orig", "weight_mask"}


def test_one_after_the_other_and_final() -> None:
    module = prune.l1_unstructured(layer(), "weight", amount=0.2)  # 0.5 goes.
    prune.ln_structured(module, "weight", amount=1, n=1, dim=1)  # The last column is the smallest.
    assert module.weight_mask.tolist() == [[1, 1, 0], [1, 1, 0]]
    (container,) = module._forward_pre_hooks.values()
    assert [type(each) for each in container] == [prune.L1Unstructured, prune.LnStructured]
    prune.remove(module, "weight")
    assert not prune.is_pruned(module)
    assert isinstance(module.weight, nn.Parameter)
    assert module.weight.tolist() == [[1, -5, 0], [-3, 4, 0]]
    with pytest.raises(ValueError, match="has to be pruned before pruning can be removed"):
        prune.remove(module, "weight")


def test_all_parameters_together() -> None:
    a, b = layer(), layer()
    b.weight.data.mul_(3)
    prune.global_unstructured([(a, "weight"), (b, "weight")], prune.L1Unstructured, amount=0.5)
    assert (a.weight_mask.sum(), b.weight_mask.sum()) == (2, 4)
    scores = {(a, "weight"): torch.ones(2, 3), (b, "weight"): torch.zeros(2, 3)}
    a, b = layer(), layer()
    scores = {(a, "weight"): torch.ones(2, 3), (b, "weight"): torch.zeros(2, 3)}
    prune.global_unstructured([*scores], prune.L1Unstructured, scores, amount=6)
    assert (a.weight_mask.sum(), b.weight_mask.sum()) == (6, 0)


def test_at_random_and_by_a_mask() -> None:
    torch.manual_seed(0)
    module = prune.random_unstructured(nn.Linear(10, 10), "weight", 0.25)
    assert module.weight_mask.sum() == 75
    module = prune.random_structured(nn.Linear(10, 10), "weight", 3, dim=0)
    assert module.weight_mask.sum(1).sort().values.tolist() == [0.0] * 3 + [10.0] * 7
    module = prune.custom_from_mask(layer(), "bias", torch.tensor([0.0, 1.0]))
    assert module.bias[0] == 0
    kept = prune.L1Unstructured(1).prune(torch.tensor([1.0, 3.0]))
    assert kept.tolist() == [0, 3]


def test_what_is_refused() -> None:
    for amount, error, text in (
        (1.5, ValueError, "either be a float in the range"),
        (-1, ValueError, "or a non-negative integer"),
        (9, ValueError, "smaller than the number of parameters to prune=6"),
        ("a", TypeError, "Must be int or float"),
    ):
        module = layer()
        with pytest.raises(error, match=text):
            prune.l1_unstructured(module, "weight", amount)
        assert isinstance(module.weight, nn.Parameter)
    with pytest.raises(ValueError, match="only be applied to multidimensional tensors"):
        prune.ln_structured(layer(), "bias", 1, 2, 0)
    with pytest.raises(IndexError, match="Invalid index 5"):
        prune.ln_structured(layer(), "weight", 1, 2, 5)
    with pytest.raises(TypeError, match='Only "unstructured" PRUNING_TYPE supported'):
        prune.global_unstructured([(layer(), "weight")], prune.LnStructured, amount=1, n=1)
