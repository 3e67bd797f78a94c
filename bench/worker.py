"""One side of the comparison: reads case names from standard input, prints seconds as JSON."""

from __future__ import annotations

import importlib
import json
import sys
import time

from cases import CASES


def main() -> None:
    torch = importlib.import_module(sys.argv[1])
    torch.set_num_threads(int(sys.argv[2]))
    ready = {}
    seconds = 0.0
    for line in sys.stdin:
        name = line.rstrip("\n")
        try:
            if name not in ready:
                ready.clear()  # one case's memory at a time
                ready[name] = CASES[name].setup(torch)
                ready[name]()
                seconds = 0.0
            # The other side's threads spin for a while after their work: let them go to sleep, and
            # let ours wake up, before the clock starts.
            time.sleep(0.02)
            if seconds < 0.2:
                ready[name]()
            start = time.perf_counter()
            ready[name]()
            seconds = time.perf_counter() - start
            answer = {"seconds": seconds}
        except Exception as error:  # the driver prints it beside the other side's figure
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
