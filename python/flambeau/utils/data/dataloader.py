"""DataLoader: batches of a dataset, made in this process or by worker processes."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import wait
from typing import Any

import flambeau
from flambeau.utils.data import worker as _worker
from flambeau.utils.data.collate import default_collate, default_convert
from flambeau.utils.data.dataset import IterableDataset
from flambeau.utils.data.sampler import (
    BatchSampler,
    RandomSampler,
    SequentialSampler,
    draw_seed,
)

__all__ = ["DataLoader"]


class DataLoader:
    """Iterates over batches of `dataset`.

    With num_workers > 0 batches are made by that many processes, prefetch_factor batches ahead
    each, and come in the same order as without. Worker k is seeded with a seed drawn at the
    iterator's start plus k. `state_dict()` and `load_state_dict()` stop and resume in the middle of
    an epoch at the same batch, whatever the sampler and the number of workers. pin_memory is
    accepted and has no effect on the CPU.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[Any] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        if num_workers < 0:
            raise ValueError(
                "num_workers option should be non-negative; use num_workers=0 to disable "
                "multiprocessing."
            )
        if timeout < 0:
            raise ValueError("timeout option should be non-negative")
        if num_workers == 0 and prefetch_factor is not None:
            raise ValueError(
                "prefetch_factor option could only be specified in multiprocessing. let "
                "num_workers > 0 to enable multiprocessing, otherwise set prefetch_factor to None."
            )
        if prefetch_factor is not None and prefetch_factor < 1:
            raise ValueError("prefetch_factor option should be non-negative")
        if persistent_workers and num_workers == 0:
            raise ValueError("persistent_workers option needs num_workers > 0")
        self.dataset = dataset
        self.num_workers = num_workers
        self.prefetch_factor = 2 if num_workers > 0 and prefetch_factor is None else prefetch_factor
        self.pin_memory = pin_memory
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.persistent_workers = persistent_workers
        self.generator = generator
        self.in_order = in_order
        self._iterable = isinstance(dataset, IterableDataset)
        if self._iterable:
            refused = {
                "shuffle": shuffle or None,
                "sampler": sampler,
                "batch_sampler": batch_sampler,
            }
            for name, given in refused.items():
                if given is not None:
                    raise ValueError(
                        f"DataLoader with IterableDataset: expected unspecified {name} option, but "
                        f"got {name}={given}"
                    )
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError(
                    "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, "
                    "and drop_last"
                )
            batch_size = None
        elif batch_size is None and drop_last:
            raise ValueError(
                "batch_size=None option disables auto-batching and is mutually exclusive with "
                "drop_last"
            )
        if sampler is None:
            if self._iterable:
                sampler = _Endless()
            elif shuffle:
                sampler = RandomSampler(dataset, generator=generator)
            else:
                sampler = SequentialSampler(dataset)
        if batch_size is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)  # type: ignore[arg-type]
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        if collate_fn is None:
            collate_fn = default_convert if batch_sampler is None else default_collate
        self.collate_fn = collate_fn
        self._workers: _Workers | None = None
        self._position: _Position | None = None
        self._resume: dict[str, Any] | None = None

    @property
    def _batched(self) -> bool:
        return self.batch_sampler is not None

    @property
    def _index_sampler(self) -> Iterable[Any]:
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def __len__(self) -> int:
        if not self._iterable:
            return len(self._index_sampler)  # type: ignore[arg-type]
        count = len(self.dataset)
        if self.batch_size is None:
            return count
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        resume, self._resume = self._resume, None
        default = flambeau.default_generator
        drawn_from = default if self.generator is None else self.generator
        now = drawn_from.get_state()
        if resume is not None:
            drawn_from.set_state(resume["epoch_start"])
        position = self._position = _Position(drawn_from.get_state())
        base_seed = draw_seed(self.generator)
        indices = iter(self._index_sampler)
        if resume is not None and not self._iterable:
            for _ in itertools.islice(indices, resume["batches"]):
                position.batches += 1
        if resume is not None and self.generator is None:
            default.set_state(now)
        batches = self._batches(indices, base_seed)
        if resume is not None and self._iterable:
            for _ in itertools.islice(batches, resume["batches"]):
                position.batches += 1
        return self._counted(batches, position)

    def _batches(self, indices: Iterator[Any], base_seed: int) -> Iterator[Any]:
        if self.num_workers == 0:
            return self._made_here(indices)
        if self._workers is None:
            workers = _Workers(self, base_seed)
            if self.persistent_workers:
                self._workers = workers
        else:
            workers = self._workers
            workers.start_epoch()
        return workers.batches(indices, self.persistent_workers)

    def _counted(self, batches: Iterator[Any], position: _Position) -> Iterator[Any]:
        for batch in batches:
            position.batches += 1
            yield batch
        if self._position is position:
            self._position = None

    def _made_here(self, indices: Iterator[Any]) -> Iterator[Any]:
        fetcher = _worker.Fetcher(
            self.dataset, self._iterable, self._batched, self.collate_fn, self.drop_last
        )
        for index in indices:
            try:
                batch = fetcher.fetch(index)
            except StopIteration:
                return
            yield batch

    # -- position ---------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Where the iteration that was started last stands: {"batches": how many it has given,
        "epoch_start": the generator's state when it began (None between epochs), "generator": the
        state of `generator` now}. The default generator's state is not included: save it with
        `flambeau.get_rng_state()`. An iterable dataset resumes by skipping batches.
        """
        generator = None if self.generator is None else self.generator.get_state()
        if self._resume is not None:
            return {**self._resume, "generator": generator}
        if self._position is None:
            return {"batches": 0, "epoch_start": None, "generator": generator}
        return {
            "batches": self._position.batches,
            "epoch_start": self._position.epoch_start,
            "generator": generator,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The next iteration goes on where `state_dict` was taken."""
        missing = {"batches", "epoch_start", "generator"} - {*state_dict}
        if missing:
            raise ValueError(f"DataLoader.load_state_dict: missing {sorted(missing)}")
        if state_dict["generator"] is not None and self.generator is not None:
            self.generator.set_state(state_dict["generator"])
        started = state_dict["epoch_start"] is not None
        self._resume = dict(state_dict) if started else None
        self._position = None


