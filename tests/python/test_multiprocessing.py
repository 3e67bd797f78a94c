"""Tensors that processes share: spawn, fork, queues, both strategies, failures."""

from __future__ import annotations

import gc
import glob
from pathlib import Path
from typing import Any

import flambeau as torch
import pytest
from flambeau import multiprocessing as mp
from flambeau.multiprocessing import reductions

pytestmark = pytest.mark.supports


def fill(rank: int, shared: torch.Tensor, queue: Any, back: Any) -> None:
    shared[rank] = rank + 1.0
    if rank == 0:
        back.put(torch.arange(4.0) * 2)
        received = queue.get()
        received.mul_(3)
        back.put("done")
        queue.get()  # until the sender has read


def fails(rank: int) -> None:
    if rank == 1:
        raise ValueError("no such luck")


def test_spawned_processes_write_shared_tensors() -> None:
    context: Any = mp.get_context("spawn")
    shared, queue, back = torch.zeros(2, 3), context.Queue(), context.Queue()
    sent = torch.ones(2)
    processes = mp.spawn(fill, (shared, queue, back), nprocs=2, join=False)
    assert torch.equal(back.get(timeout=60), torch.arange(4.0) * 2)
    queue.put(sent)
    assert back.get(timeout=60) == "done"
    assert sent.is_shared() and sent.tolist() == [3.0, 3.0]
    queue.put(None)
    while not processes.join():
        pass
    assert shared.is_shared() and shared.tolist() == [[1.0] * 3, [2.0] * 3]


def test_a_failure_is_told() -> None:
    with pytest.raises(mp.ProcessRaisedException, match="no such luck") as raised:
        mp.start_processes(fails, nprocs=2, start_method="fork")
    assert raised.value.error_index == 1


def test_a_process_that_fails_while_it_is_looked_at_is_told(tmp_path: Path) -> None:
    class Ending:
        """Ends with an error when it has been looked at twice."""

        looks, sentinel, pid = 0, 0, 0

        @property
        def exitcode(self) -> int | None:
            self.looks += 1
            return None if self.looks <= 2 else 1

        def is_alive(self) -> bool:
            return self.exitcode is None

        def join(self, timeout: float | None = None) -> None:
            pass

    report = tmp_path / "report"
    report.write_text("no such luck")
    context = mp.ProcessContext([Ending()], [str(report)])
    assert not context.join(timeout=0)
    with pytest.raises(mp.ProcessRaisedException, match="no such luck"):
        context.join(timeout=0)


@pytest.mark.parametrize("strategy", ["file_descriptor", "file_system"])
def test_strategies(strategy: str) -> None:
    assert mp.get_sharing_strategy() == "file_descriptor"
    mp.set_sharing_strategy(strategy)
    try:
        base = torch.arange(6.0).share_memory_()
        view = base.view(2, 3)[1]
        parent, child = mp.Pipe()
        parent.send(view)
        other = child.recv()
        other.add_(1)
        assert base.tolist() == [0.0, 1.0, 2.0, 4.0, 5.0, 6.0] and other.is_shared()
        parameter = torch.nn.Parameter(torch.ones(2))
        parent.send(parameter)
        received = child.recv()
        assert type(received) is torch.nn.Parameter and received.requires_grad
    finally:
        mp.set_sharing_strategy("file_descriptor")
    del base, view, other, parameter, received
    gc.collect()
    assert glob.glob("/dev/shm/flambeau_*") == []


def test_what_is_refused() -> None:
    x = torch.ones(2, requires_grad=True) * 2
    with pytest.raises(RuntimeError, match="Cowardly refusing to serialize non-leaf tensor"):
        reductions.reduce_tensor(x)
    with pytest.raises(AssertionError, match="unknown sharing strategy"):
        mp.set_sharing_strategy("telepathy")
