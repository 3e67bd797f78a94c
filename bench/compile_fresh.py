"""What compiled programs need a process of their own for; prints JSON.

compile_fresh.py MODULE THREADS first MODEL     seconds of the first five train steps, compiled,
                                                and of five later eager ones; CPU seconds that
                                                the system took more in the first ones. The memory
                                                is brought before.
compile_fresh.py MODULE THREADS memory MODEL HOW     the rise of peak memory in train steps
compile_fresh.py MODULE THREADS sizes HOW       seconds of 200 steps of random sizes, and by how
                                                much the kernel cache grew after the third
"""

from __future__ import annotations

import importlib
import json
import os
import pathlib
import random
import sys
import time
from collections.abc import Callable
from typing import Any

from compile_cases import compiler, make_model, train_step
from fresh import status
from models import bert, training


def five(step: Callable[[], Any]) -> tuple[float, float]:
    """Seconds of five steps, and CPU seconds that the system took in them."""
    start, system = time.perf_counter(), os.times().system
    for _ in range(5):
        step()
    return time.perf_counter() - start, os.times().system - system


def bring_memory(torch: Any, blocks: int = 6) -> None:
    """Touches 3 GB and leaves them to the allocator. A virtual machine's host takes back what is
    idle, seconds after it was freed, and brings it again at 2 seconds a GB: that is not compiling.
    """
    time.sleep(4)  # what the process before has freed is taken back
    held = [torch.zeros(128 << 20) for _ in range(blocks)]
    del held


def first_steps(torch: Any, name: str) -> dict[str, float]:
    compiled = train_step(torch, name, "compiled")
    bring_memory(torch)
    first, first_system = five(compiled)
    eager = train_step(torch, name, "eager")
    eager()
    eager()
    steady, steady_system = five(eager)
    return {"first": first, "steady": steady, "system": first_system - steady_system}


def memory(torch: Any, name: str, how: str) -> dict[str, float]:
    kind, model = make_model(torch, name)
    inputs, targets = kind.batch(torch)
    before = status("VmRSS")
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    step = training.train_step(torch, kind, model, inputs, targets, compiler(torch, how))
    for _ in range(3):
        step()
    return {"bytes": status("VmHWM") - before}


def cache_bytes() -> int:
    folder = pathlib.Path(os.environ["FLAMBEAU_CACHE_DIR"])
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def random_sizes(torch: Any, how: str, steps: int = 200) -> dict[str, float]:
    """Batches of 2 to 64 texts of 2 to 512 tokens."""
    small = {"layers": 2, "width": 64, "heads": 2, "vocabulary": 512}
    torch.manual_seed(0)
    model = bert.build(torch, **small)
    draw = random.Random(0)
    first = bert.batch(torch, 16, 128, 512)
    step = training.train_step(torch, bert, model, *first, compiler(torch, how))
    seconds = []
    grown = 0
    for i in range(steps):
        batch = bert.batch(torch, draw.randint(2, 64), draw.randint(2, 512), 512)
        start = time.perf_counter()
        step(*batch)
        seconds.append(time.perf_counter() - start)
        if i == 2:
            torch._C._compile_wait()  # what these steps asked for compiles on another thread
            grown = -cache_bytes()
    return {"seconds": sum(seconds[3:]), "steps": len(seconds) - 3, "grown": grown + cache_bytes()}


def main() -> None:
    torch = importlib.import_module(sys.argv[1])
    torch.set_num_threads(int(sys.argv[2]))
    measure = {"first": first_steps, "memory": memory, "sizes": random_sizes}[sys.argv[3]]
    print(json.dumps(measure(torch, *sys.argv[4:])))


if __name__ == "__main__":
    main()
