"""torch.vmap: random numbers, indices that members have, functions of the user with and without a rule."""

from __future__ import annotations

from typing import Any

import flambeau as torch
import flambeau.nn.functional as F
import pytest
from flambeau.func import grad, vmap

pytestmark = pytest.mark.supports

DRAWS = {
    "rand": lambda x: torch.rand(6) + x.sum() * 0,
    "rand_like": lambda x: torch.rand_like(x),
    "randn in place": lambda x: torch.zeros_like(x).normal_(),
    "bernoulli": lambda x: torch.bernoulli(torch.full_like(x, 0.5)),
    "dropout": lambda x: F.dropout(torch.ones_like(x)),
    "randint": lambda x: torch.randint(1000, (6,)),
    "multinomial": lambda x: torch.multinomial(torch.ones(6), 4),
}


@pytest.mark.parametrize("name", DRAWS)
def test_random_numbers(name: str) -> None:
    draw, x = DRAWS[name], torch.zeros(8, 6)
    with pytest.raises(
        RuntimeError, match="called random operation while in randomness error mode"
    ):
        vmap(draw)(x)
    torch.manual_seed(0)
    same = vmap(draw, randomness="same")(x)
    assert (same == same[0]).all()
    different = vmap(draw, randomness="different")(x)
    assert not (different == different[0]).all()
    torch.manual_seed(3)
    first = vmap(draw, randomness="different")(x)
    torch.manual_seed(3)
    assert torch.equal(vmap(draw, randomness="different")(x), first)
    chunked = vmap(draw, randomness="same", chunk_size=3)(x)
    assert (chunked == chunked[0]).all()


def test_random_numbers_of_nested_vmaps() -> None:
    def draw(x: Any) -> Any:
        return torch.rand_like(x)

    x = torch.zeros(3, 4, 5)
    both = vmap(vmap(draw, randomness="same"), randomness="different")(x)
    assert (both == both[:, :1]).all()
    assert not (both == both[:1]).all()
    other = vmap(vmap(draw, randomness="different"), randomness="same")(x)
    assert (other == other[:1]).all()
    assert not (other == other[:, :1]).all()
    with pytest.raises(RuntimeError, match="randomness error mode"):
        vmap(vmap(draw, randomness="different"))(x)
    with pytest.raises(RuntimeError, match="different inplace randomness on an unbatched tensor"):
        vmap(lambda x: torch.zeros(2).normal_() + x, randomness="different")(torch.zeros(3, 2))


def test_gradients_of_each_sample_with_dropout() -> None:
    def loss(weight: Any, x: Any) -> Any:
        return (F.dropout(weight * x, 0.5)).sum()

    torch.manual_seed(1)
    x = torch.ones(64, 4)
    grads = vmap(grad(loss), in_dims=(None, 0), randomness="different")(torch.ones(4), x)
    assert set(grads.unique().tolist()) == {0.0, 2.0}
    assert not (grads == grads[0]).all()


def test_indices_of_members() -> None:
    table, flat = torch.randn(4, 5), torch.arange(5.0)
    rows, columns = torch.tensor([3, 0, -1]), torch.tensor([1, 4, 2])
    assert torch.equal(vmap(lambda i: flat[i])(rows), flat[rows])
    assert torch.equal(vmap(lambda i, j: table[i, j])(rows, columns), table[rows, columns])
    assert torch.equal(vmap(lambda i: table[i])(rows), table[rows])
    assert torch.equal(vmap(lambda i: table[:, i])(columns), table[:, columns].T)
    with pytest.raises(IndexError):
        vmap(lambda i: flat[i])(torch.tensor([1, 7]))
    given = table.clone().requires_grad_()
    vmap(lambda i: given[i].square())(rows).sum().backward()
    wanted = torch.zeros(4, 5).index_put((rows % 4,), 2 * table[rows], accumulate=True)
    torch.testing.assert_close(given.grad, wanted)


