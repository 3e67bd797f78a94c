"""The text that the examples learn from: the source of Python's standard library."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path

# Folders that are no library source.
SKIPPED = {"__pycache__", "dist-packages", "idle_test", "site-packages", "test", "tests"}


def source_files(folder: Path | None = None) -> list[Path]:
    """All .py files below `folder` (the standard library), sorted by path."""
    root = Path(sysconfig.get_paths()["stdlib"]) if folder is None else folder
    files = []
    for path, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in SKIPPED]
        files += [os.path.join(path, name) for name in names if name.endswith(".py")]
    if not files:
        raise ValueError(f"there are no .py files in {root}; name a folder that has: --text FOLDER")
    return [Path(file) for file in sorted(files, key=os.fsencode)]


def load(folder: Path | None = None) -> tuple[bytes, bytes]:
    """The text of all source files, joined; every 20th file is held out."""
    parts: tuple[list[bytes], list[bytes]] = ([], [])
    for i, file in enumerate(source_files(folder)):
        parts[i % 20 == 19].append(file.read_bytes())
    train, held_out = (b"\n".join(part) for part in parts)
    # A folder with fewer than 20 files.
    return (
        (train, held_out) if held_out else (train[: -len(train) // 10], train[-len(train) // 10 :])
    )
