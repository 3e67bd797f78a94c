"""Measures compiled programs against PyTorch, eager and (--inductor) compiled, and against eager.

Medians of repetitions in turn. Inductor needs a C++ compiler, and minutes for each model; its cache
is a folder of this run.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

from compile_cases import ADAMW_ELEMENTS, MASKED, ROWS
from run import HERE, PYTHON, ROOT, Report, Side

# Layers, width, vocabulary, weights of the products beside those of the layers, weights in all,
# batch and time of the models' steps.
SHAPES = {
    "BERT": (12, 768, 30522, 768**2, 109_514_298, 2, 128),
    "GPT-2": (12, 768, 50257, 0, 124_439_808, 1, 128),
    "GPT": (6, 384, 256, 0, 10_942_464, 8, 256),
}
INFERENCE = [f"{name} inference" for name in ("BERT", "GPT-2", "GPT", "MLP")]
CHAINS = {  # and the bytes that they must move
    "masked_fill + softmax": 2 * 4 * MASKED[0] * MASKED[1] * MASKED[2] * MASKED[3],
    "gelu-bias-dropout-residual-layer_norm": 3 * 4 * ROWS[0] * ROWS[1],
    "AdamW of 110 M": 7 * 4 * ADAMW_ELEMENTS,
}
COPY = "copy of 256 MB"
COPY_BYTES = 2 * 4 * 2**26


Way = tuple[str, str]  # the module, and how it runs


class Rows:
    """Cases run in turn by workers, each for one way to run them."""

    def __init__(
        self, report: Report, only: str, rounds: int, threads: int, inductor: bool
    ) -> None:
        self.report, self.only, self.rounds, self.threads = report, only, rounds, threads
        ways = [("flambeau", "compiled"), ("flambeau", "eager"), ("torch", "eager")]
        ways += [("torch", "compiled")] if inductor else []
        self.sides = {way: Side(way[0], threads, "compile_cases") for way in ways}
        self.replay = Side("flambeau", threads, "compile_cases")

    def in_turn(self, cases: list[tuple[str, Way]]) -> dict[tuple[str, Way], float]:
        """Medians of seconds; those that failed are missing."""
        seconds: dict[tuple[str, Way], list[float]] = {case: [] for case in cases}
        for _ in range(self.rounds):
            for what, way in cases:
                side = self.replay if way[1] == "replay" else self.sides[way]
                answer = side.run(f"{what}, {way[1]}")
                if "error" not in answer:
                    seconds[what, way].append(float(answer["seconds"]))
                elif not seconds[what, way]:
                    self.report.failure(f"{what}, {' '.join(way)}", str(answer["error"]))
        return {case: statistics.median(s) for case, s in seconds.items() if s}

    def medians(self, what: str, ways: list[Way]) -> dict[Way, float]:
        return {way: s for (_, way), s in self.in_turn([(what, way) for way in ways]).items()}

    def compare(self, what: str, bars: dict[Way, float | None]) -> dict[Way, float]:
        """Ours compiled against each of `bars` that is measured."""
        if self.only not in what:
            return {}
        ways = [way for way in bars if way in self.sides]
        ours = ("flambeau", "replay" if "as a whole" in what else "compiled")
        medians = self.medians(what, [ours, *ways])
        for way in ways:
            if ours in medians and way in medians:
                name = f"{what} / {'inductor' if way == ('torch', 'compiled') else ' '.join(way)}"
                self.report.ratio(name, medians[ours], medians[way], bars[way], "ms")
        return medians


def ideal_seconds(name: str, peak: float, bandwidth: float, least: float) -> float:
    """The roofline of a train step: FLOPs and AdamW's bytes, and no less than `least` beside the
    work on tokens. Half of the scores of a causal model count."""
    layers, width, vocabulary, more, weights, batch, time = SHAPES[name]
    products = layers * 12 * width**2 + width * vocabulary + more
    scores = layers * 12 * time * width // (1 if name == "BERT" else 2)
    flops = (6 * products + scores) * batch * time
    return flops / peak + max(least, 7 * 4 * weights / bandwidth)


def measure_rooflines(rows: Rows, steps: dict[str, float]) -> None:
    """Parts of the roofline of the steps whose seconds are given."""
    program = ROOT / "build" / "release" / "bin" / "fma_peak"
    done = subprocess.run(
        [program, str(rows.threads)], stdout=subprocess.PIPE, text=True, check=True
    )
    peak = float(done.stdout) * 1e9
    ours = ("flambeau", "eager")
    reads = rows.medians("read of 1 GB", [ours, ("torch", "eager")])
    bandwidth = 2**30 / min(reads.values())
    rows.report.single("multiply-adds, peak", peak / 1e9, "GFLOP/s")
    rows.report.single("read bandwidth", bandwidth / 1e9, "GB/s")
    for name, seconds in steps.items():
        way = ("flambeau", "compiled")
        least = rows.medians(f"{name} train step of 2 tokens", [way]).get(way, 0.0)
        share = ideal_seconds(name, peak, bandwidth, least) / seconds
        rows.report.single(
            f"{name} train step: part of the roofline", share, "(0.88 is as good as its bar)"
        )


def fresh(module: str, threads: int, *arguments: str, **environment: str) -> dict[str, float]:
    command = [PYTHON[module], HERE / "compile_fresh.py", module, str(threads), *arguments]
    done = subprocess.run(
        command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout)


def measure_rows(rows: Rows) -> None:
    ours, eager, inductor = ("flambeau", "eager"), ("torch", "eager"), ("torch", "compiled")
    compiled = ("flambeau", "compiled")
    steps = {}
    for name in SHAPES:
        medians = rows.compare(f"{name} train step", {eager: 0.9, inductor: 0.95, ours: None})
        if compiled in medians:
            steps[name] = medians[compiled]
    if steps:
        measure_rooflines(rows, steps)
    for what in INFERENCE:
        rows.compare(what, {eager: None, inductor: None, ours: None})
    rows.compare("MLP train step x 20", {ours: 0.7, eager: None})
    rows.compare("MLP train step as a whole x 20", {ours: 0.4, eager: None})
    rows.compare("500 small operations", {ours: None, eager: None})
    for what, chain_bytes in CHAINS.items():
        if compiled not in rows.compare(what, {inductor: 0.9, eager: None, ours: None}):
            continue
        # The memory of a machine that others use, too, is not equally fast at all times.
        case, copies = (what, compiled), [(COPY, ours), (COPY, eager)]
        medians = rows.in_turn([case, *copies])
        limits = {way: COPY_BYTES / s for (name, way), s in medians.items() if name == COPY}
        for whose, bar, bandwidth in (
            ("", 1.25, max(limits.values())),
            (" of PyTorch", None, limits.get(eager)),
        ):
            if bandwidth:
                rows.report.single(f"{what}: copies{whose} beside it", bandwidth / 1e9, "GB/s")
                times = medians[case] * bandwidth / chain_bytes
                rows.report.single(f"{what} / copy limit{whose}", times, "", bar)


def measure_recording(report: Report, only: str) -> None:
    what = "recording from C++"
    if only not in what:
        return
    program = ROOT / "build" / "release" / "bin" / "recording_cost"
    done = subprocess.run([program], stdout=subprocess.PIPE, text=True, check=True)
    eager, recorded, found, _, unseen = (float(word) for word in done.stdout.split())
    report.single(f"{what}: an operation run at once", eager, "ns")
    report.single(f"{what}: an operation", recorded, "ns", 300)
    report.single(f"{what}: a program of 500 found again", found * 500 / 1e3, "us", 300)
    report.single(f"{what}: an operation of a program never seen", unseen / 1e3, "us", 20)


def measure_first(
    report: Report, what: str, name: str, threads: int, rounds: int, inductor: bool
) -> None:
    """The first steps of a process that has compiled nothing before, and of the one after it."""
    for module in ("flambeau", "torch") if inductor else ("flambeau",):
        ours = module == "flambeau"
        variable = "FLAMBEAU_CACHE_DIR" if ours else "TORCHINDUCTOR_CACHE_DIR"
        runs: dict[str, list[dict[str, float]]] = {"empty cache": [], "warm cache": []}
        for _ in range(rounds if ours else 1):
            with tempfile.TemporaryDirectory() as cache:
                for times in runs.values():
                    times.append(fresh(module, threads, "first", name, **{variable: cache}))
        for (state, times), bar in zip(runs.items(), (2.5, 0.5)):
            extra = statistics.median(t["first"] - t["steady"] for t in times)
            if not ours:
                report.single(f"inductor, {what}, {state}", extra, "s")
                continue
            report.single(f"{what}, {state}", extra, "s", bar)
            # What it still takes to bring memory; see bring_memory() in compile_fresh.py.
            system = statistics.median(t["system"] for t in times) / threads
            report.single(f"{what}, {state}: system", system, "s")


def measure_fresh(report: Report, only: str, threads: int, rounds: int, inductor: bool) -> None:
    for name in ("BERT", "GPT-2", "GPT"):
        what = f"{name}: rise of peak memory"
        if only in what:
            sides = {"flambeau": "compiled", "torch": "eager"}
            rise = {m: fresh(m, threads, "memory", name, how)["bytes"] for m, how in sides.items()}
            report.ratio(what, rise["flambeau"], rise["torch"], 0.7, "MB")
        if name == "GPT":
            continue
        what = f"{name}: first five steps - steady"
        if only in what:
            measure_first(report, what, name, threads, rounds, inductor)
    what = "random sizes, 200 steps"
    if only in what:
        with tempfile.TemporaryDirectory() as cache:
            runs = {
                how: fresh("flambeau", threads, "sizes", how, FLAMBEAU_CACHE_DIR=cache)
                for how in ("eager", "compiled")
            }
        compiled = runs["compiled"]
        extra = (compiled["seconds"] - runs["eager"]["seconds"]) / compiled["steps"]
        report.single(f"{what}: more than eager a step", extra * 1e3, "ms", 20)
        report.single(f"{what}: kernels after the third", compiled["grown"], "bytes", 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", default="", help="run the rows whose names contain this text")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--inductor", action="store_true", help="measure torch.compile, too")
    parser.add_argument("--inductor-cache", type=pathlib.Path, help="keep inductor's kernels here")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    for path in PYTHON.values():
        if not path.exists():
            print(f"bench: {path} is missing; run `make bench-peers`", file=sys.stderr)
            return 2
    report = Report(width=60, other="the other")
    probe = [PYTHON["flambeau"], "-c", "import flambeau; flambeau.compile"]
    if subprocess.run(probe, stderr=subprocess.DEVNULL, check=False).returncode != 0:
        print("there is no flambeau.compile: what is called compiled is eager")
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(options.inductor_cache or cache)
        rows = Rows(report, options.only, options.rounds, options.threads, options.inductor)
        measure_rows(rows)
    del rows
    measure_recording(report, options.only)
    measure_fresh(report, options.only, options.threads, options.rounds, options.inductor)
    return report.end(options.json)


if __name__ == "__main__":
    sys.exit(main())
