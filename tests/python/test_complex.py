"""Complex tensors: values and gradients are PyTorch 2.7.1's (complex_golden.json)."""

from __future__ import annotations

import json
import pickle
import warnings
from pathlib import Path

import flambeau as torch
import numpy as np
import pytest

GOLDEN = json.loads((Path(__file__).parent / "complex_golden.json").read_text())
X = [1 + 2j, -0.5 + 0.25j, 0.3 - 1.5j, -2 - 0.1j]
Y = [0.5 - 1j, 2 + 0.5j, -1 + 1j, 0.25 + 0.75j]
WEIGHTS = [1 - 0.5j, 0.25 + 1j, -1 + 2j, 0.5j]
REAL_WEIGHTS = [1, 0.25, -1, 0.5]


def numbers(rows):
    return np.array([complex(*row) if isinstance(row, list) else row for row in rows])


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.complex128, 1e-12), (torch.complex64, 2e-5)]
)
def test_values_and_gradients(name, dtype, tolerance):
    value, *gradients = GOLDEN[name]
    inputs = [torch.tensor(data, dtype=dtype).requires_grad_() for data in (X, Y)[: len(gradients)]]
    result = getattr(torch, name)(*inputs)
    np.testing.assert_allclose(
        result.detach().numpy(), numbers(value), rtol=tolerance, atol=tolerance
    )
    weights = torch.tensor(WEIGHTS if result.is_complex() else REAL_WEIGHTS, dtype=result.dtype)
    total = (result * weights).sum()
    found = torch.autograd.grad(total.real, inputs)
    for got, wanted in zip(found, gradients):
        assert got.dtype is dtype
        np.testing.assert_allclose(got.numpy(), numbers(wanted), rtol=tolerance, atol=tolerance)


def test_second_derivatives():
    x = torch.tensor(X, dtype=torch.complex128, requires_grad=True)
    (first,) = torch.autograd.grad((x * x * x).abs().sum(), x, create_graph=True)
    # |x|^3 = (re^2 + im^2)^1.5: its gradient is 3 |x| x, whose real part sums to s.
    np.testing.assert_allclose(first.detach().numpy(), 3 * np.abs(X) * np.array(X), rtol=1e-12)
    (second,) = torch.autograd.grad(first.real.sum(), x)
    re, im = np.real(X), np.imag(X)
    size = np.abs(X)
    np.testing.assert_allclose(
        second.numpy(), 3 * (size + re**2 / size) + 3j * re * im / size, rtol=1e-12
    )


class TestParts:
    def test_real_and_imag_are_views(self):
        x = torch.tensor([1 + 2j, 3 + 4j])
        x.imag[0] = 9
        x.real = torch.tensor([5.0, 6.0])
        assert x.tolist() == [5 + 9j, 6 + 4j]
        assert x.real.data_ptr() == x.data_ptr()
        assert x.imag.stride() == (2,)
        assert x.imag.storage_offset() == 1
        x.imag.mul_(2)
        assert x.tolist() == [5 + 18j, 6 + 8j]

    def test_writing_a_part_is_recorded(self):
        x = torch.tensor([1 + 2j, 3 + 4j], requires_grad=True)
        y = x * 2
        y.imag.mul_(3)
        y.real[0] = 0
        (y.real + y.imag).sum().backward()
        assert x.grad.tolist() == [6j, 2 + 6j]

    def test_of_real_tensors(self):
        x = torch.tensor([1.0, 2.0])
        assert torch.real(x).data_ptr() == x.data_ptr()
        with pytest.raises(RuntimeError, match="non-complex"):
            torch.imag(x)

    def test_view_as_real_and_back(self):
        x = torch.tensor([[1 + 2j], [3 + 4j]])
        parts = torch.view_as_real(x.t())
        assert parts.tolist() == [[[1, 2], [3, 4]]]
        assert parts.data_ptr() == x.data_ptr()
        assert torch.view_as_complex(parts).tolist() == [[1 + 2j, 3 + 4j]]
        with pytest.raises(RuntimeError, match="size 2"):
            torch.view_as_complex(torch.zeros(3))
        with pytest.raises(RuntimeError, match="stride 1"):
            torch.view_as_complex(torch.zeros(2, 2).t())

    def test_complex_and_polar(self):
        re = torch.tensor([1.0, 0.0], requires_grad=True)
        z = torch.complex(re, torch.tensor([2.0, -1.0]))
        assert z.dtype is torch.complex64
        assert z.tolist() == [1 + 2j, -1j]
        z.abs().sum().backward()
        np.testing.assert_allclose(re.grad.numpy(), [1 / 5**0.5, 0], rtol=1e-6)
        polar = torch.polar(
            torch.tensor([2.0], dtype=torch.float64), torch.tensor([np.pi / 2]).double()
        )
        np.testing.assert_allclose(polar.numpy(), [2j], atol=1e-7)
        with pytest.raises(RuntimeError, match="scalar type Double"):
            torch.complex(torch.zeros(1), torch.zeros(1).double())


