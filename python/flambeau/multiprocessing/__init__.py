"""Python's multiprocessing, with tensors that processes share: what goes through a queue or a pipe, or to a process
that is started, is the memory itself.
"""

import multiprocessing
from multiprocessing import *  # noqa: F403

from flambeau import _shared
from flambeau._absent import attribute
from flambeau.multiprocessing.reductions import init_reductions
from flambeau.multiprocessing.spawn import (
    ProcessContext,
    ProcessExitedException,
    ProcessRaisedException,
    SpawnContext,
    spawn,
    start_processes,
)

__all__ = [  # noqa: PLE0605
    *multiprocessing.__all__,
    "ProcessContext",
    "ProcessExitedException",
    "ProcessRaisedException",
    "SpawnContext",
    "get_all_sharing_strategies",
    "get_sharing_strategy",
    "set_sharing_strategy",
    "spawn",
    "start_processes",
]


def get_all_sharing_strategies() -> set[str]:
    """How memory is found by another process: by a descriptor that is sent, or by a file's name."""
    return {"file_descriptor", "file_system"}


def get_sharing_strategy() -> str:
    return _shared.strategy


def set_sharing_strategy(new_strategy: str) -> None:
    """For what is shared from now on."""
    if new_strategy not in get_all_sharing_strategies():
        raise AssertionError(f"unknown sharing strategy {new_strategy}")
    _shared.strategy = new_strategy


init_reductions()

__getattr__ = attribute(__name__)
