"""save_cache and load_cache: another process makes no programs and compiles no kernels, and files
that are not what they should be are refused."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import flambeau as torch
import pytest

SCRIPT = """
import sys, flambeau as torch
from flambeau import nn
torch.manual_seed(0)
net = nn.Sequential(nn.Linear(7, 9), nn.GELU(), nn.LayerNorm(9), nn.Dropout(0.2), nn.Linear(9, 3))
model = torch.compile(net)
optimizer = torch.optim.AdamW(net.parameters(), fused=True)
if sys.argv[1] == "load":
    print(torch.compiler.load_cache(sys.argv[2], sys.argv[3]))
for step in range(4):
    for _ in range(1 if sys.argv[1] == "load" else 12):  # until all kernels are compiled
        before = torch.compiler.stats()
        if sys.argv[1] == "save" and step == 3:
            torch._C._compile_wait()
        rows = 4 + step
        loss = nn.functional.cross_entropy(model(torch.ones(rows, 7)), torch.arange(rows) % 3)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        value = loss.item()
torch.compiler.flush()
stats = torch.compiler.stats()
print(value > 0, stats["programs_made"], stats["regions_one_by_one"], stats["regions_merged"] > 0)
if sys.argv[1] == "save":
    print(torch.compiler.save_cache(sys.argv[2]))
"""


def run(folder: Path, *arguments: str) -> list[str]:
    """In a process whose kernel cache is empty."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        env=os.environ | {"FLAMBEAU_CACHE_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("saved")
    *_, digest = run(folder / "first", "save", str(folder / "cache"))
    return folder / "cache", digest


def test_another_process_makes_and_compiles_nothing(
    saved: tuple[Path, str], tmp_path: Path
) -> None:
    path, digest = saved
    assert hashlib.sha256(path.read_bytes()).hexdigest() == digest
    loaded, what = run(tmp_path, "load", str(path), digest)
    made, one_by_one = map(int, what.split()[1:3])
    assert (made, one_by_one) == (0, 0)
    assert what.endswith("True")
    assert "'programs': 0" not in loaded
    # Without the file both cost something.
    empty = tmp_path / "empty"
    other = run(tmp_path / "other", "save", str(empty))
    assert int(other[0].split()[1]) > 0


