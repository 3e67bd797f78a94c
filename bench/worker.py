"""One side of the comparison: reads case names from standard input, prints seconds as JSON.

worker.py MODULE THREADS [CASES]
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from cores import Cores

LONG = 0.2  # seconds of a repetition that needs no warm-up
WARM_UP = 0.005
TRIES = 20  # to measure with a core for each thread, before and after


def warm_up(repeat: Callable[[], Any]) -> int:
    """Repeats for WARM_UP seconds; how often."""
    count = 0
    end = time.perf_counter() + WARM_UP
    while time.perf_counter() < end:
        repeat()
        count += 1
    return count


def measure(repeat: Callable[[], Any], cores: Cores, is_long: bool) -> tuple[float, bool]:
    """Seconds of a repetition, and whether each thread had a core."""
    for _ in range(TRIES):
        # The other side's threads spin for a while after their work: let them go to sleep, and let
        # ours wake up, before the clock starts.
        time.sleep(0.02)
        has_cores = cores.wait()
        count = 1 if is_long else max(1, warm_up(repeat))
        start = time.perf_counter()
        for _ in range(count):
            repeat()
        seconds = (time.perf_counter() - start) / count
        if seconds >= LONG or (has_cores := cores.are_there()):
            break
        is_long = False
    return seconds, has_cores


def main() -> None:
    torch = importlib.import_module(sys.argv[1])
    cores = Cores(int(sys.argv[2]))
    torch.set_num_threads(cores.threads)
    cases = importlib.import_module(sys.argv[3] if len(sys.argv) > 3 else "cases").CASES
    ready = {}
    seconds = 0.0
    for line in sys.stdin:
        name = line.rstrip("\n")
        try:
            if name not in ready:
                ready.clear()  # one case's memory at a time
                seconds = 0.0
                ready[name] = cases[name].setup(torch)
                ready[name]()
            seconds, has_cores = measure(ready[name], cores, is_long=seconds >= LONG)
            answer = {"seconds": seconds, "has_cores": has_cores}
        except Exception as error:  # the driver prints it beside the other side's figure
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
