"""What belongs to `flambeau.compile`: when recorded work runs, and the names of torch.compiler."""

from __future__ import annotations

import functools
import hashlib
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import _C
from ._collected import differences
from ._compile import backends, compile, with_wrapped_calls
from ._explain import Explanation, explain

__all__ = [
    "CacheInfo", "Difference", "Explanation", "allow_in_graph", "assume_constant_result", "bisect",
    "compile", "cudagraph_mark_step_begin", "disable", "explain", "flush", "interpreted",
    "is_compiling", "is_dynamo_compiling", "is_exporting", "list_backends", "load_cache",
    "load_cache_artifacts", "reset", "save_cache", "save_cache_artifacts", "set_stance", "stats",
    "synchronize", "wrap_numpy",
]  # fmt: skip

_STANCES = ("default", "force_eager", "eager_on_recompile", "fail_on_recompile")


def flush() -> None:
    """Runs what this thread has recorded. Raises what the recorded operations raise."""
    _C._compile_flush()


def synchronize() -> None:
    """flush(), and waits until it has run."""
    _C._compile_flush()


def is_compiling() -> bool:
    """False: Python always really runs, so there is no time at which it is traced instead."""
    return False


def is_dynamo_compiling() -> bool:
    return False


def is_exporting() -> bool:
    return False


def list_backends(exclude_tags: Any = ("debug", "experimental")) -> list[str]:
    """What `backend=` takes, but for names with one of these tags: PyTorch's names for the one
    compiler that there is, and those that are registered."""
    excluded = set(exclude_tags or ())
    return sorted(name for name, tags in backends().items() if excluded.isdisjoint(tags))


def reset() -> None:
    """Runs what is recorded and forgets all programs: the next ones are as the first."""
    flush()
    _C._compile_forget()


def stats() -> dict[str, int]:
    """What happened in this process: `runs` of programs; `programs_made`, which cost passes;
    `geometries_bound`, sets of sizes that were new to their program; `regions_merged`, runs of
    several operations as one program, and `regions_one_by_one`, while that was being compiled."""
    return _C._compile_stats()


@dataclass(frozen=True)
class Difference:
    """Where a compiled program and its operations one by one differ. `region` are the operations that
    ran as one program, `smallest` the fewest neighbours of them whose program differs by itself:
    names with the user's lines. `what` says which element differs and both values, `program` is
    the tensor program of `smallest`."""

    region: list[tuple[str, str]]
    smallest: list[tuple[str, str]]
    what: str
    program: str
    text: str

    def __str__(self) -> str:
        return self.text


def bisect(function: Callable[..., Any]) -> Callable[..., Difference | None]:
    """`bisect(function)(*args)` calls `function` compiled while everything that runs as one program
    is also run op by op, and gives the first difference, or None: there should be none."""
    compiled = compile(function)

    def bisected(*args: Any, **kwargs: Any) -> Difference | None:
        flush()
        found: list[dict[str, Any]] = []
        with differences.told_to(found.extend):
            result = compiled(*args, **kwargs)
            flush()
        del result
        return Difference(**found[0]) if found else None

    return bisected


def _saved() -> bytes:
    flush()
    _C._compile_wait()
    return _C._compile_save()


def save_cache(path: str | bytes | os.PathLike[str]) -> str:
    """Writes all programs that are cached and all kernels that this process has used to one file, for
    load_cache() in processes of the same version on processors with the same instruction set.
    Returns the SHA-256 of the file, which load_cache() asks for."""
    file = Path(os.path.realpath(os.fsdecode(path)))  # The file that a link leads to is replaced.
    if file.exists() and not file.is_file():
        raise ValueError(f"save_cache: {file} is there and is no file that could be replaced")
    data = _saved()
    fresh = file.with_name(f".{file.name}.{os.getpid()}.new")
    try:
        fresh.write_bytes(data)
        fresh.replace(file)
    finally:
        fresh.unlink(missing_ok=True)
    return hashlib.sha256(data).hexdigest()


def load_cache(path: str | bytes | os.PathLike[str], hash: str) -> dict[str, int]:
    """Takes over what save_cache() wrote: programs then cost no passes and kernels no compilation.
    Returns how many `programs` and `kernels` there were.

    The file holds machine code. To load it is to run it, so `hash` says which file is meant: the
    SHA-256 that save_cache() returned. ValueError, and nothing is loaded, if the file has another
    one, is damaged, or was saved by another version or for another instruction set.
    """
    if not isinstance(hash, str):
        raise TypeError(
            "load_cache: hash must be the SHA-256 that save_cache returned, a str, got "
            f"{type(hash).__name__}"
        )
    file = Path(os.fsdecode(path))
    data = file.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != hash.strip().lower():
        raise ValueError(f"load_cache: the SHA-256 of {file} is {found}, expected {hash.strip()}")
    return _loaded(data)


