"""What the core tells of programs as they run, for all that listen to it: collections nest."""

from __future__ import annotations

import collections
import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

from . import _C

Listener = Callable[[list[dict[str, Any]]], object]


class Collected:
    """What the core keeps from `begin` until `end` gives it. Each listener is given all of it that
    comes while it listens."""

    def __init__(self, begin: Callable[[], None], end: Callable[[], list[dict[str, Any]]]) -> None:
        self._begin = begin
        self._end = end
        self._listeners: list[Listener] = []
        self._taken: collections.deque[Any] = collections.deque()
        self._lock = threading.Lock()
        os.register_at_fork(after_in_child=self._forget)

    @contextlib.contextmanager
    def told_to(self, listener: Listener) -> Iterator[None]:
        with self._lock:
            if self._listeners:
                self.take()
                self._tell()
            else:
                self._begin()
            self._listeners.append(listener)
        try:
            yield
        finally:
            with self._lock:
                if listener in self._listeners:  # not so in a child
                    self.take()
                    self._tell()
                    self._listeners.remove(listener)
                    if not self._listeners:
                        self._end()

    def take(self) -> None:
        """Takes from the core what it has to tell; there are listeners, who are told later. In one
        step of the interpreter, so that no other thread and no signal comes in between."""
        self._taken.extend(map(next, (iter(self._end, None), iter(self._begin, 0))))

    def tell(self) -> None:
        with self._lock:
            self._tell()

    def _tell(self) -> None:
        while self._taken:
            told = self._taken.popleft()
            for listener in self._listeners if told else ():
                listener(told)

    def _forget(self) -> None:
        """In a child process nobody listens."""
        self._lock = threading.Lock()
        if self._listeners:
            self._listeners = []
            self._taken.clear()
            self._end()


reports = Collected(_C._compile_begin_reports, _C._compile_end_reports)
differences = Collected(_C._compile_begin_differences, _C._compile_end_differences)
