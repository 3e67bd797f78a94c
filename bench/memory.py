"""Memory of compiled train steps whose batch and length change at every step: it must not grow.

memory.py                  10,000 steps; prints the resident memory every 500
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator

import flambeau
from models import gpt, training


def resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096


def sizes_after(steps: int, every: int, most: int = 24) -> Iterator[tuple[int, int, int]]:
    """After every `every` steps: their number, the resident bytes, and those of tensors."""
    flambeau.manual_seed(0)
    rng = random.Random(0)
    model = gpt.build(flambeau, layers=2, width=32, heads=2, context=most, dropout=0.1)
    inputs, targets = gpt.batch(flambeau, size=1, time=2)
    step = training.train_step(flambeau, gpt, model, inputs, targets, flambeau.compile)
    for number in range(1, steps + 1):
        step(*gpt.batch(flambeau, size=rng.randint(1, 8), time=rng.randint(2, most)))
        if number % every == 0:
            flambeau._C._compile_wait()
            yield number, resident_bytes(), flambeau._C._memory_stats()["allocated_bytes"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--every", type=int, default=500)
    options = parser.parse_args()
    seen = []
    for number, resident, allocated in sizes_after(options.steps, options.every):
        seen.append(resident)
        print(
            f"step {number:6}: {resident / 2**20:7.1f} MiB resident, {allocated / 2**20:6.1f} MiB "
            f"of tensors, {flambeau.compiler.stats()}",
            flush=True,
        )
    half = len(seen) // 2
    grown = max(seen[half:]) - max(seen[:half])
    print(f"the second half grew by {grown / 2**20:.1f} MiB")
    return 1 if grown > 8 * 2**20 else 0


if __name__ == "__main__":
    sys.exit(main())
