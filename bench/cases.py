"""What is measured. A case sets itself up and returns a function that does one repetition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from models import gpt, mlp, training

Setup = Callable[[Any], Callable[[], Any]]


@dataclass(frozen=True)
class Case:
    """A measurement with the greatest ratio (ours / PyTorch) that it should have."""

    setup: Setup
    bar: float | None = None
    group: str = ""  # cases whose geometric mean has a bar of its own
    side: str = ""  # "flambeau": only ours is run


GROUP_BARS = {"4096 x 1024": 0.8, "cliffs": 0.9}
CASES: dict[str, Case] = {}


def _repeat(count: int, once: Callable[[], Any]) -> Callable[[], None]:
    def run() -> None:
        for _ in range(count):
            once()

    return run


def gpt_step(torch: Any, dtype: str = "float32", batch: int = 8, time: int = 256) -> Any:
    torch.manual_seed(0)
    model = gpt.build(torch).to(getattr(torch, dtype))
    return training.train_step(torch, gpt, model, *gpt.batch(torch, batch, time), clip=None)


def mlp_step(torch: Any) -> Callable[[], Any]:
    torch.manual_seed(0)
    model = mlp.build(torch)
    return _repeat(20, training.train_step(torch, mlp, model, *mlp.batch(torch), clip=None))


def _on(
    make: Callable[..., Callable[[], Any]], *shapes: tuple[int, ...], dtype: str = "float32"
) -> Setup:
    """make(torch, tensors of these shapes ...) gives what is repeated."""

    def setup(torch: Any) -> Callable[[], Any]:
        kind = getattr(torch, dtype)
        if kind.is_floating_point:
            tensors = [torch.randn(*shape).to(kind) for shape in shapes]
        else:
            tensors = [torch.randint(-99, 99, shape).to(kind) for shape in shapes]
        return make(torch, *tensors)

    return setup


def _matmul(m: int, n: int, k: int, dtype: str = "float32") -> Setup:
    count = max(1, 2**29 // (m * n * k + 2**16 * 64))
    return _on(lambda torch, a, b: _repeat(count, lambda: a @ b), (m, k), (k, n), dtype=dtype)


def _attention(backward: bool) -> Setup:
    def make(torch: Any, *qkv: Any) -> Callable[[], Any]:
        attention = torch.nn.functional.scaled_dot_product_attention
        if not backward:
            return lambda: attention(*qkv, is_causal=True)
        for t in qkv:
            t.requires_grad_()
        out = attention(*qkv, is_causal=True)
        gradient = torch.ones_like(out)
        return lambda: torch.autograd.grad(out, qkv, gradient, retain_graph=True)

    return _on(make, *[(4, 12, 512, 64)] * 3)


def _gather(torch: Any, table: Any) -> Callable[[], Any]:
    rows = torch.randint(0, table.shape[0], (10**6,))
    return lambda: table.index_select(0, rows)


def _recorded_add(torch: Any, a: Any, b: Any) -> Callable[[], None]:
    a.requires_grad_()
    return _repeat(5000, lambda: a + b)


def _add() -> None:
    x = (4096, 1024)
    small = {
        "add of 4 elements x 5000": _on(
            lambda torch, a, b: _repeat(5000, lambda: a + b), (4,), (4,)
        ),
        "add of 4 elements, recorded x 5000": _on(_recorded_add, (4,), (4,)),
        "view x 5000": _on(lambda torch, a: _repeat(5000, lambda: a.view(16)), (4, 4)),
        "slice x 5000": _on(lambda torch, a: _repeat(5000, lambda: a[1:3]), (4, 4)),
    }
    for name, setup in small.items():
        CASES[name] = Case(setup, 0.5)
    CASES["MLP train step x 20"] = Case(mlp_step, 0.25)
    for size in (512, 1024, 2048):
        name = f"matmul {size}" + (" x 8" if size == 512 else "")
        count = 8 if size == 512 else 1
        CASES[name] = Case(
            _on(lambda torch, a, b, c=count: _repeat(c, lambda: a @ b), (size, size), (size, size)),
            1.05,
        )
    matrix: dict[str, Callable[[Any, Any], Callable[[], Any]]] = {
        "gelu": lambda torch, a: lambda: torch.nn.functional.gelu(a),
        "softmax": lambda torch, a: lambda: a.softmax(-1),
        "layer_norm": lambda torch, a: lambda: torch.nn.functional.layer_norm(a, (1024,)),
        "add": lambda torch, a: lambda: a + a,
        "sum(0)": lambda torch, a: lambda: a.sum(0),
        "sum(1)": lambda torch, a: lambda: a.sum(1),
        "transposed copy": lambda torch, a: lambda: a.t().contiguous(),
    }
    for name, make in matrix.items():
        CASES[name + " 4096 x 1024"] = Case(_on(make, x), 1.1, "4096 x 1024")
    CASES["attention forward 4 x 12 x 512 x 64"] = Case(_attention(False), 0.9)
    CASES["attention backward 4 x 12 x 512 x 64"] = Case(_attention(True), 0.9)
    CASES["GPT train step"] = Case(gpt_step, 0.95)
    CASES["GPT train step, bfloat16"] = Case(
        lambda torch: gpt_step(torch, "bfloat16"), side="flambeau"
    )
    CASES["GPT train step of 1 token"] = Case(
        lambda torch: gpt_step(torch, batch=1, time=1), side="flambeau"
    )

    def plus(torch: Any, a: Any, b: Any) -> Callable[[], Any]:
        return lambda: a + b

    def gelu(torch: Any, a: Any) -> Callable[[], Any]:
        return lambda: torch.nn.functional.gelu(a)

    def last_sum(torch: Any, a: Any) -> Callable[[], Any]:
        return lambda: a.sum(-1)

    million = 10**6
    cliffs: dict[str, Setup] = {
        "(10^6, 3) + (3)": _on(plus, (million, 3), (3,)),
        "(3, 10^6) + (3, 1)": _on(plus, (3, million), (3, 1)),
        "(64, 3, 32, 32) + (3, 1, 1)": _on(
            lambda torch, a, b: _repeat(10, lambda: a + b), (64, 3, 32, 32), (3, 1, 1)
        ),
        "softmax of (10^5, 10)": _on(lambda torch, a: lambda: a.softmax(-1), (10**5, 10)),
        "sum of (10^6, 2)": _on(last_sum, (million, 2)),
        "sum of (500000, 4)": _on(last_sum, (million // 2, 4)),
        "sum of (200000, 16)": _on(last_sum, (million // 5, 16)),
        "layer_norm of (10^5, 32)": _on(
            lambda torch, a: lambda: torch.nn.functional.layer_norm(a, (32,)), (10**5, 32)
        ),
        "x.t() + y 2048": _on(lambda torch, a, b: lambda: a.t() + b, (2048, 2048), (2048, 2048)),
        "gather of rows of 3": _on(_gather, (10**5, 3)),
        "batched matmul 8 x 8 x 4096": _on(
            lambda torch, a, b: _repeat(4, lambda: a @ b), (4096, 8, 8), (4096, 8, 8)
        ),
        "matmul 1 x 1024 x 1024": _matmul(1, 1024, 1024),
        "matmul 4 x 1024 x 1024": _matmul(4, 1024, 1024),
        "matmul 16 x 1024 x 1024": _matmul(16, 1024, 1024),
        "matmul 1024 x 1024 x 1": _matmul(1024, 1024, 1),
        "matmul 1024 x 1024 x 16": _matmul(1024, 1024, 16),
        "matmul 4096 x 3 x 1024": _matmul(4096, 3, 1024),
        "float64 add": _on(plus, (2048, 1024), (2048, 1024), dtype="float64"),
        "float64 matmul 512": _matmul(512, 512, 512, "float64"),
        "float64 gelu": _on(gelu, (1024, 1024), dtype="float64"),
        "bfloat16 add": _on(plus, x, x, dtype="bfloat16"),
        "bfloat16 gelu": _on(gelu, (1024, 1024), dtype="bfloat16"),
        "bfloat16 softmax": _on(lambda torch, a: lambda: a.softmax(-1), x, dtype="bfloat16"),
        "bfloat16 matmul 512": _matmul(512, 512, 512, "bfloat16"),
        "int64 add": _on(plus, (2048, 1024), (2048, 1024), dtype="int64"),
        "int64 sum": _on(last_sum, (2048, 1024), dtype="int64"),
    }
    for name, setup in cliffs.items():
        CASES[name] = Case(setup, 1.25, "cliffs")
    # What the memory gives: 1 GB is read once.
    CASES["read 1 GB: sum"] = Case(_on(lambda torch, a: lambda: a.sum(), (2**28,)))
    CASES["read 1 GB: matrix @ vector"] = Case(
        _on(lambda torch, a, b: lambda: a @ b, (2**14, 2**14), (2**14,))
    )


_add()
