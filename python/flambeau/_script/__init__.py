"""Running programs that import `torch`: `python -m flambeau script.py`, and `enable-torch`."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NoReturn

__all__ = ["EXPLAINED", "disable", "enable", "run"]

_HERE = Path(__file__).resolve().parent
EXPLAINED = str(_HERE / "_explained.py")  # what `flambeau explain` runs
_DISTRIBUTION = "torch-2.7.1.dist-info"
# The same, as a wheel can carry it: it has one .dist-info.
_INFORMATION = "torch-2.7.1.egg-info"
_HOOK = "_flambeau_torch.py"
_START = "flambeau-torch.pth"


def run(arguments: list[str]) -> NoReturn:
    """Becomes `python arguments...` in which `torch` is Flambeau, and so for the processes that it starts.

    This process is replaced, so that the program is run by Python itself: as `__main__`, with its own
    tracebacks, and in reach of debuggers, of `multiprocessing` and of signals.
    """
    options = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    if sys.flags.ignore_environment:
        raise RuntimeError(
            "python -m flambeau: Python's options -E and -I keep the program from being told where "
            "Flambeau is; run it without them, or use `flambeau enable-torch`"
        )
    # Flambeau is found where it was found now, also by programs in other folders.
    folders = [str(_HERE)]
    if str(_HERE.parent.parent) not in _installed():
        folders.append(str(_HERE.parent.parent))
    given = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    folders += [entry for entry in given if entry not in folders]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(folders)}
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, *options, *arguments], environment)


def _installed() -> set[str]:
    return {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}


def _folder() -> Path:
    return Path(sysconfig.get_path("purelib"))


def enable() -> str:
    """Makes `torch` Flambeau for every program of this environment, and tells pip that it is there.

    RuntimeError where PyTorch is installed.
    """
    for found in importlib.metadata.distributions(path=[*_installed()]):
        if found.metadata["Name"] == "torch" and found.read_text("INSTALLER") != "flambeau\n":
            raise RuntimeError(
                f"enable-torch: PyTorch {found.version} is installed in this environment; Flambeau "
                "does not take its place. Uninstall it first (pip uninstall torch), or use "
                "`python -m flambeau script.py`, which works beside it"
            )
    folder = _folder()
    shutil.copy(_HERE / _HOOK, folder / _HOOK)
    (folder / _START).write_text("import _flambeau_torch\n")
    information = folder / _DISTRIBUTION
    information.mkdir(exist_ok=True)
    for part in (_HERE / _INFORMATION).iterdir():
        shutil.copy(part, information / ("METADATA" if part.name == "PKG-INFO" else part.name))
    (information / "INSTALLER").write_text("flambeau\n")
    names = sorted(f"{_DISTRIBUTION}/{part.name}" for part in information.iterdir())
    record = [_HOOK, _START, *names, f"{_DISTRIBUTION}/RECORD"]
    (information / "RECORD").write_text("".join(f"{name},,\n" for name in dict.fromkeys(record)))
    return f"torch is Flambeau now, for Python in {sys.prefix}"


def disable() -> str:
    """Takes back what `enable` did. RuntimeError where it was not done."""
    folder = _folder()
    if not (folder / _START).exists():
        raise RuntimeError("disable-torch: it is not enabled in this environment")
    (folder / _START).unlink()
    (folder / _HOOK).unlink(missing_ok=True)
    shutil.rmtree(folder / _DISTRIBUTION, ignore_errors=True)
    return f"torch is no longer Flambeau, for Python in {sys.prefix}"
