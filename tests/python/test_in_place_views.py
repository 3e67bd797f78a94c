"""Tensors that become another window: transpose_, resize_, set_ and others, as in PyTorch 2.7.1."""

from __future__ import annotations

import flambeau as torch
import pytest

# What PyTorch 2.7.1 draws with seed 0.
GEOMETRIC = [1.0, 1.0, 3.0, 1.0, 2.0]
CAUCHY = [1.298836902572973, -1.5911053056628586]


def test_shapes_change_in_place():
    x = torch.arange(6.0)
    before = x.data_ptr()
    assert x.unsqueeze_(0).squeeze_().resize_(2, 3).t_() is x
    assert x.tolist() == [[0, 3], [1, 4], [2, 5]]
    assert x.transpose_(0, 1).swapaxes_(0, 1).stride() == (1, 3)
    assert x.as_strided_((2,), (3,)).tolist() == [0, 3]
    assert x.data_ptr() == before and x._version == 7


def test_history_goes_through():
    w = torch.ones(2, 3, requires_grad=True)
    y = w * 2
    y.t_()
    assert y.shape == (3, 2) and y.grad_fn is not None
    (y * torch.arange(6.0).view(3, 2)).sum().backward()
    assert w.grad.tolist() == [[0, 4, 8], [2, 6, 10]]
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad is being used"):
        w.unsqueeze_(0)
    with torch.no_grad():
        assert w.t_().shape == (3, 2)


def test_views_of_views_that_are_written_later():
    w = torch.ones(2, 3, requires_grad=True)
    v = (w * 3)[0]
    v.unsqueeze_(0)
    v.mul_(2)
    v.sum().backward()
    assert w.grad.tolist() == [[6, 6, 6], [0, 0, 0]]
    base = torch.zeros(3, 4)
    base[1:].t_().fill_(1)
    assert base.sum(1).tolist() == [0, 4, 4]


def test_memory_changes_in_place():
    x = torch.zeros(2).set_(torch.arange(4.0))
    assert x.tolist() == [0, 1, 2, 3]
    x.set_(torch.arange(6.0).untyped_storage(), 1, (2, 2), (2, 1))
    assert x.tolist() == [[1, 2], [3, 4]]
    assert x.set_().shape == (0,)
    y = torch.arange(2.0)
    assert y.resize_(3, 2).shape == (3, 2) and y.flatten()[:2].tolist() == [0, 1]
    assert y.resize_as_(torch.ones(2)).tolist() == [0, 1]
    assert y.is_set_to(y) and not y.is_set_to(y.clone()) and y.is_same_size(y.clone())
    with pytest.raises(RuntimeError, match="cannot resize variables that require grad"):
        torch.zeros(2, requires_grad=True).resize_(3)


def test_detach_in_place():
    w = torch.ones(2, requires_grad=True)
    y = (w * 2).detach_()
    assert y.grad_fn is None and not y.requires_grad
    with pytest.raises(RuntimeError, match="Can't detach views in-place"):
        (w * 2)[0].detach_()


def test_other_names():
    assert torch.zeros(7, 3).fill_diagonal_(5, wrap=True).sum(1).tolist() == [5, 5, 5, 0, 5, 5, 5]
    assert torch.arange(3.0).apply_(lambda v: v * 2).tolist() == [0, 2, 4]
    assert torch.arange(3.0).map_(torch.ones(3), lambda a, b: a + b).tolist() == [1, 2, 3]
    # In-place forms of operations' other names.
    assert torch.ones(2).multiply_(3).negative_().clip_(-2).tolist() == [-2, -2]
    torch.manual_seed(0)
    assert torch.zeros(5).geometric_(0.3).tolist() == GEOMETRIC
    assert torch.zeros(2, dtype=torch.float64).cauchy_().tolist() == pytest.approx(CAUCHY)


def written_base(y):
    v = y[0]
    y.transpose_(0, 2)
    y.mul_(3)
    return (v * v,)


