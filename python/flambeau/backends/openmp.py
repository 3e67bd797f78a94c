"""Not used: Flambeau's kernels and threads are its own."""

from flambeau.backends._library import is_available

__all__ = ["is_available"]
