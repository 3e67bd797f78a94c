"""Python imports this as it starts, where this folder is in PYTHONPATH: `python -m flambeau` puts it there
for its script and for all processes that the script starts.
"""

import os
import sys

import _flambeau_torch  # type: ignore[import-not-found]  # noqa: F401  (installs the finder)

# The site's own file of this name comes after this folder.
_here = os.path.dirname(os.path.abspath(__file__))
_path = sys.path[:]
sys.path[:] = [entry for entry in _path if os.path.abspath(entry) != _here]
_self = sys.modules.pop("sitecustomize")
try:
    __import__("sitecustomize")
except ImportError as _error:
    if _error.name != "sitecustomize":
        raise
finally:
    sys.modules.setdefault("sitecustomize", _self)
    sys.path[:] = _path
