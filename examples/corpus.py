"""The text that the examples learn from: the source of Python's standard library."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path

# Folders that are no library source.
SKIPPED = {"__pycache__", "dist-packages", "idle_test", "site-packages", "test", "tests"}


def load(folder: Path | None = None) -> tuple[bytes, bytes]:
    """All .py files below `folder`, sorted by path and joined; every 20th file is held out."""
    root = Path(sysconfig.get_paths()["stdlib"]) if folder is None else folder
    files = []
    for path, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in SKIPPED]
        files += [os.path.join(path, name) for name in names if name.endswith(".py")]
    if not files:
        raise ValueError(f"there are no .py files in {root}; name a folder that has: --text FOLDER")
    parts: tuple[list[bytes], list[bytes]] = ([], [])
    for i, file in enumerate(sorted(files, key=os.fsencode)):
        parts[i % 20 == 19].append(Path(file).read_bytes())
    train, held_out = (b"\n".join(part) for part in parts)
    # A folder with fewer than 20 files.
    return (
        (train, held_out) if held_out else (train[: -len(train) // 10], train[-len(train) // 10 :])
    )
