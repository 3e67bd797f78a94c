"""Python's multiprocessing. Tensors go to other processes by value; those that share_memory_() moved are
shared with processes that are forked.
"""

import multiprocessing
from multiprocessing import *  # noqa: F403

from flambeau._absent import attribute

__all__ = [*multiprocessing.__all__]  # noqa: PLE0605

__getattr__ = attribute(__name__)
