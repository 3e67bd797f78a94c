"""Random programs run as they are, compiled, by the interpreter of tensor programs, and compiled as
while kernels are missing: what can be seen must be the same, to the bit.

    fuzz_compile.py --seed 1 --count 1000             prints each difference, shrunk, and a table
    fuzz_compile.py --runner compile                  compiled only
    fuzz_compile.py --runner identity                 as is both times: tests the fuzzer
    fuzz_compile.py --runner some.module:function     that wraps the program
    fuzz_compile.py --whole                           fails where something was in no program
    fuzz_compile.py --jobs 2                          in two processes at a time
    fuzz_compile.py --seed 17 --count 1 --show        the text of a program

Programs run in child processes, so that one that crashes or hangs is reported like the others.
"""

from __future__ import annotations

import argparse
import collections
import faulthandler
import importlib
import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import flambeau as torch
from calls import ALL_DTYPES, OPERATIONS
from compare import Runner, check, shrink
from flambeau._compile import recorded
from kinds import AUTOGRAD, BRANCHES, GENERAL, IN_PLACE, KINDS, RANDOM, READS, VIEWS
from programs import BUDGETS, Program, ProgramMaker

SECONDS = 120  # of a processor, for one program
PATIENCE = 1800  # seconds that pass, on a machine that does other things
SEEDS_A_CHILD = 250
RUNNERS = ["compile", "interpreter", "one_by_one"]


def make_program(seed: int) -> Program:
    return ProgramMaker(seed, KINDS, GENERAL).make()


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return torch.compile(
        function, options={"activation_memory_budget": getattr(function, "memory_budget", 1)}
    )


