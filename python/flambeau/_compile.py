"""`flambeau.compile`: a function whose tensor operations are recorded and run as one program."""

from __future__ import annotations

import builtins
import functools
import inspect
import sys
import warnings
from collections.abc import Callable, Collection, Mapping
from typing import Any

from . import _C
from ._compiler_settings import table
from ._steps import STEPPED, with_recorded_steps

_MODES = (None, "default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
_NUMERICS = ("exact", "fast")
# Names of the compiler that there is.
_ITSELF = ("flambeau", "inductor")
_registered: dict[str, Callable[..., Any]] = {}


def backends() -> dict[str, Collection[str]]:
    """The names that `backend=` takes, and their tags: PyTorch's, and what a program registers."""
    return {
        "flambeau": (),
        **table()["backends"],
        **{name: getattr(backend, "_tags", ()) for name, backend in _registered.items()},
    }


def known_options() -> dict[str, Any]:
    """The names that `options=` takes, each with the name of its type, where it has to have one,
    and PyTorch's default."""
    return {"activation_memory_budget": [None, 1.0], **table()["configs"]["torch._inductor.config"]}


def compile(
    model: Callable[..., Any] | None = None,
    *,
    fullgraph: bool = False,
    dynamic: bool | None = None,
    backend: str | Callable[..., Any] = "flambeau",
    mode: str | None = None,
    options: dict[str, Any] | None = None,
    disable: bool = False,
    numerics: str = "exact",
    replay: bool = False,
) -> Any:
    """Records what `model`, a function or a Module, does to tensors, and what follows on them
    (backward, clipping, the optimiser's update); runs it as one program when a value is needed.

    The results are those of eager calls, to the bit. Python really runs at every call, so nothing
    is guarded and nothing can break; `fullgraph`, `dynamic`, `backend` and `mode` are taken as
    torch.compile takes them and change nothing. Usable as a decorator, with or without arguments,
    also of a class: then the calls of its instances are recorded.

    `options` may have the names that PyTorch's have. "activation_memory_budget" counts, a number
    in [0, 1] named as PyTorch's setting, whose value at the call of compile counts without it:
    below 1, what is cheap to compute (no products of matrices) is computed again in the backward
    instead of kept, until the memory that the program takes is that part of what it would take if
    all were kept. Where this costs next to nothing it happens anyway.

    `numerics="fast"` allows results that differ in the last bits: constants are combined, halves
    not rounded between operations that run together, divisions and sums of products rounded
    fewer times. It holds for what follows on the function's results, too.

    `replay=True` is for functions so small that Python is most of their time: the program of a
    call is kept, and calls with arguments of the same structure, dtypes and sizes run it without
    running Python (as jax.jit). What the function uses may have other values in other memory, but
    must be the same objects. RuntimeError where a call does what a replayed one could not do
    again: reads a value, draws from Python's generators, changes Python's objects.
    """
    if mode not in _MODES:
        raise RuntimeError(
            f"Unrecognized mode={mode}, should be one of: {', '.join(map(str, _MODES[1:]))}"
        )
    if mode is not None and options is not None:
        raise RuntimeError(
            "Either mode or options can be specified, but both can't be specified at the same time."
        )
    if numerics not in _NUMERICS:
        raise ValueError(f"compile: numerics must be one of {_NUMERICS}, got {numerics!r}")
    for name, flag in (("dynamic", dynamic), ("replay", replay)):
        if not isinstance(flag, bool) and (name, flag) != ("dynamic", None):
            raise TypeError(f"compile: {name} must be a bool, got {type(flag).__name__}")
    budget = _memory_budget(_checked_options(options, backend))
    if model is None:
        return functools.partial(
            compile,
            fullgraph=fullgraph,
            dynamic=dynamic,
            backend=backend,
            mode=mode,
            options=options,
            disable=disable,
            numerics=numerics,
            replay=replay,
        )
    if not callable(model):
        raise TypeError(f"compile: expected a function or a Module, got {type(model).__name__}")
    if disable:
        return model
    _check_backend(backend)
    fast = numerics == "fast"
    wrap = functools.partial(_wrapped, fast=fast, memory_budget=budget, replay=replay)
    return with_wrapped_calls(model, wrap)


def with_wrapped_calls(callee: Callable[..., Any], wrap: Callable[..., Any]) -> Any:
    """`callee`, its calls wrapped: a Module within another, and a class, where a call makes an
    instance, as itself, with the calls of its instances wrapped."""
    if isinstance(callee, type):
        if any("__call__" in vars(base) for base in callee.__mro__):
            callee.__call__ = wrap(callee.__call__)  # type: ignore[method-assign]
        return callee
    optimized = getattr(type(callee), "_optimized", None)  # a Module's
    return wrap(callee) if optimized is None else optimized(callee, wrap)


def _disable_dynamo(fn: Any = None, recursive: bool = True) -> Any:
    """flambeau.compiler.disable, under the name that libraries import it by."""
    from .compiler import disable

    return disable(fn, recursive)


def _checked_options(options: Any, backend: Any) -> dict[str, Any]:
    """`options` by their names, in which a dash is an underscore. Those of other backends may be
    anything."""
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise TypeError(f"compile: options must be a dict, got {type(options).__name__}")
    found = {str(key).replace("-", "_"): value for key, value in options.items()}
    if backend not in _ITSELF:
        return found
    known = known_options()
    for key, (name, value) in zip(options, found.items()):
        if name not in known:
            raise RuntimeError(
                f"Unexpected optimization option {key}, known options are {list(known)}"
            )
        wanted = known[name][0]
        if wanted is not None and not isinstance(value, getattr(builtins, wanted)):
            raise RuntimeError(
                f"Unexpected type of attr {key}, got {type(value).__name__} should be {wanted}"
            )
    return found


def _memory_budget(options: dict[str, Any]) -> float:
    setting = sys.modules.get(f"{__package__}._functorch.config")
    otherwise = getattr(setting, "activation_memory_budget", 1)
    given = options.get("activation_memory_budget", otherwise)
    if not hasattr(given, "__float__"):
        raise TypeError(
            f"compile: activation_memory_budget must be a number, got {type(given).__name__}"
        )
    budget = float(given)
    if not 0 <= budget <= 1:
        raise ValueError(f"compile: activation_memory_budget must be in [0, 1], got {budget}")
    return budget


def _check_backend(backend: Any) -> None:
    """PyTorch's names are taken: there is one compiler here."""
    if isinstance(backend, str) and backend not in _registered:
        if backend not in _ITSELF and backend not in backends():
            from ._dynamo.exc import InvalidBackend

            raise InvalidBackend(backend)
    elif backend is not None:
        if not isinstance(backend, str) and not callable(backend):
            raise TypeError(
                f"compile: backend must be a name or a callable, got {type(backend).__name__}"
            )
        warnings.warn(
            f"compile: backend={backend!r} is not called: it would be given a graph of Python's "
            "code, and Flambeau records what runs instead",
            stacklevel=3,
        )


def _wrapped(
    function: Callable[..., Any], fast: bool, memory_budget: float, replay: bool
) -> Callable[..., Any]:
    compiled = recorded(function, fast, memory_budget)
    if replay:
        from ._replay import replayed

        usual = not fast and memory_budget == 1
        compiled = replayed(function if usual else compiled)
    compiled._torchdynamo_orig_callable = function  # type: ignore[attr-defined]
    return compiled


def recorded(
    function: Callable[..., Any],
    fast: bool = False,
    memory_budget: float = 1,
    one_by_one: bool = False,
) -> Callable[..., Any]:
    """`function` with its operations recorded; `one_by_one`: run as if no kernel of several were
    compiled yet."""
    # One call, so that no signal comes between its parts.
    call = _C._compile_call

    def step(function: Callable[..., Any], argument: Any) -> Any:
        return call(function, (argument,), {}, fast, memory_budget, one_by_one)

    @functools.wraps(function)
    def compiled(*args: Any, **kwargs: Any) -> Any:
        result = call(function, args, kwargs, fast, memory_budget, one_by_one)
        return with_recorded_steps(result, step) if type(result) in STEPPED else result

    if not inspect.iscoroutinefunction(function):
        return compiled

    @functools.wraps(function)
    async def awaited(*args: Any, **kwargs: Any) -> Any:
        return await compiled(*args, **kwargs)

    return awaited