def _loaded(data: bytes) -> dict[str, int]:
    try:
        programs, kernels = _C._compile_load(data)
    except Exception as error:
        if str(error).startswith("load_cache: "):
            raise
        raise ValueError(f"load_cache: the file is damaged: {error}") from error
    return {"programs": programs, "kernels": kernels}


@dataclass(frozen=True)
class CacheInfo:
    """Which artifacts were saved or loaded: the SHA-256 of their bytes."""

    hash: str


def save_cache_artifacts() -> tuple[bytes, CacheInfo]:
    """What save_cache() writes, as bytes for load_cache_artifacts()."""
    data = _saved()
    return data, CacheInfo(hashlib.sha256(data).hexdigest())


def load_cache_artifacts(serialized_artifacts: bytes) -> CacheInfo | None:
    """Takes over what save_cache_artifacts() gave. They hold machine code: to load them is to run
    it. Warns, and gives None, for those that are damaged or that another version or another
    processor's process saved."""
    if not isinstance(serialized_artifacts, bytes):
        raise TypeError(
            f"load_cache_artifacts: expected bytes, got {type(serialized_artifacts).__name__}"
        )
    try:
        _loaded(serialized_artifacts)
    except ValueError as error:
        warnings.warn(f"load_cache_artifacts: nothing is loaded: {error}", stacklevel=2)
        return None
    return CacheInfo(hashlib.sha256(serialized_artifacts).hexdigest())


def wrap_numpy(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A function of NumPy's arrays as one of tensors: `fn` gets and gives arrays where its caller
    gives and gets tensors, on the same memory."""
    import numpy

    _check_callable("wrap_numpy", fn)

    @functools.wraps(fn)
    def wrap(*args: Any, **kwargs: Any) -> Any:
        from .utils._pytree import tree_map_only

        args, kwargs = tree_map_only(_C.Tensor, lambda tensor: tensor.numpy(), (args, kwargs))
        result = fn(*args, **kwargs)
        return tree_map_only(numpy.ndarray, lambda array: _C._as_tensor(array, None), result)

    return wrap


def _check_callable(name: str, function: Any) -> None:
    if not callable(function):
        raise TypeError(f"{name}: expected a function or a Module, got {type(function).__name__}")


def interpreted(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` with its operations computed by the interpreter, which is slow and defines what
    they mean. Its results are those of eager and of compiled calls, to the bit."""
    _check_callable("interpreted", function)

    @functools.wraps(function)
    def interpret(*args: Any, **kwargs: Any) -> Any:
        flush()
        _C._interpreted_begin()
        try:
            return function(*args, **kwargs)
        finally:
            _C._interpreted_end()

    return interpret


def allow_in_graph(fn: Any) -> Any:
    """`fn` itself: everything is allowed."""
    return fn


def assume_constant_result(fn: Any) -> Any:
    return fn


def disable(fn: Any = None, recursive: bool = True, *, reason: str | None = None) -> Any:
    """A function that runs what is recorded before it is called, and what it records itself
    before it returns. A Module becomes one whose calls do so, a class one whose instances' do."""
    if fn is None:
        return lambda function: disable(function, recursive, reason=reason)
    _check_callable("disable", fn)
    return with_wrapped_calls(fn, _disabled)


def _disabled(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def eager(*args: Any, **kwargs: Any) -> Any:
        flush()
        try:
            return function(*args, **kwargs)
        finally:
            flush()

    return eager


def cudagraph_mark_step_begin() -> None:
    flush()


class set_stance:
    """torch.compiler's stances concern recompilation, of which there is none."""

    def __init__(
        self,
        stance: str = "default",
        *,
        skip_guard_eval_unsafe: bool = False,
        force_backend: Any = None,
    ) -> None:
        if stance not in _STANCES:
            raise RuntimeError(
                f"invalid torch.compile stance {stance!r}, expected one of {_STANCES}"
            )
        if force_backend is not None and stance != "default":
            raise RuntimeError("non-default stance cannot have force_backend set")
        self.stance = stance

    def __call__(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        return fn

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exception: object) -> None:
        return None
