"""Measures what a fresh environment with Transformers and PEFT downloads and takes on disk: with Flambeau's
wheel (dist/, `make wheel`) and with PyTorch. Installs both, some GB; needs a network.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

from run import PYTHON, ROOT, Report

LIBRARIES = ["transformers", "peft"]


def size(folder: pathlib.Path) -> int:
    """Bytes of the files below; those of hard links once."""
    seen: dict[tuple[int, int], int] = {}
    for path, _, names in os.walk(folder):
        for name in names:
            status = os.lstat(os.path.join(path, name))
            seen[status.st_dev, status.st_ino] = status.st_size
    return sum(seen.values())


class Environment:
    """A fresh one."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.local: list[pathlib.Path] = []
        subprocess.run([PYTHON["flambeau"], "-m", "venv", folder / "venv"], check=True)
        self.bare = size(folder / "venv")

    def run(self, program: str, *arguments: str | pathlib.Path) -> str:
        done = subprocess.run(
            [self.folder / "venv" / "bin" / program, *arguments],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        return done.stdout

    def install(self, *wanted: str | pathlib.Path) -> None:
        self.local += [path for path in wanted if isinstance(path, pathlib.Path)]
        self.run("pip", "install", "--quiet", *wanted)

    def figures(self) -> dict[str, int]:
        """Bytes on disk, and of the files that were installed: they are downloaded once more."""
        disk = size(self.folder / "venv") - self.bare
        lines = self.run("pip", "list", "--format=freeze", "--exclude", "flambeau").splitlines()
        found = [line for line in lines if not line.startswith(("pip==", "setuptools=="))]
        if self.local:
            found = [line for line in found if not line.startswith("torch==")]  # that is Flambeau
        files = self.folder / "files"
        self.run("pip", "download", "--quiet", "--no-deps", "--dest", files, *found)
        return {
            "download": size(files) + sum(path.stat().st_size for path in self.local),
            "disk": disk,
        }


def ours(folder: pathlib.Path, wheel: pathlib.Path) -> dict[str, int]:
    made = Environment(folder)
    made.install(wheel)
    made.run("flambeau", "enable-torch")
    made.install(*LIBRARIES)
    check = "import torch, transformers, peft; assert torch.ones(2).sum() == 2"
    made.run("python", "-c", check)
    return made.figures()


def theirs(folder: pathlib.Path) -> dict[str, int]:
    made = Environment(folder)
    made.install("torch==2.7.1", *LIBRARIES)
    return made.figures()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(":")[0])
    parser.add_argument("--wheel", type=pathlib.Path, help="Flambeau's (the newest one in dist/)")
    options = parser.parse_args()
    wheels = sorted((ROOT / "dist").glob("flambeau-*.whl"), key=lambda path: path.stat().st_mtime)
    if options.wheel is None and not wheels:
        print("bench: there is no wheel in dist/; run `make wheel`", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder)
        sides = ours(place / "ours", options.wheel or wheels[-1]), theirs(place / "theirs")
    report = Report()
    for what, bar in (("download", 0.05), ("disk", 0.12)):
        report.ratio(f"fresh environment: {what}", sides[0][what], sides[1][what], bar, "MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
