"""What autograd says at its edges: derivatives that are missing, views that may not be written."""

from collections.abc import Callable
from typing import Any

import flambeau as torch
import pytest


@pytest.mark.parametrize(
    "call",
    [
        lambda x, c: x // c,
        lambda x, c: 3 // x,
        lambda x, c: torch.nextafter(x, c),
        lambda x, c: torch.special.zeta(x, c),
        lambda x, c: torch.igamma(x, c),
        lambda x, c: torch.igammac(x, c),
        lambda x, c: torch.geqrf(x[:, None] * 1)[0],
        lambda x, c: torch.linalg.ldl_factor(x[:, None] * x)[0],
        lambda x, c: x.scatter(0, torch.tensor([0]), c, reduce="multiply"),
    ],
)
def test_a_missing_derivative_is_said_and_not_zero(call: Callable[..., Any]) -> None:
    x = torch.tensor([1.5, 2.5], requires_grad=True)
    c = torch.tensor([0.5, 2.0])
    result = call(x, c)
    assert result.requires_grad
    with pytest.raises(NotImplementedError, match="the derivative for '.*' is not implemented"):
        result.sum().backward()
    assert x.grad is None
    with torch.no_grad():
        assert not call(x, c).requires_grad
    assert not call(x.detach(), c).requires_grad


