"""Tensors print exactly as PyTorch 2.7.1 prints them: the texts are its own."""

from __future__ import annotations

import flambeau
import pytest

# Expressions, and what PyTorch shows for them.
CASES = [
    ("tensor([1., 2.5, -3.])", "tensor([ 1.0000,  2.5000, -3.0000])"),
    ("tensor([1., 2., 3.])", "tensor([1., 2., 3.])"),
    ("tensor([0., 0.])", "tensor([0., 0.])"),
    ("tensor([1e-5, 1.0])", "tensor([1.0000e-05, 1.0000e+00])"),
    ("tensor([1e10, 1.0])", "tensor([1.0000e+10, 1.0000e+00])"),
    ("tensor([123456789.0])", "tensor([1.2346e+08])"),
    ("tensor([1000.0, 0.5])", "tensor([1.0000e+03, 5.0000e-01])"),
    ("tensor([1001.0, 0.5])", "tensor([1.0010e+03, 5.0000e-01])"),
    ("tensor([1.0, inf, -inf, nan])", "tensor([1., inf, -inf, nan])"),
    ("tensor([1.5, inf, nan])", "tensor([1.5000,    inf,    nan])"),
    ("tensor([inf, nan])", "tensor([inf, nan])"),
    ("tensor([-0.0, 1e-40])", "tensor([-0.0000e+00, 9.9999e-41])"),
    ("tensor([99999.0, 1.0])", "tensor([9.9999e+04, 1.0000e+00])"),
    ("tensor([1, -20, 300])", "tensor([  1, -20, 300])"),
    ("tensor([[True, False], [False, True]])", "tensor([[ True, False],\n        [False,  True]])"),
    ("tensor(3.14159265)", "tensor(3.1416)"),
    ("tensor(7)", "tensor(7)"),
    ("tensor(True)", "tensor(True)"),
    ("tensor(2e-8)", "tensor(2.0000e-08)"),
    ("tensor(nan)", "tensor(nan)"),
    ("tensor([])", "tensor([])"),
    ("tensor([], dtype=int64)", "tensor([], dtype=torch.int64)"),
    ("tensor([[], []])", "tensor([], size=(2, 0))"),
    ("tensor([1, 2], dtype=int32)", "tensor([1, 2], dtype=torch.int32)"),
    ("tensor([1., 2.], dtype=float64)", "tensor([1., 2.], dtype=torch.float64)"),
    ("tensor([1.0009765625, 2.], dtype=float16)", "tensor([1.0010, 2.0000], dtype=torch.float16)"),
    (
        "tensor([1.0078125, 300.], dtype=bfloat16)",
        "tensor([  1.0078, 300.0000], dtype=torch.bfloat16)",
    ),
    ("tensor([1+2j, -1.25j])", "tensor([1.+2.0000j, -0.-1.2500j])"),
    ("tensor([1+2j, 3-4j])", "tensor([1.+2.j, 3.-4.j])"),
    ("tensor(1-2j)", "tensor(1.-2.j)"),
    (
        "tensor([1.5+2j, nan, inf*1j, 1e10])",
        "tensor([1.5000e+00+2.j,        nan+0.j,        nan+infj, 1.0000e+10+0.j])",
    ),
    (
        "tensor([[1+2j,-1.25j],[100,0.00001]],dtype=complex128)",
        "tensor([[1.0000e+00+2.0000j, -0.0000e+00-1.2500j],\n        [1.0000e+02+0.0000j, 1.0000e-05+0.0000j]], dtype=torch.complex128)",
    ),
    (
        "tensor([complex(x,-x/7) for x in range(12)])",
        "tensor([ 0.+0.0000j,  1.-0.1429j,  2.-0.2857j,  3.-0.4286j,  4.-0.5714j,\n         5.-0.7143j,  6.-0.8571j,  7.-1.0000j,  8.-1.1429j,  9.-1.2857j,\n        10.-1.4286j, 11.-1.5714j])",
    ),
    ("tensor([],dtype=complex64)", "tensor([], dtype=torch.complex64)"),
    (
        "tensor([complex(x,1) for x in range(1001)])",
        "tensor([   0.+1.j,    1.+1.j,    2.+1.j,  ...,  998.+1.j,  999.+1.j, 1000.+1.j])",
    ),
    ("tensor([complex(nan,nan),complex(-inf,-inf)])", "tensor([nan+nanj, -inf-infj])"),
    ("tensor([1+1j],dtype=complex32)", "tensor([1.+1.j], dtype=torch.complex32)"),
    ("tensor([1, 2], dtype=uint8)", "tensor([1, 2], dtype=torch.uint8)"),
    (
        "tensor([[[1., 2.], [3., 4.]], [[5., 6.], [7., 8.]]])",
        "tensor([[[1., 2.],\n         [3., 4.]],\n\n        [[5., 6.],\n         [7., 8.]]])",
    ),
    ("tensor([[[[1, 2]], [[3, 4]]]])", "tensor([[[[1, 2]],\n\n         [[3, 4]]]])"),
    (
        "tensor(list(range(30)))",
        "tensor([ 0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14, 15, 16, 17,\n        18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29])",
    ),
    (
        "tensor([x / 7 for x in range(30)])",
        "tensor([0.0000, 0.1429, 0.2857, 0.4286, 0.5714, 0.7143, 0.8571, 1.0000, 1.1429,\n        1.2857, 1.4286, 1.5714, 1.7143, 1.8571, 2.0000, 2.1429, 2.2857, 2.4286,\n        2.5714, 2.7143, 2.8571, 3.0000, 3.1429, 3.2857, 3.4286, 3.5714, 3.7143,\n        3.8571, 4.0000, 4.1429])",
    ),
    (
        "tensor([[x / 7 for x in range(20)] for y in range(2)])",
        "tensor([[0.0000, 0.1429, 0.2857, 0.4286, 0.5714, 0.7143, 0.8571, 1.0000, 1.1429,\n         1.2857, 1.4286, 1.5714, 1.7143, 1.8571, 2.0000, 2.1429, 2.2857, 2.4286,\n         2.5714, 2.7143],\n        [0.0000, 0.1429, 0.2857, 0.4286, 0.5714, 0.7143, 0.8571, 1.0000, 1.1429,\n         1.2857, 1.4286, 1.5714, 1.7143, 1.8571, 2.0000, 2.1429, 2.2857, 2.4286,\n         2.5714, 2.7143]])",
    ),
    ("tensor(list(range(1001)))", "tensor([   0,    1,    2,  ...,  998,  999, 1000])"),
    (
        "tensor([x * 1.0 for x in range(2000)])",
        "tensor([0.0000e+00, 1.0000e+00, 2.0000e+00,  ..., 1.9970e+03, 1.9980e+03,\n        1.9990e+03])",
    ),
    (
        "tensor([[x + 100 * y for x in range(100)] for y in range(100)])",
        "tensor([[   0,    1,    2,  ...,   97,   98,   99],\n        [ 100,  101,  102,  ...,  197,  198,  199],\n        [ 200,  201,  202,  ...,  297,  298,  299],\n        ...,\n        [9700, 9701, 9702,  ..., 9797, 9798, 9799],\n        [9800, 9801, 9802,  ..., 9897, 9898, 9899],\n        [9900, 9901, 9902,  ..., 9997, 9998, 9999]])",
    ),
    (
        "tensor([[[x + y + z for x in range(12)] for y in range(12)] for z in range(12)])",
        "tensor([[[ 0,  1,  2,  ...,  9, 10, 11],\n         [ 1,  2,  3,  ..., 10, 11, 12],\n         [ 2,  3,  4,  ..., 11, 12, 13],\n         ...,\n         [ 9, 10, 11,  ..., 18, 19, 20],\n         [10, 11, 12,  ..., 19, 20, 21],\n         [11, 12, 13,  ..., 20, 21, 22]],\n\n        [[ 1,  2,  3,  ..., 10, 11, 12],\n         [ 2,  3,  4,  ..., 11, 12, 13],\n         [ 3,  4,  5,  ..., 12, 13, 14],\n         ...,\n         [10, 11, 12,  ..., 19, 20, 21],\n         [11, 12, 13,  ..., 20, 21, 22],\n         [12, 13, 14,  ..., 21, 22, 23]],\n\n        [[ 2,  3,  4,  ..., 11, 12, 13],\n         [ 3,  4,  5,  ..., 12, 13, 14],\n         [ 4,  5,  6,  ..., 13, 14, 15],\n         ...,\n         [11, 12, 13,  ..., 20, 21, 22],\n         [12, 13, 14,  ..., 21, 22, 23],\n         [13, 14, 15,  ..., 22, 23, 24]],\n\n        ...,\n\n        [[ 9, 10, 11,  ..., 18, 19, 20],\n         [10, 11, 12,  ..., 19, 20, 21],\n         [11, 12, 13,  ..., 20, 21, 22],\n         ...,\n         [18, 19, 20,  ..., 27, 28, 29],\n         [19, 20, 21,  ..., 28, 29, 30],\n         [20, 21, 22,  ..., 29, 30, 31]],\n\n        [[10, 11, 12,  ..., 19, 20, 21],\n         [11, 12, 13,  ..., 20, 21, 22],\n         [12, 13, 14,  ..., 21, 22, 23],\n         ...,\n         [19, 20, 21,  ..., 28, 29, 30],\n         [20, 21, 22,  ..., 29, 30, 31],\n         [21, 22, 23,  ..., 30, 31, 32]],\n\n        [[11, 12, 13,  ..., 20, 21, 22],\n         [12, 13, 14,  ..., 21, 22, 23],\n         [13, 14, 15,  ..., 22, 23, 24],\n         ...,\n         [20, 21, 22,  ..., 29, 30, 31],\n         [21, 22, 23,  ..., 30, 31, 32],\n         [22, 23, 24,  ..., 31, 32, 33]]])",
    ),
    ("tensor([1., 2.], requires_grad=True)", "tensor([1., 2.], requires_grad=True)"),
    (
        "tensor([0.1] * 15, requires_grad=True)",
        "tensor([0.1000, 0.1000, 0.1000, 0.1000, 0.1000, 0.1000, 0.1000, 0.1000, 0.1000,\n        0.1000, 0.1000, 0.1000, 0.1000, 0.1000, 0.1000], requires_grad=True)",
    ),
    (
        "tensor([1.5] * 8, dtype=float64, requires_grad=True)",
        "tensor([1.5000, 1.5000, 1.5000, 1.5000, 1.5000, 1.5000, 1.5000, 1.5000],\n       dtype=torch.float64, requires_grad=True)",
    ),
]

