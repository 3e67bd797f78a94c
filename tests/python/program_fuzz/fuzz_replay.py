"""Random programs that read no values, called as they are and with compile(replay=True): results,
inputs, their gradients and the generator must be the same, to the bit.

    fuzz_replay.py --seed 1 --count 1000          prints each difference, shrunk, and what was replayed
    fuzz_replay.py --seed 17 --count 1 --show     the text of a program
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flambeau as torch
from compare import Observer, difference, is_whole, with_fewer_lines
from kinds import GENERAL, KINDS, branch, life, operation, random_numbers, read
from programs import Kind, Program, ProgramMaker

# What a replayed call would not do again, or not the same.
REFUSED = (
    "log.",
    "held.",
    "hook",
    "retain_grad",
    "requires_grad_",
    ".item()",
    "nonzero",
    "rand",
    "uniform_",
    "normal_",
    "bernoulli",
    "multinomial",
)


def replayable(kind: Kind) -> Kind:
    """Lines of the kind that a replayed call can do again."""

    def line(maker: ProgramMaker) -> str:
        text = kind(maker)
        if any(word in text for word in REFUSED):
            raise IndexError
        return text

    return line


def make_program(seed: int) -> Program:
    # Many operations cannot be replayed: a program has few of them.
    weights = {read: 0, branch: 0, life: 0, operation: 6, random_numbers: 1}
    kinds, general = (
        [(replayable(kind), weights.get(kind, weight)) for kind, weight in some]
        for some in (KINDS, GENERAL)
    )
    return ProgramMaker(seed, kinds, general).make()


def without_versions(seen: Any) -> Any:
    """A replayed call counts as one write, however many there were."""
    if isinstance(seen, dict):
        return {k: without_versions(item) for k, item in seen.items() if k != "version"}
    return [without_versions(item) for item in seen] if isinstance(seen, list) else seen


class Calls:
    """The calls of a program: how often they ran as a schedule, and why they were refused."""

    def __init__(self) -> None:
        self.scheduled = 0
        self.refused = ""

    def observe(self, program: Program, runner: Callable[[Any], Any]) -> Any:
        """What is seen after each of some calls: on the same inputs, on others, and on the first."""
        written = program.function()

        def call(*inputs: Any) -> dict[str, Any]:
            results = written(list(inputs), [], [])
            return {name: value.detach() for name, value in results.items()}

        function = runner(call)
        torch.manual_seed(program.seed)
        sets = [[made.make() for made in program.inputs] for _ in range(2)]
        observed: list[Any] = []
        for number in (0, 0, 0, 1, 1, 0):
            before = torch._C._compile_stats()["schedules"]
            try:
                results = function(*sets[number])
            except Exception as error:
                if str(error).startswith("compile: replay=True"):
                    self.refused = str(error)
                    return None
                results = {"raised": type(error).__name__}
            self.scheduled += torch._C._compile_stats()["schedules"] - before
            torch._C._compile_wait()
            seen = Observer().seen([results, *sets])
            observed.append([without_versions(seen), torch.get_rng_state().numpy().tobytes()])
        return observed

    def check(self, program: Program) -> str:
        """What differs first; empty if nothing does, or the program cannot be replayed."""
        self.scheduled, self.refused = 0, ""
        wanted = self.observe(program, lambda function: function)
        if not is_whole(wanted):
            return ""
        found = self.observe(program, lambda function: torch.compile(function, replay=True))
        return "" if found is None else difference(wanted, found)


def shrink(program: Program) -> Program:
    """The program with fewer lines, that still differs."""

    def differs(lines: list[str]) -> Program | None:
        smaller = Program(**{**program.__dict__, "lines": lines})
        try:
            return smaller if Calls().check(smaller) else None
        except SyntaxError:
            return None

    return with_fewer_lines(program, differs)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--show", action="store_true", help="print the programs, run nothing")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    differ = replayed = scheduled = 0
    why: dict[str, int] = {}
    for seed in range(options.seed, options.seed + options.count):
        program = make_program(seed)
        if options.show:
            print(program.text())
            continue
        calls = Calls()
        if found := calls.check(program):
            differ += 1
            small = shrink(program)
            print(f"# seed {seed}: {Calls().check(small) or found}\n{small.inputs}\n{small.text()}")
            sys.stdout.flush()
        replayed += not calls.refused
        scheduled += calls.scheduled > 0
        if calls.refused:
            reason = calls.refused.partition(": ")[2].partition("(")[0][:90]
            why[reason] = why.get(reason, 0) + 1
    for reason, count in sorted(why.items(), key=lambda item: -item[1])[:8]:
        print(f"refused {count} times: {reason}")
    print(
        f"{options.count} programs from seed {options.seed}: {replayed} replayed, {scheduled} as a "
        f"schedule, {differ} differ"
    )
    return 1 if differ else 0


if __name__ == "__main__":
    sys.path.insert(0, os.fspath(Path(__file__).parent))
    sys.exit(main())
