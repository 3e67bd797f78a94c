"""Measures Transformers' and PEFT's own code on Flambeau and on PyTorch, in turn.

The libraries are those of .venv on both sides; ours runs by `python -m flambeau`.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

from library_cases import GENERATED
from run import HERE, PYTHON, Report, Side

# GPT-2 124 M: every weight is read for a token.
GPT2_BYTES = 4 * 124_439_808


def libraries() -> str:
    """The folder of .venv that has the libraries, for PyTorch's environment."""
    code = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    done = subprocess.run(
        [PYTHON["flambeau"], "-c", code], capture_output=True, check=True, text=True
    )
    return done.stdout.strip()


def environment(module: str, **more: str) -> dict[str, str]:
    quiet = {"TRANSFORMERS_VERBOSITY": "error", "PYTHONWARNINGS": "ignore", **more}
    return {**os.environ, **quiet, **({"PYTHONPATH": libraries()} if module == "torch" else {})}


def command(module: str) -> list[str]:
    return [str(PYTHON[module]), *(["-m", "flambeau"] if module == "flambeau" else [])]


class LibrarySide(Side):
    """A worker for which `torch` is the framework."""

    def __init__(self, module: str, threads: int) -> None:
        self.process = subprocess.Popen(
            [*command(module), str(HERE / "worker.py"), "torch", str(threads), "library_cases"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(module),
        )


class Rows:
    def __init__(self, report: Report, only: str, rounds: int, threads: int) -> None:
        self.report, self.only, self.rounds, self.threads = report, only, rounds, threads
        self.sides = {module: LibrarySide(module, threads) for module in PYTHON}

    def medians(self, ours: str, theirs: str) -> dict[str, float]:
        seconds: dict[str, list[float]] = {"flambeau": [], "torch": []}
        for _ in range(self.rounds):
            for module, name in (("flambeau", ours), ("torch", theirs)):
                answer = self.sides[module].run(name)
                if "error" in answer:
                    self.report.failure(f"{name}, {module}", str(answer["error"]))
                    return {}
                seconds[module].append(float(answer["seconds"]))
        return {module: statistics.median(values) for module, values in seconds.items()}

    def compare(self, what: str, how: str, bar: float, per: int = 1) -> float | None:
        """Ours, eager or compiled, against PyTorch eager; seconds of ours."""
        name = f"{what}, {how}"
        if self.only not in name:
            return None
        medians = self.medians(name, f"{what}, eager")
        if not medians:
            return None
        ours, theirs = medians["flambeau"] / per, medians["torch"] / per
        self.report.ratio(name, ours, theirs, bar, "ms")
        return ours


def fresh(module: str, threads: int, *arguments: str, **more: str) -> dict[str, float]:
    done = subprocess.run(
        [*command(module), str(HERE / "library_fresh.py"), str(threads), *arguments],
        env=environment(module, **more),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def measure_memory(report: Report, only: str, threads: int) -> None:
    for model in ("LoRA of Llama 110 M", "BERT-base"):
        what = f"{model}: rise of peak memory"
        if only in what:
            sides = {"flambeau": "compiled", "torch": "eager"}
            rise = {m: fresh(m, threads, "memory", model, how)["bytes"] for m, how in sides.items()}
            bar = 0.7 if model.startswith("LoRA") else None
            report.ratio(what, rise["flambeau"], rise["torch"], bar, "MB")


def measure_script(report: Report, only: str, rounds: int, threads: int) -> None:
    what = "a short script (transformers, tiny BERT)"
    if only not in what:
        return
    seconds: dict[str, list[float]] = {"flambeau": [], "torch": []}
    for _ in range(rounds + 1):  # the first one fills caches
        for module, values in seconds.items():
            start = time.perf_counter()
            fresh(module, threads, "script")
            values.append(time.perf_counter() - start)
    ours, theirs = (statistics.median(seconds[m][1:]) for m in ("flambeau", "torch"))
    report.ratio(what, ours, theirs, 0.5, "ms")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", default="", help="run the rows whose names contain this text")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    report = Report(width=44)
    rows = Rows(report, options.only, options.rounds, options.threads)
    rows.compare("BERT-base train step", "eager", 1.0)
    rows.compare("BERT-base train step", "compiled", 0.9)
    rows.compare("LoRA of Llama 110 M train step", "eager", 1.0)
    rows.compare("LoRA of Llama 110 M train step", "compiled", 0.85)
    token = rows.compare("GPT-2 generate", "eager", 0.65, per=GENERATED)
    if token is not None:
        reads = rows.medians("read of 1 GB, eager", "read of 1 GB, eager")
        ideal = GPT2_BYTES / (2**30 / min(reads.values()))
        report.single("GPT-2 generate: part of the roofline", ideal / token, "")
    del rows
    measure_memory(report, options.only, options.threads)
    measure_script(report, options.only, options.rounds, options.threads)
    return report.end(options.json)


if __name__ == "__main__":
    sys.exit(main())
