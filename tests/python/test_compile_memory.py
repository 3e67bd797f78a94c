"""What compiled programs keep is bounded, however sizes and programs change."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import flambeau as torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

import memory  # noqa: E402


def test_memory_does_not_grow_with_changing_shapes() -> None:
    """bench/memory.py shows 10,000 steps."""
    sizes = list(memory.sizes_after(900, 100))
    resident = [size for _, size, _ in sizes]
    allocated = [size for _, _, size in sizes]
    made = torch.compiler.stats()["programs_made"]
    assert max(resident[6:]) - max(resident[2:6]) < 8 << 20, resident
    assert len(set(allocated)) == 1, "the tensors of a step go with it"
    assert list(memory.sizes_after(100, 100))
    assert torch.compiler.stats()["programs_made"] - made < 50


def test_programs_are_bounded_and_the_least_recently_used_goes() -> None:
    tensors = [torch.ones(3) for _ in range(10)]

    @torch.compile
    def step(number: int) -> list[Any]:
        return [x + 1 if number >> i & 1 else x * 2 for i, x in enumerate(tensors)]

    def programs_made_by(number: int) -> int:
        before = torch.compiler.stats()["programs_made"]
        kept = step(number)
        torch.compiler.flush()
        del kept
        return torch.compiler.stats()["programs_made"] - before

    torch.compiler.reset()
    for number in range(600):
        assert programs_made_by(number) == 1
        assert programs_made_by(0) == 0
    assert programs_made_by(599) == 0
    assert programs_made_by(1) == 1, "it was the least recently used"
    assert programs_made_by(0) == 0
    torch.compiler.reset()
    assert programs_made_by(0) == 1
