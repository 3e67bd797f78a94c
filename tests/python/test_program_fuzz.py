"""Random programs (program_fuzz/) do the same compiled; and the fuzzer finds what differs."""

from __future__ import annotations

import random
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import flambeau as torch
import pytest

FOLDER = Path(__file__).parent / "program_fuzz"
sys.path.insert(0, str(FOLDER))

from calls import OPERATIONS, CallMaker, Operation  # noqa: E402
from compare import check, run, shrink  # noqa: E402
from fuzz_compile import make_program, one_by_one  # noqa: E402
from fuzz_replay import Calls  # noqa: E402
from fuzz_replay import make_program as make_replayed  # noqa: E402


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    state = torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    torch.set_rng_state(state)


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_compiled_programs_do_the_same(first: int) -> None:
    for seed in range(first, first + 20):
        found = check(make_program(seed), torch.compile, torch.compiler.interpreted, one_by_one)
        assert not found, f"fuzz_compile.py --count 1 --seed {seed}: {found}"


def test_replayed_programs_do_the_same() -> None:
    scheduled = 0
    for seed in range(60):
        calls = Calls()
        found = calls.check(make_replayed(seed))
        assert not found, f"fuzz_replay.py --count 1 --seed {seed}: {found}"
        scheduled += calls.scheduled > 0
    assert scheduled > 10


def test_a_replayed_call_that_differs_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def stale(function: Callable[..., Any], replay: bool) -> Callable[..., Any]:
        """Gives what the first call gave."""
        kept: list[Any] = []
        return lambda *inputs: kept[0] if kept else kept.append(function(*inputs)) or kept[0]

    monkeypatch.setattr(torch, "compile", stale)
    assert any(Calls().check(make_replayed(seed)) for seed in range(5))


def test_a_program_is_made_and_runs_the_same_twice() -> None:
    for seed in (3, 8):
        program = make_program(seed)
        assert program.text() == make_program(seed).text()
        assert run(program, lambda f: f) == run(program, lambda f: f)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.tag)
def test_every_operation_can_be_written(operation: Operation) -> None:
    errors = []
    for seed in range(40):
        torch.manual_seed(seed)
        values = {"x0": torch.randn(3, 4), "x1": torch.rand(2, 3), "x2": torch.arange(5)}
        text = CallMaker(random.Random(seed), values).call(operation, in_place=False)
        try:
            exec(text, {"torch": torch, **values})
            return
        except (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError) as error:
            errors.append(f"{text}: {error}")
    raise AssertionError("\n".join(errors))


def last_bit_wrong(function: Callable[..., Any]) -> Callable[..., Any]:
    """Moves the first element of the first floating result by an ulp."""

    def wrong(*arguments: Any) -> Any:
        results = function(*arguments)
        for value in results.values():
            if value.dtype == torch.float32 and value.numel() > 0 and value.is_contiguous():
                value.data.nan_to_num_().flatten()[:1].view(torch.int32).add_(1)
                break
        return results

    return wrong


def test_an_ulp_is_found_and_the_program_shrunk() -> None:
    program = next(p for p in map(make_program, range(50)) if check(p, last_bit_wrong))
    small = shrink(program, last_bit_wrong)
    assert "bits" in check(small, last_bit_wrong)
    assert len(small.lines) < len(program.lines) / 2
    assert small.calls == 1
    assert len(small.kept) == 1


def test_what_fails_when_it_is_looked_at_is_a_difference() -> None:
    def fails_late(function: Callable[..., Any]) -> Callable[..., Any]:
        def compiled(*arguments: Any) -> Any:
            results = function(*arguments)
            for name, value in results.items():
                if value.requires_grad and not value.is_leaf:
                    results[name] = value.as_subclass(Refuses)
            return results

        return compiled

    program = next(p for p in map(make_program, range(50)) if check(p, fails_late))
    small = shrink(program, fails_late)
    assert "nobody may look" in check(small, fails_late)
    assert small.calls == 1


class Refuses(torch.Tensor):
    def detach(self) -> Any:
        raise RuntimeError("nobody may look")


def crash(function: Callable[..., Any]) -> Callable[..., Any]:
    raise SystemExit(3)


def test_the_command_reports_programs_that_end_the_process() -> None:
    command = [sys.executable, str(FOLDER / "fuzz_compile.py"), "--seed", "5", "--count", "2"]
    runner = ["--runner", "test_program_fuzz:crash"]
    done = subprocess.run(
        command + runner,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": f"{Path(__file__).parent}:{Path(torch.__file__).parents[1]}"},
    )
    assert done.returncode == 1, done.stderr
    assert "# seed 5: the process ended with 3" in done.stdout
    assert "2 programs from seed 5: 2 differ" in done.stdout
