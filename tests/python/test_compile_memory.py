"""What compiled programs keep is bounded, however sizes and programs change."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flambeau as torch
import flambeau.nn.functional as F
import pytest
from flambeau._compile import recorded

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


def held(function: Callable[..., Any], *arguments: Any, **options: float) -> int:
    """Most bytes that the programs of a call hold at once, of memory that they make; the call gives
    eager's bits."""
    torch.manual_seed(0)
    eager = function(*arguments)
    torch.manual_seed(0)
    function = torch.compile(function, options=options)
    compiled = function(*arguments)
    for one, other in zip(eager, compiled, strict=True):
        assert torch.equal(one, other)
    while True:  # until each region has all its kernels
        programs = torch.compiler.explain(function)(*arguments).programs
        regions = [region for program in programs for region in program["regions"]]
        if all(region["merged"] or len(region["ops"]) == 1 for region in regions):
            return max(region["live_bytes"] for region in regions)


def test_cheap_values_are_not_kept_over_the_peak() -> None:
    """Of a gated block with frozen weights, mul saves silu's result, which is made of what silu saves."""
    rows, width, inner, layers = 256, 256, 1024, 6
    torch.manual_seed(1)
    weights = [
        (
            torch.randn(inner, width) / 16,
            torch.randn(inner, width) / 16,
            torch.randn(width, inner) / 99,
        )
        for _ in range(layers)
    ]

    def step(x: Any) -> list[Any]:
        leaf = x.detach().clone().requires_grad_()
        h = leaf
        for gate, up, down in weights:
            h = h + F.linear(F.silu(F.linear(h, gate)) * F.linear(h, up), down)
        h.square().sum().backward()
        return [leaf.grad]

    unit = rows * inner * 4
    assert held(step, torch.randn(1, rows, width)) < (2 * layers + 4) * unit


def test_values_of_which_the_sources_change_are_kept() -> None:
    rows, layers = 1024, 4
    torch.manual_seed(1)

    def step(x: Any) -> list[Any]:
        leaf = x.detach().clone().requires_grad_()
        h, sources = leaf, []
        for _ in range(layers):
            source = h * 3
            sources.append(source)
            h = torch.exp(-source.detach().sigmoid() * h)
        with torch.no_grad():
            for source in sources:
                source.data.fill_(7)
        h.sum().backward()
        return [leaf.grad, *sources]

    held(step, torch.randn(rows, 256))


