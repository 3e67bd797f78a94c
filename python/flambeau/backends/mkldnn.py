"""Not used: Flambeau's kernels are its own."""

from __future__ import annotations

from flambeau.backends._library import flags_of, is_available

__all__ = ["flags", "is_available"]

enabled = True
deterministic = False
allow_tf32 = True

flags = flags_of(globals(), enabled=False, deterministic=False, allow_tf32=True)