def one_by_one(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiled, and run as while no kernel of several operations is there yet."""
    return recorded(function, memory_budget=getattr(function, "memory_budget", 1), one_by_one=True)


def runner_of(name: str) -> Runner:
    if name == "identity":
        return lambda function: function
    if name == "compile":
        return compiled
    if name == "one_by_one":
        return one_by_one
    if name == "interpreter":
        return torch.compiler.interpreted
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def describe(program: Program, found: str) -> str:
    inputs = "\n".join(f"#   x{i}: {made}" for i, made in enumerate(program.inputs))
    how = f"{program.calls} calls, read {program.read}, other sizes {program.sizes}, "
    how += f"memory budget {program.memory_budget}, early {program.early}"
    return f"# seed {program.seed}: {found}\n# {how}\n{inputs}\n{program.text()}"


def limit(seconds: int) -> None:
    """Ends the process with a traceback after so many seconds of work, or many of waiting; 0: never."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    if seconds > 0:
        faulthandler.dump_traceback_later(PATIENCE, exit=True)
    else:
        faulthandler.cancel_dump_traceback_later()


def run_seeds(first: int, count: int, runners: list[Runner]) -> None:
    """As a child: a line of JSON before and after each program."""
    warnings.simplefilter("ignore")
    faulthandler.register(signal.SIGPROF, chain=True)
    for seed in range(first, first + count):
        print(json.dumps({"begin": seed}), flush=True)
        limit(SECONDS)
        program = make_program(seed)
        found = check(program, *runners)
        text = ""
        if found:
            limit(5 * SECONDS)
            small = shrink(program, *runners)
            text = describe(small, check(small, *runners) or found)
        limit(0)
        report = {"seed": seed, "size": program.statements(), "tags": program.tags, "text": text}
        print(json.dumps(report), flush=True)


# What has to be in some program: every operation of the registry and its in-place form, every dtype,
# and every kind of line.
KNOWN: dict[str, set[str]] = {
    "operation": {operation.tag for operation in OPERATIONS},
    "operation in place": {operation.name + "_" for operation in OPERATIONS if operation.in_place},
    "dtype": {str(dtype)[6:] for dtype in ALL_DTYPES},
    "view": {name for name, _ in VIEWS},
    "in place": {name for name, _ in IN_PLACE},
    "read": {name for name, _ in READS},
    "random": {name for name, _ in RANDOM},
    "branch": set(BRANCHES),
    "autograd": set(AUTOGRAD),
    "memory budget": {str(budget) for budget in BUDGETS},
}


class Coverage:
    """What was in some program."""

    def __init__(self) -> None:
        self.tables: dict[str, collections.Counter[str]] = collections.defaultdict(
            collections.Counter
        )
        self.sizes: list[int] = []

    def add(self, size: int, tags: list[list[str]]) -> None:
        self.sizes.append(size)
        for table, name in tags:
            self.tables[table][name] += 1

    def text(self) -> str:
        lines = [f"{len(self.sizes)} programs, median {statistics.median(self.sizes or [0])} lines"]
        for table in sorted(KNOWN.keys() | self.tables.keys()):
            counts = self.tables[table]
            names = KNOWN.get(table, set())
            missing = self.missing(table)
            of = f" of {len(names)}" if names else ""
            lines.append(
                f"{table}: {len(counts.keys() & names) if names else len(counts)}{of} kinds"
            )
            if table not in ("operation", "operation in place"):
                lines.append("    " + ", ".join(f"{n} {c}" for n, c in counts.most_common()))
            if missing:
                lines.append("    in no program: " + ", ".join(missing))
        return "\n".join(lines)

    def missing(self, table: str) -> list[str]:
        """What was in no program."""
        return sorted(KNOWN.get(table, set()) - self.tables[table].keys())


class Fuzzer:
    """Runs the programs of some seeds in `jobs` processes at a time and collects what they report."""

    def __init__(self, seeds: range, runners: list[str], jobs: int) -> None:
        self.coverage = Coverage()
        self.failures = 0  # programs that differ or end their process
        self.runners = runners
        self.lock = threading.Lock()
        parts = [seeds[i : i + SEEDS_A_CHILD] for i in range(0, len(seeds), SEEDS_A_CHILD)]
        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(self.run_part, parts))

    def run_part(self, seeds: range) -> None:
        while seeds:
            seeds = self.run_child(seeds)

    def fail(self, text: str) -> None:
        with self.lock:
            self.failures += 1
            print(text, flush=True)

    def run_child(self, seeds: range) -> range:
        """The seeds that are left: those after one that ended the process."""
        command = [sys.executable, "-W", "ignore", __file__, "--child", "--runner", *self.runners]
        command += ["--seed", str(seeds[0]), "--count", str(len(seeds))]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        begun = seeds[0]
        finished = False
        for line in child.stdout:
            report = json.loads(line)
            if finished := "begin" not in report:
                with self.lock:
                    self.coverage.add(report["size"], report["tags"])
                    if len(self.coverage.sizes) % 1000 == 0:
                        print(f"# {len(self.coverage.sizes)} programs", flush=True)
                if report["text"]:
                    self.fail(report["text"])
            else:
                begun = report["begin"]
        if child.wait() == 0 and finished and begun == seeds[-1]:
            return range(0)
        self.fail(f"# seed {begun}: the process ended with {child.returncode}")
        return range(begun + 1, seeds.stop)


def fuzz(first: int, count: int, runners: list[str], jobs: int, whole: bool) -> int:
    """Programs that differ or crash; with `whole`, what was in no program counts, too."""
    done = Fuzzer(range(first, first + count), runners, jobs)
    print(done.coverage.text())
    print(f"{count} programs from seed {first}: {done.failures} differ")
    return done.failures + (sum(len(done.coverage.missing(t)) for t in KNOWN) if whole else 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--runner", nargs="+", default=RUNNERS)
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument("--whole", action="store_true", help="fail if the table has gaps")
    parser.add_argument("--show", action="store_true", help="print the programs, run nothing")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.show:
        warnings.simplefilter("ignore")
        for seed in range(options.seed, options.seed + options.count):
            print(describe(make_program(seed), ""))
        return 0
    if options.child:
        run_seeds(options.seed, options.count, [runner_of(name) for name in options.runner])
        return 0
    found = fuzz(options.seed, options.count, options.runner, options.jobs, options.whole)
    return 1 if found else 0


if __name__ == "__main__":
    sys.path.insert(0, os.fspath(Path(__file__).parent))
    sys.exit(main())
