"""What goes wrong around the library: no memory, forks, threads, a kernel cache that cannot be used.
The results are right or the error is clear, and the process goes on."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import flambeau as torch
import pytest
from flambeau import nn

HUGE = 1 << 40


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("empty", lambda: torch.empty(HUGE)),
        ("zeros", lambda: torch.zeros(HUGE, dtype=torch.int64)),
        ("arange", lambda: torch.arange(HUGE)),
        ("add", lambda: torch.ones(1).expand(HUGE) + torch.ones(1)),
        ("repeat", lambda: torch.ones(3).repeat(HUGE)),
        ("matmul", lambda: torch.ones(1 << 21, 1) @ torch.ones(1, 1 << 21)),
        ("clone", lambda: torch.ones(1).expand(HUGE).clone(memory_format=torch.contiguous_format)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_memory_that_there_is_not(name, call) -> None:
    with pytest.raises(RuntimeError) as error:
        call()
    message = str(error.value)
    assert message.startswith(f"{name}: the system gave no CPU memory for")
    assert "TiB" in message
    assert (torch.ones(3) + 1).tolist() == [2, 2, 2]


def test_a_fork_goes_on_while_the_pool_is_busy() -> None:
    code = """
import os, threading, flambeau as torch
x = torch.randn(300, 300)
y = x @ x
stop = []
def work():
    while not stop: torch.ones(1 << 19).mul_(2).sum()
threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads: thread.start()
for _ in range(10):
    child = os.fork()
    if child == 0:
        same = bool((x @ x == y).all())
        z = torch.ones(1 << 19, requires_grad=True)
        (z * 2).sum().backward()
        os._exit(0 if same and z.grad[5].item() == 2 else 1)
    assert os.waitpid(child, 0)[1] == 0
stop.append(1)
for thread in threads: thread.join()
assert bool((x @ x == y).all())
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=120)


def test_a_fork_goes_on_while_threads_compile_and_draw(tmp_path: Path) -> None:
    code = """
import os, threading, flambeau as torch
stop = []
def compile():
    # Kernels that no cache has, one after the other, the main thread's among them.
    x = torch.ones(64)
    for k in range(400):
        if stop: break
        (x * 2).sum().exp().add(k)
        torch.stack([x] * (k + 2)).cumsum(0).amax(1)
        torch.einsum("i,i->", x[: k % 64 + 1], x[: k % 64 + 1])
def draw():
    while not stop: torch.randn(1 << 16)
threads = [threading.Thread(target=target) for target in (compile, compile, draw)]
for thread in threads: thread.start()
for _ in range(8):
    child = os.fork()
    if child == 0:
        z = torch.ones(64, requires_grad=True)
        (z * 2).sum().exp().add(1).backward()
        assert torch.randn(4).isfinite().all() and torch.ones(8, 8).mm(torch.ones(8, 8))[1, 1] == 8
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
stop.append(1)
for thread in threads: thread.join()
"""
    environment = {"FLAMBEAU_CACHE_DIR": str(tmp_path), "FLAMBEAU_KERNEL_PACK": "none"}
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        check=True,
        timeout=120,
        env=os.environ | environment,
    )


def losses_of_training(seed: int) -> list[float]:
    """Draws from a generator of its own: the default one is every thread's."""
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Linear(16, 64), nn.GELU(), nn.LayerNorm(64), nn.Linear(64, 4))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        x = torch.randn(32, 16, generator=generator)
        loss = nn.functional.cross_entropy(model(x), (x.sum(1) > 0).long())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_threads_train_models_of_their_own() -> None:
    alone = [losses_of_training(seed) for seed in range(3)]
    assert sum(alone[0][-5:]) < sum(alone[0][:5])
    together: dict[int, list[float]] = {}
    threads = [
        threading.Thread(target=lambda s=seed: together.update({s: losses_of_training(s)}))
        for seed in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[seed] for seed in range(3)] == alone


KERNELS = """
import hashlib, flambeau as torch
torch.manual_seed(3)
x = torch.randn(40, 50, requires_grad=True)
y = (torch.softmax(x @ x.t(), -1) + torch.sin(x).sum(1)).cumsum(0).sum()
y.backward()
print(hashlib.sha256(x.grad.numpy().tobytes()).hexdigest())
"""


def start(cache: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", KERNELS],
        env=os.environ | {"FLAMBEAU_CACHE_DIR": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def result_with(cache: Path) -> tuple[str, str]:
    """What is computed and what is said with this folder as the cache."""
    with start(cache) as process:
        output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return output, errors


def test_eight_processes_begin_one_cache(tmp_path: Path) -> None:
    processes = [start(tmp_path / "shared") for _ in range(8)]
    outputs = [process.communicate(timeout=240) for process in processes]
    assert [process.returncode for process in processes] == [0] * 8
    assert {errors for _, errors in outputs} == {""}
    assert {output for output, _ in outputs} == {result_with(tmp_path / "shared")[0]}


def test_a_cache_that_cannot_be_used(tmp_path: Path) -> None:
    expected, said = result_with(tmp_path / "good")
    assert said == ""
    (tmp_path / "file").write_text("no folder")
    output, said = result_with(tmp_path / "file")
    assert output == expected
    assert "cannot open the folder" in said
    assert len(said.splitlines()) == 1
    # Damaged in the middle and at the end, and begun anew where nothing of it is left.
    log = max((tmp_path / "good").iterdir(), key=lambda path: path.stat().st_size)
    whole = log.read_bytes()
    half = len(whole) // 2
    for damaged in [
        whole[:half] + bytes(200) + whole[half + 200 :],
        whole[: half + 17],
        b"\xff" * len(whole),
        b"",
    ]:
        log.write_bytes(damaged)
        output, said = result_with(tmp_path / "good")
        assert output == expected
        assert len(said.splitlines()) <= 1
    assert result_with(tmp_path / "good") == (expected, "")
