"""Calls of every operation of the registry, with the arguments of its samples made of values that a
program already has."""

from __future__ import annotations

import inspect
import random
from typing import Any

import flambeau as torch

# Their results are memory that nobody wrote.
UNDEFINED = {"empty", "empty_like", "empty_strided", "empty_permuted", "new_empty"}
UNDEFINED |= {"new_empty_strided", "resize"}
# They see the sign of a NaN, which is that of either operand where both are NaN.
READ_SIGNS = {"signbit", "copysign"}


def can_hold(dtype: Any) -> bool:
    """False for dtypes that are names only."""
    try:
        torch.zeros(2, dtype=dtype) + torch.zeros(2, dtype=dtype)
    except (RuntimeError, TypeError, NotImplementedError):
        return False
    return True


ALL_DTYPES = sorted(
    {v for v in vars(torch).values() if isinstance(v, torch.dtype) and can_hold(v)}, key=str
)
LIKELY = {"float32": 60, "float64": 6, "bfloat16": 6, "float16": 4, "int64": 6, "int32": 4}
DTYPES = [str(dtype)[6:] for dtype in ALL_DTYPES]
DTYPE_WEIGHTS = [LIKELY.get(name, 2) for name in DTYPES]


def _path(entry: dict[str, Any]) -> str | None:
    """Where a user finds the operation: "torch.add", "torch.nn.functional.gelu", ".view"."""
    names = [entry["name"]] if entry["function"] else []
    names += [alias for alias in entry["aliases"] if not alias.startswith("Tensor.")]
    for name in names:
        owner: Any = torch
        for part in name.split("."):
            owner = getattr(owner, part, None)
        if callable(owner):
            return "torch." + name
    methods = [entry["name"]] if entry["method"] else []
    methods += [alias[7:] for alias in entry["aliases"] if alias.startswith("Tensor.")]
    return next(
        (f".{name}" for name in methods if callable(getattr(torch.Tensor, name, None))), None
    )


def takes_any_number(path: str) -> bool:
    """True for `atleast_1d(*tensors)` and the like, which are written in Python."""
    function = inspect.unwrap(eval(path)) if path.startswith("torch.") else None
    if not inspect.isfunction(function):
        return False
    first = next(iter(inspect.signature(function).parameters.values()), None)
    return first is not None and first.kind is first.VAR_POSITIONAL


class Operation:
    """A row of the registry that can be called."""

    def __init__(self, entry: dict[str, Any], path: str) -> None:
        self.path = path
        self.tag = entry["name"] + ("." + entry["overload"] if entry["overload"] else "")
        self.samples = entry["samples"]
        self.keyword_only = [p["name"] for p in entry["parameters"] if p["keyword_only"]]
        self.names = [p["name"] for p in entry["parameters"]]
        self.receiver = self.names.index("self") if "self" in self.names else 0  # of a method
        self.in_place = entry["in_place"] and entry["method"]
        self.written = {p["name"] for p in entry["parameters"] if p["written"]}
        # A single number stands for all of a list.
        self.spread = {p["name"] for p in entry["parameters"] if p["list_length"] > 1}
        self.unpacks = entry["parameters"][0]["type"] == "Tensor[]" and takes_any_number(path)
        self.name = entry["name"]


OPERATIONS = [
    Operation(entry, path)
    for entry in torch._C._registry()
    if entry["name"] not in UNDEFINED and entry["samples"] and (path := _path(entry))
]


def literal(value: Any) -> str:
    if isinstance(value, torch.Size):
        return str(list(value))
    if isinstance(value, list):
        return "[" + ", ".join(literal(item) for item in value) + "]"
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return f'float("{value}")'
    return "torch.float32" if value is torch.float32 else repr(value)


def plain(value: Any) -> Any:
    return list(value) if isinstance(value, torch.Size) else value


def is_tensor(value: Any) -> bool:
    return isinstance(value, dict) and "shape" in value


def has_tensor(value: Any) -> bool:
    return is_tensor(value) or (isinstance(value, list) and any(map(has_tensor, value)))


def overlaps_nothing(t: torch.Tensor) -> bool:
    """True if no two elements are one in memory, so that a write of them has a meaning."""
    axes = sorted((stride, extent) for stride, extent in zip(t.stride(), t.shape) if extent > 1)
    return all(stride > sum(s * (n - 1) for s, n in axes[:i]) for i, (stride, _) in enumerate(axes))


