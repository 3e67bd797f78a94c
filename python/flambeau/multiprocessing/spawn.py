"""Several processes of one function, whose first failure ends all."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import shutil
import sys
import tempfile
import traceback
import weakref
from typing import Any, Callable

__all__ = [
    "ProcessContext",
    "ProcessException",
    "ProcessExitedException",
    "ProcessRaisedException",
    "SpawnContext",
    "spawn",
    "start_processes",
]


class ProcessException(Exception):
    def __init__(self, msg: str, error_index: int, pid: int | None) -> None:
        super().__init__(msg)
        self.msg = msg
        self.error_index = error_index
        self.pid = pid


class ProcessRaisedException(ProcessException):
    """The function raised."""


class ProcessExitedException(ProcessException):
    """The process ended by a signal or with an exit status."""

    def __init__(
        self,
        msg: str,
        error_index: int,
        error_pid: int | None,
        exit_code: int,
        signal_name: str | None = None,
    ) -> None:
        super().__init__(msg, error_index, error_pid)
        self.exit_code = exit_code
        self.signal_name = signal_name


def _run(fn: Callable[..., Any], rank: int, args: tuple[Any, ...], report: str) -> None:
    try:
        fn(rank, *args)
    except KeyboardInterrupt:
        pass
    except Exception:  # The parent raises it.
        with open(report, "w") as file:
            file.write(traceback.format_exc())
        sys.exit(1)


class ProcessContext:
    """The processes that were started."""

    def __init__(self, processes: list[Any], reports: list[str]) -> None:
        self.processes = processes
        self._reports = reports

    def pids(self) -> list[int]:
        return [process.pid for process in self.processes]

    def join(self, timeout: float | None = None, grace_period: float | None = None) -> bool:
        """True once all have ended; raises what the first that failed raised, when the others were ended."""
        alive = [process for process in self.processes if process.is_alive()]
        if alive:
            multiprocessing.connection.wait([process.sentinel for process in alive], timeout)
        codes = [process.exitcode for process in self.processes]  # once: more may end meanwhile
        failed = next((i for i, code in enumerate(codes) if code not in (None, 0)), None)
        if failed is None:
            return None not in codes
        for process in self.processes:
            if process.is_alive():
                process.terminate()
        for process in self.processes:
            process.join(grace_period)
        process = self.processes[failed]
        with open(self._reports[failed]) as file:
            text = file.read()
        if text:
            raise ProcessRaisedException(
                f"\n\n-- Process {failed} terminated with the following error:\n{text}",
                failed,
                process.pid,
            )
        how = (
            f"signal {-process.exitcode}"
            if process.exitcode < 0
            else f"exit code {process.exitcode}"
        )
        raise ProcessExitedException(
            f"process {failed} terminated with {how}", failed, process.pid, process.exitcode
        )


SpawnContext = ProcessContext


def start_processes(
    fn: Callable[..., Any],
    args: tuple[Any, ...] = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> Any:
    """Processes that call fn(i, *args); waits for them, or gives the ProcessContext."""
    context = multiprocessing.get_context(start_method)
    processes, reports = [], []
    folder = tempfile.mkdtemp(prefix="flambeau_spawn_")
    for rank in range(nprocs):
        report = f"{folder}/{rank}"
        with open(report, "w"):
            pass
        process: Any = context.Process(target=_run, args=(fn, rank, args, report), daemon=daemon)  # type: ignore[attr-defined]
        process.start()
        processes.append(process)
        reports.append(report)
    result = ProcessContext(processes, reports)
    weakref.finalize(result, shutil.rmtree, folder, ignore_errors=True)
    if not join:
        return result
    while not result.join():
        pass
    return None


def spawn(
    fn: Callable[..., Any],
    args: tuple[Any, ...] = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> Any:
    """start_processes with new interpreters."""
    return start_processes(fn, args, nprocs, join, daemon, start_method)
