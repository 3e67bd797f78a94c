"""flambeau.utils.data. Expected orders and seeds are PyTorch 2.7.1's for the same seeds."""

from __future__ import annotations

import collections
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import flambeau
import numpy as np
import pytest
from flambeau.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    get_worker_info,
    random_split,
)

TEN = [*range(10)]


class Squares(Dataset):
    """A dataset of tensors that two processes can pickle."""

    def __init__(self, count: int = 10) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> tuple[flambeau.Tensor, int]:
        return flambeau.full((2, 3), float(i * i)), i


class Stream(IterableDataset):
    """0, 1, ...; workers take every num_workers-th."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __iter__(self) -> Iterator[int]:
        info = get_worker_info()
        first, step = (0, 1) if info is None else (info.id, info.num_workers)
        return iter(range(first, self.count, step))


def lists(loader: Any) -> list[Any]:
    return [batch.tolist() for batch in loader]


# -- samplers ------------------------------------------------------------------------------------


def test_shuffled_order_is_pytorchs() -> None:
    flambeau.manual_seed(0)
    loader = DataLoader(TEN, batch_size=3, shuffle=True)
    assert lists(loader) == [[6, 7, 1], [4, 2, 0], [9, 8, 3], [5]]
    assert lists(loader) == [[2, 4, 7], [0, 8, 9], [5, 3, 6], [1]]


def test_order_from_a_generator_is_pytorchs() -> None:
    generator = flambeau.Generator().manual_seed(7)
    loader = DataLoader(TEN, batch_size=3, shuffle=True, generator=generator, drop_last=True)
    assert len(loader) == 3
    assert lists(loader) == [[1, 3, 5], [7, 9, 4], [6, 2, 8]]
    assert lists(loader) == [[5, 1, 6], [0, 9, 7], [8, 4, 3]]


def test_samplers_draw_as_pytorchs() -> None:
    flambeau.manual_seed(0)
    assert [*RandomSampler(TEN, replacement=True, num_samples=40)] == [
        6, 0, 4, 3, 9, 5, 7, 8, 9, 1, 8, 5, 6, 9, 0, 0, 8, 3, 0, 0,
        1, 9, 0, 7, 8, 3, 9, 7, 2, 2, 2, 9, 4, 6, 8, 8, 8, 7, 3, 9,
    ]  # fmt: skip
    flambeau.manual_seed(0)
    assert [*WeightedRandomSampler([1, 2, 3, 4], 6)] == [3, 3, 2, 3, 3, 3]
    assert [*WeightedRandomSampler([1, 2, 3, 4], 3, replacement=False)] == [3, 0, 1]
    flambeau.manual_seed(0)
    assert [*SubsetRandomSampler([5, 6, 7, 8])] == [5, 6, 8, 7]
    assert [*BatchSampler(SequentialSampler(TEN), 4, False)] == [TEN[:4], TEN[4:8], TEN[8:]]
    assert [*BatchSampler(SequentialSampler(TEN), 4, True)] == [TEN[:4], TEN[4:8]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomSampler([]), "num_samples should be a positive integer"),
        (lambda: BatchSampler([], 0, False), "batch_size should be a positive integer"),
        (lambda: DataLoader(TEN, num_workers=-1), "non-negative"),
        (lambda: DataLoader(TEN, prefetch_factor=2), "num_workers > 0"),
        (lambda: DataLoader(TEN, persistent_workers=True), "num_workers > 0"),
        (lambda: DataLoader(TEN, timeout=-1), "timeout"),
        (lambda: DataLoader(TEN, shuffle=True, sampler=TEN), "mutually exclusive"),
        (lambda: DataLoader(TEN, batch_size=2, batch_sampler=[TEN]), "mutually exclusive"),
        (lambda: DataLoader(TEN, batch_size=None, drop_last=True), "mutually exclusive"),
        (lambda: DataLoader(Stream(3), shuffle=True), "IterableDataset"),
        (lambda: random_split(TEN, [5, 6]), "does not equal the length"),
    ],
)
def test_bad_options(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


# -- datasets ------------------------------------------------------------------------------------


def test_random_split_is_pytorchs() -> None:
    flambeau.manual_seed(0)
    parts = random_split(TEN, [0.5, 0.3, 0.2])
    assert [part.indices for part in parts] == [[4, 1, 7, 5, 3], [9, 0, 8], [6, 2]]
    assert [parts[2][i] for i in range(len(parts[2]))] == [6, 2]


def test_datasets_of_datasets() -> None:
    both = ConcatDataset([TEN, Subset(TEN, [3, 1])])
    assert len(both) == 12
    assert [both[i] for i in (0, 9, 10, 11, -1)] == [0, 9, 3, 1, 1]
    with pytest.raises(ValueError, match="absolute value of index"):
        both[-13]
    rows = TensorDataset(flambeau.arange(3), flambeau.arange(6).view(3, 2))
    assert [t.tolist() for t in rows[2]] == [2, [4, 5]]
    with pytest.raises(AssertionError, match="Size mismatch"):
        TensorDataset(flambeau.arange(3), flambeau.arange(4))


Point = collections.namedtuple("Point", ["x", "y"])


def test_default_collate() -> None:
    batch = default_collate([{"a": 1, "b": (2.0, "x")}, {"a": 3, "b": (4.0, "y")}])
    assert batch["a"].tolist() == [1, 3]
    assert batch["a"].dtype == flambeau.int64
    assert batch["b"][0].dtype == flambeau.float64
    assert batch["b"][1] == ("x", "y")
    assert isinstance(batch["b"], list)
    points = default_collate([Point(flambeau.ones(2), 1), Point(flambeau.zeros(2), 2)])
    assert isinstance(points, Point)
    assert points.x.tolist() == [[1, 1], [0, 0]]
    assert default_collate([np.float32([1, 2]), np.float32([3, 4])]).tolist() == [[1, 2], [3, 4]]
    with pytest.raises(RuntimeError, match="equal size"):
        default_collate([[1, 2], [1]])
    with pytest.raises(TypeError, match="found <class 'object'>"):
        default_collate([object()])


# -- workers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_workers_give_the_same_batches(context: str) -> None:
    plain = [(x.tolist(), y.tolist()) for x, y in DataLoader(Squares(), batch_size=3)]
    loader = DataLoader(Squares(), batch_size=3, num_workers=2, multiprocessing_context=context)
    assert [(x.tolist(), y.tolist()) for x, y in loader] == plain
    assert len(plain) == 4


class Seeds(Dataset):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, i: int) -> Any:
        info = get_worker_info()
        assert info is not None
        return info.id, info.seed, flambeau.rand(1).item(), random.random(), np.random.rand()  # noqa: NPY002


def test_workers_are_seeded_as_pytorchs() -> None:
    flambeau.manual_seed(0)
    assert [*DataLoader(Seeds(), num_workers=2, batch_size=None)] == [
        [0, 900450186894289455, 0.7821398973464966, 0.21315340548154382, 0.8371640508861415],
        [1, 900450186894289456, 0.6938178539276123, 0.7733861492043289, 0.6702704958690073],
        [0, 900450186894289455, 0.053598999977111816, 0.2764485855185723, 0.38757835109739946],
        [1, 900450186894289456, 0.29795897006988525, 0.1634220007200502, 0.07589687641367027],
    ]


class Shapes(Dataset):
    """Tensors of every kind: dtypes, empty, 0-dim, strided, shared, requiring gradients."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, i: int) -> Any:
        base = flambeau.arange(6).view(2, 3)
        return {
            "half": flambeau.tensor([1.5, i], dtype=flambeau.bfloat16),
            "flags": flambeau.tensor([True, False]),
            "empty": flambeau.empty(0, 3),
            "scalar": flambeau.tensor(i),
            "transposed": base.t(),
            "grad": flambeau.ones(2).requires_grad_(),
            "array": np.arange(3),
            "text": "x" * 100_000,
        }


