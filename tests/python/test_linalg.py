"""Linear algebra against NumPy, and its gradients against differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flambeau
import numpy as np
import pytest


def data(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def positive(n: int) -> np.ndarray:
    a = data(n, n)
    return a @ a.T + n * np.eye(n)


def total(result: Any) -> Any:
    """A number that every element of a result changes."""
    parts = result if isinstance(result, tuple) else (result,)
    terms = []
    for part in parts:
        if part.is_floating_point():
            weights = np.cos(0.7 * np.arange(part.numel()) + 0.3).reshape(tuple(part.shape))
            terms.append((part * flambeau.from_numpy(weights)).sum())
    return sum(terms[1:], terms[0])


def check_gradient(function: Callable[..., Any], a: np.ndarray, symmetric: bool = False) -> None:
    """Of matrices that are their transposes only symmetric changes are compared."""
    x = flambeau.from_numpy(a.copy()).requires_grad_()
    total(function(x)).backward()
    step = 1e-6
    for seed in range(3):
        direction = data(*a.shape, seed=seed + 9)
        if symmetric:
            direction = direction + direction.swapaxes(-1, -2)
        above, below = (
            total(function(flambeau.from_numpy(a + sign * step * direction))).item()
            for sign in (1, -1)
        )
        expected = (above - below) / (2 * step)
        assert (x.grad.numpy() * direction).sum() == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_factors_multiply_back() -> None:
    for shape in [(3, 3), (2, 4, 3), (3, 5)]:
        a = data(*shape)
        x = flambeau.from_numpy(a)
        u, s, vh = flambeau.linalg.svd(x, full_matrices=False)
        np.testing.assert_allclose((u * s.unsqueeze(-2) @ vh).numpy(), a, atol=1e-12)
        q, r = flambeau.linalg.qr(x)
        np.testing.assert_allclose((q @ r).numpy(), a, atol=1e-12)
        p, lower, upper = flambeau.linalg.lu(x)
        np.testing.assert_allclose((p @ lower @ upper).numpy(), a, atol=1e-12)
        packed, pivots = flambeau.linalg.lu_factor(x)
        p, lower, upper = flambeau.lu_unpack(packed, pivots)
        np.testing.assert_allclose((p @ lower @ upper).numpy(), a, atol=1e-12)
    a = positive(4)
    factor = flambeau.linalg.cholesky(flambeau.from_numpy(a))
    np.testing.assert_allclose((factor @ factor.mT).numpy(), a, atol=1e-12)
    values, vectors = flambeau.linalg.eigh(flambeau.from_numpy(a))
    np.testing.assert_allclose((vectors * values @ vectors.mT).numpy(), a, atol=1e-12)


def test_values() -> None:
    a, b = data(2, 3, 3), data(2, 3, 2, seed=1)
    x, y = flambeau.from_numpy(a), flambeau.from_numpy(b)
    np.testing.assert_allclose(flambeau.linalg.solve(x, y).numpy(), np.linalg.solve(a, b))
    np.testing.assert_allclose(flambeau.linalg.inv(x).numpy(), np.linalg.inv(a))
    np.testing.assert_allclose(flambeau.linalg.det(x).numpy(), np.linalg.det(a))
    np.testing.assert_allclose(flambeau.linalg.slogdet(x)[1].numpy(), np.linalg.slogdet(a)[1])
    np.testing.assert_allclose(flambeau.linalg.pinv(y).numpy(), np.linalg.pinv(b))
    np.testing.assert_allclose(
        flambeau.linalg.matrix_power(x, -3).numpy(), np.linalg.matrix_power(a, -3)
    )
    for order in ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf):
        expected = np.linalg.norm(a, order, (-2, -1))
        np.testing.assert_allclose(flambeau.linalg.matrix_norm(x, order).numpy(), expected)
    tall, right = data(5, 3), data(5, 2, seed=4)
    got = flambeau.linalg.lstsq(flambeau.from_numpy(tall), flambeau.from_numpy(right))[0]
    np.testing.assert_allclose(got.numpy(), np.linalg.lstsq(tall, right, rcond=None)[0])


GRADIENTS: dict[str, tuple[Callable[..., Any], np.ndarray]] = {
    "inv": (lambda x: flambeau.linalg.inv(x), data(2, 3, 3)),
    "solve": (lambda x: flambeau.linalg.solve(x, x[..., :2]), data(3, 3)),
    "solve_triangular": (
        lambda x: flambeau.linalg.solve_triangular(x, x[:, :1], upper=False),
        data(3, 3) + 3 * np.eye(3),
    ),
    "det": (lambda x: flambeau.linalg.det(x), data(2, 3, 3)),
    "slogdet": (lambda x: flambeau.linalg.slogdet(x)[1], data(3, 3)),
    "svdvals": (lambda x: flambeau.linalg.svdvals(x), data(2, 3, 4)),
    "pinv": (lambda x: flambeau.linalg.pinv(x), data(4, 3)),
    "qr": (lambda x: tuple(flambeau.linalg.qr(x)), data(3, 3)),
    "qr_tall": (lambda x: tuple(flambeau.linalg.qr(x)), data(4, 2)),
    "qr_wide": (lambda x: tuple(flambeau.linalg.qr(x)), data(2, 4)),
    "lu": (lambda x: tuple(flambeau.linalg.lu(x)), data(3, 3)),
    "lu_tall": (lambda x: tuple(flambeau.linalg.lu(x)), data(4, 2)),
    "lu_wide": (lambda x: tuple(flambeau.linalg.lu(x)), data(2, 4)),
    "matrix_exp": (lambda x: flambeau.matrix_exp(x), data(3, 3)),
    "multi_dot": (lambda x: flambeau.linalg.multi_dot([x, x.mT, x]), data(2, 3)),
    "vander": (lambda x: flambeau.linalg.vander(x, N=4), data(3)),
    "nuclear": (lambda x: flambeau.linalg.matrix_norm(x, "nuc"), data(3, 2)),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients(name: str) -> None:
    check_gradient(*GRADIENTS[name])


def test_gradients_of_symmetric_matrices() -> None:
    check_gradient(lambda x: flambeau.linalg.cholesky(x), positive(3), symmetric=True)
    check_gradient(lambda x: flambeau.linalg.eigvalsh(x), positive(3), symmetric=True)
    check_gradient(
        lambda x: (lambda v: v * v)(flambeau.linalg.eigh(x)[1]), positive(3), symmetric=True
    )
    check_gradient(
        lambda x: flambeau.cholesky_inverse(flambeau.linalg.cholesky(x)),
        positive(3),
        symmetric=True,
    )


def test_gradients_of_pseudoinverses() -> None:
    """Which are finite where singular values are equal or 0, and not symmetric of Hermitian ones."""
    low = data(4, 2) @ data(2, 3)
    x = flambeau.from_numpy(low).requires_grad_()
    total(flambeau.linalg.pinv(x)).backward()
    assert np.isfinite(x.grad.numpy()).all()
    check_gradient(lambda x: flambeau.linalg.pinv(x), np.eye(3))
    a = flambeau.from_numpy(positive(3)).requires_grad_()
    general = flambeau.autograd.grad(total(flambeau.linalg.pinv(a)), a)[0]
    hermitian = flambeau.autograd.grad(total(flambeau.linalg.pinv(a, hermitian=True)), a)[0]
    np.testing.assert_allclose(hermitian.numpy(), general.numpy())


def test_gradient_of_the_determinant_of_a_singular_matrix_is_finite() -> None:
    x = flambeau.ones(2, 2, requires_grad=True)
    flambeau.linalg.det(x).backward()
    assert x.grad.isfinite().all()


def test_powers_of_a_number() -> None:
    assert flambeau.linalg.vander(flambeau.tensor(2.0), N=3).tolist() == [[1.0, 2.0, 4.0]]


def test_errors() -> None:
    with pytest.raises(RuntimeError, match="square"):
        flambeau.linalg.inv(flambeau.zeros(2, 3))
    with pytest.raises(flambeau.linalg.LinAlgError, match="singular"):
        flambeau.linalg.inv(flambeau.zeros(2, 2))
    bad = flambeau.eye(2).expand(3, 2, 2).clone()
    bad[1, 0, 1] = float("inf")
    for function in (flambeau.linalg.svd, flambeau.linalg.svdvals, flambeau.svd):
        with pytest.raises(
            flambeau.linalg.LinAlgError, match=r"svd: \(Batch element 1\): .*non-finite"
        ):
            function(bad)
    with pytest.raises(flambeau.linalg.LinAlgError, match="order 1 is not positive"):
        flambeau.linalg.cholesky(-flambeau.eye(2))
    with pytest.raises(RuntimeError, match="float"):
        flambeau.linalg.svd(flambeau.zeros(2, 2, dtype=flambeau.int64))


def test_a_few_singular_values() -> None:
    flambeau.manual_seed(0)
    # Of rank 3, which so many random columns span.
    matrix = flambeau.randn(2, 9, 3, dtype=flambeau.float64) @ flambeau.randn(
        2, 3, 6, dtype=flambeau.float64
    )
    exact = flambeau.linalg.svd(matrix).S
    for given in (matrix, matrix.mT):
        u, s, v = flambeau.svd_lowrank(given, q=4)
        assert u.shape == (2, given.shape[1], 4)
        assert flambeau.allclose(s[..., :3], exact[..., :3])
        assert flambeau.allclose((u * s.unsqueeze(-2)) @ v.mT, given)
    mean = flambeau.ones(9, 6, dtype=flambeau.float64)
    assert flambeau.allclose(flambeau.svd_lowrank(matrix + mean, q=3, M=mean)[1], exact[..., :3])
    centred = matrix - matrix.mean(-2, keepdim=True)
    _, s, _ = flambeau.pca_lowrank(matrix + 5, q=3)
    assert flambeau.allclose(s, flambeau.linalg.svd(centred).S[..., :3])
    with pytest.raises(ValueError, match=r"q\(=7\) must be non-negative integer"):
        flambeau.pca_lowrank(matrix, q=7)


def test_products_of_a_chain() -> None:
    chain = [flambeau.randn(2, 3), flambeau.randn(3, 4), flambeau.randn(4, 5)]
    wanted = flambeau.linalg.multi_dot(chain)
    out = flambeau.empty(2, 5)
    with pytest.warns(UserWarning, match="torch.chain_matmul is deprecated"):
        assert flambeau.chain_matmul(*chain).equal(wanted)
    with pytest.warns(UserWarning, match="torch.chain_matmul is deprecated"):
        flambeau.chain_matmul(*chain, out=out)
    assert out.equal(wanted)
    assert flambeau.chain_matmul(chain[0]).equal(chain[0])
    with pytest.raises(RuntimeError, match="Expected one or more matrices"):
        flambeau.chain_matmul()
    with pytest.raises(RuntimeError, match="Tensor dimension is 1, expected 2 instead"):
        flambeau.chain_matmul(chain[0], flambeau.ones(3))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0, "Expected Tensor with single nonzero value, but got zero"),
        ([], "Boolean value of Tensor with no values is ambiguous"),
        ([1, 2], "Boolean value of Tensor with more than one value is ambiguous"),
    ],
)
def test_assertions_on_values(value: Any, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        flambeau._assert_async(flambeau.tensor(value))
    with pytest.raises(RuntimeError, match="as it is said here"):
        flambeau._assert_async(flambeau.tensor(0), "as it is said here")
    flambeau._assert_async(flambeau.tensor([2.0]))


@pytest.mark.parametrize("swapped", [False, True])
def test_axes_of_size_1_are_summed_as_if_expanded(swapped: bool) -> None:
    one = flambeau.randn(1, 2, 3, requires_grad=True)
    many = flambeau.randn(4, 3, 5, requires_grad=True)

    def product(one: Any) -> Any:
        dims = ([0, 2], [0, 1])
        pair = (many, one) if swapped else (one, many)
        return flambeau.tensordot(*pair, dims=dims[::-1] if swapped else dims)

    got, wanted = product(one), product(one.expand(4, 2, 3))
    assert flambeau.allclose(got, wanted, atol=1e-6)
    slopes = [
        flambeau.autograd.grad(result.square().sum(), (one, many)) for result in (got, wanted)
    ]
    assert all(flambeau.allclose(a, b, atol=1e-4) for a, b in zip(*slopes))
    with pytest.raises(RuntimeError, match="first has size 2 in dim 0 and second has size 3 in"):
        flambeau.tensordot(flambeau.ones(2), flambeau.ones(3), 1)


def test_each_of_several_greatest_differences_has_the_whole_gradient() -> None:
    """As in PyTorch, of distances alone: norms share theirs."""
    infinity = float("inf")
    a = flambeau.tensor([[0.0, 0.0, 0.5], [infinity, 0.0, 0.0]], requires_grad=True)
    b = flambeau.tensor([[1.0, -1.0, 1.0]])
    flambeau.cdist(a, b, p=infinity).sum().backward()
    assert a.grad is not None
    assert a.grad.tolist() == [[-1, 1, 0], [1, 0, 0]]
    rows = flambeau.tensor([[0.0, 0.0], [1.0, -1.0]], requires_grad=True)
    flambeau.nn.functional.pdist(rows, p=infinity).sum().backward()
    assert rows.grad is not None
    assert rows.grad.tolist() == [[-1, 1], [1, -1]]
    same = flambeau.zeros(1, 2, requires_grad=True)
    flambeau.cdist(same, flambeau.zeros(1, 2), p=infinity).sum().backward()
    assert same.grad is not None
    assert same.grad.tolist() == [[0, 0]]
    with_nan = flambeau.tensor([[float("nan"), 1.0]])
    assert flambeau.cdist(with_nan, with_nan, p=infinity).isnan().all()
