"""`__torch_function__`: subclasses, foreign classes, modes, and what torch.overrides says of them."""

from __future__ import annotations

import copy
import operator
import pickle
from typing import Any

import flambeau as torch
import flambeau.nn.functional as F
import pytest
from flambeau import overrides

pytestmark = pytest.mark.supports


class Logged(torch.Tensor):
    """Keeps the names of what was called, and what the default makes of it."""

    calls: list[str] = []

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        cls.calls.append(overrides.resolve_name(func) or repr(func))
        return super().__torch_function__(func, types, args, kwargs)


class Plain(torch.Tensor):
    pass


def logged(*values: float) -> Any:
    return torch.tensor(values or (1.0, 2.0, 3.0)).as_subclass(Logged)


def calls_of(call: Any) -> list[str]:
    Logged.calls.clear()
    call()
    return list(Logged.calls)


# What PyTorch 2.7.1 reports for these.
REPORTED = {
    "torch.Tensor.add": [lambda t: t + 1, lambda t: 1 + t, lambda t: t.add(1), lambda t: torch.ones(3) + t],
    "torch.Tensor.sub": [lambda t: t - 1, lambda t: torch.ones(3) - t],
    "torch.Tensor.__rsub__": [lambda t: 1 - t],
    "torch.Tensor.mul": [lambda t: t * t, lambda t: 2 * t],
    "torch.Tensor.div": [lambda t: t / 2],
    "torch.Tensor.remainder": [lambda t: t % 2],
    "torch.Tensor.__floordiv__": [lambda t: t // 2],
    "torch.Tensor.__eq__": [lambda t: t == 1],
    "torch.Tensor.gt": [lambda t: t > 1],
    "torch.Tensor.add_": [lambda t: operator.iadd(t, 1)],
    "torch.Tensor.neg": [lambda t: -t],
    "torch.Tensor.__getitem__": [lambda t: t[0]],
    "torch.Tensor.__len__": [len],
    "torch.Tensor.shape.__get__": [lambda t: t.shape],
    "torch.Tensor.dtype.__get__": [lambda t: t.dtype],
    "torch.Tensor.T.__get__": [lambda t: t.T],
    "torch.Tensor.requires_grad.__set__": [lambda t: setattr(t, "requires_grad", False)],
    "torch.Tensor.size": [lambda t: t.size(), lambda t: t.size(dim=0)],
    "torch.Tensor.tolist": [lambda t: t.tolist()],
    "torch.Tensor.to": [lambda t: t.to(torch.float64)],
    "torch.Tensor.float": [lambda t: t.float()],
    "torch.sum": [torch.sum],
    "torch.stack": [lambda t: torch.stack([torch.ones(3), t])],
    "torch.unique": [torch.unique],
    "torch.einsum": [lambda t: torch.einsum("i,i->", t, torch.ones(3))],
    "torch.nn.functional.linear": [lambda t: F.linear(t, torch.ones(2, 3))],
    "torch.nn.functional.dropout": [F.dropout],
    "torch.nn.init.zeros_": [torch.nn.init.zeros_],
    "torch.linalg.norm": [torch.linalg.norm],
}  # fmt: skip


@pytest.mark.parametrize("name", REPORTED)
def test_what_a_subclass_is_asked(name: str) -> None:
    for call in REPORTED[name]:
        assert calls_of(lambda: call(logged())) == [name]  # noqa: B023


def test_results_are_of_the_subclass_and_keep_their_history() -> None:
    x = torch.ones(3, requires_grad=True)
    y: Any = x.as_subclass(Plain)
    assert (
        type(y) is Plain and y.grad_fn.name() == "AliasBackward0" and y.data_ptr() == x.data_ptr()
    )
    z = (y * torch.full((3,), 2.0)).sum()
    assert type(z) is Plain
    z.backward()
    assert x.grad is not None and type(x.grad) is torch.Tensor and x.grad.tolist() == [2.0] * 3
    assert type(torch.max(y, 0)) is type(torch.max(x, 0)) and type(torch.max(y, 0).values) is Plain
    assert [type(part) for part in y.split(1)] == [Plain] * 3
    assert type(y.shape) is torch.Size and y.shape == (3,)
    assert type(torch.tensor([1.0]).add(logged()[0])) is Logged
    assert repr(logged(1.0)) == "Logged([1.])"


def test_subclasses_are_copied_and_pickled_with_their_attributes() -> None:
    parameter = torch.nn.Parameter(torch.ones(2).as_subclass(Plain))
    parameter.name_tag = "w"  # type: ignore[attr-defined]
    assert type(parameter) is Plain and isinstance(parameter, torch.nn.Parameter)
    for other in (copy.deepcopy(parameter), pickle.loads(pickle.dumps(parameter))):
        assert type(other) is Plain and isinstance(other, torch.nn.Parameter)
        assert other.requires_grad and other.name_tag == "w" and other.tolist() == [1.0, 1.0]
    assert overrides.has_torch_function((parameter,))
    assert not overrides.has_torch_function((torch.ones(1), torch.nn.Parameter(torch.ones(1)), 1))


class Foreign:
    """Not a tensor: what a tracer's proxy is."""

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return overrides.resolve_name(func), types, kwargs or {}


def test_foreign_objects_answer() -> None:
    foreign, x = Foreign(), torch.ones(2)
    assert torch.add(x, foreign, alpha=2) == ("torch.add", (Foreign,), {"alpha": 2})
    assert x + foreign == ("torch.Tensor.add", (Foreign,), {})  # type: ignore[comparison-overlap]
    assert torch.cat([foreign, x])[0] == "torch.cat"  # type: ignore[list-item, comparison-overlap]
    assert F.gelu(foreign)[0] == "torch.nn.functional.gelu"
    assert F.cross_entropy(foreign, x)[0] == "torch.nn.functional.cross_entropy"
    assert overrides.is_tensor_like(foreign) and not overrides.is_tensor_like(1)


class Declines(torch.Tensor):
    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return NotImplemented


def test_who_is_asked_first() -> None:
    class Special(Logged):
        calls = []

    base, special = logged(), torch.ones(3).as_subclass(Special)
    assert type(base + special) is Special
    with pytest.raises(
        TypeError, match=r"no implementation found for .*__torch_function__: .*Declines"
    ):
        torch.add(torch.ones(2), torch.ones(2).as_subclass(Declines))
    # Neither is a subclass of the other.
    with pytest.raises(TypeError, match="no implementation found"):
        torch.add(torch.ones(3).as_subclass(Plain), base)
    with torch._C.DisableTorchFunctionSubclass():
        assert type(base + 1) is torch.Tensor
    assert type(base + 1) is Logged


class Doubles(overrides.TorchFunctionMode):
    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        return result * 2 if isinstance(result, torch.Tensor) else result


def test_modes() -> None:
    x = torch.ones(2)
    with Doubles() as outer:
        assert overrides._get_current_function_mode() is outer
        assert torch.ones(1).item() == 2.0
        assert torch.tensor([1.0]).tolist() == [2.0]
        with Doubles():
            assert (x + 1).tolist() == [16.0, 16.0]  # each result is doubled by both
        with torch._C.DisableTorchFunctionSubclass():
            assert (x + 1).tolist() == [4.0, 4.0]
        with torch._C.DisableTorchFunction():
            assert (x + 1).tolist() == [2.0, 2.0]
        with pytest.raises(RuntimeError):
            x.view(7)
        assert (x + 1).tolist() == [4.0, 4.0]
    assert overrides._get_current_function_mode() is None and (x + 1).tolist() == [2.0, 2.0]


def test_the_functions_that_ask_are_listed() -> None:
    functions = overrides.get_overridable_functions()
    assert torch.add in functions[torch] and torch.Tensor.add in functions[torch.Tensor]
    assert F.dropout in functions[F] and torch.Tensor.shape.__get__ in functions[torch.Tensor]  # type: ignore[attr-defined]
    assert overrides.is_tensor_method_or_property(torch.Tensor.add)
    assert not overrides.is_tensor_method_or_property(torch.add)
    assert torch.is_tensor in overrides.get_ignored_functions()
    testing = overrides.get_testing_overrides()
    assert len(testing) > 1300 and all(dummy() == -1 for dummy in testing.values())

    @overrides.wrap_torch_function(lambda x: (x,))
    def mine(x: Any) -> str:
        return "own"

    assert mine(torch.ones(1)) == "own"
    assert mine(Foreign())[1] == (Foreign,)  # type: ignore[comparison-overlap]


def test_functions_of_python_look_like_functions() -> None:
    assert pickle.loads(pickle.dumps(F.dropout)) is F.dropout
    assert F.dropout.__name__ == "dropout" and "p" in str(
        __import__("inspect").signature(F.dropout)
    )
    assert torch.Tensor.to.__qualname__ == "Tensor.to"
    assert pickle.loads(pickle.dumps(torch.Tensor.to)) is torch.Tensor.to
