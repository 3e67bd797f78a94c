"""What a compiled function may do without end: long loops, loops whose values nobody reads."""

from __future__ import annotations

import flambeau as torch
import pytest
from flambeau import nn


def runs() -> int:
    return int(torch._C._compile_stats()["runs"])


def scan(x: torch.Tensor) -> torch.Tensor:
    out = torch.zeros(4000, 8)
    out[0] = x
    for i in range(1, len(out)):
        out[i] = out[i - 1] * 0.9 + x
    return out


def counters(x: torch.Tensor) -> torch.Tensor:
    x = x.clone()
    for i in range(4000):
        x[i % len(x)] += 1
    return x


def epochs(x: torch.Tensor) -> torch.Tensor:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for i in range(400):
        optimizer.zero_grad()
        (model(x + i) - i).square().sum().backward()
        optimizer.step()
    return model(x)


# Passes that look at everything before for each operation would take minutes.
@pytest.mark.parametrize("function", [scan, counters, epochs])
def test_long_programs(function: object) -> None:
    assert callable(function)
    x = torch.linspace(-1, 1, 8)
    compiled = torch.compile(function)
    for _ in range(3):
        assert torch.equal(compiled(x), function(x))


def test_a_loop_that_nobody_reads_runs_by_and_by() -> None:
    @torch.compile
    def kept(batches: int) -> torch.Tensor:
        total = torch.zeros(())
        for i in range(batches):
            total = total + ready[i].sum()
            ready[i] = total  # the recording alone holds the batch, of 1 MiB
        return total

    def made(count: int) -> list[torch.Tensor]:
        return [torch.full((1 << 18,), float(i)) for i in range(count)]

    ready = made(8)
    before = runs()
    assert kept(8).item() == sum(range(8)) * (1 << 18)
    assert runs() - before == 1
    ready = made(1100)
    before = runs()
    assert kept(1100).item() == sum(range(1100)) * (1 << 18)
    assert runs() - before > 1


def test_a_recording_ends_where_it_is_long() -> None:
    @torch.compile
    def count(x: torch.Tensor) -> torch.Tensor:
        for _ in range(20_000):
            x = x + 1
        return x

    before = runs()
    assert count(torch.zeros(2)).tolist() == [20_000, 20_000]
    assert runs() - before > 1