def test_items_of_members_are_assigned() -> None:
    def of_one(x: Any, i: Any, v: Any) -> Any:
        y = x.clone()
        y[0] = 5
        y[2] = y[0] + 1
        y[1, 1:] = v[:3]
        y[i] = y[i] * 2
        y[..., 3] = v.unsqueeze(0)[:, :1]
        y[torch.tensor([2, 0]), 2] = v[:2]
        return y

    x, v = torch.randn(3, 3, 4, requires_grad=True), torch.randn(3, 4, requires_grad=True)
    i = torch.tensor([2, 0, 1])
    ours = vmap(of_one)(x, i, v)
    wanted = torch.stack([of_one(*member) for member in zip(x, i, v)])
    assert torch.equal(ours, wanted)
    weights = torch.randn(3, 3, 4)
    for a, b in zip(*(torch.autograd.grad((r * weights).sum(), [x, v]) for r in (ours, wanted))):
        torch.testing.assert_close(a, b)

    def of_a_view(a: Any) -> Any:
        b = a * 2
        first = b[:2]
        b[0] = 1
        return first

    with pytest.raises(
        NotImplementedError, match="or has views cannot be written in place in vmap"
    ):
        vmap(of_a_view)(x)
    with pytest.raises(RuntimeError, match="inplace arithmetic"):
        vmap(lambda a: torch.zeros(4).__setitem__(0, a))(torch.ones(3))
    with pytest.raises(NotImplementedError, match="a mask of members as an index"):
        vmap(lambda a: a[a > 0])(torch.ones(3, 4))


class Cube(torch.autograd.Function):
    """By hand, with a context that keeps tensors, numbers and what is no tensor."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Any, y: Any, power: int) -> Any:
        return x**power * y, y * 2

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        x, y, power = inputs
        ctx.save_for_backward(x, y)
        ctx.power = power

    @staticmethod
    def backward(ctx: Any, first: Any, second: Any) -> Any:
        x, y = ctx.saved_tensors
        return first * ctx.power * x ** (ctx.power - 1) * y, first * x**ctx.power + second * 2, None


class Old(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g * ctx.saved_tensors[0].cos()

    @staticmethod
    def jvp(ctx: Any, t: Any) -> Any:
        return t * 5


class Ruled(torch.autograd.Function):
    seen: list[Any] = []

    @staticmethod
    def forward(x: Any, scale: Any) -> Any:
        return x * scale

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g * ctx.saved_tensors[0], None

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Any, scale: Any) -> Any:
        Ruled.seen.append((info.batch_size, info.randomness, in_dims, tuple(x.shape)))
        assert in_dims[1] is None
        return Ruled.apply(x, scale), in_dims[0]


def cube(x: Any, y: Any) -> Any:
    return x**3 * y, y * 2


@pytest.mark.parametrize("in_dims", [(0, 0), (0, None), (None, 0)])
def test_functions_with_a_generated_rule(in_dims: Any) -> None:
    sizes = [(4, 3) if dim == 0 else (3,) for dim in in_dims]
    x, y = (torch.randn(size, requires_grad=True) for size in sizes)
    ours = vmap(lambda a, b: Cube.apply(a, b, 3), in_dims=in_dims)(x, y)
    wanted = vmap(cube, in_dims=in_dims)(x, y)
    for a, b in zip(ours, wanted):
        torch.testing.assert_close(a, b)
    weights = torch.arange(1.0, 13.0).view(4, 3)
    found = [
        torch.autograd.grad((a * weights).sum() + (b * weights).sum(), [x, y])
        for a, b in (ours, wanted)
    ]
    for a, b in zip(*found):
        torch.testing.assert_close(a, b)
    each = vmap(grad(lambda a, b: Cube.apply(a, b, 3)[0].sum()), in_dims=in_dims)(x, y)
    torch.testing.assert_close(each, (3 * x**2 * y).expand(4, 3))


def test_functions_with_a_context_in_forward_and_nested() -> None:
    x = torch.randn(2, 4, 3)
    torch.testing.assert_close(vmap(vmap(Old.apply))(x), x.sin())
    torch.testing.assert_close(vmap(vmap(grad(lambda a: Old.apply(a).sum())))(x), x.cos())
    assert vmap(Old.apply, in_dims=2, out_dims=1)(x).shape == (2, 3, 4)


def test_functions_with_their_own_rule() -> None:
    Ruled.seen.clear()
    x, scale = torch.randn(3, 5, requires_grad=True), torch.tensor(2.0)
    found = vmap(lambda a: Ruled.apply(a, scale), in_dims=1, randomness="same")(x)
    assert torch.equal(found, x.T * 2)
    assert Ruled.seen == [(5, "same", (0, None), (5, 3))]
    found.sum().backward()
    assert (x.grad == 2).all()

    class Both(Ruled):
        generate_vmap_rule = True

    with pytest.raises(RuntimeError, match="has both generate_vmap_rule=True and"):
        vmap(lambda a: Both.apply(a, scale))(x)