class TestDTypes:
    def test_names_and_flags(self):
        assert torch.cfloat is torch.complex64
        assert torch.cdouble is torch.complex128
        assert torch.chalf is torch.complex32
        assert torch.complex64.is_complex
        assert not torch.complex64.is_floating_point
        assert torch.complex64.to_real() is torch.float32
        assert torch.float64.to_complex() is torch.complex128
        x = torch.zeros(2, dtype=torch.complex128)
        assert (x.is_complex(), x.is_floating_point(), x.element_size()) == (True, False, 16)
        assert x.type() == "torch.ComplexDoubleTensor"

    @pytest.mark.parametrize(
        ("other", "wanted"),
        [
            (2, torch.complex64),
            (2.5, torch.complex64),
            (1j, torch.complex64),
            (torch.zeros(2).double(), torch.complex128),
            (torch.tensor(1.0).double(), torch.complex64),
            (torch.zeros(2, dtype=torch.int64), torch.complex64),
        ],
    )
    def test_promotion(self, other, wanted):
        x = torch.ones(2, dtype=torch.complex64)
        assert (x + other).dtype is wanted
        assert torch.result_type(x, other) is wanted

    def test_complex_numbers_promote_real_tensors(self):
        assert (torch.ones(2) * 1j).dtype is torch.complex64
        assert (torch.ones(2).double() * 1j).dtype is torch.complex128
        assert (torch.ones(2, dtype=torch.int32) + 1j).dtype is torch.complex64
        assert (torch.ones(2).half() * 1j).dtype is torch.complex32
        with pytest.raises(RuntimeError, match="can't be cast"):
            torch.ones(2).add_(1j)

    def test_conversions(self):
        x = torch.tensor([1.5 + 2j, 0j])
        with pytest.warns(UserWarning, match="discards the imaginary part"):
            assert x.to(torch.float32).tolist() == [1.5, 0]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert x.int().tolist() == [1, 0]
        assert x.bool().tolist() == [True, False]
        assert torch.tensor([1, 2]).to(torch.complex64).tolist() == [1, 2]
        half = x.to(torch.complex32)
        assert half.element_size() == 4
        assert (half * 2).tolist() == [3 + 4j, 0]
        assert half.to(torch.complex128).tolist() == [1.5 + 2j, 0]

    def test_gradients_through_conversions_are_real_parts(self):
        x = torch.tensor([1.0, 2.0], requires_grad=True)
        (x * torch.tensor([1 + 2j, 3j])).sum().abs().backward()
        total = 1 + 2j + 6j
        np.testing.assert_allclose(
            x.grad.numpy(), np.real(total / abs(total) * np.conj([1 + 2j, 3j])), rtol=1e-6
        )


class TestNumPy:
    @pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
    def test_exchange_shares_memory(self, dtype):
        array = np.array([[1 + 2j, 3], [4, 5j]], dtype)
        shared = torch.from_numpy(array)
        assert shared.dtype is (torch.complex64 if dtype is np.complex64 else torch.complex128)
        shared[0, 0] = 7j
        assert array[0, 0] == 7j
        back = shared.t().numpy()
        assert back.dtype == dtype
        assert np.shares_memory(back, array)

    def test_dlpack(self):
        x = torch.tensor([1 + 2j])
        y = torch.from_dlpack(x)
        assert y.dtype is torch.complex64
        assert y.data_ptr() == x.data_ptr()
        np.testing.assert_array_equal(np.from_dlpack(x), [1 + 2j])

    def test_from_python_and_numpy_scalars(self):
        assert torch.tensor(1j).dtype is torch.complex64
        assert torch.tensor([1, 2.5, 1j]).tolist() == [1, 2.5, 1j]
        assert torch.tensor([np.complex128(1j)]).dtype is torch.complex128
        assert torch.tensor([1j, 2], dtype=torch.complex128).numpy().dtype == np.complex128
        with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
            torch.tensor(1j, dtype=torch.int64)

    def test_back_to_python(self):
        x = torch.tensor(3 - 1j)
        assert x.item() == 3 - 1j
        assert complex(x) == 3 - 1j
        assert complex(torch.tensor(2)) == 2
        assert float(torch.tensor(3 + 0j)) == 3
        assert bool(torch.tensor(1j))
        with pytest.raises(RuntimeError, match="without overflow"):
            float(x)

    def test_pickle_and_copy(self):
        x = torch.tensor([1 + 2j, 3j])
        assert pickle.loads(pickle.dumps(x)).tolist() == x.tolist()


