"""Results do not depend on the instruction set, the number of threads, or the rest of the batch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import flambeau as torch
import pytest
from flambeau import nn
from flambeau.nn import functional as F

# Prints a line "name digest" for each result. `ulp` moves one element of one input by one ulp.
PROGRAM = """
import hashlib, sys
import flambeau as torch
from flambeau import nn
from flambeau.nn import functional as F

ulp = sys.argv[1:] == ["ulp"]
torch.manual_seed(0)
x, y, w = torch.randn(67, 1031), torch.rand(67, 1031), torch.randn(1031, 45)
if ulp:
    x[3, 1000] = torch.nextafter(x[3, 1000], torch.tensor(9.0))

def show(name, *tensors):
    digest = hashlib.sha256()
    for t in tensors:
        digest.update(t.detach().double().numpy().tobytes())
    print(name, digest.hexdigest())

show("pointwise", x + y, x * y, x / y, x.exp(), x.tanh(), y.log(), x.sin(), F.gelu(x), F.silu(x),
     torch.erf(x), torch.pow(y, x), x.sigmoid(), torch.atan2(x, y), y.sqrt(), y.rsqrt())
show("reductions", x.sum(), x.sum(0), x.sum(1), x.mean(1), x.var(1), x.amax(0), x.prod(1),
     x.logsumexp(1), x.softmax(1), x.t().contiguous().sum(0), F.layer_norm(x, (1031,)))
show("products", x @ w, w.t() @ x.t(), x[:1] @ w, x @ w[:, 0])
q, k, v = (x[:, i : i + 960].reshape(1, 67, 15, 64).transpose(1, 2) for i in (0, 30, 71))
show("attention", F.scaled_dot_product_attention(q, k, v),
     F.scaled_dot_product_attention(q, k, v, is_causal=True))
h, v, bias = x.bfloat16(), w.bfloat16(), y[0, :45].bfloat16()
show("halves", h + y.bfloat16(), F.gelu(h), h.softmax(1), x.half() @ w.half(), x.half().softmax(1))
# The last one's terms are denormal.
pair = [t.clone().requires_grad_() for t in (h, v)]
(pair[0] @ pair[1]).backward(h[:, :45])
show("of_bfloat16", h @ v, h[:, :77] @ h.t()[:77], F.linear(h, v.t(), bias), h[:1] @ v,
     *(t.grad for t in pair), (x * 1e-19).bfloat16() @ (w * 1e-20).bfloat16())

model = nn.Sequential(nn.Linear(1031, 64), nn.GELU(), nn.LayerNorm(64), nn.Linear(64, 10))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
for _ in range(3):
    loss = F.cross_entropy(model(x), torch.arange(67) % 10)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
show("training", loss, *model.parameters())
"""


def digests(folder: Path, isa: str, threads: int, *arguments: str) -> dict[str, str]:
    environment = os.environ | {
        "FLAMBEAU_ISA": isa,
        "FLAMBEAU_NUM_THREADS": str(threads),
        "FLAMBEAU_CACHE_DIR": str(folder),
    }
    command = [sys.executable, "-c", PROGRAM, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return dict(line.split() for line in done.stdout.splitlines())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bits") / "cache"


@pytest.fixture(scope="module")
def best(folder: Path) -> dict[str, str]:
    return digests(folder, "", 2)


def test_one_thread_gives_the_bits_of_several(folder: Path, best: dict[str, str]) -> None:
    assert digests(folder, "", 1) == best
    assert digests(folder, "", 3) == best


def test_avx2_gives_the_bits_of_the_best_instruction_set(
    folder: Path, best: dict[str, str]
) -> None:
    # But for sums of of_bfloat16, which take pairs where the CPU has an instruction for it.
    cpu = Path("/proc/cpuinfo").read_text().split()
    avx2 = digests(folder, "avx2", 2)
    assert "avx512_bf16" not in cpu or avx2.pop("of_bfloat16") != best["of_bfloat16"]
    assert avx2.items() <= best.items()
    if "avx512_bf16" in cpu:
        avx512 = digests(folder, "avx512", 2)
        assert avx512["of_bfloat16"] == digests(folder, "avx2", 2)["of_bfloat16"]
        assert avx2.items() <= avx512.items()


def test_one_ulp_is_seen_in_every_digest(folder: Path, best: dict[str, str]) -> None:
    moved = digests(folder, "", 2, "ulp")
    assert moved.keys() == best.keys()
    halves = ("halves", "of_bfloat16")
    assert not [name for name in best if moved[name] == best[name] and name not in halves]


def rows_alone(f: Any, x: Any) -> None:
    """f of each row (or item of the first axis) alone is that row of f of all."""
    whole = f(x)
    for row in (0, 1, len(x) // 2, len(x) - 1):
        assert torch.equal(f(x[row : row + 1]), whole[row : row + 1]), row
    assert torch.equal(f(x[1:4]), whole[1:4])


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_a_row_does_not_depend_on_its_batch(dtype: str) -> None:
    torch.manual_seed(0)
    to = {"dtype": getattr(torch, dtype)}
    x = torch.randn(200, 300).to(**to)
    linear = nn.Linear(300, 70).to(**to)
    weight = torch.randn(300, 129).to(**to)
    rows_alone(linear, x)
    rows_alone(lambda rows: rows @ weight, x)
    rows_alone(lambda rows: rows @ weight[:, :1], x)
    rows_alone(lambda rows: rows.softmax(-1), x)
    rows_alone(lambda rows: F.layer_norm(rows, (300,)), x)
    rows_alone(lambda rows: F.gelu(linear(rows)).sum(-1), x)
    keys = torch.randn(300, 60).to(**to)
    rows_alone(lambda rows: F.scaled_dot_product_attention(rows[:, :60], keys, keys), x)
