"""`load` and `save`: PyTorch's checkpoints (.pt, .pth, .bin).

A file is data: it is read without a pickle machine, by a reader that knows the types of checkpoints and refuses all
others by name. Classes that the user trusts are allowed by name (`add_safe_globals`).
"""

from __future__ import annotations

import collections
import os
import pickle
from collections.abc import Iterable
from typing import Any, Callable

import flambeau
from flambeau import _C
from flambeau._absent import attribute, feature
from flambeau.utils._pytree import tree_map_only

__all__ = [
    "add_safe_globals", "clear_safe_globals", "get_default_load_endianness", "get_default_mmap_options", "get_safe_globals",
    "get_unsafe_globals_in_checkpoint", "load", "register_package", "safe_globals", "save",
    "set_default_load_endianness", "set_default_mmap_options", "skip_data",
]  # fmt: skip

# What the user allowed, by the name under which a file knows it.
_allowed: dict[str, Any] = {}


def _file_name(name: str) -> str:
    """The name of an object of this package in a file is PyTorch's."""
    package, dot, rest = name.partition(".")
    return f"torch{dot}{rest}" if package == "flambeau" else name


def _named(objects: Iterable[Any]) -> dict[str, Any]:
    """Classes and functions by name; a pair (object, name) says the name."""
    names: dict[str, Any] = {}
    for item in objects:
        if isinstance(item, tuple):
            item, name = item
            names[name] = item
        else:
            names[_file_name(f"{item.__module__}.{item.__qualname__}")] = item
    return names


def add_safe_globals(safe_globals: list[Any]) -> None:
    """Lets files make objects of these classes, and call these functions. Give only what may be called
    with any arguments.
    """
    _allowed.update(_named(safe_globals))


def get_safe_globals() -> list[Any]:
    return list(_allowed.values())


def clear_safe_globals() -> None:
    _allowed.clear()


class safe_globals:
    """A block in which files may use these classes, too."""

    def __init__(self, safe_globals: list[Any]) -> None:
        self.safe_globals = safe_globals

    def __enter__(self) -> None:
        self._saved = dict(_allowed)
        add_safe_globals(self.safe_globals)

    def __exit__(self, *exception: object) -> None:
        _allowed.clear()
        _allowed.update(self._saved)


def _dtype_of_name(name: str) -> Any:
    return getattr(_C, name)


def _classes() -> dict[str, Any]:
    return {
        "OrderedDict": collections.OrderedDict,
        "Counter": collections.Counter,
        "set": set,
        "bytearray": bytearray,
        "Size": _C.Size,
        "device": _C.device,
        "dtypes": _dtype_of_name,
        "Parameter": flambeau.nn.Parameter,
    }


def load(
    f: Any,
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
    **pickle_load_args: Any,
) -> Any:
    """What `save` or PyTorch wrote to a path or a file object.

    Whatever `weights_only` says, nothing in the file is run: tensors, containers, numbers and texts are read, and
    classes that add_safe_globals names. pickle.UnpicklingError for others, naming them, and for files that
    are damaged. A file at a path is mapped: its tensors take memory when they are written to.
    """
    if mmap and not isinstance(f, (str, os.PathLike)):
        raise ValueError("f must be a file path in order to use the mmap argument")
    if isinstance(f, (str, os.PathLike)):
        source: Any = os.fspath(f)
        name = f"torch.load: '{source}'"
        with open(source, "rb"):  # As Python says it where it cannot be opened.
            pass
    else:
        if not hasattr(f, "read"):
            raise AttributeError(
                f"torch.load: expected a path or a file object, got {type(f).__name__}"
            )
        source = f.read()
        name = "torch.load"
    try:
        result, devices = _C._read_torch_file(source, name, _allowed, _classes())
    except (ValueError, TypeError, RuntimeError, LookupError, ArithmeticError) as error:
        # What the file says cannot be made; the reader's own refusals are ValueErrors.
        cause = None if type(error) is ValueError else error
        raise pickle.UnpicklingError(str(error)) from cause
    _check_devices(devices, map_location)
    if isinstance(map_location, (str, _C.device)) and _C.device(map_location).type == "meta":
        return tree_map_only(_C.Tensor, lambda tensor: tensor.to("meta"), result)
    return result


def _check_devices(devices: set[str], map_location: Any) -> None:
    """Tensors of other devices come to the CPU only if that was asked for."""
    if callable(map_location) or isinstance(map_location, dict):
        return
    if map_location is not None:
        if _C.device(map_location).type not in ("cpu", "meta"):
            raise feature(f"load(map_location='{map_location}')")
        return
    absent = sorted(device for device in devices if not device.startswith(("cpu", "meta")))
    if absent:
        raise RuntimeError(
            f"Attempting to deserialize object on a device that is not available ('{absent[0]}'). If you "
            "are running on a CPU-only machine, please use torch.load with "
            "map_location=torch.device('cpu') to map your storages to the CPU."
        )


def save(
    obj: Any,
    f: Any,
    pickle_module: Any = None,
    pickle_protocol: int = 2,
    _use_new_zipfile_serialization: bool = True,
    _disable_byteorder_record: bool = False,
) -> None:
    """Writes `obj` so that `load` and PyTorch read it. At a path there is the new file or the old one at
    every moment.
    """
    from flambeau._checkpoint_writer import write

    if not _use_new_zipfile_serialization:
        raise feature("save(_use_new_zipfile_serialization=False)")
    if not isinstance(f, (str, os.PathLike)):
        if not hasattr(f, "write"):
            raise AttributeError(
                f"expected 'f' to be string, path, or a file-like object with a 'write' attribute, got {type(f).__name__}"
            )
        write(obj, f, "archive")
        return
    path = os.path.realpath(os.fspath(f))
    if not os.path.isdir(os.path.dirname(path)):
        raise RuntimeError(f"Parent directory {os.path.dirname(os.fspath(f))} does not exist.")
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        with open(temporary, "wb") as stream:
            write(obj, stream, os.path.basename(path).partition(".")[0] or "archive")
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.remove(temporary)
        raise


def get_unsafe_globals_in_checkpoint(f: Any) -> list[str]:
    """The names that `load` would refuse."""
    try:
        load(f)
    except pickle.UnpicklingError as error:
        text = str(error)
        if "add_safe_globals([" in text:
            return text.rpartition("add_safe_globals([")[2].rstrip("])").split(", ")
        raise
    return []


_options = {"endianness": None, "mmap": 0x02}


def get_default_load_endianness() -> Any:
    return _options["endianness"]


def set_default_load_endianness(endianness: Any) -> None:
    _options["endianness"] = endianness


def get_default_mmap_options() -> int:
    """MAP_PRIVATE: what is written to a tensor stays in this process."""
    return 0x02


def set_default_mmap_options(flags: int) -> None:
    if flags != 0x02:
        raise feature("serialization.set_default_mmap_options")


class skip_data:
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise feature("serialization.skip_data")


def register_package(
    priority: int, tagger: Callable[..., Any], deserializer: Callable[..., Any]
) -> None:
    """Kept: storages of other devices are not there to be tagged."""


__getattr__ = attribute(__name__)
