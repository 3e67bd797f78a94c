"""What needs a process of its own: `fresh.py MODULE THREADS` prints the seconds of the GPT's first
train step and by how many bytes the peak of memory rose over the value after the model was made."""

from __future__ import annotations

import importlib
import json
import pathlib
import sys
import time

from cases import gpt_step


def status(field: str) -> int:
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(field)


def main() -> None:
    torch = importlib.import_module(sys.argv[1])
    torch.set_num_threads(int(sys.argv[2]))
    step = gpt_step(torch)
    before = status("VmRSS")
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    start = time.perf_counter()
    step()
    first = time.perf_counter() - start
    step()
    print(json.dumps({"seconds": first, "bytes": status("VmHWM") - before}))


if __name__ == "__main__":
    main()
