"""What holds for all tests, and for what they start."""

import os

# Tests say what becomes of the first recording of a few small tensors, which is not planned for the
# sake of one run otherwise.
os.environ.setdefault("FLAMBEAU_PLAN", "once")