class _Position:
    def __init__(self, epoch_start: Any) -> None:
        self.epoch_start = epoch_start
        self.batches = 0


class _Endless:
    """The index sampler of iterable datasets: only its length in batches matters."""

    def __iter__(self) -> Iterator[None]:
        return itertools.repeat(None)


class _Workers:
    """The worker processes of one iteration (or of all, if they are persistent)."""

    def __init__(self, loader: DataLoader, base_seed: int) -> None:
        context = loader.multiprocessing_context
        if context is None or isinstance(context, str):
            context = multiprocessing.get_context(context)
        self.prefetch = loader.prefetch_factor or 2
        self.timeout = loader.timeout
        self.in_order = loader.in_order
        self.processes: list[Any] = []
        self.connections: list[Any] = []
        self.owner = os.getpid()
        self.epoch = 0
        try:
            for k in range(loader.num_workers):
                self._start(context, loader, base_seed, k)
        except BaseException:
            self.stop()
            raise

    def _start(self, context: Any, loader: DataLoader, base_seed: int, k: int) -> None:
        mine, theirs = context.Pipe(duplex=True)
        job = _worker.Job(
            k,
            loader.num_workers,
            base_seed,
            loader.dataset,
            loader._iterable,
            loader._batched,
            loader.collate_fn,
            loader.drop_last,
            loader.worker_init_fn,
            os.getpid(),
        )
        # A forked worker inherits our ends of the sockets, its own one too.
        inherited = [*self.connections, mine] if context.get_start_method() == "fork" else []
        process = context.Process(target=_worker.work, args=(job, theirs, inherited), daemon=True)
        self.connections.append(mine)
        process.start()
        theirs.close()
        self.processes.append(process)

    def start_epoch(self) -> None:
        """Drops what the last epoch left and lets every worker begin again."""
        self.epoch += 1
        for k in range(len(self.processes)):
            self._send(k, None)

    def batches(self, indices: Iterator[Any], persistent: bool) -> Iterator[Any]:
        try:
            yield from self._run(indices)
        finally:
            if not persistent:
                self.stop()

    def _run(self, indices: Iterator[Any]) -> Iterator[Any]:
        active = [*range(len(self.processes))]
        turn = itertools.cycle(active)
        tasks: dict[int, int] = {}  # number of a batch: its worker
        ready: dict[int, Any] = {}
        sent = itertools.count()
        ended: set[int] = set()

        def assign() -> bool:
            """Gives the next batch to the next worker that is still active."""
            for _ in active:
                k = next(turn)
                if k not in ended:
                    break
            else:
                return False
            try:
                index = next(indices)
            except StopIteration:
                return False
            number = next(sent)
            tasks[number] = k
            self._send(k, ((self.epoch, number), index))
            return True

        for _ in range(self.prefetch * len(active)):
            if not assign():
                break
        while tasks:
            first = min(tasks)
            wanted = (
                first if self.in_order else next((n for n in sorted(tasks) if n in ready), first)
            )
            while wanted not in ready:
                number, value = self._receive({*tasks.values()})
                if number[0] != self.epoch:
                    continue
                ready[number[1]] = value
                if not self.in_order:
                    wanted = number[1]
            value = ready.pop(wanted)
            k = tasks.pop(wanted)
            if isinstance(value, _worker.WorkerError):
                value.reraise()
            if isinstance(value, _worker.IterableEnd):
                # The others have its turns now.
                ended.add(k)
                assign()
                continue
            assign()
            yield value

    def _send(self, k: int, message: Any) -> None:
        try:
            self.connections[k].send(message)
        except (BrokenPipeError, ConnectionResetError):
            self._raise_dead(k)

    def _receive(self, workers: set[int]) -> tuple[Any, Any]:
        """The next result of any of these workers."""
        by_connection = {self.connections[k]: k for k in workers}
        end = time.monotonic() + self.timeout if self.timeout > 0 else None
        left = None if end is None else max(0.0, end - time.monotonic())
        arrived = wait([*by_connection], left)
        if not arrived:
            self.stop()
            raise RuntimeError(f"DataLoader timed out after {self.timeout} seconds")
        connection: Any = arrived[0]
        try:
            return _worker.receive_batch(connection)  # type: ignore[return-value]
        except (EOFError, OSError):
            self._raise_dead(by_connection[connection])
            raise AssertionError("unreachable") from None

    def _raise_dead(self, k: int) -> None:
        process = self.processes[k]
        process.join(1)
        code = process.exitcode
        if code is not None and code < 0:
            how = f"is killed by signal: {signal.strsignal(-code)}"
        else:
            how = f"exited unexpectedly with exit code {code}"
        self.stop()
        raise RuntimeError(f"DataLoader worker (pid {process.pid}) {how}") from None

    def stop(self) -> None:
        """Ends the processes; they leave when their socket closes."""
        if os.getpid() != self.owner:
            return
        for connection in self.connections:
            connection.close()
        for process in self.processes:
            process.join(0.2)
            if process.is_alive():
                process.terminate()
        for process in self.processes:
            process.join(5)
            if process.is_alive():
                process.kill()
                process.join()

    def __del__(self) -> None:
        try:
            self.stop()
        except Exception:
            # The interpreter is shutting down; daemonic processes end with it.
            return
