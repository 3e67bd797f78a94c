"""Whether the machine gives each thread a core of its own.

A host may run two virtual cores on one of its own, or one beside somebody else's, for tens of
milliseconds at a time: a thread then does half to two thirds of its work, and nothing in the
machine says so.
"""

from __future__ import annotations

import hashlib
import threading
import time

BLOCK = bytes(1 << 20)
ENOUGH = 0.85  # of a core for each thread
LIMIT = 5.0  # seconds of waiting


def burn() -> float:
    """Seconds of some arithmetic in registers, without the GIL."""
    start = time.perf_counter()
    hashlib.blake2b(BLOCK).digest()
    return time.perf_counter() - start


class Cores:
    """Of a machine on which nothing else runs."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.alone = burn()  # the shortest that was seen

    def count(self) -> float:
        """How many cores' work the threads do; takes some milliseconds."""
        ready = threading.Barrier(self.threads)
        seconds = [0.0] * self.threads

        def work(number: int) -> None:
            ready.wait()
            seconds[number] = min(burn(), burn())

        others = [threading.Thread(target=work, args=(i,)) for i in range(1, self.threads)]
        for other in others:
            other.start()
        work(0)
        for other in others:
            other.join()
        self.alone = min(self.alone, *seconds)
        return sum(self.alone / each for each in seconds)

    def are_there(self) -> bool:
        return self.count() >= ENOUGH * self.threads

    def wait(self) -> bool:
        """Returns as soon as each thread has a core; False after LIMIT seconds without."""
        end = time.perf_counter() + LIMIT
        while not self.are_there():
            if time.perf_counter() > end:
                return False
            time.sleep(0.005)
        return True
