"""Datasets, samplers, and the DataLoader in this process."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from typing import Any

import numpy
import torch
from common import case, error_of, kind_of, values
from torch.utils import data

Point = namedtuple("Point", ["x", "y"])


class Squares(data.Dataset):
    def __init__(self, count: int = 7) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> Any:
        if i >= self.count:
            raise IndexError(i)
        return i * i


class Stream(data.IterableDataset):
    def __init__(self, count: int = 5) -> None:
        self.count = count

    def __iter__(self) -> Any:
        return iter(range(self.count))


class Sized(Stream):
    def __len__(self) -> int:
        return self.count


def batches(loader: Any) -> Any:
    return [batch for batch in loader]


@case
def sets() -> Any:
    tensors = data.TensorDataset(values(4, 2), torch.arange(4))
    joined = data.ConcatDataset([Squares(3), Squares(2)])
    subset = data.Subset(Squares(), [5, 1, 3])
    stack = data.StackDataset(a=Squares(), b=Squares())
    return [
        len(tensors), tensors[1], len(joined), [joined[i] for i in range(5)], joined[-1], joined.cumulative_sizes, len(subset), [subset[i] for i in range(3)],
        stack[2], len(stack), data.StackDataset(Squares(), Squares())[3], [*data.ChainDataset([Stream(2), Stream(3)])], len(data.ChainDataset([Sized(2), Sized(3)])),
        len(Squares(2) + Squares(3)), type(Stream() + Stream()).__name__,
        error_of(lambda: data.ConcatDataset([])), kind_of(lambda: data.ConcatDataset([Stream()])), kind_of(lambda: data.TensorDataset(torch.ones(1), torch.ones(2))),
        kind_of(lambda: joined[-9]), kind_of(lambda: data.StackDataset(Squares(1), Squares(2))), kind_of(lambda: data.StackDataset()),
    ]  # fmt: skip


@case
def splits() -> Any:
    g = torch.Generator().manual_seed(3)
    parts = data.random_split(Squares(10), [3, 7], generator=g)
    shares = data.random_split(Squares(10), [0.25, 0.25, 0.5], generator=torch.Generator().manual_seed(3))
    return [[[*p.indices] for p in parts], [[*p.indices] for p in shares], error_of(lambda: data.random_split(Squares(10), [3, 3])), error_of(lambda: data.random_split(Squares(10), [1.5, -0.5]))]


@case
def samplers() -> Any:
    def seeded() -> Any:
        return torch.Generator().manual_seed(5)

    torch.manual_seed(7)
    return [
        [*data.SequentialSampler(Squares())], [*data.RandomSampler(Squares(), generator=seeded())], [*data.RandomSampler(Squares())],
        [*data.RandomSampler(Squares(), True, 40, generator=seeded())], [*data.RandomSampler(Squares(), num_samples=17, generator=seeded())],
        [*data.SubsetRandomSampler([4, 2, 9], generator=seeded())], [*data.WeightedRandomSampler([0.1, 0.0, 0.9], 8, generator=seeded())],
        [*data.WeightedRandomSampler([0.1, 0.5, 0.9], 3, replacement=False, generator=seeded())],
        [*data.BatchSampler(range(7), 3, False)], [*data.BatchSampler(range(7), 3, True)], len(data.BatchSampler(range(7), 3, False)), len(data.BatchSampler(range(7), 3, True)),
        error_of(lambda: data.BatchSampler(range(3), 0, False)), error_of(lambda: data.BatchSampler(range(3), 2, 1)), error_of(lambda: data.RandomSampler(Squares(), 3)),
        error_of(lambda: data.RandomSampler(Squares(), num_samples=0)), error_of(lambda: data.WeightedRandomSampler([1.0], 0)), kind_of(lambda: data.WeightedRandomSampler([[1.0]], 1)),
    ]  # fmt: skip


@case
def parts() -> Any:
    result: list[Any] = []
    for options in ({}, {"shuffle": False}, {"drop_last": True, "seed": 4}):
        for rank in (0, 2):
            sampler = data.DistributedSampler(Squares(10), 3, rank, **options)
            result.append([[*sampler], len(sampler), sampler.set_epoch(2), [*sampler]])
    return [*result, error_of(lambda: data.DistributedSampler(Squares(), 2, 2)), [*data.DistributedSampler(Squares(2), 5, 4, shuffle=False)]]


@case
def loaders() -> Any:
    torch.manual_seed(11)
    result: list[Any] = [
        batches(data.DataLoader(Squares(), 3)), batches(data.DataLoader(Squares(), 3, drop_last=True)), batches(data.DataLoader(Squares(), 3, shuffle=True)),
        batches(data.DataLoader(Squares(), 3, shuffle=True)), batches(data.DataLoader(Squares(), 2, sampler=[1, 5, 2])), batches(data.DataLoader(Squares(), batch_sampler=[[1, 2], [6]])),
        batches(data.DataLoader(Squares(), None)), batches(data.DataLoader(Stream(), 2)), batches(data.DataLoader(Stream(), None)), batches(data.DataLoader(Stream(), 2, drop_last=True)),
        batches(data.DataLoader(Squares(), 3, shuffle=True, generator=torch.Generator().manual_seed(2))),
        batches(data.DataLoader(Squares(), 3, collate_fn=lambda items: sum(items))), [len(data.DataLoader(Squares(), 3)), len(data.DataLoader(Squares(), 3, drop_last=True)), len(data.DataLoader(Sized(), 2))],
        kind_of(lambda: len(data.DataLoader(Stream(), 2))),
    ]  # fmt: skip
    loader = data.DataLoader(Squares(), 2, shuffle=True, num_workers=0)
    result.append([loader.batch_size, loader.drop_last, type(loader.sampler).__name__, type(loader.batch_sampler).__name__, loader.num_workers, loader.prefetch_factor, loader.pin_memory, loader.timeout])
    return [
        *result,
        error_of(lambda: data.DataLoader(Squares(), 2, shuffle=True, sampler=[1])), error_of(lambda: data.DataLoader(Squares(), 2, batch_sampler=[[1]])), error_of(lambda: data.DataLoader(Squares(), None, drop_last=True)),
        error_of(lambda: data.DataLoader(Squares(), num_workers=-1))[:60], error_of(lambda: data.DataLoader(Squares(), timeout=-1)), kind_of(lambda: data.DataLoader(Squares(), prefetch_factor=2)),
        kind_of(lambda: data.DataLoader(Squares(), persistent_workers=True)), error_of(lambda: data.DataLoader(Stream(), shuffle=True))[:80], error_of(lambda: data.DataLoader(Stream(), sampler=[1]))[:80], error_of(lambda: data.DataLoader(Squares(), 0)),
    ]  # fmt: skip


@case
def collating() -> Any:
    c = data.default_collate
    return [
        c([1, 2]), c([1.5, 2.5]), c([True, False]), c(["a", "b"]), c([torch.ones(2), torch.zeros(2)]), c([numpy.ones(2), numpy.zeros(2)]), c([numpy.float32(1), numpy.float32(2)]),
        c([{"a": 1, "b": [1, 2]}, {"a": 3, "b": [4, 5]}]), c([(1, 2.0), (3, 4.0)]), c([Point(1, 2.0), Point(3, 4.0)]), type(c([Point(1, 2), Point(3, 4)])).__name__, type(c([(1, 2), (3, 4)])).__name__,
        c([OrderedDict(a=1), OrderedDict(a=2)]), type(c([OrderedDict(a=1)])).__name__, data.default_convert({"a": numpy.ones(2), "b": [1, "x"]}), data.default_convert([numpy.array([1, 2])]),
        error_of(lambda: c([[1, 2], [3]])), kind_of(lambda: c([object()])), kind_of(lambda: c([numpy.array(["a"])])), data.get_worker_info(),
    ]  # fmt: skip