def test_every_kind_of_tensor_travels() -> None:
    for i, item in enumerate(DataLoader(Shapes(), batch_size=None, num_workers=1)):
        expected = Shapes()[i]
        for name, value in expected.items():
            if isinstance(value, flambeau.Tensor):
                assert item[name].dtype == value.dtype, name
                assert item[name].shape == value.shape, name
                assert item[name].tolist() == value.tolist(), name
                assert item[name].requires_grad == value.requires_grad, name
        assert item["array"].tolist() == [0, 1, 2]
        assert item["text"] == expected["text"]
        item["half"].add_(1)  # received memory is writable


@pytest.mark.parametrize("workers", [0, 2, 3])
def test_iterable_datasets(workers: int) -> None:
    loader = DataLoader(Stream(10), batch_size=2, num_workers=workers)
    assert sorted(item for batch in lists(loader) for item in batch) == TEN
    assert lists(DataLoader(Stream(3), batch_size=2, drop_last=True)) == [[0, 1]]


class Faulty(Dataset):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, i: int) -> int:
        if i == 2:
            raise IndexError("item 2 is bad")
        return i


def test_errors_of_workers_keep_type_and_traceback() -> None:
    loader = DataLoader(Faulty(), num_workers=2)
    with pytest.raises(IndexError) as caught:
        lists(loader)
    text = str(caught.value)
    assert text.startswith("Caught IndexError in DataLoader worker process 0.")
    assert "item 2 is bad" in text
    assert "__getitem__" in text


