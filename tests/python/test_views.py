"""Views share memory with what they are of, and writes respect what tensors share."""

from __future__ import annotations

import flambeau as torch
import pytest

DTYPES = [
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.uint8,
    torch.bool,
    torch.complex32,
    torch.complex64,
]
VIEWS = {
    "select": lambda x: x[1],
    "slice": lambda x: x[1:, ::2],
    "view": lambda x: x.view(2, 8),
    "reshape": lambda x: x.reshape(16),
    "contiguous": lambda x: x.contiguous(),
    "transpose": lambda x: x.t(),
    "permute": lambda x: x.permute(1, 0),
    "expand": lambda x: x[:1].expand(3, 4),
    "unsqueeze": lambda x: x.unsqueeze(0),
    "squeeze": lambda x: x[:1].squeeze(0),
    "split": lambda x: x.split(2)[1],
    "chunk": lambda x: x.chunk(2, 1)[1],
    "unbind": lambda x: x.unbind()[3],
    "narrow": lambda x: x.narrow(0, 1, 2),
    "diagonal": lambda x: x.diagonal(),
    "unfold": lambda x: x.unfold(0, 2, 1),
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=list(VIEWS))
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_view_is_a_window_in_every_dtype(dtype, view):
    x = torch.zeros(4, 4, dtype=dtype)
    window = view(x)
    assert window.untyped_storage().data_ptr() == x.untyped_storage().data_ptr()
    window[(0,) * window.dim()] = 1
    assert x.sum(dtype=torch.complex64).item() == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_gradients_of_views_of_halves_are_summed_wide(dtype):
    x = torch.ones(1, 2, dtype=dtype, requires_grad=True)
    x.expand(4097, 2).sum().backward()
    assert x.grad.tolist() == [[torch.tensor(4097.0, dtype=dtype).item()] * 2]


OVERLAPS = {
    "copy_": lambda x: x[1:].copy_(x[:-1]),
    "add_": lambda x: x[1:].add_(x[:-1]),
    "addcmul_": lambda x: x[1:].addcmul_(x[1:], x[:-1]),
    "mul_ transposed": lambda x: x.mul_(x.t()),
    "iadd": lambda x: x[:-1].__iadd__(x[1:]),
    "setitem": lambda x: x.__setitem__(slice(1, None), x[:-1]),
    "out": lambda x: torch.add(x[:-1], 1, out=x[1:]),
    "out of exp": lambda x: torch.exp(x[:-1], out=x[1:]),
}


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("write", OVERLAPS.values(), ids=list(OVERLAPS))
def test_writes_over_an_input_are_refused(write, compiled):
    x = torch.arange(16.0).view(4, 4)
    before = x.clone()
    with pytest.raises(RuntimeError, match="refer to a single memory location"):
        (torch.compile(write) if compiled else write)(x)
    assert torch.equal(x, before)


def test_writes_to_the_same_elements_and_beside_them_are_fine():
    x = torch.arange(6.0)
    x.add_(x)
    x.mul_(x[:])
    x[:3].add_(x[3:])
    assert x.tolist() == [36, 68, 116, 36, 64, 100]
    # Tensors with gaps are not looked at, as in PyTorch.
    y = torch.ones(3, 3)
    y[:, 1:].add_(y[:, :-1])
    assert torch.equal(y[:, :2], torch.tensor([[1.0, 2.0]] * 3))


def test_equal_places_are_written_only_with_equal_numbers():
    x = torch.zeros(2, 1)
    assert x.expand(2, 3).fill_(3).tolist() == [[3] * 3] * 2
    assert x.expand(2, 3).zero_().sum() == 0
    for write in (
        lambda y: y.add_(1),
        lambda y: y.copy_(torch.ones(2, 3)),
        lambda y: y.uniform_(),
        lambda y: torch.exp(torch.ones(2, 3), out=y),
    ):
        with pytest.raises(RuntimeError, match="more than one element of the written-to tensor"):
            write(x.expand(2, 3))
    assert x.tolist() == [[0], [0]]


@pytest.mark.parametrize(
    ("view", "size", "stride"),
    [
        (lambda x: x.unsqueeze(0), (1, 2, 3), (6, 3, 1)),
        (lambda x: x.unsqueeze(1), (2, 1, 3), (3, 3, 1)),
        (lambda x: x[..., None], (2, 3, 1), (3, 1, 1)),
        (lambda x: x.t()[:, None], (3, 1, 2), (1, 6, 3)),
        (lambda x: x.expand(1, 2, 3), (1, 2, 3), (6, 3, 1)),
        (lambda x: x.expand(4, 2, 3), (4, 2, 3), (0, 3, 1)),
        (lambda x: x[0, 0].unsqueeze(0), (1,), (1,)),
        (lambda x: x.clone().unsqueeze_(0), (1, 2, 3), (6, 3, 1)),
    ],
)
def test_new_axes_have_pytorchs_strides(view, size, stride) -> None:  # type: ignore[no-untyped-def]
    x = torch.zeros(2, 3)
    for function in (view, torch.compile(view)):
        result = function(x)
        assert tuple(result.shape) == size and result.stride() == stride


def test_views_of_another_dtype_say_what_is_in_their_way() -> None:
    sizes = r" to view Float as Byte \(different element sizes\)"
    with pytest.raises(RuntimeError, match=r"self\.dim\(\) cannot be 0" + sizes):
        torch.tensor(1.0).view(torch.uint8)
    with pytest.raises(RuntimeError, match=rf"self\.stride\(-1\) must be 1{sizes}, but got 3"):
        torch.ones(2, 3).t().view(torch.uint8)
