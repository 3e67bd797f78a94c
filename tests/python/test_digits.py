"""The example that classifies handwritten digits."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_reaches_97_percent_on_images_that_it_never_saw() -> None:
    run = subprocess.run(
        [sys.executable, ROOT / "examples" / "digits.py"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    accuracy = re.search(r"test accuracy ([\d.]+)% of 359 images", run.stdout)
    assert accuracy is not None
    assert float(accuracy[1]) >= 97
