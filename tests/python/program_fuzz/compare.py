"""Runs a program as it is and inside a runner, and says what differs, to the bit."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import flambeau as torch
import numpy as np
from programs import Program

os.environ.setdefault("FLAMBEAU_PLAN", "once")  # programs are run few times

Runner = Callable[[Callable[..., Any]], Callable[..., Any]]
EXPONENTS = {2: {"float16": 0x7C00, "bfloat16": 0x7F80}, 4: {"": 0x7F800000}, 8: {"": 0x7FF << 52}}


def bits(tensor: Any) -> bytes:
    """The elements, row-major; every NaN is the same one."""
    tensor = tensor.detach()
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    if not tensor.is_floating_point():
        return tensor.contiguous().numpy().tobytes()
    size = tensor.element_size()
    integer = {2: torch.int16, 4: torch.int32, 8: torch.int64}[size]
    raw = tensor.contiguous().view(integer).numpy().view(f"u{size}").copy()
    exponent = EXPONENTS[size].get(str(tensor.dtype)[6:]) or EXPONENTS[size][""]
    magnitude = raw & raw.dtype.type(2 ** (8 * size - 1) - 1)
    raw[magnitude > exponent] = exponent + 1
    return raw.tobytes()


def answer(question: Callable[[], Any]) -> Any:
    """Views that may not be followed any more refuse to say what they came from."""
    try:
        return question()
    except RuntimeError as error:
        return type(error).__name__


class Observer:
    """Everything that a program can see of values, as plain ones that compare."""

    def __init__(self) -> None:
        self.storages: dict[int, int] = {}
        self.alive: list[Any] = []  # so that an address stands for one storage

    def seen(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return self.tensor(value)
        if isinstance(value, np.ndarray):
            same = value.copy()
            if same.dtype.kind in "fc":
                parts = same.reshape(-1).view(same.real.dtype)
                parts[np.isnan(parts)] = np.nan  # every NaN is the same one
            return ("array", value.shape, same.tobytes())
        if isinstance(value, dict):
            return {key: self.seen(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.seen(item) for item in value]
        return repr(value)

    def tensor(self, tensor: Any) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "dtype": str(tensor.dtype),
            "shape": tuple(tensor.shape),
            "stride": tensor.stride(),
            "offset": tensor.storage_offset(),
            "requires_grad": tensor.requires_grad,
            "is_leaf": answer(lambda: tensor.is_leaf),
            "grad_fn": answer(lambda: type(tensor.grad_fn).__name__),
            "version": tensor._version,
            "bits": bits(tensor),
        }
        if tensor.numel() > 0:
            storage = tensor.untyped_storage()
            self.alive.append(storage)
            shown["storage"] = self.storages.setdefault(storage.data_ptr(), len(self.storages))
        if shown["is_leaf"] is True and tensor.grad is not None:
            shown["grad"] = self.tensor(tensor.grad)
        return shown


def seen(value: Any) -> Any:
    """What an observer sees; or the error of what was recorded and fails now (FLAMBEAU_CHECK=1)."""
    try:
        return Observer().seen(value)
    except RuntimeError as error:
        return f"raised {error}"


def glance(result: Any) -> Any:
    """The first element of the first tensor that has one: all else may run later."""
    values = result.values() if isinstance(result, dict) else ()
    full = [value for value in values if isinstance(value, torch.Tensor) and value.numel() > 0]
    if not full:
        return None
    return answer(lambda: repr(full[0][(0,) * full[0].dim()].item()))


def run(program: Program, runner: Runner) -> Any:
    """What is seen of `calls` calls on the same inputs, then of one on others."""
    function = runner(program.function())
    log: list[Any] = []
    held: list[Any] = []
    results: list[Any] = []
    observed: list[Any] = []
    torch.manual_seed(program.seed)
    torch._C._compile_early(os.environ.get("FLAMBEAU_EARLY", program.early))
    for sizes in (None, program.sizes) if program.sizes else (None,):
        inputs = [made.make(sizes) for made in program.inputs]
        for _ in range(program.calls):
            try:
                result = function(inputs, log, held)
            except Exception as error:
                result = ["raised", type(error).__name__]
            if program.waits:
                torch._C._compile_wait()
            if program.glances:
                observed.append(glance(result))
            if program.read == "each":
                observed.append(seen([result, inputs, held]))
            if program.read == "last":
                results.clear()
            results.append(result)
        observed.append(seen([results, inputs, held]))
    observed.append([str(item) for item in log])
    observed.append(torch.get_rng_state().numpy().tobytes())
    return observed


def difference(a: Any, b: Any, path: str = "") -> str:
    """Where two observations differ first; empty if they do not."""
    if type(a) is not type(b):
        return f"{path}: {a!r:.200} and {b!r:.200}"
    if isinstance(a, dict):
        for key in a.keys() | b.keys():
            if key not in a or key not in b:
                return f"{path}.{key} is missing on one side"
            if found := difference(a[key], b[key], f"{path}.{key}"):
                return found
        return ""
    if isinstance(a, list):
        if len(a) != len(b):
            return f"{path}: {len(a)} and {len(b)} items"
        return next(
            (d for i, (x, y) in enumerate(zip(a, b)) if (d := difference(x, y, f"{path}[{i}]"))), ""
        )
    if a == b:
        return ""
    if isinstance(a, bytes) and len(a) == len(b):
        count = sum(x != y for x, y in zip(a, b))
        first = next(i for i, (x, y) in enumerate(zip(a, b)) if x != y)
        return f"{path}: {count} of {len(a)} bytes differ, the first at {first}"
    return f"{path}: {a!r:.200} and {b!r:.200}"


def is_whole(observed: Any) -> bool:
    """False if a name was missing: of a program that lines were taken from."""
    return "NameError" not in repr(observed) and "UnboundLocalError" not in repr(observed)


def check(program: Program, *runners: Runner) -> str:
    """What differs first between the program as it is and inside one of `runners`."""
    wanted = run(program, lambda function: function)
    if not is_whole(wanted):
        return ""
    for runner in runners:
        if found := difference(wanted, run(program, runner)):
            return f"{getattr(runner, '__name__', runner)}: {found}"
    return ""


def with_fewer_lines(program: Program, differs: Callable[[list[str]], Program | None]) -> Program:
    """The program without lines that it still differs without."""
    size = max(1, len(program.lines) // 2)
    while size >= 1:
        start = 0
        while start < len(program.lines):
            rest = program.lines[:start] + program.lines[start + size :]
            if (smaller := differs(rest)) is not None:
                program = smaller
            else:
                start += size
        size = size // 2 if size > 1 else 0
    return program


def shrink(program: Program, *runners: Runner) -> Program:
    """A smaller program that still differs: lines, calls and results are taken away while it does."""

    def differs(**changes: Any) -> Program | None:
        smaller = Program(**{**program.__dict__, **changes})
        try:
            return smaller if check(smaller, *runners) else None
        except SyntaxError:
            return None

    for change in (
        {"glances": False},
        {"waits": False},
        {"sizes": None},
        {"calls": 2},
        {"calls": 1},
        {"read": "end"},
    ):
        program = differs(**change) or program
    program = with_fewer_lines(program, lambda lines: differs(lines=lines))
    for name in list(program.kept):
        program = differs(kept=[other for other in program.kept if other != name]) or program
    return program
