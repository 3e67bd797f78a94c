"""What runs in a DataLoader's worker process, and how batches travel to the main process.

A batch is pickled with its tensors and arrays out of band, all in one anonymous memory file, whose
descriptor is sent through the worker's socket: tensors are mapped by the main process, not copied,
and nothing is left behind when a process is killed. Messages are a few bytes long, so that neither
side ever waits for the other to read.
"""

from __future__ import annotations

import ctypes
import io
import itertools
import mmap
import os
import pickle
import random
import signal
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler, recv_handle, send_handle
from typing import Any, NamedTuple

import flambeau
from flambeau import Tensor

__all__ = ["WorkerInfo", "get_worker_info"]


class WorkerInfo(NamedTuple):
    """What get_worker_info() tells: the worker's number, the number of workers, its seed and its
    copy of the dataset."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


_worker_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """The WorkerInfo of this worker process; None in the main process."""
    return _worker_info


# -- transport -----------------------------------------------------------------------------------


def _tensor_from(buffer: Any, dtype: Any, shape: tuple[int, ...], requires_grad: bool) -> Tensor:
    if 0 in shape:
        result = flambeau.empty(shape, dtype=dtype)
    else:
        result = flambeau.frombuffer(buffer, dtype=dtype).view(shape)
    return result.requires_grad_() if requires_grad else result


class _BatchPickler(ForkingPickler):
    """Takes the elements of tensors out of band."""

    def __init__(self, file: Any, buffers: list[Any]) -> None:
        # ForkingPickler's own constructor does not pass buffer_callback on.
        pickle.Pickler.__init__(self, file, 5, buffer_callback=buffers.append)
        self.alive: list[Tensor] = []

    def reducer_override(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return NotImplemented
        dense = value.detach().contiguous()
        self.alive.append(dense)
        size = dense.numel() * dense.element_size()
        memory = (ctypes.c_char * size).from_address(dense.data_ptr() if size else 1)
        parts = pickle.PickleBuffer(memory), dense.dtype, tuple(dense.shape), value.requires_grad
        return _tensor_from, parts


_ALIGNMENT = 64


def _padding(size: int) -> int:
    return -size % _ALIGNMENT


def send_batch(connection: Connection, number: int, value: Any, process: int | None) -> None:
    """Sends `value` (a batch or a _WorkerError) as result `number`."""
    text = io.BytesIO()
    buffers: list[pickle.PickleBuffer] = []
    pickler = _BatchPickler(text, buffers)
    pickler.dump(value)
    pieces = [text.getbuffer(), *(buffer.raw() for buffer in buffers)]
    file = os.memfd_create("flambeau-batch")
    try:
        with open(file, "wb", buffering=0, closefd=False) as stream:
            for piece in pieces:
                left = memoryview(piece)
                while left:
                    left = left[stream.write(left) :]
                stream.write(bytes(_padding(piece.nbytes)))
        # The number of pieces is bounded by a pickle's own size; they are small beside a socket's
        # buffer but for batches of thousands of tensors.
        connection.send((number, [piece.nbytes for piece in pieces]))
        send_handle(connection, file, process)
    finally:
        os.close(file)


def receive_batch(connection: Connection) -> tuple[int, Any]:
    """What send_batch sent. EOFError or OSError if the worker is gone."""
    number, sizes = connection.recv()
    file = recv_handle(connection)
    try:
        memory = memoryview(mmap.mmap(file, 0))
    finally:
        os.close(file)
    pieces = []
    start = 0
    for size in sizes:
        pieces.append(memory[start : start + size])
        start += size + _padding(size)
    return number, pickle.loads(pieces[0], buffers=pieces[1:])


class WorkerError:
    """An exception of a worker, with its traceback as text."""

    def __init__(self, where: str, error: BaseException) -> None:
        self.type = type(error)
        self.where = where
        self.text = "".join(traceback.format_exception(type(error), error, error.__traceback__))

    def reraise(self) -> None:
        message = f"Caught {self.type.__name__} {self.where}.\nOriginal {self.text}"
        if self.type is KeyError:
            raise KeyError(_Verbatim(message))
        try:
            error = self.type(message)
        except Exception:
            # The exception's constructor wants something else.
            raise RuntimeError(message) from None
        raise error


class _Verbatim(str):
    """KeyError shows its argument's repr, which would be one long line."""

    def __repr__(self) -> str:
        return str(self)


