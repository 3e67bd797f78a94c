"""Python numbers that a dtype cannot hold, and conversions of floats that an integer cannot."""

from __future__ import annotations

import flambeau as torch
import pytest

BIG = 2**63
LOWEST = {torch.int32: -(2**31), torch.int64: -(2**63)}


def test_dtypes_without_tensors_are_refused():
    for make in (
        lambda dtype: torch.tensor([1.0], dtype=dtype),
        lambda dtype: torch.as_tensor([1.0], dtype=dtype),
        lambda dtype: torch.zeros(2, dtype=dtype),
        lambda dtype: torch.ones(2).to(dtype),
        lambda dtype: torch.frombuffer(b"1234", dtype=dtype),
        lambda dtype: torch.promote_types(dtype, torch.float32),
    ):
        for dtype in (torch.uint16, torch.float8_e4m3fn, torch.qint8):
            with pytest.raises(NotImplementedError, match=str(dtype)):
                make(dtype)


def test_numbers_beyond_int64_as_operands():
    x = torch.tensor([1, 2])
    assert (x * BIG).tolist() == (BIG * x).tolist() == [-BIG, 0]
    assert (x + (2**64 - 1)).tolist() == [0, 1]
    assert (BIG - x).tolist() == [BIG - 1, BIG - 2]
    assert (x < BIG).tolist() == [False, False]
    assert (x / BIG).tolist() == [2.0**-63, 2.0**-62]
    assert (torch.tensor([1, 2], dtype=torch.uint8) * (2**64 - 1)).tolist() == [255, 254]
    for dtype in (torch.float32, torch.float64, torch.complex64):
        y = torch.tensor([1, 2], dtype=dtype)
        assert (y * BIG).tolist() == [2.0**63, 2.0**64]
        assert y.fill_(BIG).tolist() == [2.0**63] * 2
    assert torch.full((1,), BIG, dtype=torch.float32).item() == 2.0**63
    assert torch.tensor(BIG, dtype=torch.float32).item() == 2.0**63
    assert torch.tensor(-(10**30), dtype=torch.float64).item() == -1e30
    assert torch.tensor([10**400], dtype=torch.bool).item() is True
    with pytest.raises(RuntimeError, match="attempted to promote Bool and UInt64"):
        torch.tensor([True]) * BIG
    for number in (2**64, -BIG - 1, 10**400):
        with pytest.raises(OverflowError):
            x * number
    for make in (lambda: torch.tensor(BIG), lambda: torch.tensor([BIG], dtype=torch.int64)):
        with pytest.raises(RuntimeError, match="Overflow when unpacking long"):
            make()
    with pytest.raises(OverflowError, match="int too large to convert to float"):
        torch.tensor(10**400, dtype=torch.float32)


@pytest.mark.parametrize(
    ("dtype", "number"),
    [(torch.uint8, 300), (torch.int8, -129), (torch.int32, 2**40), (torch.float16, 1e6)],
)
def test_numbers_that_are_no_operands_must_fit(dtype, number):
    x = torch.tensor([1, 2], dtype=dtype)
    places = torch.tensor([0])
    for call in (
        lambda: x.clamp(max=number),
        lambda: x.clamp_min(number),
        lambda: torch.where(x > 1, x, number),
        lambda: x.masked_fill(x > 1, number),
        lambda: x.fill_(number),
        lambda: x.index_fill(0, places, number),
        lambda: x.scatter(0, places, number),
        lambda: torch.add(x, x, alpha=number),
        lambda: torch.addcmul(x, x, x, value=number),
        lambda: x.__setitem__(0, number),
        lambda: torch.full_like(x, number),
    ):
        with pytest.raises(RuntimeError, match="cannot be converted to type .* without overflow"):
            call()
    assert x.tolist() == [1, 2]
    assert torch.add(x, x, alpha=3).tolist() == [4, 8]


def test_a_number_must_fit_before_its_digits_are_cut():
    for dtype, number in ((torch.uint8, -0.5), (torch.uint8, 255.9), (torch.int8, 127.5)):
        with pytest.raises(RuntimeError, match="without overflow"):
            torch.full((1,), number, dtype=dtype)
    assert torch.full((1,), -0.5, dtype=torch.int8).item() == 0


def test_complex_numbers_do_not_become_real():
    with pytest.raises(TypeError, match="must be real number, not complex"):
        torch.tensor([1j], dtype=torch.float32)
    with pytest.raises(TypeError, match="'complex' object cannot be interpreted as an integer"):
        torch.tensor([1j], dtype=torch.int64)


def test_divisors_that_wrap_to_zero():
    x = torch.tensor([1, 2], dtype=torch.uint8)
    for call in (lambda: x // 256, lambda: x % 512, lambda: torch.fmod(x, 256)):
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            call()


@pytest.mark.parametrize("count", [1, 67])
@pytest.mark.parametrize(
    "source", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str
)
def test_floats_beyond_an_integer(source, count):
    """What x86 gives: narrow integers are the low bits of int32 (uint8: of int64)."""

    def converted(value, dtype):
        x = torch.full((count,), value, dtype=source)
        assert torch.compile(lambda x: (x + 0).to(dtype))(x).tolist() == x.to(dtype).tolist()
        return set(x.to(dtype).tolist())

    nan, inf = float("nan"), float("inf")
    for dtype, lowest in LOWEST.items():
        for value in (nan, inf, -inf):
            assert converted(value, dtype) == {lowest}
    for dtype in (torch.int8, torch.int16, torch.uint8):
        for value in (nan, inf, -inf):
            assert converted(value, dtype) == {0}
    assert converted(-1.0, torch.uint8) == converted(-1.5, torch.uint8) == {255}
    assert converted(-0.5, torch.uint8) == {0}
    assert converted(300.0, torch.uint8) == {44}
    assert converted(200.0, torch.int8) == {-56}
    assert converted(-129.0, torch.int8) == {127}
    if source in (torch.float64, torch.float32):
        assert converted(70000.0, torch.int16) == {4464}
        assert converted(3e9, torch.int32) == {-(2**31)}
        assert converted(-1e19, torch.int64) == {-(2**63)}
    if source is torch.float64:
        assert converted(2.0**31 + 100, torch.uint8) == {100}
        assert converted(2.0**31 + 100, torch.int16) == {0}
        assert converted(2.0**31 - 1, torch.int32) == {2**31 - 1}
        assert converted(-(2.0**31) - 0.5, torch.int32) == {-(2**31)}


def test_limits_of_complex_dtypes_are_those_of_their_parts() -> None:
    assert torch.finfo(torch.complex64) == torch.finfo(torch.float32)
    assert torch.finfo(torch.complex128).eps == 2.0**-52
