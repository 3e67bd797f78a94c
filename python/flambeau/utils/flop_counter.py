"""Counting the floating-point operations of products, convolutions and attention while a program runs.

    with FlopCounterMode(display=False) as counter:
        model(x)
    print(counter.get_total_flops())

A multiply-add counts as two; the operations of gradients are not seen.
"""

from __future__ import annotations

import collections
import math
from typing import Any, Callable

import flambeau
from flambeau import Tensor

from ._python_dispatch import TorchDispatchMode

__all__ = ["FlopCounterMode", "flop_registry", "register_flop_formula"]

aten = flambeau.ops.aten
flop_registry: dict[Any, Callable[..., int]] = {}


def register_flop_formula(targets: Any, get_raw: bool = False) -> Callable[..., Any]:
    """A decorator: how many operations the operations `targets` make of arguments of these shapes (of the arguments
    themselves with `get_raw`) and a result of the shape `out_shape` (`out_val`)."""

    def decorate(formula: Callable[..., int]) -> Callable[..., int]:
        def counted(*args: Any, out_val: Any = None, **kwargs: Any) -> int:
            if get_raw:
                return formula(*args, out_val=out_val, **kwargs)
            shapes, named = _shapes(args), _shapes(kwargs)
            return formula(*shapes, out_shape=_shapes(out_val), **named)

        for target in targets if isinstance(targets, (list, tuple)) else [targets]:
            flop_registry[target] = counted
        return formula

    return decorate


def _shapes(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.shape
    if isinstance(value, (list, tuple)):
        return type(value)(_shapes(item) for item in value)
    if isinstance(value, dict):
        return {key: _shapes(item) for key, item in value.items()}
    return value


@register_flop_formula([aten.mm, aten.bmm, aten.matmul, aten.mv, aten.dot])
def _product(a: Any, b: Any, *args: Any, out_shape: Any = None, **kwargs: Any) -> int:
    """2 for each element of the result and each member of the sum."""
    return 2 * math.prod(out_shape) * a[-1]


@register_flop_formula([aten.addmm, aten.baddbmm, aten.addmv])
def _added_product(c: Any, a: Any, b: Any, *args: Any, out_shape: Any = None, **kwargs: Any) -> int:
    return 2 * math.prod(out_shape) * a[-1]


@register_flop_formula(aten.linear)
def _linear(a: Any, w: Any, *args: Any, out_shape: Any = None, **kwargs: Any) -> int:
    return 2 * math.prod(out_shape) * a[-1]


@register_flop_formula([aten.conv1d, aten.conv2d, aten.conv3d])
def _convolution(x: Any, w: Any, *args: Any, out_shape: Any = None, **kwargs: Any) -> int:
    return 2 * math.prod(out_shape) * math.prod(w[1:])


@register_flop_formula([aten.conv_transpose1d, aten.conv_transpose2d, aten.conv_transpose3d])
def _transposed(x: Any, w: Any, *args: Any, out_shape: Any = None, **kwargs: Any) -> int:
    return 2 * math.prod(x) * math.prod(w[1:])


@register_flop_formula(aten.scaled_dot_product_attention)
def _attention(q: Any, k: Any, v: Any, *args: Any, out_shape: Any = None, **kwargs: Any) -> int:
    scores = math.prod(q[:-1]) * k[-2]
    return 2 * scores * (q[-1] + v[-1])


class _Counting(TorchDispatchMode):
    def __init__(self, counter: FlopCounterMode) -> None:
        super().__init__()
        self.counter = counter

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        formula = self.counter.flop_registry.get(func)
        if formula is not None:
            count = formula(*args, **kwargs, out_val=result)
            for place in ("Global", *self.counter.parents):
                self.counter.flop_counts[place][func] += count
        return result


class FlopCounterMode:
    """Counts within it, in all and for each module that is called (by its path from the outermost module)."""

    def __init__(
        self,
        mods: Any = None,
        depth: int = 2,
        display: bool = True,
        custom_mapping: dict[Any, Any] | None = None,
    ) -> None:
        del mods
        self.depth = depth
        self.display = display
        self.flop_registry = {**flop_registry, **(custom_mapping or {})}
        self.flop_counts: dict[str, dict[Any, int]] = collections.defaultdict(
            lambda: collections.defaultdict(int)
        )
        self.parents: list[str] = []
        self.mode: _Counting | None = None
        self._names: dict[Any, str] = {}

    def get_total_flops(self) -> int:
        return sum(self.flop_counts["Global"].values())

    def get_flop_counts(self) -> dict[str, dict[Any, int]]:
        """Counts by the paths of modules ("Global" is all) and by operations."""
        return {place: dict(counts) for place, counts in self.flop_counts.items()}

    def get_table(self, depth: int | None = None) -> str:
        """The counts of modules as lines: path, count, share."""
        depth = self.depth if depth is None else depth
        total = self.get_total_flops()
        rows = [("Module", "FLOP", "% Total")]
        for place, counts in self.flop_counts.items():
            if place == "Global" or place.count(".") <= depth:
                count = sum(counts.values())
                share = 100 * count / total if total else 0.0
                rows.append((place, f"{count:,}", f"{share:.2f}%"))
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        return "\n".join("  ".join(t.ljust(w) for t, w in zip(r, widths)).rstrip() for r in rows)

    def _before(self, module: Any, args: Any) -> None:
        if module not in self._names:
            for name, child in module.named_modules():
                path = f"{type(module).__name__}.{name}" if name else type(module).__name__
                self._names.setdefault(child, path)
        self.parents.append(self._names[module])

    def _after(self, module: Any, args: Any, result: Any) -> None:
        self.parents.pop()

    def __enter__(self) -> FlopCounterMode:
        from flambeau.nn.modules.module import (
            register_module_forward_hook,
            register_module_forward_pre_hook,
        )

        self.flop_counts.clear()
        self._hooks = [
            register_module_forward_pre_hook(self._before),
            register_module_forward_hook(self._after, always_call=True),
        ]
        self.mode = _Counting(self)
        self.mode.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        assert self.mode is not None
        self.mode.__exit__(*exception)
        self.mode = None
        for hook in self._hooks:
            hook.remove()
        if self.display:
            print(self.get_table())
