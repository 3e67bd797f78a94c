"""Linear algebra of complex matrices, and what is complex for real ones: eigenvalues."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flambeau
import numpy as np
import pytest
from flambeau import linalg


def data(*shape: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.standard_normal(shape) + 1j * random.standard_normal(shape)


def positive(*shape: int) -> np.ndarray:
    a = data(*shape)
    return a @ a.conj().swapaxes(-1, -2) + shape[-1] * np.eye(shape[-1])


def tensor(array: np.ndarray) -> Any:
    return flambeau.from_numpy(array.copy())


def close(value: Any, expected: np.ndarray) -> None:
    np.testing.assert_allclose(value.numpy(), expected, atol=1e-10)


def total(result: Any) -> Any:
    """A real number that both parts of every element change."""
    terms = []
    for part in result if isinstance(result, tuple) else (result,):
        weights = flambeau.from_numpy(np.cos(0.7 * np.arange(part.numel()) + 0.3))
        if part.is_complex():
            part = part.real + 0.3 * part.imag
        terms.append((part.reshape(-1) * weights).sum())
    return sum(terms[1:], terms[0])


def check_gradient(function: Callable[..., Any], a: np.ndarray, hermitian: bool = False) -> None:
    """Against differences along directions, of Hermitian matrices along Hermitian ones."""
    x = tensor(a).requires_grad_()
    (first,) = flambeau.autograd.grad(total(function(x)), x, create_graph=True)
    (second,) = flambeau.autograd.grad(total(first), x)

    def slope(of: Callable[[Any], Any], direction: np.ndarray) -> float:
        step = 1e-6
        above, below = (of(tensor(a + sign * step * direction)) for sign in (1, -1))
        return (above - below) / (2 * step)

    def gradient(y: Any) -> float:
        y = y.requires_grad_()
        return total(flambeau.autograd.grad(total(function(y)), y)[0]).item()

    for seed in range(2):
        direction = data(*a.shape, seed=seed + 9)
        if hermitian:
            direction = direction + direction.conj().swapaxes(-1, -2)
        if not np.iscomplexobj(a):
            direction = direction.real
        for of, grad in ((lambda y: total(function(y)).item(), first), (gradient, second)):
            expected = slope(of, direction)
            got = (grad.detach().numpy().conj() * direction).sum().real
            assert got == pytest.approx(expected, rel=1e-4, abs=1e-5)


def magnitudes(vectors: Any) -> Any:
    """What is determined of vectors whose phases are free."""
    return (vectors * vectors.conj()).real


def decomposed(x: Any) -> Any:
    """A function of singular vectors that their common phase does not change."""
    u, s, vh = linalg.svd(x, full_matrices=False)
    return s, magnitudes(u), magnitudes(vh), u @ (s.square().unsqueeze(-1) * vh)


GENERAL: dict[str, tuple[Callable[..., Any], np.ndarray]] = {
    "inv": (linalg.inv, data(2, 3, 3)),
    "solve": (lambda x: linalg.solve(x, x[..., :2]), data(3, 3)),
    "solve_right": (lambda x: linalg.solve(x, x[:2], left=False), data(3, 3)),
    "solve_triangular": (
        lambda x: linalg.solve_triangular(x, x[:, :1], upper=False),
        data(3, 3) + 3 * np.eye(3),
    ),
    "det": (linalg.det, data(2, 3, 3)),
    "slogdet": (lambda x: tuple(linalg.slogdet(x)), data(3, 3)),
    "logdet": (flambeau.logdet, data(3, 3)),
    "lu": (lambda x: tuple(linalg.lu(x)[1:]), data(3, 3)),
    "lu_tall": (lambda x: tuple(linalg.lu(x)[1:]), data(4, 2)),
    "lu_wide": (lambda x: tuple(linalg.lu(x)[1:]), data(2, 4)),
    "svd": (decomposed, data(3, 3)),
    "svd_tall": (decomposed, data(4, 2)),
    "svd_wide": (decomposed, data(2, 4)),
    "pinv": (linalg.pinv, data(4, 3)),
    "qr": (lambda x: tuple(linalg.qr(x)), data(3, 3)),
    "qr_tall": (lambda x: tuple(linalg.qr(x)), data(4, 2)),
    "qr_wide": (lambda x: tuple(linalg.qr(x)), data(2, 4)),
    "eig": (lambda x: (linalg.eigvals(x), magnitudes(linalg.eig(x)[1])), data(3, 3)),
    "eig_of_reals": (
        lambda x: (linalg.eigvals(x), magnitudes(linalg.eig(x)[1])),
        np.array([[1.0, 2.0, 0.1], [-3.0, 0.5, 0.3], [0.2, 0.1, 4.0]]),
    ),
    "householder": (lambda x: linalg.householder_product(x, x[0]), data(4, 2)),
    "matrix_exp": (flambeau.matrix_exp, data(3, 3)),
    "vander": (lambda x: linalg.vander(x, N=4), data(3)),
    "vecdot": (lambda x: linalg.vecdot(x, x[:1] * 1j), data(2, 3)),
    "nuclear": (lambda x: linalg.matrix_norm(x, "nuc"), data(3, 2)),
    "cov": (flambeau.cov, data(3, 5)),
    "renorm": (lambda x: flambeau.renorm(x, 2, 0, 1.5), data(3, 4)),
    "logcumsumexp": (lambda x: flambeau.logcumsumexp(x, 1), data(2, 5)),
}
HERMITIAN: dict[str, Callable[..., Any]] = {
    "cholesky": linalg.cholesky,
    "cholesky_upper": lambda x: linalg.cholesky(x, upper=True),
    "cholesky_inverse": lambda x: flambeau.cholesky_inverse(linalg.cholesky(x)),
    "cholesky_solve": lambda x: flambeau.cholesky_solve(x[..., :1], linalg.cholesky(x)),
    "eigvalsh": linalg.eigvalsh,
    "eigh": lambda x: magnitudes(linalg.eigh(x)[1]),
}


@pytest.mark.parametrize("name", GENERAL)
def test_gradients(name: str) -> None:
    check_gradient(*GENERAL[name])


@pytest.mark.parametrize("name", HERMITIAN)
def test_gradients_of_hermitian_matrices(name: str) -> None:
    check_gradient(HERMITIAN[name], positive(3, 3), hermitian=True)


def test_factors_multiply_back() -> None:
    for shape in [(3, 3), (2, 4, 3), (3, 5)]:
        a = data(*shape)
        x = tensor(a)
        for full in (False, True):
            u, s, vh = linalg.svd(x, full_matrices=full)
            assert s.dtype == flambeau.float64
            k = s.shape[-1]
            close(u[..., :k] * s.unsqueeze(-2) @ vh[..., :k, :], a)
            close(u.mH @ u, np.broadcast_to(np.eye(u.shape[-1]), u.mH.shape[:-1] + u.shape[-1:]))
        q, r = linalg.qr(x)
        close(q @ r, a)
        p, lower, upper = linalg.lu(x)
        close(p @ lower @ upper, a)
        packed, tau = flambeau.geqrf(x)
        k = min(shape[-2:])
        close(flambeau.ormqr(packed[..., :k], tau, packed.triu()), a)
        close(linalg.householder_product(packed[..., :k], tau), q.numpy())
    a = positive(2, 4, 4)
    close((lambda f: f @ f.mH)(linalg.cholesky(tensor(a))), a)
    close((lambda f: f.mH @ f)(linalg.cholesky(tensor(a), upper=True)), a)
    for uplo, half in (("L", np.tril(a)), ("U", np.triu(a))):
        values, vectors = linalg.eigh(tensor(half), uplo)
        assert values.dtype == flambeau.float64
        close(vectors * values.unsqueeze(-2) @ vectors.mH, a)


def test_values() -> None:
    a, b = data(2, 3, 3), data(2, 3, 2, seed=1)
    x, y = tensor(a), tensor(b)
    close(linalg.det(x), np.linalg.det(a))
    sign, size = linalg.slogdet(x)
    close(sign, np.linalg.slogdet(a)[0])
    close(size, np.linalg.slogdet(a)[1])
    assert size.dtype == flambeau.float64
    close(linalg.solve(x, y), np.linalg.solve(a, b))
    close(linalg.pinv(y), np.linalg.pinv(b))
    close(linalg.vecdot(y, y * 1j), (b.conj() * b * 1j).sum(-1))
    close(flambeau.cov(x[0]), np.cov(a[0]))
    close(flambeau.corrcoef(x[0]), np.corrcoef(a[0]))
    factor, pivots = linalg.lu_factor(x)
    adjoint = linalg.lu_solve(factor, pivots, y, adjoint=True)
    close(adjoint, np.linalg.solve(a.conj().swapaxes(-1, -2), b))
    for order in ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf):
        close(linalg.matrix_norm(x, order), np.linalg.norm(a, order, (-2, -1)))
    for norm in (2.0, 1.0):
        rows = np.linalg.norm(a[0], norm, axis=1, keepdims=True)
        expected = a[0] * np.where(rows > 1.5, 1.5 / (rows + 1e-7), 1)
        close(flambeau.renorm(x[0], norm, 0, 1.5), expected)


@pytest.mark.parametrize("array", [data(2, 4, 4), data(2, 4, 4).real], ids=["complex", "real"])
def test_eigenvalues(array: np.ndarray) -> None:
    values, vectors = linalg.eig(tensor(array))
    assert values.dtype == vectors.dtype == flambeau.complex128
    close(tensor(array).to(flambeau.complex128) @ vectors, (vectors * values.unsqueeze(-2)).numpy())
    close(vectors.abs().square().sum(-2), np.ones((2, 4)))
    np.testing.assert_allclose(
        np.sort_complex(linalg.eigvals(tensor(array)).numpy()),
        np.sort_complex(np.linalg.eigvals(array)),
    )
    assert linalg.eig(tensor(array.astype(np.complex64)))[1].dtype == flambeau.complex64
    assert linalg.eigvals(flambeau.zeros(2, 0, 0)).shape == (2, 0)
    with pytest.raises(RuntimeError, match="should not contain infs or NaNs"):
        linalg.eig(flambeau.full((2, 2), float("nan")))


@pytest.mark.parametrize("hermitian", [False, True])
@pytest.mark.parametrize("is_complex", [False, True])
def test_indefinite_factors(hermitian: bool, is_complex: bool) -> None:
    for n, seed in [(1, 0), (2, 1), (5, 2), (8, 3)]:
        a = data(2, n, n, seed=seed)
        a = a if is_complex else a.real
        a = a + (a.conj() if hermitian else a).swapaxes(-1, -2)
        a[1, np.arange(n), np.arange(n)] = 1 if n == 1 else 0  # needs blocks of 2
        b = data(2, n, 3, seed=seed + 4)
        b = b if is_complex else b.real
        # One triangle is read.
        packed, pivots = linalg.ldl_factor(tensor(np.tril(a)), hermitian=hermitian)
        assert (pivots[1] < 0).any() == (n > 1)
        got = linalg.ldl_solve(packed, pivots, tensor(b), hermitian=hermitian)
        np.testing.assert_allclose(got.numpy(), np.linalg.solve(a, b), rtol=1e-7)
        one = linalg.ldl_solve(packed[0], pivots[0].long(), tensor(b), hermitian=hermitian)
        np.testing.assert_allclose(one.numpy(), np.linalg.solve(a[:1], b), rtol=1e-7)


def test_errors_of_indefinite_factors() -> None:
    assert linalg.ldl_factor_ex(flambeau.zeros(2, 2)).info == 1
    with pytest.raises(linalg.LinAlgError, match=r"D\[1,1\] is zero"):
        linalg.ldl_factor(flambeau.zeros(2, 2))
    eye, right = flambeau.eye(3), flambeau.ones(3, 2)
    for pivots in ([1, 2, 4], [-1, -2, 3], [1, 2, -3], [0, 1, 2]):
        with pytest.raises(RuntimeError, match="ldl_solve: pivots"):
            linalg.ldl_solve(eye, flambeau.tensor(pivots), right)
    with pytest.raises(RuntimeError, match="to be integers"):
        linalg.ldl_solve(eye, flambeau.ones(3), right)
    with pytest.raises(RuntimeError, match=r"pivots with shape \[2\]"):
        linalg.ldl_solve(eye, flambeau.tensor([1, 2]), right)


def test_least_squares() -> None:
    a, b = data(5, 3), data(5, 2, seed=1)
    expected, size, *_ = np.linalg.lstsq(a, b, rcond=None)
    for driver in ("gels", "gelsd"):
        solution, residuals, _, values = linalg.lstsq(tensor(a), tensor(b), driver=driver)
        close(solution, expected)
        close(residuals, size)
        assert values.dtype == flambeau.float64


def test_running_log_sum_exp() -> None:
    a = data(3, 40) * 9
    got = flambeau.logcumsumexp(tensor(a), 1).numpy()
    np.testing.assert_allclose(np.exp(got), np.cumsum(np.exp(a), 1), rtol=1e-9)
    # Each angle goes on from that of the larger of the sum before and the new element.
    larger = np.where(a.real[:, 1:] >= got.real[:, :-1], a.imag[:, 1:], got.imag[:, :-1])
    assert (np.abs(got.imag[:, 1:] - larger) <= np.pi / 2 + 1e-9).all()
    far = np.array([-800 + 1j, -900 + 2j, -np.inf + 0j, 700 + 20j])
    np.testing.assert_allclose(
        flambeau.logcumsumexp(tensor(far), 0).numpy(), [-800 + 1j, -800 + 1j, -800 + 1j, 700 + 20j]
    )
