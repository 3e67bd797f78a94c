"""Sentence-Transformers with MiniLM's real weights gives PyTorch 2.7.1's embeddings and ranking."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def test_embeddings_and_ranking() -> None:
    golden = json.loads((FOLDER / "sentences.json").read_text())
    done = subprocess.run(
        [sys.executable, "-m", "flambeau", str(FOLDER / "sentences.py")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ours = json.loads(done.stdout)
    assert ours["as numpy"] == "ndarray"
    # A sentence alone is what it is in a batch, to the bit.
    assert ours["alone"]
    assert len(golden["queries"]) == len(ours["queries"]) == 6
    for wanted, got in zip(golden["queries"], ours["queries"], strict=True):
        assert all(math.isclose(a, b, abs_tol=1e-5) for a, b in zip(wanted, got, strict=True))
    assert ours["documents"] == golden["documents"]
    assert ours["found"] == golden["found"]
    for wanted, got in zip(golden["scores"], ours["scores"], strict=True):
        assert all(math.isclose(a, b, abs_tol=1e-5) for a, b in zip(wanted, got, strict=True))