def bad_init(worker: int) -> None:
    raise KeyError(f"worker {worker}")


def test_errors_of_worker_init_fn() -> None:
    with pytest.raises(KeyError, match="Caught KeyError in DataLoader worker process 0"):
        lists(DataLoader(TEN, num_workers=1, worker_init_fn=bad_init))


class Deadly(Dataset):
    def __len__(self) -> int:
        return 8

    def __getitem__(self, i: int) -> int:
        if i == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        return i


class Slow(Dataset):
    def __len__(self) -> int:
        return 2

    def __getitem__(self, i: int) -> int:
        time.sleep(30)
        return i


def test_a_killed_worker_is_an_error() -> None:
    with pytest.raises(RuntimeError, match=r"worker \(pid \d+\) is killed by signal: Killed"):
        lists(DataLoader(Deadly(), num_workers=2))


def test_timeout() -> None:
    with pytest.raises(RuntimeError, match=r"timed out after 0\.2 seconds"):
        lists(DataLoader(Slow(), num_workers=1, timeout=0.2))


class Identity(Dataset):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, i: int) -> int:
        return os.getpid()


def test_persistent_workers_stay() -> None:
    loader = DataLoader(Identity(), num_workers=2, persistent_workers=True)
    first = {pid for batch in lists(loader) for pid in batch}
    for _ in loader:
        break  # an epoch that is left early must not disturb the next
    assert {pid for batch in lists(loader) for pid in batch} == first
    assert len(first) == 2
    fresh = DataLoader(Identity(), num_workers=1)
    assert lists(fresh) != lists(fresh)


def test_abandoned_workers_end() -> None:
    loader = iter(DataLoader(Identity(), num_workers=1, batch_size=1))
    pid = next(loader).item()
    del loader
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


INTERRUPTED = """
import os, signal, sys, threading, time
from flambeau.utils.data import DataLoader
class Items:
    def __len__(self): return 1000
    def __getitem__(self, i):
        time.sleep(0.01)
        return os.getpid()
pids = set()
try:
    for i, batch in enumerate(DataLoader(Items(), num_workers=2)):
        pids.add(batch.item())
        if len(pids) == 2: print("ready", flush=True)
except KeyboardInterrupt:
    print(*pids)
"""


def test_ctrl_c_ends_workers_and_tells_python() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED],
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "ready\n"
        os.killpg(run.pid, signal.SIGINT)
        rest = run.stdout.read().replace("ready", "").split()
    assert len(rest) == 2
    for pid in rest:
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)


def test_fork_after_parallel_work() -> None:
    """Workers use tensors although the pool's threads were not forked."""
    flambeau.ones(1 << 20).add(1).sum().item()
    assert len(lists_of_first(DataLoader(Heavy(), num_workers=2))) == 4


class Heavy(Dataset):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, i: int) -> flambeau.Tensor:
        return flambeau.ones(1 << 20).add(i).sum()


def lists_of_first(loader: Any) -> list[float]:
    return [batch[0].item() for batch in loader]


# -- resuming ------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("own_generator", [False, True])
@pytest.mark.parametrize("stop", [0, 2, 4, 5, 7])
def test_resumes_at_the_same_batch(workers: int, own_generator: bool, stop: int) -> None:
    def make() -> DataLoader:
        generator = flambeau.Generator().manual_seed(3) if own_generator else None
        return DataLoader(TEN, batch_size=3, shuffle=True, num_workers=workers, generator=generator)

    def endless(loader: DataLoader) -> Iterator[list[int]]:
        while True:
            yield from lists_lazily(loader)

    flambeau.manual_seed(1)
    loader = make()
    batches = endless(loader)
    for _ in range(stop):
        next(batches)
    state, random_state = loader.state_dict(), flambeau.get_rng_state()
    rest = [next(batches) for _ in range(9)]

    flambeau.manual_seed(99)
    resumed = make()
    resumed.load_state_dict(state)
    flambeau.set_rng_state(random_state)
    assert resumed.state_dict()["batches"] == state["batches"]
    again = endless(resumed)
    assert [next(again) for _ in range(9)] == rest


def lists_lazily(loader: DataLoader) -> Iterator[list[int]]:
    for batch in loader:
        yield batch.tolist()


def test_a_stream_resumes() -> None:
    loader = DataLoader(Stream(10), batch_size=2)
    batches = iter(loader)
    next(batches)
    state = loader.state_dict()
    resumed = DataLoader(Stream(10), batch_size=2)
    resumed.load_state_dict(state)
    assert lists(resumed) == lists(batches)
    with pytest.raises(ValueError, match="missing"):
        resumed.load_state_dict({})