def test_files_that_are_refused(saved: tuple[Path, str], tmp_path: Path) -> None:
    path, digest = saved
    whole = path.read_bytes()
    file = tmp_path / "file"

    def refused(data: bytes, match: str) -> None:
        file.write_bytes(data)
        with pytest.raises(ValueError, match=match):
            torch.compiler.load_cache(file, hashlib.sha256(data).hexdigest())

    with pytest.raises(ValueError, match="SHA-256 of .* is [0-9a-f]{64}, expected 00"):
        torch.compiler.load_cache(path, "00")
    with pytest.raises(FileNotFoundError):
        torch.compiler.load_cache(tmp_path / "missing", digest)
    refused(b"", "none that save_cache wrote")
    refused(os.urandom(1000), "none that save_cache wrote|damaged")
    version = torch.__version__.encode()
    refused(whole.replace(version, b"9" * len(version), 1), "saved by version 9")
    at = whole.index(version) + len(version)
    refused(whole[:at] + bytes(16) + whole[at + 16 :], "another build of this version")
    isa = b"avx2" if b"avx2" in whole[:200] else b"avx512"
    refused(
        whole.replace(isa, b"z" * len(isa), 1), r"holds kernels for zz\S+, and this process runs"
    )
    for size in (len(whole) - 1, len(whole) // 2, at + 30, 40):
        refused(whole[:size], "load_cache: the file is damaged")
    refused(whole + b"more", "damaged")
    refused(
        whole.replace(b" = mul ", b" = nul ", 1),
        "load_cache: the file is damaged: program text: line",
    )
    file.write_bytes(whole.replace(b" = mul ", b" = \xff\xffl ", 1))
    with pytest.raises(ValueError, match="load_cache: the file is damaged: ") as error:
        torch.compiler.load_cache(file, hashlib.sha256(file.read_bytes()).hexdigest())
    assert error.value.__cause__ is not None


def test_hostile_bytes_with_the_right_hash_are_read_within_bounds(
    saved: tuple[Path, str], tmp_path: Path
) -> None:
    """Numbers of the table of programs turned into large and negative ones."""
    whole = bytearray(saved[0].read_bytes())
    rng = random.Random(0)
    file = tmp_path / "file"
    start = whole.index(torch.__version__.encode())
    accepted = 0
    for _ in range(300):
        data = bytearray(whole)
        at = rng.randrange(start, len(data) - 8)
        data[at : at + 8] = rng.choice((b"\xff" * 8, bytes(8), b"\x7f" * 8, os.urandom(8)))
        file.write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        with contextlib.suppress(ValueError):
            torch.compiler.load_cache(file, digest)
            accepted += 1  # a bit of a program's text or of a key
    torch.compiler.reset()
    assert accepted < 300


def test_what_is_saved_is_loaded_in_place(tmp_path: Path) -> None:
    def program(x: Any) -> Any:
        return (x * 2 + 1).softmax(-1)

    wanted = program(torch.ones(3, 5))
    for _ in range(3):
        torch.compile(program)(torch.ones(3, 5)).tolist()
        torch._C._compile_wait()
    digest = torch.compiler.save_cache(tmp_path / "cache")
    torch.compiler.reset()
    assert torch.compiler.load_cache(str(tmp_path / "cache"), digest.upper())["programs"] > 0
    before = torch.compiler.stats()["programs_made"]
    got = torch.compile(program)(torch.ones(3, 5)).tolist()
    assert got == wanted.tolist()
    assert torch.compiler.stats()["programs_made"] == before
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_how_file_and_hash_are_named(saved: tuple[Path, str]) -> None:
    path, digest = saved
    load = torch.compiler.load_cache
    assert load(os.fsencode(path), f" {digest}\n") == load(path, digest)
    for wrong in (None, digest.encode(), 3):
        with pytest.raises(TypeError, match="hash must be the SHA-256 .*, a str, got "):
            load(path, wrong)
    for function in (lambda: load(None, digest), lambda: torch.compiler.save_cache(3)):
        with pytest.raises(TypeError, match="expected str, bytes or os.PathLike"):
            function()


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    target = tmp_path / "folder" / "cache"
    link = tmp_path / "link"
    link.symlink_to(target)
    for _ in range(2):
        digest = torch.compiler.save_cache(os.fsencode(link))
        assert link.is_symlink()
        assert hashlib.sha256(target.read_bytes()).hexdigest() == digest
        assert [path.name for path in target.parent.iterdir()] == ["cache"]
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "other").symlink_to(tmp_path / "pipe")
    for name in ("folder", "pipe", "other"):
        with pytest.raises(
            ValueError, match=r"save_cache: .*/(folder|pipe) is there and is no file"
        ):
            torch.compiler.save_cache(tmp_path / name)
    assert (tmp_path / "pipe").is_fifo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "link", "other", "pipe"]


def test_artifacts(saved: tuple[Path, str]) -> None:
    path, digest = saved
    loaded = torch.compiler.load_cache_artifacts(path.read_bytes())
    assert loaded is not None
    assert loaded.hash == digest
    data, info = torch.compiler.save_cache_artifacts()
    assert info.hash == hashlib.sha256(data).hexdigest()
    assert torch.compiler.load_cache_artifacts(data) == info
    for damaged in (b"", data[:-1]):
        with pytest.warns(
            UserWarning, match="load_cache_artifacts: nothing is loaded: load_cache:"
        ):
            assert torch.compiler.load_cache_artifacts(damaged) is None
    with pytest.raises(TypeError, match="load_cache_artifacts: expected bytes, got str"):
        torch.compiler.load_cache_artifacts("x")
