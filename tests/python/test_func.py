"""torch.func: vmap by the batching rules, derivatives that nest in it and each other, modules as functions."""

from __future__ import annotations

from typing import Any, Callable

import flambeau as torch
import flambeau.nn.functional as F
import pytest
from flambeau.func import (
    functional_call,
    grad,
    grad_and_value,
    hessian,
    jacfwd,
    jacrev,
    jvp,
    linearize,
    stack_module_state,
    vjp,
    vmap,
)

pytestmark = pytest.mark.supports


def by_hand(function: Callable[..., Any], *args: torch.Tensor) -> Any:
    return torch.stack([function(*member) for member in zip(*args)])


FUNCTIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "elementwise": lambda x: torch.tanh(x) * 2 + x.exp(),
    "reduce": lambda x: x.sum(0) / x.var(1).mean(),
    "softmax": lambda x: F.softmax(x, -1),
    "layer_norm": lambda x: F.layer_norm(x, (4,)),
    "matmul": lambda x: x @ x.T,
    "views": lambda x: x.t().reshape(-1)[2:7].unsqueeze(0),
    "index": lambda x: x[torch.tensor([2, 0])][:, 1],
    "cat": lambda x: torch.cat([x, x * 2], 1),
    "cumsum": lambda x: x.cumsum(1),
    "where": lambda x: torch.where(x > 0, x, x * 0.1),
    "sort": lambda x: x.sort(1)[0],
    "in place": lambda x: (x * 2).add_(x).mul_(3),
    "factory": lambda x: x + torch.arange(4.0),
    "attention": lambda x: F.scaled_dot_product_attention(x[None], x[None], x[None]),
    "dropout that is off": lambda x: F.dropout(x, training=False),
    "solve": lambda x: torch.linalg.solve(x @ x.T + torch.eye(3), x),
    "norm": lambda x: torch.linalg.norm(x),
    "einsum": lambda x: torch.einsum("ij,kj->ik", x, x),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_members_are_what_they_are_alone(name: str) -> None:
    x = torch.randn(5, 3, 4)
    f = FUNCTIONS[name]
    expected = by_hand(f, x)
    assert torch.equal(vmap(f)(x), expected)
    assert torch.equal(vmap(f, in_dims=2)(x.movedim(0, 2)), expected)
    assert torch.equal(vmap(f, chunk_size=2)(x), expected)
    moved = vmap(f, out_dims=-1)(x)
    assert torch.equal(moved.movedim(-1, 0), expected)
    # Two levels, of which one is seen by some operations only.
    twice = vmap(lambda a: vmap(lambda b: f(a) + f(b))(x))(x)
    pairs = torch.stack([torch.stack([f(a) + f(b) for b in x]) for a in x])
    assert torch.equal(twice, pairs)


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x * 2

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient * 2


def test_what_vmap_refuses() -> None:
    x = torch.randn(5, 3)
    with pytest.raises(ValueError, match="same size in the mapped dimension"):
        vmap(torch.add)(x, torch.randn(4, 3))
    with pytest.raises(ValueError, match="in_dims is not compatible"):
        vmap(torch.add, in_dims=(0, 0, 0))(x, x)
    with pytest.raises(ValueError, match="must only return Tensors"):
        vmap(lambda a: 1.0)(x)
    with pytest.raises(RuntimeError, match="inplace arithmetic"):
        vmap(lambda a: torch.zeros(3).add_(a))(x)
    with pytest.raises(NotImplementedError, match="cannot be written in place in vmap"):
        vmap(lambda a: a.add_(1))(x)
    with pytest.raises(RuntimeError, match=r"calling \.item\(\)"):
        vmap(lambda a: a.sum().item())(x)
    with pytest.raises(RuntimeError, match="data-dependent control flow"):
        vmap(lambda a: a if a.sum() > 0 else -a)(x)
    with pytest.raises(RuntimeError, match="tried to vmap over Doubled, but it does not have vmap"):
        vmap(Doubled.apply)(x)
    with pytest.raises(torch.linalg.LinAlgError, match="Batch element 1"):
        vmap(torch.linalg.inv)(torch.stack([torch.eye(2), torch.zeros(2, 2)]))
    with pytest.raises(IndexError):
        vmap(lambda a, i: a.index_select(0, i))(x, torch.tensor([[0], [1], [2], [3], [0]]))
    assert torch._C._vmap_levels() == []
    assert (x + 1).shape == (5, 3)


def test_axes_and_trees() -> None:
    x, w = torch.randn(5, 3), torch.randn(3)
    assert torch.allclose(vmap(torch.dot, in_dims=(0, None))(x, w), x @ w)
    result = vmap(lambda d: {"a": d["x"] * 2, "b": (d["x"].sum(),)})({"x": x})
    assert torch.equal(result["a"], x * 2) and result["b"][0].shape == (5,)
    assert vmap(lambda a: (a, w), out_dims=(0, None))(x)[1] is w