def written_view(y):
    v = y[:, 1:]
    y.transpose_(1, 2)
    y.unsqueeze_(0)
    v.mul_(2)
    return (v,)


def both(y):
    v = y.transpose(0, 1)[1]
    y.squeeze_()
    y.transpose_(0, 1)
    v.add_(y[0])
    return v, y


def made_in_between(y):
    y.transpose_(0, 1)
    v = y[1]
    y.transpose_(0, 1)
    v.mul_(2)
    return (v,)


def there_and_back(y):
    v = y.view(6, 2)[2]
    y.transpose_(0, 2)
    y.transpose_(0, 2)
    v.mul_(2)
    y.transpose_(0, 1)
    v.sub_(1)
    return v, y.clone()


def view_moves_too(y):
    v = y[:1]
    w = v.squeeze(0)
    v.squeeze_(0)
    w.mul_(3)
    v.t_()
    v.mul_(2)
    y.transpose_(0, 2)
    w.mul_(2)
    return v, w


# Gradients of PyTorch 2.7.1.
@pytest.mark.parametrize(
    ("program", "wanted"),
    [
        (written_base, [144, 432, 864, 1440, 2160, 3024, 504, 576, 648, 720, 792, 864]),
        (written_view, [8, 16, 100, 136, 172, 208, 56, 64, 308, 344, 380, 416]),
        (both, [54, 84, 44, 64, 58, 68, 210, 240, 148, 168, 110, 120]),
        (made_in_between, [8, 16, 100, 136, 40, 48, 56, 64, 300, 336, 88, 96]),
        (there_and_back, [10, 20, 34, 44, 192, 232, 62, 72, 86, 96, 110, 120]),
        (view_moves_too, [1200, 2448, 3576, 4824, 5952, 7200, 56, 64, 72, 80, 88, 96]),
    ],
)
def test_views_follow_a_base_that_became_another_window(program, wanted):
    def gradient(x):
        y = x * 2
        results = program(y)
        loss = (y * y).sum()
        for result in results:
            loss = loss + (result * torch.arange(1.0, 1 + result.numel()).view(result.shape)).sum()
        (grad,) = torch.autograd.grad(loss, x)
        return grad

    for run in (gradient, torch.compile(gradient)):
        x = torch.arange(1.0, 13).reshape(2, 3, 2).requires_grad_()
        assert run(x).flatten().tolist() == wanted


def test_a_base_that_is_elsewhere_cannot_be_followed():
    y = torch.arange(6.0, requires_grad=True) * 2
    y.as_strided_((2,), (3,))
    v = y[:1]
    y.as_strided_((2,), (3,), 1)  # the same sizes and strides
    with pytest.raises(NotImplementedError, match="at offset 0 when .* at offset 1 now"):
        v.mul_(2)
    y.as_strided_((2,), (3,), 0)
    v.mul_(2)  # it is back
    assert y.tolist() == [0.0, 6.0]


def test_a_base_of_which_only_a_part_is_left_cannot_be_followed():
    y = torch.arange(6.0, requires_grad=True) * 2
    v = y[1:3]
    y.as_strided_((2,), (3,))
    with pytest.raises(NotImplementedError, match="base of a view was of sizes"):
        v.mul_(2)


@pytest.mark.parametrize("own", [torch.int16, torch.float32])
def test_the_bits_as_another_dtype_are_no_part_of_a_history(own: torch.dtype) -> None:
    base = torch.zeros(4, dtype=own)
    scale = torch.ones((), requires_grad=True)
    bits = base[1:].view(torch.bfloat16)
    assert bits._base is None
    bits.add_(scale)
    assert bits.requires_grad and not base.requires_grad and base.is_leaf
    assert base[1:].view(torch.bfloat16).tolist() == bits.tolist() == [1.0] * bits.numel()
    bits.float().sum().backward()
    assert scale.grad is not None and scale.grad.item() == bits.numel()
    read = torch.ones(4, requires_grad=True).view(torch.float32)
    assert not read.requires_grad and read.is_leaf and read._base is None
