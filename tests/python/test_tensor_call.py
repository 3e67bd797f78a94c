"""Binding of Python arguments to the schemas, and what calls give."""

from __future__ import annotations

import inspect
from typing import Any

import flambeau
import numpy as np
import pytest


def pair():
    return flambeau.tensor([1.0, 2.0]), flambeau.tensor([3.0, 4.0])


class TestArguments:
    def test_positions_keywords_and_defaults(self):
        x, y = pair()
        assert flambeau.add(x, y).tolist() == [4.0, 6.0]
        assert flambeau.add(x, y, alpha=2).tolist() == [7.0, 10.0]
        assert flambeau.add(input=x, other=y).tolist() == [4.0, 6.0]
        assert x.add(other=y, alpha=0.5).tolist() == [2.5, 4.0]

    def test_numbers_for_tensors(self):
        x, _ = pair()
        for number in (2, 2.0, np.float32(2), np.int64(2), flambeau.tensor(2)):
            assert (x + number).tolist() == [3.0, 4.0]
        assert (x + True).dtype is flambeau.float32
        assert (flambeau.tensor([1, 2]) + 0.5).dtype is flambeau.float32

    def test_ints_spread_or_listed(self):
        x = flambeau.tensor([1.0, 2.0, 3.0, 4.0])
        for shape in (x.view(2, 2), x.view((2, 2)), x.view([2, 2]), x.view(flambeau.Size([2, 2]))):
            assert shape.shape == (2, 2)
        assert x.view(4).shape == (4,)
        assert flambeau.zeros(2, 3).shape == flambeau.zeros((2, 3)).shape == (2, 3)
        assert x.view(2, 2).permute(1, 0).tolist() == [[1, 3], [2, 4]]
        assert x.view(np.int64(2), flambeau.tensor(2)).shape == (2, 2)

    def test_one_int_for_a_list_of_axes(self):
        x = flambeau.tensor([[1.0, 2.0], [3.0, 4.0]])
        assert x.sum(0).tolist() == x.sum((0,)).tolist() == x.sum(dim=[0]).tolist() == [4.0, 6.0]
        assert x.sum(axis=1, keepdims=True).tolist() == [[3.0], [7.0]]

    def test_overloads(self):
        x = flambeau.tensor([[1.0, 5.0], [3.0, 4.0]])
        assert x.max().item() == 5.0
        assert flambeau.max(x, x * 2).tolist() == [[2.0, 10.0], [6.0, 8.0]]
        values, indices = x.max(0)
        assert (values.tolist(), indices.tolist()) == ([3.0, 5.0], [1, 0])

    def test_dtypes(self):
        assert flambeau.zeros(1, dtype=flambeau.int32).dtype is flambeau.int32
        assert flambeau.zeros(1, dtype=float).dtype is flambeau.float64
        assert flambeau.zeros(1, device="cpu", requires_grad=True).requires_grad

    @pytest.mark.parametrize(
        ("call", "text"),
        [
            (lambda x: flambeau.add(x, "a"), "add(): argument 'other' (position 2) must be Tensor, not str"),
            (lambda x: flambeau.add(x), 'add() missing 1 required positional arguments: "other"'),
            (lambda x: flambeau.add(x, 1, 2), "add() takes 2 positional arguments but 3 were given"),
            (lambda x: x.add(1, 2), "add() takes 1 positional arguments but 2 were given"),
            (lambda x: x.add(foo=1), "add() got an unexpected keyword argument 'foo'"),
            (lambda x: flambeau.add(x, 1, other=2), "add() got multiple values for argument 'other'"),
            (lambda x: flambeau.exp(1), "exp(): argument 'input' (position 1) must be Tensor, not int"),
            (lambda x: flambeau.exp(x, out=1), "exp(): argument 'out' must be Tensor, not int"),
            (lambda x: x.unsqueeze(True), "unsqueeze(): argument 'dim' (position 1) must be int, not bool"),
            (
                lambda x: x.reshape((2, "a")),
                "reshape(): argument 'shape' (position 1) must be tuple of ints, but found element of type str at pos 1",
            ),
            (lambda x: flambeau.cat([x, 1]), "expected Tensor as element 1 in argument 'tensors', but got int"),
            (lambda x: flambeau.cat(x), "cat(): argument 'tensors' (position 1) must be tuple of Tensors, not Tensor"),
            (lambda x: x + None, "unsupported operand type(s) for +"),
            (lambda x: "a" - x, "unsupported operand type(s) for -"),
        ],
    )  # fmt: skip
    def test_refusals(self, call, text):
        with pytest.raises(TypeError) as raised:
            call(flambeau.tensor([1.0, 2.0]))
        assert text in str(raised.value)

    def test_no_overload_fits(self):
        with pytest.raises(TypeError) as raised:
            flambeau.max(flambeau.tensor([1.0]), "a")
        lines = str(raised.value).splitlines()
        assert lines[0] == (
            "max() received an invalid combination of arguments - got (Tensor, str), but expected "
            "one of:"
        )
        assert " * (Tensor input, int dim, bool keepdim = False" in str(raised.value)

    def test_overflow(self):
        with pytest.raises(OverflowError, match="int too big to convert"):
            flambeau.tensor([1]) + 2**70


