"""What the core tells of programs as they run, for all that listen to it: collections nest."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

from . import _C

Listener = Callable[[list[dict[str, Any]]], object]


class Collected:
    """What the core keeps between `begin` and `end`, and gives to `take`. Each listener is given all
    of it that comes while it listens."""

    def __init__(
        self,
        begin: Callable[[], None],
        take: Callable[[], list[dict[str, Any]]],
        end: Callable[[], None],
    ) -> None:
        self._begin = begin
        self._take = take
        self._end = end
        self._listeners: list[Listener] = []
        self._lock = threading.Lock()
        os.register_at_fork(after_in_child=self._forget)

    @contextlib.contextmanager
    def told_to(self, listener: Listener) -> Iterator[None]:
        with self._lock:
            if self._listeners:
                self._tell()
            else:
                self._begin()
            self._listeners.append(listener)
        try:
            yield
        finally:
            with self._lock:
                if listener in self._listeners:  # not so in a child
                    self._tell()
                    self._listeners.remove(listener)
                    if not self._listeners:
                        self._end()

    def tell(self) -> None:
        """Tells what has come so far."""
        with self._lock:
            self._tell()

    def _tell(self) -> None:
        if told := self._take():
            for listener in self._listeners:
                listener(told)

    def _forget(self) -> None:
        """In a child process nobody listens."""
        self._lock = threading.Lock()
        if self._listeners:
            self._listeners = []
            self._end()


reports = Collected(_C._compile_begin_reports, _C._compile_take_reports, _C._compile_end_reports)
differences = Collected(
    _C._compile_begin_differences, _C._compile_take_differences, _C._compile_end_differences
)
