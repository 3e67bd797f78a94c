"""Measures Flambeau and PyTorch in turn and prints the ratios (ours / PyTorch, medians)."""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

from cases import CASES

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent


class Side:
    """A worker process of one framework."""

    def __init__(self, python: pathlib.Path, module: str, threads: int) -> None:
        self.process = subprocess.Popen(
            [python, HERE / "worker.py", module, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, name: str) -> dict[str, float | str]:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(name + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            return {"error": f"the worker died with code {self.process.wait()}"}
        return json.loads(line)


def import_seconds(python: pathlib.Path, module: str, rounds: int) -> list[float]:
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        subprocess.run([python, "-c", f"import {module}"], check=True)
        seconds.append(time.perf_counter() - start)
    return seconds


def report(name: str, ours: list[float], theirs: list[float]) -> dict[str, float]:
    a, b = statistics.median(ours), statistics.median(theirs)
    print(f"{name:38} {a * 1e3:10.2f} ms {b * 1e3:10.2f} ms   {a / b:6.2f}", flush=True)
    return {"ours": a, "theirs": b, "ratio": a / b}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="run the cases whose names contain this text")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    python = {
        "flambeau": ROOT / ".venv" / "bin" / "python",
        "torch": ROOT / ".venv-peers" / "bin" / "python",
    }
    for path in python.values():
        if not path.exists():
            print(f"bench: {path} is missing; run `make bench`, which makes it", file=sys.stderr)
            return 2
    print(f"{'case':38} {'flambeau':>13} {'PyTorch':>13}    ratio")
    figures: dict[str, dict[str, float]] = {}
    failed = 0
    if options.only in "import":
        figures["import"] = report(
            "import", *(import_seconds(python[m], m, 5) for m in ("flambeau", "torch"))
        )
    sides = {module: Side(path, module, options.threads) for module, path in python.items()}
    for name in CASES:
        if options.only not in name:
            continue
        seconds: dict[str, list[float]] = {"flambeau": [], "torch": []}
        error = ""
        for _ in range(options.rounds):
            for module, side in sides.items():
                answer = side.run(name)
                if "error" in answer:
                    error = f"{module}: {answer['error']}"
                    break
                seconds[module].append(float(answer["seconds"]))
            if error:
                break
        if error:
            print(f"{name:38} failed: {error}", flush=True)
            failed += 1
        else:
            figures[name] = report(name, seconds["flambeau"], seconds["torch"])
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