class TestOperators:
    def test_reflected(self):
        x, _ = pair()
        assert (1 - x).tolist() == [0.0, -1.0]
        assert (2 / x).tolist() == [2.0, 1.0]
        assert (3 // x).tolist() == [3.0, 1.0]
        assert (2**x).tolist() == [2.0, 4.0]
        assert (1 << flambeau.tensor([1, 2])).tolist() == [2, 4]

    def test_comparisons(self):
        x, y = pair()
        assert (x < y).tolist() == [True, True]
        assert (x == 1).tolist() == [True, False]
        assert (x == None) is False  # noqa: E711
        assert (x != "a") is True

    def test_foreign_classes_get_their_turn(self):
        class Foreign:
            def __radd__(self, other):
                return "mine"

        assert flambeau.tensor([1.0]) + Foreign() == "mine"

    def test_in_place(self):
        x, y = pair()
        before = x.data_ptr()
        x += y
        x *= 2
        assert (x.tolist(), x.data_ptr()) == ([8.0, 12.0], before)
        integers = flambeau.tensor([1])
        with pytest.raises(RuntimeError, match="can't be cast"):
            integers += 0.5


class TestResults:
    def test_named(self):
        result = flambeau.tensor([[1.0, 5.0]]).max(1)
        assert type(result).__name__ == "max"
        assert (result.values.tolist(), result.indices.tolist()) == ([5.0], [1])

    def test_out(self):
        x, y = pair()
        out = flambeau.empty(2)
        assert flambeau.add(x, y, out=out) is out
        assert out.tolist() == [4.0, 6.0]

    def test_lists_are_tuples(self):
        parts = flambeau.tensor([1, 2, 3]).split(2)
        assert type(parts) is tuple
        assert [part.tolist() for part in parts] == [[1, 2], [3]]


class TestFunctions:
    def test_documentation(self):
        text = flambeau.add.__doc__
        assert text.startswith(
            "add(Tensor input, Tensor other, *, Number alpha = 1, Tensor out = None) -> Tensor\n"
        )
        assert "broadcast" in text
        assert flambeau.Tensor.add.__doc__.startswith("add(Tensor other")

    def test_names(self):
        assert (flambeau.add.__name__, flambeau.add.__module__) == ("add", "flambeau")
        assert flambeau.Tensor.add_.__qualname__ == "Tensor.add_"
        assert inspect.isroutine(flambeau.add)

    def test_every_operation_is_documented(self):
        missing = [d["schema"] for d in flambeau._C._registry() if not d["doc"]]
        assert missing == []

    def test_functions_in_classes_do_not_bind(self):
        class Layer:
            activation = flambeau.exp

        assert Layer().activation(flambeau.tensor([0.0])).tolist() == [1.0]
        assert flambeau.Tensor.add(flambeau.tensor([1]), 2).tolist() == [3]
        with pytest.raises(TypeError, match="needs a Tensor, got int"):
            flambeau.Tensor.add(1, 2)

    def test_folders(self):
        assert flambeau.special.expit(flambeau.tensor([0.0])).tolist() == [0.5]
        import flambeau.special as special

        assert special.expit is flambeau.special.expit


class TestRepeatedCalls:
    """Calls of one geometry share what was worked out for the first; what differs still counts."""

    def test_rules_that_look_at_numbers_are_asked_again(self):
        x = flambeau.tensor([2, 3])
        for _ in range(2):
            assert (x**3).tolist() == [8, 27]
            with pytest.raises(RuntimeError, match="negative integer powers"):
                _ = x**-1
        assert [flambeau.arange(n).numel() for n in (3, 4, 3)] == [3, 4, 3]

    def test_numbers_change(self):
        x, y = pair()
        assert [flambeau.add(x, y, alpha=k).tolist() for k in (1, 2, 0.5)] == [
            [4.0, 6.0],
            [7.0, 10.0],
            [2.5, 4.0],
        ]
        assert [(x * k).tolist() for k in (2, 3, 2.0)] == [[2.0, 4.0], [3.0, 6.0], [2.0, 4.0]]

    def test_windows_follow_their_input(self):
        x = flambeau.arange(12.0)
        for first in (0, 4, 8, 0):
            part = x[first : first + 4]
            assert part.as_strided((2,), (2,)).tolist() == [first, first + 2]
            assert part.view(2, 2)[1].tolist() == [first + 2, first + 3]
            assert part.view(flambeau.int32).storage_offset() == first

    @pytest.mark.parametrize("dtype", ["float64", "int16", "uint8", "complex64", "complex128"])
    def test_bytes_read_as_another_dtype(self, dtype):
        x = flambeau.arange(24.0).reshape(3, 8)
        view = x.view(getattr(flambeau, dtype))
        np.testing.assert_array_equal(view.numpy(), x.numpy().view(dtype))
        view[1] = 0
        assert x[1].tolist() == [0] * 8
        assert view[2].view(flambeau.float32).tolist() == x[2].tolist()

    def test_integers_that_are_too_big(self):
        for call in (
            lambda: flambeau.zeros(2, 2**63),
            lambda: flambeau.zeros((2, 2**63)),
            lambda: flambeau.ones(2).view(2, 2**63),
        ):
            with pytest.raises(TypeError, match="failed to unpack the object at pos 2 with error"):
                call()
        with pytest.raises(RuntimeError, match="Overflow when unpacking long"):
            flambeau.ones(2).sum(2**63)
        for call in (lambda x: x + 2**64, lambda x: x.fill_(2**64), lambda x: x.clamp(0, 2**64)):
            with pytest.raises(OverflowError, match="int too big to convert"):
                call(flambeau.ones(2))
        x = flambeau.arange(3)
        assert x[: 2**70].tolist() == x[-(2**70) :].tolist() == [0, 1, 2]
        assert x[2**70 :].tolist() == []

    def test_numbers_that_a_dtype_cannot_hold(self):
        small, mask = flambeau.ones(2, dtype=flambeau.int8), flambeau.tensor([True, False])
        for call in (
            lambda: small.fill_(300),
            lambda: flambeau.full((2,), 1e6, dtype=flambeau.float16),
            lambda: flambeau.full((2,), float("nan"), dtype=flambeau.int32),
            lambda: flambeau.full_like(small, 300),
            lambda: small.new_full((2,), -300),
            lambda: small.masked_fill(mask, 300),
            lambda: flambeau.ones(2).fill_(1j),
        ):
            with pytest.raises(RuntimeError, match="without overflow"):
                call()
        # Again with a call like one that succeeded.
        assert [small.fill_(k).tolist() for k in (7, -7)] == [[7, 7], [-7, -7]]
        with pytest.raises(RuntimeError, match="without overflow"):
            small.fill_(128)
        assert flambeau.full((2,), -1, dtype=flambeau.uint8).tolist() == [255, 255]

    def test_read_only_memory_is_refused(self):
        array = np.zeros(2, np.float32)
        flambeau.from_numpy(array).add_(1)
        array.setflags(write=False)
        with pytest.raises(RuntimeError, match="read-only"):
            flambeau.from_numpy(array).add_(1)


@pytest.mark.parametrize(
    "call",
    [
        lambda x, **out: flambeau.sort(x, **out),
        lambda x, **out: flambeau.sort(x, stable=True, dim=0, **out),
        lambda x, **out: flambeau.topk(x, 2, **out),
        lambda x, **out: flambeau.kthvalue(x, 2, **out),
        lambda x, **out: flambeau.mode(x, **out),
        lambda x, **out: flambeau.median(x, 1, **out),
        lambda x, **out: flambeau.nanmedian(x, 1, True, **out),
        lambda x, **out: flambeau.max(x, 1, **out),
        lambda x, **out: flambeau.min(x, 1, **out),
        lambda x, **out: flambeau.cummax(x, 0, **out),
        lambda x, **out: flambeau.cummin(x, 0, **out),
    ],
)
def test_out_of_operations_with_two_results(call: Any) -> None:
    x = flambeau.tensor([[2.0, 1.0, 3.0, 1.0], [0.0, 5.0, 4.0, 4.0]])
    expected = call(x)
    for run in (call, flambeau.compile(call)):
        out = (flambeau.empty(0), flambeau.empty(0, dtype=flambeau.long))
        values, indices = run(x, out=out)
        assert values is out[0] and indices is out[1]
        assert flambeau.equal(values, expected[0]) and flambeau.equal(indices, expected[1])


def test_out_of_another_dtype_is_refused_where_a_kernel_writes_it() -> None:
    out = (flambeau.empty(0), flambeau.empty(0, dtype=flambeau.int32))
    with pytest.raises(
        RuntimeError, match="Expected out tensor to have dtype int64, but got int32"
    ):
        flambeau.sort(flambeau.ones(3), out=out)
    assert flambeau.max(flambeau.tensor([1.0, 2.0]), out=flambeau.empty(())).item() == 2
    mantissa, exponent = flambeau.empty(0), flambeau.empty(0, dtype=flambeau.int32)
    flambeau.frexp(flambeau.tensor([6.0]), out=(mantissa, exponent))
    assert (mantissa.item(), exponent.item()) == (0.75, 3)