class CallMaker:
    """Writes calls with the values of `values`: names of tensors."""

    def __init__(self, rng: random.Random, values: dict[str, Any]) -> None:
        self.rng = rng
        self.values = values

    def call(self, operation: Operation, in_place: bool) -> str:
        positional, keyword = self.rng.choice(operation.samples)
        dtype = self.rng.choices(DTYPES, DTYPE_WEIGHTS)[0]
        positional = [
            value[0]
            if name in operation.spread and isinstance(value, list) and len(value) == 1
            else value
            for name, value in zip(operation.names, map(plain, positional))
        ]
        arguments = [self.argument(value, dtype) for value in positional]
        if operation.name in READ_SIGNS:
            arguments = [
                f"{text}.nan_to_num()" if is_tensor(value) else text
                for value, text in zip(positional, arguments)
            ]
        if len(operation.written) > 1:  # what is written must not be what else is read or written
            fresh = [self.fresh(value) for value in positional]
            arguments = [
                new if name in operation.written else old
                for name, old, new in zip(operation.names, arguments, fresh)
            ]
        if operation.unpacks:
            arguments[0] = "*" + arguments[0]
        named = {name: self.argument(value, dtype) for name, value in keyword.items()}
        for name, text in zip(operation.names[: len(arguments)], list(arguments)):
            if name in operation.keyword_only:
                named[name] = text
                arguments.remove(text)
        rest = [*arguments, *(f"{name}={text}" for name, text in named.items())]
        if in_place or operation.path.startswith("."):
            name = operation.name + "_" if in_place else operation.path[1:]
            receiver = rest.pop(operation.receiver)
            if in_place and receiver in self.values and not overlaps_nothing(self.values[receiver]):
                receiver += ".clone()"
            return f"{receiver}.{name}({', '.join(rest)})"
        return f"{operation.path}({', '.join(rest)})"

    def fresh(self, value: Any) -> str:
        if is_tensor(value):
            low, high = max(value["low"], -9), min(value["high"], 9)
            return f"torch.empty({list(value['shape'])}).uniform_({low:g}, {high:g})"
        if has_tensor(value):
            return "[" + ", ".join(map(self.fresh, value)) + "]"
        return literal(value)

    def argument(self, value: Any, dtype: str) -> str:
        if is_tensor(value):
            return self.tensor(value, dtype)
        if has_tensor(value):
            return "[" + ", ".join(self.argument(item, dtype) for item in value) + "]"
        return literal(value)

    def tensor(self, sample: dict[str, Any], dtype: str) -> str:
        """A value that fits the sample."""
        shape, low, high = list(sample["shape"]), sample["low"], sample["high"]
        wanted = str(sample["dtype"] or dtype).split(".")[-1]
        text = self.shaped(shape, wanted, sample["dtype"] is None)
        if sample["dtype"] is None:
            if (low, high) == (-2.0, 2.0) or wanted == "bool" or wanted.startswith("complex"):
                return text
            return f"{text}.clamp({max(low, 0) if wanted.startswith('uint') else low:g}, {high:g})"
        if wanted == "bool":
            return f"({text} > 0)"
        if "int" in wanted:
            index = f"({text}.long() % {max(1, int(high - low))} + {int(low)})"
            return index if wanted == "int64" else f"{index}.to(torch.{wanted})"
        return f"{text}.to(torch.{wanted})"

    def shaped(self, shape: list[int], dtype: str, exact: bool) -> str:
        """A value of this shape; where it must not be `exact`, with finite numbers of any dtype."""
        fitting = [
            name
            for name, value in self.values.items()
            if list(value.shape) == shape and (not exact or str(value.dtype) == f"torch.{dtype}")
        ]
        if fitting and self.rng.random() < 0.8:
            text = self.rng.choice(fitting[-4:])
            return text if exact else finite(text, self.values[text])
        sources = [name for name, value in self.values.items() if value.numel() > 0]
        if not sources:
            text = f"torch.ones({shape})"
            return f"{text}.to(torch.{dtype})" if exact else text
        name = self.rng.choice(sources[-6:])
        source = self.values[name]
        text = name if exact else finite(name, source)
        if source.is_complex() and exact and not dtype.startswith("complex"):
            text = f"{text}.real"
        if list(source.shape) != shape:
            count = 1
            for extent in shape:
                count *= extent
            text = f"{text}.reshape(-1)"
            if source.numel() < count:
                text += f".repeat({-(-count // source.numel())})"
            text = f"{text}[:{count}].view({shape})"
        if exact and str(source.dtype) != f"torch.{dtype}":
            text = f"{text}.to(torch.{dtype})"
        return text


def finite(name: str, value: Any) -> str:
    """Its numbers such that they convert to integers."""
    if value.is_complex():
        return f"{name}.detach().real.nan_to_num(0.0).clamp(-99, 99)"
    if value.is_floating_point():
        return f"{name}.detach().nan_to_num(0.0).clamp(-99, 99)"
    return f"{name}.long()" if value.dtype == torch.bool else name
