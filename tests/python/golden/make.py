"""Writes golden/NAME.txt for the programs golden/NAME.py with the `torch` of this interpreter."""

from __future__ import annotations

import pathlib
import subprocess
import sys

FOLDER = pathlib.Path(__file__).parent

if __name__ == "__main__":
    names = sys.argv[1:] or sorted(
        p.stem for p in FOLDER.glob("*.py") if p.stem not in ("common", "make")
    )
    for name in names:
        code = f"import {name}, common; print(chr(10).join(common.lines()))"
        text = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code], cwd=FOLDER, check=True, capture_output=True, text=True
        ).stdout
        (FOLDER / f"{name}.txt").write_text(text)
