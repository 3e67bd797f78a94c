"""einsum: against NumPy, to the bit against matmul, and PyTorch's ways of writing it."""

from __future__ import annotations

import random

import flambeau
import numpy as np
import pytest


def random_equation(draw: random.Random) -> tuple[str, list[tuple[int, ...]]]:
    letters = "abcdef"
    extents = {letter: draw.randint(1, 4) for letter in letters}
    terms = [
        "".join(draw.choices(letters, k=draw.randint(0, 4))) for _ in range(draw.randint(1, 4))
    ]
    used = sorted(set("".join(terms)))
    equation = ",".join(terms)
    if draw.random() < 0.8:
        equation += "->" + "".join(draw.sample(used, draw.randint(0, len(used))))
    shapes = []
    for term in terms:
        # An axis of extent 1 stretches.
        stretched = {c for c in term if term.count(c) == 1 and draw.random() < 0.1}
        shapes.append(tuple(1 if c in stretched else extents[c] for c in term))
    return equation, shapes


@pytest.mark.parametrize("seed", range(60))
def test_random_equations(seed: int) -> None:
    equation, shapes = random_equation(random.Random(seed))
    values = np.random.default_rng(seed)
    arrays = [np.asarray(values.uniform(-1, 1, shape)) for shape in shapes]
    got = flambeau.einsum(equation, *map(flambeau.from_numpy, arrays)).numpy()
    expected = np.asarray(np.einsum(equation, *arrays))
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("equation", "shapes", "product"),
    [
        ("ij,jk->ik", ((5, 300), (300, 7)), lambda a, b: a @ b),
        ("ij,kj->ik", ((5, 300), (7, 300)), lambda a, b: a @ b.T),
        ("bqhd,bkhd->bhqk", ((2, 3, 4, 33), (2, 5, 4, 33)),
         lambda a, b: a.transpose(1, 2) @ b.permute(0, 2, 3, 1)),
        ("bij,jk->bik", ((3, 4, 20), (20, 6)), lambda a, b: a @ b),
        ("i,i->", ((2000,), (2000,)), lambda a, b: a @ b),
    ],
)  # fmt: skip
@pytest.mark.parametrize("dtype", [flambeau.float32, flambeau.bfloat16, flambeau.complex64])
def test_the_bits_are_those_of_matmul(equation, shapes, product, dtype) -> None:
    flambeau.manual_seed(1)
    a, b = (flambeau.randn(*shape).to(dtype) for shape in shapes)
    assert flambeau.equal(flambeau.einsum(equation, a, b), product(a, b))


def test_ways_of_writing() -> None:
    a, b = flambeau.arange(6.0).reshape(2, 3), flambeau.arange(12.0).reshape(3, 4)
    for got in (
        flambeau.einsum("ij,jk", a, b),
        flambeau.einsum(" i j , j k -> i k", [a, b]),
        flambeau.einsum("...j,jk", a, b),
        flambeau.einsum(a, [0, 40], b, [40, 2], [0, 2]),
        flambeau.einsum(a, [..., 40], b, [40, 2]),
    ):
        assert got.tolist() == (a @ b).tolist()
    assert flambeau.einsum("ba", a).tolist() == a.T.tolist()
    assert flambeau.einsum("i...->...", a).tolist() == a.sum(0).tolist()
    with pytest.raises(ValueError, match="must specify the equation string and at least one"):
        flambeau.einsum("ij")
    with pytest.raises(ValueError, match=r"not within the valid range \[0, 52\)"):
        flambeau.einsum(a, [0, 52])


def test_dtypes() -> None:
    ones = flambeau.ones
    i32, f32, f64 = flambeau.int32, flambeau.float32, flambeau.float64
    assert flambeau.einsum("ij->i", ones(2, 1, dtype=i32)).dtype == flambeau.int64
    assert flambeau.einsum("ij->ji", ones(2, 3, dtype=i32)).dtype == i32
    assert flambeau.einsum("ij,jk->ik", ones(2, 3, dtype=i32), ones(3, 2, dtype=i32)).dtype == i32
    assert flambeau.einsum("i,j->ij", ones(2, dtype=f32), ones(3, dtype=f64)).dtype == f64
    with pytest.raises(RuntimeError, match="expected scalar type Float but found Double"):
        flambeau.einsum("i,i->", ones(2, dtype=f32), ones(2, dtype=f64))
    with pytest.raises(RuntimeError, match="\"bmm\" not implemented for 'Bool'"):
        flambeau.einsum("i,i->", ones(2, dtype=flambeau.bool), ones(2, dtype=flambeau.bool))


def test_gradient_of_several_factors() -> None:
    tensors = [flambeau.randn(2, 3, 3), flambeau.randn(3, 4), flambeau.randn(2, 4)]
    tensors = [t.double().requires_grad_() for t in tensors]
    assert flambeau.autograd.gradcheck(
        lambda a, b, c: flambeau.einsum("bii,ij,bj->b", a, b, c), tensors
    )
