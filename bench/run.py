"""Measures Flambeau and PyTorch in turn and prints the ratios (ours / PyTorch, medians)."""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from cases import CASES, GROUP_BARS

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
PYTHON = {
    "flambeau": ROOT / ".venv" / "bin" / "python",
    "torch": ROOT / ".venv-peers" / "bin" / "python",
}
# --isa: the widest instructions that each side may use, by its libraries' own settings.
LEVELS = {
    "avx2": {
        "FLAMBEAU_ISA": "avx2",
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
    },
    "avx512": {
        "FLAMBEAU_ISA": "avx512",
        "ATEN_CPU_CAPABILITY": "avx512",
        "MKL_ENABLE_INSTRUCTIONS": "AVX512",
        "ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI",
    },
    "avx512_bf16": {
        "FLAMBEAU_ISA": "avx512_bf16",
        "ATEN_CPU_CAPABILITY": "avx512",
        "MKL_ENABLE_INSTRUCTIONS": "AVX512",
        "ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16",
    },
}
# The GPT of models/gpt.py: weights in products, all weights, products of the attention.
GPT_TOKENS = 8 * 256
GPT_WEIGHTS = 6 * 12 * 384**2 + 384 * 256
GPT_FLOPS = 6 * GPT_WEIGHTS * GPT_TOKENS + 6 * 7 * 256 * GPT_TOKENS * 384
# AdamW reads weights, gradients and two averages, and writes all but the gradients.
GPT_BYTES = 7 * 4 * GPT_WEIGHTS