def test_statistics_are_kept_where_the_norm_is_computed_again() -> None:
    """The gradients of the adapters read what the norm gives, that of its input its statistics."""
    rows, width, rank, layers = 1024, 128, 8, 4
    torch.manual_seed(1)

    def drawn(*sizes: int) -> Any:
        return torch.randn(*sizes) / 16

    frozen = [(drawn(width, width), drawn(4 * width, width), drawn(width, 4 * width))] * layers
    downs = [drawn(rank, width) for _ in range(layers)]
    ups = [drawn(width, rank) for _ in range(layers)]

    def step(x: Any) -> list[Any]:
        leaf = x.detach().clone().requires_grad_()
        leaves = [w.detach().clone().requires_grad_() for w in (*downs, *ups)]
        h = leaf
        for i, (weight, inner, outer) in enumerate(frozen):
            added = F.linear(F.linear(h, leaves[i]), leaves[layers + i])
            h = F.layer_norm(h + F.linear(h, weight) + added, (width,))
            h = F.layer_norm(h + F.linear(F.gelu(F.linear(h, inner)), outer), (width,))
        h.square().sum().backward()
        return [leaf.grad, *(w.grad for w in leaves)]

    x = torch.randn(4, rows // 4, width)
    bytes_held = [held(step, x, activation_memory_budget=b) for b in (1, 0.7, 0)]
    assert bytes_held[0] > bytes_held[1] > 0.7 * bytes_held[2]


def norms(layers: int, width: int) -> Callable[..., Any]:
    torch.manual_seed(1)
    weights = [torch.randn(width, width) / 16 for _ in range(layers)]

    def step(x: Any) -> list[Any]:
        leaves = [w.detach().clone().requires_grad_() for w in weights]
        h = x
        for leaf in leaves:
            h = F.layer_norm(h + F.dropout(F.gelu(F.linear(h, leaf)), 0.1), (width,))
        h.square().sum().backward()
        return [leaf.grad for leaf in leaves]

    return step


def test_a_budget_is_kept_by_computing_again() -> None:
    """Of each layer, the sum that is normalised can stand for what the norm gives."""
    step, x = norms(6, 256), torch.randn(512, 256)
    cheap, some, least = (held(step, x, activation_memory_budget=b) for b in (1, 0.8, 0))
    assert cheap > some > least
    assert least < 0.85 * cheap


def test_small_values_count_where_there_is_a_budget() -> None:
    step, x = norms(6, 16), torch.randn(8, 16)
    kept, least = held(step, x), held(step, x, activation_memory_budget=0)
    assert least < kept
    with torch._functorch.config.patch(activation_memory_budget=0.0):
        assert held(step, x) == least
        assert held(step, x, activation_memory_budget=1) == kept


def test_what_changes_in_place_what_it_reads_is_not_computed_again() -> None:
    """As long as kernels are missing it would change it twice."""

    def step(x: Any) -> list[Any]:
        y = x.clone()
        float(y.sum())  # y is in memory
        with torch.no_grad():
            y.mul_(0.5)
        h = y + 0.5
        leaves = [w.detach().clone().requires_grad_() for w in weights]
        for leaf in leaves:
            h = F.silu(F.linear(h, leaf)) + h
        h.square().sum().backward()
        return [leaf.grad for leaf in leaves]

    torch.manual_seed(1)
    weights, x = [torch.randn(16, 16) / 4 for _ in range(3)], torch.randn(16, 16)
    compiled = recorded(step, memory_budget=0, one_by_one=True)
    for expected, computed in zip(step(x), compiled(x)):
        assert torch.equal(expected, computed)


@pytest.mark.parametrize("budget", [-0.1, 1.5, float("nan")])
def test_a_budget_is_a_part(budget: float) -> None:
    with pytest.raises(ValueError, match=r"activation_memory_budget must be in \[0, 1\]"):
        torch.compile(lambda: None, options={"activation_memory_budget": budget})


def test_random_numbers_that_are_drawn_again_are_the_same() -> None:
    rows, width, layers = 512, 512, 6
    torch.manual_seed(1)
    weights = [torch.randn(width, width) / width for _ in range(layers)]

    def step(x: Any) -> list[Any]:
        leaves = [w.detach().clone().requires_grad_() for w in weights]
        h = x
        for leaf in leaves:
            h = h + F.dropout(F.gelu(F.linear(h, leaf)), 0.3)
        h.square().sum().backward()
        return [h.detach(), *(leaf.grad for leaf in leaves)]

    assert held(step, torch.randn(rows, width)) > 0


def test_a_gradient_takes_the_place_of_the_scores_that_it_is_of() -> None:
    rows, width, classes = 128, 32, 8192
    weight = torch.randn(classes, width)
    target = torch.randint(0, classes, (rows,))

    def step(x: Any) -> list[Any]:
        leaf = x.detach().clone().requires_grad_()
        F.cross_entropy(F.linear(leaf, weight), target).backward()
        return [leaf.grad]

    assert held(step, torch.randn(rows, width)) < 1.1 * rows * classes * 4


def test_scores_that_somebody_holds_stay() -> None:
    weight = torch.randn(512, 32)
    target = torch.randint(0, 512, (64,))

    def step(x: Any) -> list[Any]:
        leaf = x.detach().clone().requires_grad_()
        scores = F.linear(leaf, weight)
        F.cross_entropy(scores, target).backward()
        return [leaf.grad, scores.detach()]

    assert held(step, torch.randn(64, 32)) >= 2 * 64 * 512 * 4


def written_out(query: Any, key: Any, value: Any) -> Any:
    weights = F.softmax(query @ key.transpose(-2, -1) * 0.125, dim=-1)
    return F.dropout(weights, 0.1) @ value


@pytest.mark.parametrize("attend", [F.scaled_dot_product_attention, written_out])
def test_training_of_attention_holds_no_scores(attend: Callable[..., Any]) -> None:
    heads, rows, width, layers = 4, 512, 16, 3
    torch.manual_seed(1)
    weights = [torch.randn(heads * width, heads * width) / 8 for _ in range(3 * layers)]

    def step(x: Any) -> list[Any]:
        leaves = [w.detach().clone().requires_grad_() for w in weights]
        h = x
        for layer in range(layers):
            parts = (
                F.linear(h, leaves[3 * layer + i]).view(1, rows, heads, width).transpose(1, 2)
                for i in range(3)
            )
            h = h + attend(*parts).transpose(1, 2).reshape(1, rows, heads * width)
        h.square().sum().backward()
        return [leaf.grad for leaf in leaves]

    scores = heads * rows * rows * 4
    assert held(step, torch.randn(1, rows, heads * width)) < scores


def test_a_name_that_is_missing_keeps_no_frame() -> None:
    class Mark:
        pass

    def ask() -> weakref.ref[Mark]:
        mark = Mark()
        assert not hasattr(torch, "nosuch")
        return weakref.ref(mark)

    gc.disable()
    try:
        assert ask()() is None
    finally:
        gc.enable()


def test_what_is_pending_holds_no_more_than_its_bound() -> None:
    batches = [torch.ones(1 << 20) for _ in range(76)]  # 4 MB each
    ran = torch.compiler.stats()["runs"]
    total = torch.zeros(1 << 20)

    @torch.compile
    def add_all() -> int:
        nonlocal total
        while torch.compiler.stats()["runs"] == ran:
            total = total + batches.pop()
        return 76 - len(batches)

    assert 64 < add_all() <= 64 + 9  # 256 MB, and less than 32 MB and one more
    assert total[0] < 76
