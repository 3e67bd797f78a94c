"""What holds for all tests, and for what they start."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

# Tests say what becomes of the first recording of a few small tensors, which is not planned for the
# sake of one run otherwise.
os.environ.setdefault("FLAMBEAU_PLAN", "once")

# Whoever runs the tests may ignore SIGINT, as shells do for what is in the background, and children
# inherit that; but not that it is handled.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def kernels_of(tmp_path: pathlib.Path) -> Callable[[str], pathlib.Path]:
    """Runs a script; the folder of all kernels that it uses, as they are written out."""

    def run(script: str) -> pathlib.Path:
        environment = {
            **os.environ,
            "FLAMBEAU_DUMP": str(tmp_path / "dump"),
            "FLAMBEAU_CACHE_DIR": str(tmp_path / "cache"),
            "FLAMBEAU_KERNEL_PACK": "none",  # what is found there is not written out
        }
        subprocess.run([sys.executable, "-c", script], env=environment, check=True)
        return tmp_path / "dump"

    return run