NAMES = [
    *["tensor", "int64", "int32", "float64", "float16", "bfloat16", "uint8", "inf", "nan"],
    *["complex32", "complex64", "complex128"],
]


@pytest.mark.parametrize(("expression", "text"), CASES, ids=[case[0][:40] for case in CASES])
def test_repr(expression: str, text: str) -> None:
    names = {name: getattr(flambeau, name) for name in NAMES}
    assert repr(eval(expression, names)) == text


@pytest.fixture
def _default_options():
    yield
    flambeau.set_printoptions(profile="default")


@pytest.mark.usefixtures("_default_options")
class TestOptions:
    def test_precision(self) -> None:
        flambeau.set_printoptions(precision=2)
        assert repr(flambeau.tensor([1.23456])) == "tensor([1.23])"

    def test_scientific(self) -> None:
        flambeau.set_printoptions(sci_mode=True)
        assert repr(flambeau.tensor([1.5, 20.0])) == "tensor([1.5000e+00, 2.0000e+01])"
        flambeau.set_printoptions(sci_mode=False)
        assert repr(flambeau.tensor([1e-6, 1.5])) == "tensor([    0.0000,     1.5000])"

    def test_summary(self) -> None:
        flambeau.set_printoptions(threshold=5, edgeitems=1)
        assert repr(flambeau.tensor(list(range(10)))) == "tensor([0,  ..., 9])"

    def test_line_width(self) -> None:
        flambeau.set_printoptions(linewidth=20)
        assert repr(flambeau.tensor([1, 2, 3, 4, 5, 6])) == ("tensor([1, 2, 3, 4,\n        5, 6])")

    def test_profile_full(self) -> None:
        flambeau.set_printoptions(profile="full")
        assert "..." not in repr(flambeau.tensor(list(range(2000))))

    def test_bad_options_change_nothing(self) -> None:
        with pytest.raises(ValueError, match="set_printoptions: precision"):
            flambeau.set_printoptions(precision=-1)
        assert repr(flambeau.tensor([1.25])) == "tensor([1.2500])"


def test_format() -> None:
    assert f"{flambeau.tensor(2.5):.3f}" == "2.500"
    assert f"{flambeau.tensor([1, 2])}" == "tensor([1, 2])"
    with pytest.raises(TypeError, match=r"unsupported format string passed to Tensor\.__format__"):
        f"{flambeau.tensor([1, 2]):.3f}"


def test_subclass_shows_its_name() -> None:
    class Special(flambeau.Tensor):
        pass

    special = flambeau.tensor([1, 2]).as_subclass(Special)
    assert repr(special) == "Special([1, 2])"


def test_grad_fn() -> None:
    x = flambeau.tensor([1.0], requires_grad=True)
    assert repr(x * 2) == "tensor([2.], grad_fn=<MulBackward0>)"
