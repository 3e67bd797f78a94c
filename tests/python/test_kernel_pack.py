"""The kernels that ship with the package: a first run that compiles nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import flambeau
import pytest

PACK = Path(flambeau.__file__).parent / "kernels.pack"

PROGRAM = """
import flambeau as torch
from flambeau import nn
from flambeau.nn import functional as F

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(20, 30), nn.GELU(), nn.LayerNorm(30), nn.Linear(30, 10))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
x, y = torch.randn(16, 20), torch.randint(0, 10, (16,))
for _ in range(2):
    loss = F.cross_entropy(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
q = torch.randn(2, 3, 40, 8)
attended = F.scaled_dot_product_attention(q, q, q, is_causal=True)
print(loss.item(), attended.sum().item(), (q + q).softmax(-1).sum().item())
print("libflambeau_codegen" in open("/proc/self/maps").read())
"""


def run(folder: Path, pack: str) -> list[str]:
    environment = os.environ | {"FLAMBEAU_CACHE_DIR": str(folder), "FLAMBEAU_KERNEL_PACK": pack}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The program with kernels that it compiles itself."""
    return run(tmp_path_factory.mktemp("cache"), "none")


def test_a_common_program_compiles_nothing(tmp_path: Path, compiled: list[str]) -> None:
    numbers, opened_compiler = run(tmp_path / "cache", "")
    assert opened_compiler == "False"
    assert compiled == [numbers, "True"]


def test_a_damaged_pack_is_as_good_as_none(tmp_path: Path, compiled: list[str]) -> None:
    damaged = bytearray(PACK.read_bytes())
    for at in range(64, len(damaged), 1000):
        damaged[at] ^= 0xFF
    (tmp_path / "damaged").write_bytes(damaged)
    (tmp_path / "short").write_bytes(PACK.read_bytes()[:5000])
    for name in ("damaged", "short"):
        assert run(tmp_path / f"cache of {name}", str(tmp_path / name)) == compiled
