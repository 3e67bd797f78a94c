"""Models of folders that have a `hubconf.py`, and files that are fetched once and kept."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import sys
import tempfile
import types
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

from flambeau._absent import attribute, feature

__all__ = [
    "download_url_to_file",
    "get_dir",
    "help",
    "list",
    "load",
    "load_state_dict_from_url",
    "set_dir",
]

HASH_REGEX = re.compile(r"-([a-f0-9]*)\.")
MODULE_HUBCONF = "hubconf.py"
VAR_DEPENDENCY = "dependencies"
_hub_dir: str | None = None


def get_dir() -> str:
    """The folder of what is kept: set_dir's, or `hub` in $TORCH_HOME, by default ~/.cache/torch."""
    if _hub_dir is not None:
        return _hub_dir
    cache = os.getenv("XDG_CACHE_HOME", "~/.cache")
    home = os.path.expanduser(os.getenv("TORCH_HOME", os.path.join(cache, "torch")))
    return os.path.join(home, "hub")


def set_dir(d: str | os.PathLike[str]) -> None:
    """Sets the folder of what is kept."""
    global _hub_dir
    _hub_dir = os.path.expanduser(d)


# -- folders --------------------------------------------------------------------------------------


def _configuration(repo_or_dir: Any, source: str) -> types.ModuleType:
    """The module hubconf of a folder."""
    source = source.lower()
    if source not in ("github", "local"):
        raise ValueError(f'Unknown source: "{source}". Allowed values: "github" | "local".')
    if source == "github":
        raise feature("hub of source='github'")
    folder = Path(repo_or_dir)
    specification = importlib.util.spec_from_file_location(MODULE_HUBCONF, folder / MODULE_HUBCONF)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.path.insert(0, str(folder))
    try:
        specification.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
    needed = getattr(module, VAR_DEPENDENCY, [])
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise RuntimeError(f"Missing dependencies: {', '.join(missing)}")
    return module


def _entry(module: types.ModuleType, name: Any) -> Any:
    if not isinstance(name, str):
        raise ValueError("Invalid input: model should be a string of function name")
    found = getattr(module, name, None)
    if not callable(found):
        raise RuntimeError(f"Cannot find callable {name} in hubconf")
    return found


def list(
    github: Any,
    force_reload: bool = False,
    skip_validation: bool = False,
    trust_repo: Any = None,
    verbose: bool = True,
    source: str = "github",
) -> Any:
    """The names of the models of a folder (`source="local"`)."""
    module = _configuration(github, source)
    return [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]


def help(
    github: Any,
    model: str,
    force_reload: bool = False,
    skip_validation: bool = False,
    trust_repo: Any = None,
    source: str = "github",
) -> Any:
    """What a model's function says of itself."""
    return _entry(_configuration(github, source), model).__doc__


def load(
    repo_or_dir: Any,
    model: str,
    *args: Any,
    source: str = "github",
    trust_repo: Any = None,
    force_reload: bool = False,
    verbose: bool = True,
    skip_validation: bool = False,
    **kwargs: Any,
) -> Any:
    """Calls the function `model` of a folder's hubconf.py (`source="local"`)."""
    return _entry(_configuration(repo_or_dir, source), model)(*args, **kwargs)


# -- files ----------------------------------------------------------------------------------------


def download_url_to_file(
    url: str, dst: str, hash_prefix: str | None = None, progress: bool = True
) -> None:
    """Fetches `url` into the file `dst`, whose SHA-256 has to begin with `hash_prefix`."""
    del progress
    request = urllib.request.Request(url, headers={"User-Agent": "torch.hub"})
    dst = os.path.expanduser(dst)
    digest = hashlib.sha256()
    descriptor, part = tempfile.mkstemp(
        prefix=os.path.basename(dst), dir=os.path.dirname(dst) or "."
    )
    try:
        with os.fdopen(descriptor, "wb") as out, urllib.request.urlopen(request) as source:
            while block := source.read(1 << 20):
                out.write(block)
                digest.update(block)
        found = digest.hexdigest()
        if hash_prefix is not None and not found.startswith(hash_prefix):
            raise RuntimeError(f'invalid hash value (expected "{hash_prefix}", got "{found}")')
        shutil.move(part, dst)
    finally:
        if os.path.exists(part):
            os.remove(part)


def load_state_dict_from_url(
    url: str,
    model_dir: str | None = None,
    map_location: Any = None,
    progress: bool = True,
    check_hash: bool = False,
    file_name: str | None = None,
    weights_only: bool = False,
) -> Any:
    """The checkpoint at `url`, fetched into `model_dir` (by default `checkpoints` of get_dir()) where it is not there.

    With `check_hash` the file's name ends with the beginning of its SHA-256: name-0123abcd.pth.
    """
    from flambeau.serialization import load as load_file

    folder = os.path.join(get_dir(), "checkpoints") if model_dir is None else model_dir
    os.makedirs(folder, exist_ok=True)
    name = file_name or os.path.basename(urllib.parse.urlparse(url).path)
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        sys.stderr.write(f'Downloading: "{url}" to {path}\n')
        found = HASH_REGEX.search(name) if check_hash else None
        download_url_to_file(url, path, found[1] if found else None, progress)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            # Files before PyTorch 1.6 could be in an archive of their own.
            if len(members) == 1 and "/" not in members[0].filename:
                path = archive.extract(members[0], folder)
    return load_file(path, map_location=map_location, weights_only=weights_only)


__getattr__ = attribute(__name__)
