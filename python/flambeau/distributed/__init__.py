"""Training on several processes: not part of this build, so is_available() is False and the other names
are absent, as in PyTorch that is built without it.
"""

from flambeau._absent import attribute

__all__ = ["is_available"]


def is_available() -> bool:
    return False


def is_initialized() -> bool:
    return False


def is_torchelastic_launched() -> bool:
    return False


__getattr__ = attribute(__name__)
