"""TorchDispatchMode: a mode sees operations; FlopCounterMode counts with one."""

from __future__ import annotations

from typing import Any

import flambeau as torch
import pytest
from flambeau.utils._python_dispatch import TorchDispatchMode, is_traceable_wrapper_subclass
from flambeau.utils.flop_counter import FlopCounterMode, register_flop_formula

pytestmark = pytest.mark.supports
aten = torch.ops.aten


class Log(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.append(func)
        return func(*args, **(kwargs or {}))


def test_a_mode_sees_operations() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.GELU())
    x = torch.ones(2, 3)
    with Log() as log:
        y = model(x) + 1
        y.mul_(2)
        torch.nn.functional.softmax(y, -1)
        assert y.shape == (2, 4)
    assert log.seen == [aten.linear, aten.gelu, aten.add.Tensor, aten.mul_.Tensor, aten.softmax.int]
    y + 1
    assert len(log.seen) == 5
    with Log() as outer, Log() as inner:
        torch.ones(1)
    assert outer.seen == inner.seen == [aten.ones]


def test_a_mode_may_answer() -> None:
    class Doubled(TorchDispatchMode):
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            result = func(*args, **(kwargs or {}))
            return result * 2 if func is aten.exp else result

    with Doubled():
        assert torch.exp(torch.zeros(1)) == 2
    assert torch.exp(torch.zeros(1)) == 1
    with pytest.raises(NotImplementedError), TorchDispatchMode():
        torch.ones(1)
    assert torch.ones(1) == 1


def test_operations_are_counted() -> None:
    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = torch.nn.Linear(8, 16)
            self.b = torch.nn.Conv1d(1, 4, 3)

        def forward(self, x: Any) -> Any:
            y = self.a(x)
            return self.b(y.unsqueeze(1)) @ torch.ones(14, 2)

    counter = FlopCounterMode(display=False)
    with counter:
        Net()(torch.ones(5, 8))
    counts = counter.get_flop_counts()
    linear, convolution, product = 2 * 5 * 16 * 8, 2 * 5 * 4 * 14 * 3, 2 * 5 * 4 * 2 * 14
    assert counts["Global"] == {aten.linear: linear, aten.conv1d: convolution, aten.matmul: product}
    assert counts["Net.a"] == {aten.linear: linear}
    assert (
        sum(counts["Net"].values()) == counter.get_total_flops() == linear + convolution + product
    )
    assert counter.get_table().splitlines()[1].split() == ["Global", "4,080", "100.00%"]

    @register_flop_formula(aten.cumsum)
    def sums(x: Any, *args: Any, out_shape: Any = None) -> int:
        return x[0] * 100

    with FlopCounterMode(display=False) as counter:
        torch.ones(7).cumsum(0)
    assert counter.get_total_flops() == 700


def test_classes_that_say_what_they_are_made_of() -> None:
    class Made(torch.Tensor):
        def __tensor_flatten__(self) -> Any: ...

        @staticmethod
        def __tensor_unflatten__(*args: Any) -> Any: ...

    assert is_traceable_wrapper_subclass(torch.ones(1).as_subclass(Made))
    assert not is_traceable_wrapper_subclass(torch.ones(1))