def test_gradients() -> None:
    x = torch.randn(4)
    assert torch.allclose(grad(lambda t: t.sin().sum())(x), x.cos())
    assert torch.allclose(grad(grad(lambda t: t**3))(torch.tensor(2.0)), torch.tensor(12.0))
    gradient, (value, aux) = grad_and_value(lambda t: (t.sum(), t * 2), has_aux=True)(x)
    assert torch.equal(gradient, torch.ones(4)) and torch.equal(aux, x * 2)
    assert not gradient.requires_grad and not value.requires_grad and not aux.requires_grad
    both = grad(lambda a, b: (a * b).sum(), argnums=(0, 1))(x, x + 1)
    assert torch.equal(both[0], x + 1) and torch.equal(both[1], x)
    with torch.no_grad():
        assert torch.allclose(grad(lambda t: (t * t).sum())(x), 2 * x)
    with pytest.raises(RuntimeError, match="scalar tensor"):
        grad(lambda t: t)(x)
    # What the function closes over keeps its own history.
    weight = torch.randn(4, requires_grad=True)
    grad(lambda t: (t * t * weight).sum())(x).sum().backward()
    assert weight.grad is not None and torch.allclose(weight.grad, 2 * x)


def test_gradients_of_each_sample() -> None:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
    parameters = {name: parameter.detach() for name, parameter in net.named_parameters()}
    x, y = torch.randn(6, 3), torch.randint(0, 2, (6,))

    def loss(p: Any, one: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(functional_call(net, p, (one.unsqueeze(0),)), target.unsqueeze(0))

    samples = vmap(grad(loss), in_dims=(None, 0, 0))(parameters, x, y)
    for i in range(6):
        net.zero_grad()
        F.cross_entropy(net(x[i : i + 1]), y[i : i + 1]).backward()
        for name, parameter in net.named_parameters():
            assert torch.allclose(samples[name][i], parameter.grad, atol=1e-6)
            assert not samples[name].requires_grad


def test_products_and_jacobians() -> None:
    x, v = torch.randn(3, dtype=torch.float64), torch.randn(3, dtype=torch.float64)
    w = torch.randn(2, 3, dtype=torch.float64)

    def f(t: torch.Tensor) -> torch.Tensor:
        return torch.tanh(w @ t) * t.sum()

    expected = torch.autograd.functional.jacobian(f, x)
    value, pull = vjp(f, x)
    assert torch.equal(value, f(x)) and not value.requires_grad
    rows = torch.stack([pull(row)[0] for row in torch.eye(2, dtype=torch.float64)])
    assert torch.allclose(rows, expected)
    assert torch.allclose(jvp(f, (x,), (v,))[1], expected @ v)
    assert torch.allclose(linearize(f, x)[1](v), expected @ v)
    for jacobian in (jacrev(f), jacfwd(f), jacrev(f, chunk_size=1), jacfwd(f, chunk_size=2)):
        assert torch.allclose(jacobian(x), expected)
    g = lambda t: (torch.tanh(w @ t) ** 2).sum()  # noqa: E731
    second = torch.autograd.functional.hessian(g, x)
    for way in (
        hessian(g),
        jacrev(jacrev(g)),
        jacrev(jacfwd(g)),
        jacfwd(jacfwd(g)),
        jacfwd(grad(g)),
    ):
        assert torch.allclose(way(x), second)
    many = torch.randn(4, 3, dtype=torch.float64)
    assert torch.allclose(vmap(jacrev(f))(many), torch.stack([jacrev(f)(one) for one in many]))
    assert torch.allclose(vmap(hessian(g))(many), torch.stack([hessian(g)(one) for one in many]))


def test_modules_as_functions() -> None:
    net = torch.nn.Linear(3, 2)
    zeros = {name: torch.zeros_like(p) for name, p in net.named_parameters()}
    x = torch.randn(4, 3)
    assert torch.equal(functional_call(net, zeros, x), torch.zeros(4, 2))
    assert not torch.equal(net(x), torch.zeros(4, 2))
    with pytest.raises(KeyError, match="no parameter or buffer 'nosuch'"):
        functional_call(net, {"nosuch": x}, x)
    with pytest.raises(RuntimeError, match="missing keys"):
        functional_call(net, {}, x, strict=True)
    models = [torch.nn.Linear(3, 2) for _ in range(5)]
    parameters, buffers = stack_module_state(models)
    assert parameters["weight"].shape == (5, 2, 3) and buffers == {}
    ensemble = vmap(lambda p, b, t: functional_call(models[0], (p, b), (t,)), in_dims=(0, 0, None))
    assert torch.allclose(
        ensemble(parameters, buffers, x), torch.stack([m(x) for m in models]), atol=1e-6
    )


def test_compiled() -> None:
    x = torch.randn(5, 3)
    f = lambda t: vmap(grad(lambda a: (a.sin() * a).sum()))(t)  # noqa: E731
    assert torch.equal(torch.compile(f)(x), f(x))
