"""What other threads, finalizers and owners of memory do while something is recorded."""

from __future__ import annotations

import gc
import mmap
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import flambeau as torch
import numpy
import pytest


def in_thread(work: Callable[[], Any]) -> Any:
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    thread.join()
    return results[0]


def test_a_thread_reads_what_a_captured_call_computes() -> None:
    weight = torch.ones(4)
    seen: list[list[float]] = []

    def function(x: torch.Tensor) -> torch.Tensor:
        doubled = x * weight * 2
        seen.append(in_thread(doubled.tolist))
        return doubled + 1

    replayed = torch.compile(function, replay=True)
    for value in (1.0, 2.0):
        assert replayed(torch.full((4,), value)).tolist() == [2 * value + 1] * 4
    assert seen == [[2.0] * 4, [4.0] * 4]
    with pytest.raises(RuntimeError, match="a replayed call would not do that"):
        replayed(torch.ones(4))


def test_threads_record_on_what_captured_calls_use() -> None:
    weight, stop = torch.ones(16), threading.Event()
    wrong: list[str] = []
    refused: list[str] = []

    def other() -> None:
        scaled = torch.compile(lambda x: x * weight)
        x = torch.ones(16)
        while not stop.is_set():
            if scaled(x).tolist() != [1.0] * 16:
                wrong.append("reader")

    thread = threading.Thread(target=other)
    thread.start()
    try:
        for k in range(200):
            replayed = torch.compile(lambda x, k=k: (x * weight + k) * 2, replay=True)
            try:
                got = [replayed(torch.full((16,), 3.0)).tolist() for _ in range(3)]
                if got != [[2.0 * (3 + k)] * 16] * 3:
                    wrong.append("replay")
            except RuntimeError as error:
                refused.append(str(error))
    finally:
        stop.set()
        thread.join()
    assert wrong == []
    assert all("had to run before the call ended" in text for text in refused)


def test_results_die_in_another_thread_while_a_program_is_planned() -> None:
    x = torch.arange(64.0) / 64

    def many(x: torch.Tensor) -> list[torch.Tensor]:
        results = [x]
        for _ in range(200):
            results.append(results[-1].sin() * 0.5 + x)
        return results[1:]

    wanted = [result.tolist() for result in many(x)]
    compiled, stop = torch.compile(many), threading.Event()

    def collect() -> None:
        while not stop.is_set():
            gc.collect(0)
            time.sleep(0.0005)

    collector = threading.Thread(target=collect)
    collector.start()
    try:
        for _ in range(20):
            torch.compiler.reset()
            for _ in range(2):
                box: list[Any] = compiled(x)
                box.append(box)
                del box
                torch.compiler.flush()
            results = compiled(x)
            torch.compiler.flush()
            assert [result.tolist() for result in results] == wanted
            del results
    finally:
        stop.set()
        collector.join()


def array_that_calls(when_gone: Callable[[], None]) -> torch.Tensor:
    array = numpy.full(4, 3, numpy.float32)
    weakref.finalize(array, when_gone)
    return torch.from_numpy(array)


def test_a_finalizer_computes() -> None:
    """What is recorded lets go of memory with no lock held."""
    said: list[list[float]] = []
    one = torch.ones(4)

    def gone() -> None:
        said.append(torch.compile(lambda x: x + 1)(one).tolist())

    @torch.compile
    def function(x: torch.Tensor) -> torch.Tensor:
        made = x * 2
        made.untyped_storage()  # it has an object of Python's
        result = made * array_that_calls(gone)
        for _ in range(5):
            result = result * 2
        return result

    for _ in range(4):
        assert function(one).tolist() == [192.0] * 4
    gc.collect()
    assert said == [[2.0] * 4] * 4


def test_a_storage_of_python_dies_while_its_thread_records() -> None:
    stop, values = threading.Event(), []

    @torch.compile
    def step(x: torch.Tensor) -> torch.Tensor:
        h = x
        for _ in range(10):
            a = h * 2
            a.untyped_storage()
            h = a + 1
            del a
        values.append(h.sum())
        for _ in range(40):
            h = h + 1
        return h

    def read() -> None:
        while not stop.is_set():
            if values:
                values.pop().item()

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(300):
        step(torch.ones(64))
    stop.set()
    reader.join()


def from_view(memory: numpy.ndarray[Any, Any]) -> torch.Tensor:
    view = memory.view()
    view.flags.writeable = False
    return torch.from_numpy(view)


READ_ONLY: dict[str, Callable[[numpy.ndarray[Any, Any]], torch.Tensor]] = {
    "view": from_view,
    "broadcast": lambda memory: torch.from_numpy(numpy.broadcast_to(memory[:1], (4,))),
    "buffer": lambda memory: torch.frombuffer(memoryview(memory).toreadonly(), dtype=torch.float32),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", READ_ONLY)
def test_what_is_read_only_here_may_be_written_elsewhere(name: str) -> None:
    memory = numpy.zeros(4, numpy.float32)
    tensor = READ_ONLY[name](memory)
    result = torch.compile(lambda t: t * 2 + 1)(tensor)
    memory[:] = 5
    assert result.tolist() == [1.0] * 4
    assert tensor.tolist() == [5.0] * 4


@pytest.mark.filterwarnings("ignore")
def test_a_mapping_closes_where_its_tensor_is_gone() -> None:
    mapping = mmap.mmap(-1, 16, access=mmap.ACCESS_WRITE)
    view = memoryview(mapping).toreadonly()
    tensor = torch.frombuffer(view, dtype=torch.float32)
    result = torch.compile(lambda t: t + 1)(tensor)
    del tensor
    view.release()
    mapping.close()
    assert result.tolist() == [1.0] * 4


def test_a_part_of_a_storage_is_the_same_memory() -> None:
    x = torch.zeros(8)
    part = torch.empty(0).set_(x.untyped_storage()[0:16], 0, (4,), (1,))

    @torch.compile
    def function(x: torch.Tensor, part: torch.Tensor) -> torch.Tensor:
        x.add_(1)
        return part * 1

    assert function(x, part).tolist() == [1.0] * 4
    assert part.tolist() == [1.0] * 4


def test_what_is_interpreted_is_not_recorded() -> None:
    def runs() -> int:
        return int(torch._C._compile_stats()["runs"])

    compiled = torch.compile(lambda x: x * 2 + 1)
    before = runs()
    result = torch.compiler.interpreted(compiled)(torch.ones(3))
    torch.compiler.flush()
    assert result.tolist() == [3.0] * 3
    assert runs() == before


DAEMONS = """
import threading, time
import flambeau

def forever():
    while True:
        doubled(flambeau.ones(10)).sum().item()

doubled = flambeau.compile(lambda x: x * 2 + 1)
for _ in range(2):
    threading.Thread(target=forever, daemon=True).start()
time.sleep(0.2)
doubled(flambeau.ones(3))
print("end")
"""


def test_a_process_ends_while_daemon_threads_compute() -> None:
    """Python takes its lock away from them for ever."""
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", DAEMONS], capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")
