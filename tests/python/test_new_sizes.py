"""Operations whose programs are for one shape: their kernels serve other sizes, too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import os, pathlib, sys
import flambeau as torch
F = torch.nn.functional
images, sound = torch.randn(2, 3, 64, 64), torch.randn(2, 3, 512)
square, line = torch.randn(4, 3, 3, 3), torch.randn(4, 3, 3)
calls = {
    "pad": lambda x, size: F.pad(x, (0, 96 - size, 1, 96 - size)),
    "conv2d": lambda x, size: F.conv2d(x, square, padding=1),
    "strided conv2d": lambda x, size: F.conv2d(x, square, padding=1, stride=2),
    "conv1d": lambda x, size: F.conv1d(sound[:, :, : 3 * size], line, padding=1),
    "nearest": lambda x, size: F.interpolate(x, size=(40, 40)),
    "nearest by a factor": lambda x, size: F.interpolate(x, scale_factor=1.5),
    "bilinear": lambda x, size: F.interpolate(x, size=(40, 40), mode="bilinear"),
    "aligned": lambda x, size: F.interpolate(x, size=(40, 40), mode="bilinear", align_corners=True),
    "bicubic": lambda x, size: F.interpolate(x, size=(40, 40), mode="bicubic"),
    "antialias": lambda x, size: F.interpolate(
        x, size=(24, 24), mode="bilinear", antialias=True
    ),
}

def kernels():
    torch._C._compile_wait()
    folder = pathlib.Path(os.environ["FLAMBEAU_CACHE_DIR"])
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())

call = calls[sys.argv[1]]
def run(sizes):
    for size in sizes:
        call(images[:, :, :size, :size], size)  # no copies: windows of the images
run((33, 34, 40, 41, 60, 61))
before = kernels()
run(range(35, 64))
print(kernels() - before)
"""


@pytest.mark.parametrize(
    "operation",
    [
        "pad",
        "conv2d",
        "strided conv2d",
        "conv1d",
        "nearest",
        "nearest by a factor",
        "bilinear",
        "aligned",
        "bicubic",
        "antialias",
    ],
)
def test_new_sizes_need_no_kernels(tmp_path: Path, operation: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, operation],
        env={**os.environ, "FLAMBEAU_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "0\n", done.stdout + done.stderr
