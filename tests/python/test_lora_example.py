"""The example that fine-tunes MiniLM by LoRA with Transformers' Trainer, on few functions."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flambeau", str(ROOT / "examples" / "lora.py"), "--out", str(out),
         "--limit", "160", "--batch", "16", "--rate", "1e-3", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip


def losses(out: Path) -> list[dict[str, float]]:
    """What the last checkpoint's state says of the steps."""
    last = max(out.glob("checkpoint-*"), key=lambda folder: int(folder.name.split("-")[1]))
    state = json.loads((last / "trainer_state.json").read_text())
    return [
        {key: row[key] for key in ("step", "loss", "eval_loss", "grad_norm") if key in row}
        for row in state["log_history"]
    ]


@pytest.mark.slow
def test_it_learns_resumes_and_compiles(tmp_path: Path) -> None:
    eager = run(tmp_path / "eager")
    assert eager.returncode == 0, eager.stdout + eager.stderr[-3000:]
    assert "trainable params: 73,728" in eager.stdout
    assert "adapters loaded again give the same: True" in eager.stdout
    found = re.search(r"right function: ([\d.]+) before, ([\d.]+) after", eager.stdout)
    assert found is not None
    assert float(found[1]) < float(found[2])
    assert (tmp_path / "eager" / "adapter" / "adapter_model.safetensors").exists()
    assert (tmp_path / "eager" / "merged" / "model.safetensors").exists()
    assert len(losses(tmp_path / "eager")) >= 2

    # Compiled, and interrupted after the first of two epochs: the same losses.
    last = max((tmp_path / "eager").glob("checkpoint-*"), key=lambda p: int(p.name.split("-")[1]))
    compiled = run(tmp_path / "compiled", "--compile")
    assert compiled.returncode == 0, compiled.stdout + compiled.stderr[-3000:]
    assert losses(tmp_path / "compiled") == losses(tmp_path / "eager")
    for file in (tmp_path / "compiled" / last.name).iterdir():
        file.unlink()
    (tmp_path / "compiled" / last.name).rmdir()
    resumed = run(tmp_path / "compiled", "--resume")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr[-3000:]
    assert losses(tmp_path / "compiled") == losses(tmp_path / "eager")
