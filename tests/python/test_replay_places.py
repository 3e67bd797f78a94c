"""compile(replay=True): tensors that lie elsewhere in their storages than in the recorded call."""

from __future__ import annotations

from collections.abc import Callable

import flambeau as torch
import pytest

Function = Callable[[torch.Tensor], torch.Tensor]


def parts() -> list[torch.Tensor]:
    return list(torch.arange(1.0, 65).view(8, 8).unbind(0))


IN_OTHER_ELEMENTS: dict[str, Function] = {
    "complex": lambda x: torch.view_as_complex(x.view(-1, 2)) * (2 + 1j),
    "complex in place": lambda x: torch.view_as_complex(x.view(-1, 2)).mul_(2).abs(),
    "other dtype": lambda x: x.view(torch.int32) + 1,
    "halves": lambda x: x.view(torch.int16) + 1,
    "view given": lambda x: x.view(torch.int16),
}
FROM_THE_STORAGE: dict[str, Function] = {
    "as_strided": lambda x: x.as_strided((4,), (2,), 0) * 2,
    "as_strided in place": lambda x: x.as_strided((2,), (1,), 2).add_(5) * 1,
    "base": lambda x: x._base * 2 if x._base is not None else x * 3,
    "base in place": lambda x: x._base.flatten()[:8].mul_(2) * 1,
    "set_": lambda x: torch.empty(0).set_(x.untyped_storage(), 0, (8,), (1,)) * 2,
    "bytes": lambda x: x * x.untyped_storage().nbytes(),
}


@pytest.mark.parametrize("name", [*IN_OTHER_ELEMENTS, *FROM_THE_STORAGE])
def test_arguments_that_lie_elsewhere(name: str) -> None:
    function = (IN_OTHER_ELEMENTS | FROM_THE_STORAGE)[name]
    replayed = torch.compile(function, replay=True)
    for i in (1, 1, 1, 0, 3, 7, 1):
        ours, theirs = parts(), parts()
        got, wanted = replayed(ours[i]), function(theirs[i])
        assert torch.equal(got, wanted), i
        assert torch.equal(ours[0]._base, theirs[0]._base), i


def test_a_smaller_storage_is_refused_as_by_a_call() -> None:
    replayed = torch.compile(lambda x: x.as_strided((4096,), (1,)) * 2, replay=True)
    large = torch.zeros(8192)
    for _ in range(3):
        replayed(large[:8])
    with pytest.raises(RuntimeError, match="out of bounds for storage of size 32"):
        replayed(torch.zeros(8))


def test_parameters_that_move() -> None:
    weight = torch.nn.Parameter(torch.arange(1.0, 5))
    buffer = torch.arange(1.0, 65)

    def function(x: torch.Tensor) -> torch.Tensor:
        return torch.view_as_complex(weight.detach().view(-1, 2)) * x

    replayed = torch.compile(function, replay=True)
    x = torch.ones(2)
    for place in (0, 0, 0, 8, 16, 4):
        weight.data = buffer[place : place + 4]
        assert torch.equal(replayed(x), function(x)), place
