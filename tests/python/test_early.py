"""Regions that run while the step that they are of is still recorded: FLAMBEAU_EARLY."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import flambeau as torch
import numpy as np
import pytest

# Each way to drop layers comes for a while, and each fifth step takes another one.
STEPS = """
import hashlib, json, random
import flambeau as torch
from flambeau import nn
torch.manual_seed(0)
draw = random.Random(0)
layers = nn.ModuleList(nn.Linear(16, 16) for _ in range(3))
optimizer = torch.optim.AdamW(layers.parameters(), lr=1e-2, fused=True)
x, target = torch.randn(8, 16), torch.randn(8, 16)

@torch.compile
def forward(x, used):
    for i in used:
        x = torch.relu(layers[i](x)) + x
    return x

losses = []
for step in range(60):
    used = [0, 1, 2]
    if step > 20 and step % 5 == 0:
        used.remove(draw.choice(used))
    loss = nn.functional.mse_loss(forward(x, used), target)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(layers.parameters(), 1.0)
    optimizer.step()
    losses.append(loss.item())
    torch._C._compile_wait()
bits = b"".join(p.detach().numpy().tobytes() for p in layers.parameters())
print(json.dumps([losses, hashlib.sha256(bits).hexdigest(), torch._C._compile_stats()]))
"""


def run(**environment: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", STEPS],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_way_gives_the_same_bits() -> None:
    ways = "never", "here", "late", "worker"
    never, here, late, worker = (run(FLAMBEAU_EARLY=way) for way in ways)
    assert never[2]["regions_early"] == never[2]["tails"] == 0
    assert here[2]["regions_early"] > 100
    assert late[2]["tails"] > 5
    assert here[:2] == late[:2] == worker[:2] == never[:2]


def test_a_way_that_is_none_is_refused() -> None:
    with pytest.raises(AssertionError, match="FLAMBEAU_EARLY is 'nowhere', expected worker"):
        run(FLAMBEAU_EARLY="nowhere")


def test_a_program_that_computes_values_again_waits_for_its_end() -> None:
    w = torch.full((8, 8), 0.1, requires_grad=True)
    x = torch.ones(4, 8)

    def loss(x: Any) -> Any:
        for _ in range(3):
            x = (torch.exp(x @ w) * 0.5).sin() + 1
        return x.sum()

    compiled = torch.compile(loss, options={"activation_memory_budget": 0})
    seen = []
    for _ in range(6):
        w.grad = None
        value = compiled(x)
        value.backward()
        seen.append((value.item(), w.grad.sum().item()))
        torch._C._compile_wait()
    w.grad = None
    value = loss(x)
    value.backward()
    assert seen == [(value.item(), w.grad.sum().item())] * 6


def test_inputs_that_numpy_shares_repeat_a_recording() -> None:
    data = np.zeros((4, 8), dtype=np.float32)
    w = torch.ones(8, 8)
    step = torch.compile(lambda x: ((x @ w) * 2 + x).sum())
    before = torch._C._compile_stats()["recordings_repeated"]
    for i in range(8):
        data[:] = i
        total = step(torch.from_numpy(data))
        data[:] = -1  # what was passed is what counts
        assert total.item() == 4 * 8 * (16 * i + i)
        torch._C._compile_wait()
    assert torch._C._compile_stats()["recordings_repeated"] >= before + 6