def test_a_number_is_no_tensor_that_needs_a_gradient() -> None:
    x, w = torch.tensor([5.0, 7.0]), torch.tensor([2.0, 3.0], requires_grad=True)
    for _ in range(3):
        assert (x // w).requires_grad  # leaves w where the call before had its second tensor
        assert not (x // 2).requires_grad
        assert (12 // w).requires_grad


def test_the_other_gradient_is_there() -> None:
    x = torch.tensor([1.5, 2.5], requires_grad=True)
    torch.igamma(torch.tensor([0.5, 2.0]), x).sum().backward()
    assert (x.grad > 0).all()


def test_integers_that_floats_are_seen_as_have_no_gradient() -> None:
    x = torch.ones(3, requires_grad=True)
    bits = x.view(torch.int32)
    assert not bits.requires_grad and bits.is_leaf and bits.data_ptr() == x.data_ptr()


@pytest.mark.parametrize("name", ["squeeze_", "unsqueeze_", "t_"])
def test_views_of_leaves_become_no_other_window(name: str) -> None:
    leaf = torch.ones(1, 1, requires_grad=True)
    arguments = (0,) if name == "unsqueeze_" else ()
    with pytest.raises(RuntimeError, match=f"{name}: a view of a leaf Variable"):
        getattr(leaf.view(1, 1), name)(*arguments)
    with pytest.raises(RuntimeError, match=f"{name}: output 0 of .*multiple views"):
        getattr((leaf * 2).view(1, 1, 1).unbind(0)[0], name)(*arguments)
    with torch.no_grad():
        getattr(leaf.view(1, 1), name)(*arguments)


def test_one_of_several_views_is_like_any_of_them() -> None:
    x = torch.ones(1, requires_grad=True)
    y = x * 2
    (part,) = y.split(1)
    y += x
    with pytest.raises(RuntimeError, match="output 0 of SplitBackward0 is a view and its base"):
        part.sum()


def test_a_view_that_is_squeezed_without_gradients_is_still_followed() -> None:
    x = torch.ones(2, 3, requires_grad=True)
    y = x * 2
    row = y[:1]
    with torch.no_grad():
        row.squeeze_()
    y.mul_(3)
    (row * torch.arange(3.0)).sum().backward()
    assert x.grad.tolist() == [[0.0, 6.0, 12.0], [0.0, 0.0, 0.0]]


def test_post_accumulate_hooks() -> None:
    with pytest.raises(RuntimeError, match="cannot register a hook on a tensor that doesn't"):
        torch.ones(3).register_post_accumulate_grad_hook(lambda p: None)
    x = torch.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="cannot be registered on non-leaf tensors"):
        (x * 2).register_post_accumulate_grad_hook(lambda p: None)
    x.register_post_accumulate_grad_hook(lambda p: p.grad)
    with pytest.raises(RuntimeError, match="post accumulate grad hooks should return None"):
        x.sum().backward()


def test_out_keeps_its_memory_where_there_is_room() -> None:
    x = torch.zeros(2, 2)
    seen = x.view(4)
    torch.add(torch.ones(3), 1, out=x)
    assert x.shape == (3,) and seen.tolist() == [2.0, 2.0, 2.0, 0.0]
    whole = torch.zeros(2, 2)
    column = whole[:, 1]
    torch.add(torch.ones(1), 1, out=column)
    assert column.storage_offset() == 1 and whole.tolist() == [[0.0, 2.0], [0.0, 0.0]]
    torch.add(torch.ones(4), 1, out=column)  # reaches beyond the end
    assert column.tolist() == [2.0] * 4 and whole.tolist() == [[0.0, 2.0], [0.0, 0.0]]


def test_the_sign_of_nan_is_0() -> None:
    x = torch.tensor([float("nan"), 2.0, -1.0, 0.0], requires_grad=True)
    assert torch.sign(x).tolist() == [0.0, 1.0, -1.0, 0.0]
    assert torch.sgn(x).tolist() == [0.0, 1.0, -1.0, 0.0]
    assert torch.heaviside(x, torch.tensor(0.5)).tolist() == [0.0, 1.0, 0.0, 0.5]
    x.abs().sum().backward()
    assert x.grad.tolist() == [0.0, 1.0, -1.0, 0.0]


@pytest.mark.parametrize(
    ("function", "slopes"),
    [
        (torch.nn.functional.hardswish, [1.0, 0.0]),
        (lambda x: torch.nn.functional.huber_loss(x, torch.zeros(2), reduction="sum"), [1.0, -1.0]),
        (
            lambda x: torch.nn.functional.smooth_l1_loss(x, torch.zeros(2), reduction="sum"),
            [1.0, -1.0],
        ),
        (lambda x: torch.logaddexp(x, torch.zeros(2)), [1.0, 0.0]),
    ],
)
def test_slopes_at_infinity(function: Callable[..., Any], slopes: list[float]) -> None:
    x = torch.tensor([float("inf"), float("-inf")], requires_grad=True)
    function(x).sum().backward()
    assert x.grad.tolist() == slopes


def test_the_trace_of_a_complex_matrix_is_complex() -> None:
    x = torch.tensor([[1 + 2j, 5.0], [3.0, 4j]], requires_grad=True)
    total = torch.trace(x)
    assert total.item() == 1 + 6j
    total.real.backward()
    assert x.grad.tolist() == [[1, 0], [0, 1]]


def test_gradients_are_laid_out_as_their_leaves() -> None:
    torch.manual_seed(0)
    for leaf in (
        torch.randn(3, 4).t(),
        torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
    ):
        leaf.requires_grad_()
        for _ in range(2):
            (leaf * leaf).sum().backward()
            assert leaf.grad.stride() == leaf.stride()
        torch.testing.assert_close(leaf.grad, 4 * leaf.detach())
        held = []
        leaf.grad = None
        leaf.register_hook(held.append)
        (leaf * 3).sum().backward()  # somebody else holds what comes
        assert leaf.grad.stride() == leaf.stride() and leaf.grad is not held[0]
    sparse = torch.randn(3, 4)[:, ::2].requires_grad_()  # not dense
    sparse.exp().sum().backward()
    assert sparse.grad.is_contiguous()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_binary_cross_entropy_where_it_is_saturated(dtype: Any) -> None:
    """(p - y) / max(p (1 - p), 1e-12), as PyTorch has it."""
    p = torch.tensor([1, 0, 1, 0, 1e-13, 0.3, 1], dtype=dtype, requires_grad=True)
    y = torch.tensor([1, 0, 0, 1, 1, 0.7, 0.25], dtype=dtype, requires_grad=True)
    losses = torch.nn.functional.binary_cross_entropy(p, y, reduction="none")
    expected = [0, 0, 100, 100, 29.9336062, 0.9497834, 75]
    torch.testing.assert_close(
        losses.detach(), torch.tensor(expected, dtype=dtype), rtol=1e-6, atol=0
    )
    losses.sum().backward()
    by_p = [0, 0, 1e12, -1e12, -1e12, -0.4 / 0.21, 0.75e12]
    torch.testing.assert_close(p.grad, torch.tensor(by_p, dtype=dtype), rtol=1e-6, atol=0)
    by_y = [-100, 100, -100, 100, 29.9336062, 0.8472979, -100]
    torch.testing.assert_close(y.grad, torch.tensor(by_y, dtype=dtype), rtol=1e-6, atol=0)
    for outside in (1.5, -0.5, float("nan")):
        with pytest.raises(RuntimeError, match="between 0 and 1"):
            torch.nn.functional.binary_cross_entropy(torch.tensor([outside], dtype=dtype), y[:1])


@pytest.mark.parametrize("leaf", [False, True])
def test_views_made_without_gradients_are_not_written_with_them(leaf: bool) -> None:
    base = torch.ones(3, requires_grad=True)
    if not leaf:
        base = base * 2
    with torch.no_grad():
        view = base[:2]
        view.mul_(2)
    with pytest.raises(RuntimeError, match="mul_: a view was created in no_grad mode and is being"):
        view.mul_(2)


def test_mutation_of_saved_tensors_is_allowed() -> None:
    a = torch.ones(2, requires_grad=True)
    with torch.autograd.graph.allow_mutation_on_saved_tensors():
        b = a.clone()
        cubes = b**3
        powers = b.exp()
        product = powers * powers
        b.zero_()
        powers.zero_()
        (slope,) = torch.autograd.grad(cubes.sum(), a, create_graph=True)
        assert slope.tolist() == [3, 3]
        assert torch.autograd.grad(slope.sum(), a)[0].tolist() == [6, 6]
    (slope,) = torch.autograd.grad(product.sum(), a)
    assert torch.allclose(slope, 2 * torch.ones(2).mul(2).exp())


def test_a_leaf_that_is_frozen_after_forward_gets_no_gradient() -> None:
    frozen, other = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    seen: list[torch.Tensor] = []
    frozen.register_post_accumulate_grad_hook(seen.append)
    total = (frozen * other).sum()
    frozen.requires_grad_(False)
    total.backward()
    assert frozen.grad is None
    assert not seen
    assert other.grad.tolist() == [1, 1]


def test_gradients_fit_what_data_was_set_to() -> None:
    """Also where a graph of before is still there."""
    weight = torch.ones(2, requires_grad=True)
    before = weight.exp()
    weight.data = weight.data.double()
    (weight * 2).sum().backward()
    assert weight.grad.dtype is torch.float64
    weight.grad = None
    weight.data = torch.ones(3)
    (weight * torch.arange(3)).sum().backward()
    assert weight.grad.tolist() == [0, 1, 2]
    assert before.requires_grad


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (lambda x: x.mul_(2), "mul_"),
        (lambda x: x.copy_(torch.ones(2)), "copy_"),
        (lambda x: x.zero_(), "zero_"),
        (lambda x: x.masked_fill_(x > 0, 2), "masked_fill_"),
    ],
)
def test_refused_writes_have_the_name_of_what_was_called(
    write: Callable[..., Any], name: str
) -> None:
    for tensor in (torch.ones(2, requires_grad=True), torch.ones(2, 2, requires_grad=True)[0]):
        with pytest.raises(RuntimeError, match=f"^{name}: a .*leaf Variable that requires grad"):
            write(tensor)