class IterableEnd:
    """The worker's part of an iterable dataset is at its end."""


# -- fetching ------------------------------------------------------------------------------------


class Fetcher:
    """Makes batches of a dataset. `collate` is applied to lists of items, or to single ones where
    `batched` is false.
    """

    def __init__(
        self, dataset: Any, iterable: bool, batched: bool, collate: Callable[..., Any], drop: bool
    ) -> None:
        self.dataset = dataset
        self.items = iter(dataset) if iterable else None
        self.batched = batched
        self.collate = collate
        self.drop_last = drop
        self.ended = False

    def fetch(self, index: Any) -> Any:
        """The batch of these indices; for iterable datasets the next one of their number.
        StopIteration at the end."""
        if self.items is None:
            return self.collate(self._indexed(index))
        if not self.batched:
            return self.collate(next(self.items))
        batch: list[Any] = []
        if not self.ended:
            batch = [*itertools.islice(self.items, len(index))]
            self.ended = len(batch) < len(index)
        if not batch or (self.drop_last and len(batch) < len(index)):
            raise StopIteration
        return self.collate(batch)

    def _indexed(self, index: Any) -> Any:
        if not self.batched:
            return self.dataset[index]
        whole_batch = getattr(self.dataset, "__getitems__", None)
        return whole_batch(index) if whole_batch else [self.dataset[i] for i in index]


class Job(NamedTuple):
    """Everything that a worker needs."""

    worker: int
    num_workers: int
    base_seed: int
    dataset: Any
    iterable: bool
    batched: bool
    collate: Callable[..., Any]
    drop_last: bool
    worker_init_fn: Callable[[int], None] | None
    parent: int


def _seed(job: Job) -> int:
    seed = (job.base_seed + job.worker) % 2**63
    random.seed(seed)
    flambeau.manual_seed(seed)
    if "numpy" in sys.modules:
        import numpy

        low, high = job.base_seed & 0xFFFFFFFF, job.base_seed >> 32
        sequence = numpy.random.SeedSequence([job.worker, low, high, 0])
        numpy.random.seed(sequence.generate_state(4))  # noqa: NPY002
    return seed


def work(job: Job, connection: Connection, inherited: list[Connection]) -> None:
    """The main function of a worker: answers (number, index) with batches until the socket is
    closed. A message None starts a new epoch."""
    global _worker_info
    for other in inherited:
        other.close()
    # Ctrl-C goes to all processes of a terminal; the main process decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    flambeau.set_num_threads(1)
    seed = _seed(job)
    _worker_info = WorkerInfo(job.worker, job.num_workers, seed, job.dataset)
    where = f"in DataLoader worker process {job.worker}"
    failed: WorkerError | None = None
    fetcher: Fetcher | None = None
    try:
        if job.worker_init_fn is not None:
            job.worker_init_fn(job.worker)
    except Exception as error:
        failed = WorkerError(where, error)
    try:
        while True:
            # A parent that was killed may have left its end of the socket to another child.
            while not connection.poll(5):
                if os.getppid() != job.parent:
                    return
            message = connection.recv()
            if message is None:
                fetcher = None
                continue
            number, index = message
            result: Any = failed
            if failed is None:
                try:
                    if fetcher is None:
                        fetcher = Fetcher(
                            job.dataset, job.iterable, job.batched, job.collate, job.drop_last
                        )
                    result = fetcher.fetch(index)
                except StopIteration as error:
                    result = IterableEnd() if job.iterable else WorkerError(where, error)
                except Exception as error:
                    result = WorkerError(where, error)
            try:
                send_batch(connection, number, result, job.parent)
            except (BrokenPipeError, ConnectionResetError):
                return
            except Exception as error:
                send_batch(connection, number, WorkerError(where, error), job.parent)
    except (EOFError, ConnectionResetError):
        return