class TestRefusals:
    @pytest.mark.parametrize(
        "call",
        [
            lambda x: x < x,
            lambda x: torch.relu(x),
            lambda x: torch.sign(x),
            lambda x: torch.floor(x),
            lambda x: torch.maximum(x, x),
            lambda x: torch.clamp(x, 0, 1),
            lambda x: torch.erf(x),
            lambda x: x // x,
            lambda x: x % x,
            lambda x: x.abs_(),
            lambda x: torch.arange(3, dtype=torch.complex64),
            lambda x: torch.sort(x),
            lambda x: x & x,
            lambda x: torch.softmax(x, 0),
            lambda x: x.sum().backward(),
        ],
    )
    def test_what_complex_numbers_do_not_have(self, call):
        x = torch.tensor([1 + 1j, 2j], requires_grad=call.__code__.co_names[-1:] == ("backward",))
        before = x.tolist()
        with pytest.raises(RuntimeError) as raised:
            call(x)
        assert "internal error" not in str(raised.value)
        assert x.tolist() == before


class TestOperations:
    def test_reductions(self):
        array = np.array([[1 + 2j, 3 - 1j, -2j], [0.5, 1j, -1 - 1j]])
        x = torch.from_numpy(array)
        np.testing.assert_allclose(x.sum().numpy(), array.sum())
        np.testing.assert_allclose(x.mean(1).numpy(), array.mean(1))
        np.testing.assert_allclose(x.prod(1).numpy(), array.prod(1), rtol=1e-14)
        np.testing.assert_allclose(x.cumsum(0).numpy(), array.cumsum(0))
        np.testing.assert_allclose(x.cumprod(1).numpy(), array.cumprod(1))
        np.testing.assert_allclose(x.var(1).numpy(), array.var(1, ddof=1))
        np.testing.assert_allclose(x.std().numpy(), array.std(ddof=1))
        np.testing.assert_allclose(x.norm().numpy(), np.linalg.norm(array))
        assert x.norm().dtype is torch.float64
        assert x.any().item() and not (x - x).any().item()

    def test_products_of_units_are_exact(self):
        x = torch.tensor([1j, -1, -1j, 2, 1j], dtype=torch.complex128)
        assert x.prod().item() == -2j
        assert torch.tensor([1 + 2j, 3 - 4j]).prod().item() == 11 + 2j
        assert torch.tensor([0j, 3 - 4j]).prod().item() == 0

    @pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
    def test_matrix_products(self, dtype):
        torch.manual_seed(0)
        a = torch.randn(3, 5, 7, dtype=dtype)
        b = torch.randn(3, 7, 4, dtype=dtype)
        tolerance = 1e-5 if dtype is torch.complex64 else 1e-12
        wanted = a.numpy() @ b.numpy()
        np.testing.assert_allclose(torch.bmm(a, b).numpy(), wanted, rtol=tolerance, atol=tolerance)
        flipped = torch.matmul(b.transpose(1, 2), a.transpose(1, 2))
        np.testing.assert_allclose(
            flipped.numpy(), wanted.transpose(0, 2, 1), rtol=tolerance, atol=tolerance
        )
        v, w = a[0, 0], b[0, :, 0]
        np.testing.assert_allclose(
            torch.vdot(v, w).numpy(), np.vdot(v.numpy(), w.numpy()), rtol=tolerance
        )
        np.testing.assert_allclose(torch.dot(v, w).numpy(), wanted[0, 0, 0], rtol=tolerance)
        np.testing.assert_allclose(
            a.mH.numpy(), a.numpy().conj().transpose(0, 2, 1), rtol=tolerance
        )

    def test_gradient_of_a_matrix_product(self):
        torch.manual_seed(0)
        a = torch.randn(3, 4, dtype=torch.complex128, requires_grad=True)
        b = torch.randn(4, 2, dtype=torch.complex128, requires_grad=True)
        w = torch.randn(3, 2, dtype=torch.complex128)
        ((a @ b) * w).sum().real.backward()
        g = w.numpy().conj()
        np.testing.assert_allclose(a.grad.numpy(), g @ b.detach().numpy().conj().T, rtol=1e-12)
        np.testing.assert_allclose(b.grad.numpy(), a.detach().numpy().conj().T @ g, rtol=1e-12)

    def test_movement(self):
        array = (np.arange(24) + 1j * np.arange(24)[::-1]).reshape(2, 3, 4)
        x = torch.from_numpy(array)
        pairs = [
            (x.permute(2, 0, 1), array.transpose(2, 0, 1)),
            (x.reshape(4, 6), array.reshape(4, 6)),
            (x[:, 1:, ::2], array[:, 1:, ::2]),
            (x.flip(0, 2), array[::-1, :, ::-1]),
            (torch.cat([x, x[:1]]), np.concatenate([array, array[:1]])),
            (torch.stack([x, x], 1), np.stack([array, array], 1)),
            (x[torch.tensor([1, 0, 1])], array[[1, 0, 1]]),
            (x[x.real > 5], array[array.real > 5]),
            (torch.where(x.real > 5, x, 1j), np.where(array.real > 5, array, 1j)),
            (x.roll(1, 2), np.roll(array, 1, 2)),
            (x.expand(2, 2, 3, 4), np.broadcast_to(array, (2, 2, 3, 4))),
            (x.permute(2, 0, 1).contiguous(), array.transpose(2, 0, 1)),
            (x.diagonal(0, 1, 2), array.diagonal(0, 1, 2)),
            (torch.nn.functional.pad(x, (1, 2)), np.pad(array, [(0, 0), (0, 0), (1, 2)])),
        ]
        for got, wanted in pairs:
            np.testing.assert_array_equal(got.numpy(), wanted)
        y = x.clone()
        y[0, :, torch.tensor([0, 2])] = 5j
        y[1] += 1
        y.index_add_(0, torch.tensor([0, 0]), x)
        assert y[0, 0, 0].item() == 5j + array[:, 0, 0].sum()

    def test_creation(self):
        assert torch.full((2,), 1 + 2j).tolist() == [1 + 2j] * 2
        assert torch.full((2,), 1 + 2j, dtype=torch.complex128).dtype is torch.complex128
        assert torch.eye(2, dtype=torch.complex64).tolist() == [[1, 0], [0, 1]]
        assert torch.linspace(0, 1j, 3).tolist() == [0, 0.5j, 1j]
        assert torch.ones(2, dtype=torch.complex64).fill_(2j).tolist() == [2j, 2j]

    def test_comparisons(self):
        x = torch.tensor([1 + 1j, 2])
        assert (x == torch.tensor([1 + 1j, 2j])).tolist() == [True, False]
        assert (x != 2).tolist() == [True, False]
        assert torch.equal(x, x.clone())
        assert torch.isclose(x, x + 1e-9j).all().item()
        assert torch.isreal(x).tolist() == [False, True]
        special = torch.tensor([complex("nan"), complex(0, float("inf")), 3e38 + 3e38j])
        assert torch.isnan(special).tolist() == [True, False, False]
        assert torch.isinf(special).tolist() == [False, True, False]
        assert torch.isfinite(special).tolist() == [False, False, True]

    def test_random(self):
        torch.manual_seed(0)
        x = torch.randn(20000, dtype=torch.complex64)
        torch.manual_seed(0)
        parts = torch.randn(40000).reshape(20000, 2)
        np.testing.assert_allclose(
            torch.view_as_real(x).numpy(), parts.numpy() / 2**0.5, rtol=1e-5, atol=1e-7
        )
        torch.manual_seed(0)
        u = torch.rand(10, dtype=torch.complex64)
        torch.manual_seed(0)
        assert torch.equal(torch.view_as_real(u), torch.rand(20).reshape(10, 2))

    def test_special_values(self):
        inf = float("inf")
        x = torch.tensor([complex(0), complex(-1, 0.0), complex(-1, -0.0), complex(inf, 0)])
        np.testing.assert_allclose(torch.sqrt(x).numpy(), np.array([0, 1j, -1j, inf]), rtol=1e-6)
        np.testing.assert_allclose(
            torch.log(x).imag.numpy(), np.array([0, np.pi, -np.pi, 0]), rtol=1e-6
        )
        assert torch.exp(torch.tensor([complex(-inf, 3), complex(inf, 0)])).tolist() == [-0.0, inf]
        assert torch.tensor([1e30 + 1e30j]).abs().item() == pytest.approx(2**0.5 * 1e30)
        assert (torch.tensor([1e30 + 1e30j]) / 1e30j).tolist() == [1 - 1j]

    def test_in_place(self):
        x = torch.tensor([1 + 1j, 2j])
        x.mul_(1j).add_(1).conj_physical_()
        assert x.tolist() == [-1j, -1]
        x.zero_()
        assert x.tolist() == [0, 0]
        x.copy_(torch.tensor([1.0, 2.0]))
        assert x.tolist() == [1, 2]