class Side:
    """A worker process of one framework."""

    turns = 0  # of all sides
    crowded = 0  # those in which some thread had no core of its own

    def __init__(self, module: str, threads: int, cases: str = "cases") -> None:
        self.process = subprocess.Popen(
            [PYTHON[module], HERE / "worker.py", module, str(threads), cases],
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
        answer = json.loads(line)
        Side.turns += 1
        Side.crowded += not answer.get("has_cores", True)
        return answer


class Report:
    """Prints figures beside their bars and keeps them."""

    def __init__(self, width: int = 38, other: str = "PyTorch") -> None:
        self.width = width  # of the names
        self.figures: dict[str, dict[str, float]] = {}
        self.missed: list[str] = []
        self.failed: list[str] = []
        print(f"{'case':{width}} {'flambeau':>13} {other:>13}    ratio    bar")

    def ratio(self, name: str, ours: float, theirs: float, bar: float | None, unit: str) -> None:
        scale = {"ms": 1e3, "MB": 1e-6}[unit]
        value = ours / theirs
        self.figures[name] = {"ours": ours, "theirs": theirs, "ratio": value}
        left, right = f"{ours * scale:10.2f} {unit}", f"{theirs * scale:10.2f} {unit}"
        print(
            f"{name:{self.width}} {left} {right}   {value:6.2f} {self._bar(name, value, bar)}",
            flush=True,
        )

    def single(self, name: str, value: float, unit: str, bar: float | None = None) -> None:
        self.figures[name] = {"ours": value}
        text = f"{value:10.2f} {unit}"
        print(f"{name:{self.width}} {text:48}{self._bar(name, value, bar)}", flush=True)

    def failure(self, name: str, error: str) -> None:
        self.failed.append(name)
        print(f"{name:{self.width}} failed: {error}", flush=True)

    def end(self, path: pathlib.Path | None) -> int:
        """Prints what was missed, and keeps the figures; what the program exits with."""
        print(f"{len(self.missed)} bars missed" + "".join(f"\n  {name}" for name in self.missed))
        if Side.crowded:
            print(
                f"in {Side.crowded} of {Side.turns} turns the machine had no core for each thread"
            )
        if path:
            path.write_text(json.dumps(self.figures, indent=1))
        return 1 if self.failed else 0

    def _bar(self, name: str, value: float, bar: float | None) -> str:
        if bar is None:
            return ""
        if value > bar:
            self.missed.append(name)
        return f"{bar:6.2f}" + (" missed" if value > bar else "")


def import_seconds(module: str, rounds: int) -> float:
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        subprocess.run([PYTHON[module], "-c", f"import {module}"], check=True)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def fresh(module: str, threads: int, **environment: str) -> dict[str, float]:
    """The first train steps of the GPT in a process of its own."""
    done = subprocess.run(
        [PYTHON[module], HERE / "fresh.py", module, str(threads)],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def measure_cases(report: Report, only: str, rounds: int, threads: int) -> None:
    sides = {module: Side(module, threads) for module in PYTHON}
    for name, case in CASES.items():
        if only not in name and only != case.group:
            continue
        seconds: dict[str, list[float]] = {m: [] for m in PYTHON if case.side in ("", m)}
        error = ""
        for _ in range(rounds):
            for module in seconds:
                answer = sides[module].run(name)
                if "error" in answer:
                    error = error or f"{module}: {answer['error']}"
                else:
                    seconds[module].append(float(answer["seconds"]))
            if error:
                break
        medians = {m: statistics.median(s) for m, s in seconds.items() if s}
        if error:
            report.failure(name, error)
        elif len(medians) == 1:
            report.single(name, medians["flambeau"] * 1e3, "ms")
        else:
            report.ratio(name, medians["flambeau"], medians["torch"], case.bar, "ms")
    for group, bar in GROUP_BARS.items():
        ratios = [
            report.figures[name]["ratio"]
            for name, case in CASES.items()
            if case.group == group and name in report.figures
        ]
        if ratios:
            report.single(f"geometric mean: {group}", statistics.geometric_mean(ratios), "", bar)


def measure_fresh(report: Report, only: str, threads: int) -> None:
    name = "GPT: rise of peak memory"
    if only in name:
        rise = {module: fresh(module, threads)["bytes"] for module in PYTHON}
        report.ratio(name, rise["flambeau"], rise["torch"], 0.8, "MB")
    name = "GPT: first step, empty cache - warm"
    if only in name:
        with tempfile.TemporaryDirectory() as cache:
            cold, warm = (
                fresh("flambeau", threads, FLAMBEAU_CACHE_DIR=cache)["seconds"] for _ in range(2)
            )
        report.single(name, cold - warm, "s", 1.0)


def measure_roofline(report: Report, threads: int, isa: str | None) -> None:
    """What the machine could do in the time of the GPT's step."""
    program = ROOT / "build" / "release" / "bin" / "fma_peak"
    command = [program, str(threads), *([isa] if isa else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    peak = float(done.stdout)
    report.single("multiply-adds, peak", peak, "GFLOP/s")
    figures = report.figures
    reads = [min(figures[n].values()) for n in figures if n.startswith("read 1 GB")]
    if not reads:
        return
    bandwidth = 2**30 / min(reads) / 1e9
    report.single("read bandwidth", bandwidth, "GB/s")
    if "GPT train step" in figures and "GPT train step of 1 token" in figures:
        # One token costs the host as much as many, and the optimizer updates all weights.
        least = max(figures["GPT train step of 1 token"]["ours"] / 1e3, GPT_BYTES / bandwidth / 1e9)
        ideal = GPT_FLOPS / peak / 1e9 + least
        share = ideal / figures["GPT train step"]["ours"]
        report.single("GPT train step: part of the roofline", share, "(0.88 is as good as its bar)")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="run the cases whose names contain this text")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--isa", choices=LEVELS, help="both sides use these instructions at most")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    for path in PYTHON.values():
        if not path.exists():
            print(f"bench: {path} is missing; run `make bench`, which makes it", file=sys.stderr)
            return 2
    os.environ.update(LEVELS.get(options.isa, {}))
    report = Report()
    if options.only in "import":
        report.ratio("import", *(import_seconds(m, 5) for m in PYTHON), 0.1, "ms")
    measure_cases(report, options.only, options.rounds, options.threads)
    figures = report.figures
    if {"GPT train step", "GPT train step, bfloat16"} <= figures.keys():
        half = figures["GPT train step, bfloat16"]["ours"] / 1e3
        ratio = half / figures["GPT train step"]["ours"]
        report.single("GPT, bfloat16 / our float32", ratio, "", 1.05)
    measure_fresh(report, options.only, options.threads)
    if options.only in ("", "read", "GPT"):
        measure_roofline(report, options.threads, options.isa)
    return report.end(options.json)


if __name__ == "__main__":
    sys.exit(main())
