"""torch._foreach_NAME: what optimisers of libraries do with lists of tensors."""

from __future__ import annotations

import flambeau as torch
import pytest


def test_lists_of_tensors() -> None:
    a = [torch.tensor([1.0, 4.0]), torch.tensor([[9.0]])]
    b = [torch.tensor([2.0, 2.0]), torch.tensor([[3.0]])]

    def values(tensors: list[torch.Tensor]) -> list[object]:
        return [t.tolist() for t in tensors]

    assert values(torch._foreach_add(a, b, alpha=2)) == [[5, 8], [[15]]]
    assert values(torch._foreach_mul(a, 2)) == [[2, 8], [[18]]]
    assert values(torch._foreach_mul(a, [2, 3])) == [[2, 8], [[27]]]
    assert values(torch._foreach_mul(a, torch.tensor(2.0))) == [[2, 8], [[18]]]
    assert values(torch._foreach_sqrt(a)) == [[1, 2], [[3]]]
    assert values(torch._foreach_neg(a)) == [[-1, -4], [[-9]]]
    assert values(torch._foreach_div(a, b)) == [[0.5, 2], [[3]]]
    assert values(torch._foreach_maximum(a, b)) == [[2, 4], [[9]]]  # fmt: skip
    assert values(torch._foreach_addcdiv(a, a, b, 2)) == [[2, 8], [[15]]]
    assert values(torch._foreach_addcdiv(a, a, b, scalars=[2, 4])) == [[2, 8], [[21]]]
    assert values(torch._foreach_addcmul(a, a, b, torch.tensor([1.0, 2.0]))) == [[3, 12], [[63]]]
    assert values(torch._foreach_lerp(a, b, 0.5)) == [[1.5, 3], [[6]]]
    assert values(torch._foreach_norm([torch.tensor([3.0, 4.0])])) == [5]
    assert values(torch._foreach_norm([torch.tensor([3.0, 4.0])], 1)) == [7]


def test_in_place() -> None:
    a = [torch.tensor([1.0, 4.0]), torch.tensor([9.0])]
    assert torch._foreach_mul_(a, 2) is None
    torch._foreach_add_(a, a)
    torch._foreach_addcmul_(a, a, a, value=0.5)
    assert [t.tolist() for t in a] == [[12, 144], [684]]
    torch._foreach_maximum_(a, [torch.tensor(20.0), torch.tensor(0.0)])
    torch._foreach_copy_(a[:1], [torch.tensor([7.0, 8.0])])
    assert [t.tolist() for t in a] == [[7, 8], [684]]
    torch._foreach_zero_(a)
    assert [t.tolist() for t in a] == [[0, 0], [0]]


def test_what_there_is_not() -> None:
    with pytest.raises(RuntimeError, match="must have the same number of tensors, got 1 and 2"):
        torch._foreach_add([torch.ones(1)], [torch.ones(1), torch.ones(1)])
    assert not hasattr(torch, "_foreach_no_such_thing")
