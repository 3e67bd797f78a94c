"""Random programs as text: a function of some tensors, written line by line while it runs, so that
each line fits what the lines before it made."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import flambeau as torch
from calls import DTYPE_WEIGHTS, DTYPES, OPERATIONS, CallMaker

MOST_ELEMENTS = 3000
BUDGETS = (1, 1, 0.9, 0.7, 0.5, 0)  # of memory, for what a program computes again
FLOATS = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
HEAD = """\
import math
import flambeau as torch
from flambeau.nn import functional as F

class Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x + x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * (2 * x + 1)

"""


@dataclass
class Input:
    """How an input is made, so that it can be made again."""

    shape: list[int]
    dtype: str
    layout: str
    requires_grad: bool
    seed: int

    def make(self, sizes: dict[int, int] | None = None) -> Any:
        """The tensor; `sizes` gives other extents for some."""
        shape = [(sizes or {}).get(extent, extent) for extent in self.shape]
        rng = random.Random(self.seed)
        count = 1
        for extent in shape:
            count *= extent
        dtype = getattr(torch, self.dtype)
        if dtype == torch.bool:
            numbers: list[Any] = [rng.random() < 0.5 for _ in range(count)]
        elif not (dtype.is_floating_point or dtype.is_complex):
            low = 0 if self.dtype.startswith("uint") else -9
            numbers = [rng.randrange(low, 10) for _ in range(count)]
        else:
            numbers = [rng.choice((rng.uniform(-2, 2), rng.gauss(0, 1))) for _ in range(count)]
        x = torch.tensor(numbers, dtype=torch.float64 if dtype.is_floating_point else dtype)
        x = x.to(dtype).reshape(shape)
        if self.layout == "transposed" and x.dim() > 1:
            x = x.transpose(0, -1).contiguous().transpose(0, -1)
        elif self.layout == "sliced" and x.dim() > 0:
            x = torch.stack([x, x + x], -1)[..., 0] if dtype != torch.bool else x
        elif self.layout == "expanded" and x.dim() > 0 and not self.requires_grad:
            x = x[:1].expand(shape)
        return x.detach().requires_grad_(self.requires_grad)


@dataclass
class Program:
    seed: int
    inputs: list[Input]
    lines: list[str]
    kept: list[str]  # names of what is returned
    calls: int = 3
    read: str = (
        "end"  # when results are looked at: after "each" call, at the "end", only the "last"
    )
    sizes: dict[int, int] | None = None  # extents of the inputs from the second call on
    tags: list[tuple[str, str]] = field(default_factory=list)
    memory_budget: float = 1  # of the compiled program
    waits: bool = False  # between calls, until all that is asked for is compiled
    glances: bool = False  # after each call, at one element of one result
    early: str = "here"  # how regions run early: FLAMBEAU_EARLY

    def text(self) -> str:
        names = ", ".join(f"x{i}" for i in range(len(self.inputs)))
        body = [f"{names}, = inputs", *self.lines]
        body.append("kept = " + repr(set(self.kept) or {""}))
        body.append("return {k: v for k, v in locals().items() if k in kept}")
        lines = [line for statement in body for line in statement.split("\n")]
        return HEAD + "def program(inputs, log, held):\n" + "".join(f"    {x}\n" for x in lines)

    def function(self) -> Callable[..., Any]:
        scope: dict[str, Any] = {}
        exec(compile(self.text(), f"<program {self.seed}>", "exec"), scope)
        scope["program"].memory_budget = self.memory_budget
        return scope["program"]

    def statements(self) -> int:
        return sum(statement.count("\n") + 1 for statement in self.lines)


# What writes a line, with its weight.
Kind = Callable[["ProgramMaker"], str]
Kinds = list[tuple[Kind, int]]


class ProgramMaker:
    """Writes one program. Of a `general` one, each line fits inputs of other sizes, too."""

    def __init__(self, seed: int, kinds: Kinds, general: Kinds) -> None:
        self.rng = random.Random(seed)
        self.seed = seed
        self.general = self.rng.random() < 0.25
        self.kinds = general if self.general else kinds
        self.scope: dict[str, Any] = {"log": [], "held": []}
        exec(HEAD, self.scope)
        self.lines: list[str] = []
        self.tags: list[tuple[str, str]] = []
        self.line_tags: list[tuple[str, str]] = []
        self.next = 0

    # ---- What there is.

    def values(self) -> dict[str, Any]:
        return {
            name: value
            for name, value in self.scope.items()
            if name[0] in "xv" and name[1:].isdigit() and isinstance(value, torch.Tensor)
        }

    def any(self, wanted: Callable[[Any], bool] = lambda t: True) -> str:
        """The name of a value, rather of a recent one; IndexError where there is none."""
        names = [name for name, value in self.values().items() if self.fits(wanted, value)]
        if self.rng.random() < 0.6:
            names = names[-4:]
        return self.rng.choice(names)

    @staticmethod
    def fits(wanted: Callable[[Any], bool], value: Any) -> bool:
        try:
            return wanted(value)
        except RuntimeError:  # a view that may not be followed any more
            return False

    def float(self) -> str:
        return self.any(lambda t: t.dtype in FLOATS)

    def tracked(self) -> str:
        return self.any(lambda t: t.requires_grad and t.dtype in FLOATS)

    def rank(self, least: int, wanted: Callable[[Any], bool] = lambda t: True) -> str:
        return self.any(lambda t: t.dim() >= least and t.numel() > 0 and wanted(t))

    def fitting(self, name: str) -> str:
        """A value that broadcasts to the shape of `name`."""
        shape = tuple(self.scope[name].shape)

        def fits(t: Any) -> bool:
            own = tuple(t.shape)
            return len(own) <= len(shape) and all(
                a in (1, b) for a, b in zip(own[::-1], shape[::-1])
            )

        if self.general:
            return self.any(lambda t: tuple(t.shape) == shape or t.dim() == 0)
        return self.any(fits)

    def new(self) -> str:
        self.next += 1
        return f"v{self.next}"

    def tag(self, table: str, name: str) -> None:
        self.line_tags.append((table, name))

    # ---- Writing.

    def make(self) -> Program:
        extents = self.rng.sample((2, 3, 4, 5, 7), 3)
        inputs = [self.input(extents) for _ in range(self.rng.randint(2, 4))]
        for i, made in enumerate(inputs):
            self.scope[f"x{i}"] = made.make()
        torch.manual_seed(self.seed)
        wanted = max(4, int(self.rng.gauss(30, 10)))
        for _ in range(4 * wanted):
            if sum(line.count("\n") + 1 for line in self.lines) >= wanted:
                break
            self.add_line()
        names = [name for name in self.values() if name[0] == "v"]
        kept = [name for name in names if self.rng.random() < 0.6]
        sizes = None
        if self.general and self.rng.random() < 0.8:
            sizes = {e: e + self.rng.choice((1, 2, 6)) for e in extents}
        more = random.Random(self.seed)
        budget = more.choice(BUDGETS)
        waits = more.random() < 0.15
        return Program(
            self.seed,
            inputs,
            self.lines,
            kept,
            6 if waits else self.rng.choice((1, 2, 3, 3)),
            self.rng.choice(("each", "end", "last")),
            sizes,
            [*self.tags, ("memory budget", str(budget))],
            budget,
            waits,
            glances=more.random() < 0.5,
            early=more.choice(("here", "late", "worker")),
        )

    def input(self, extents: list[int]) -> Input:
        shape = [self.rng.choice(extents) for _ in range(self.rng.choice((0, 1, 2, 2, 2, 3)))]
        if self.rng.random() < 0.15 and shape and not self.general:
            shape[self.rng.randrange(len(shape))] = self.rng.choice((0, 1, 40))
        dtype = self.rng.choices(DTYPES, DTYPE_WEIGHTS)[0]
        layout = self.rng.choice(("plain", "plain", "transposed", "sliced", "expanded"))
        tracked = dtype in ("float32", "float64", "bfloat16") and self.rng.random() < 0.5
        return Input(shape, dtype, layout, tracked, self.rng.randrange(2**31))

    def add_line(self) -> None:
        kind = self.rng.choices([k for k, _ in self.kinds], [w for _, w in self.kinds])[0]
        self.line_tags = []
        before, count = dict(self.scope), self.next
        try:
            text = kind(self)
        except IndexError:  # no value that fits
            return
        if not self.runs(text):
            # Some errors are part of the program.
            if self.rng.random() > 0.03:
                self.scope, self.next = before, count
                return
            text = "try:\n" + indented(text) + "\nexcept Exception as error:\n"
            text += "    log.append(type(error).__name__)"
            self.line_tags = [("other", "exception")]
        for name, value in list(self.values().items()):
            if value.numel() > MOST_ELEMENTS:
                self.scope = before
                return
            if name not in before:
                self.line_tags.append(("dtype", str(value.dtype)[6:]))
        self.lines.append(text)
        self.tags += self.line_tags

    def runs(self, text: str) -> bool:
        try:
            exec(text, self.scope)
        except Exception:
            return False
        return True

    def operation(self) -> str:
        operation = self.rng.choice(OPERATIONS)
        in_place = operation.in_place and self.rng.random() < 0.2
        text = CallMaker(self.rng, self.values()).call(operation, in_place)
        self.tag("operation", operation.tag)
        if in_place:
            self.tag("operation in place", operation.name + "_")
        return self.assigned(text)

    def assigned(self, call: str) -> str:
        """The call with its results given names; some results are dropped."""
        state = torch.get_rng_state()
        try:
            result = eval(call, self.scope)
        except Exception:  # then the line fails, too
            return call
        finally:
            torch.set_rng_state(state)
        if isinstance(result, torch.Tensor):
            return f"{self.new()} = {call}"
        if isinstance(result, (tuple, list)) and result:
            if not all(isinstance(item, torch.Tensor) for item in result):
                return f"log.append(repr({call}))"
            if len(result) > 1:
                self.tag("other", "several results")
            if len(result) > 4:
                return f"{self.new()}, *_ = {call}"
            names = [self.new() if self.rng.random() < 0.7 else "_" for _ in result]
            if "_" in names:
                self.tag("other", "dropped result")
            return f"{', '.join(names)}{',' if len(names) == 1 else ''} = {call}"
        return f"log.append(repr({call}))"


def indented(text: str) -> str:
    return "\n".join("    " + line for line in text.split("\n"))
