"""Functions of the user in vmap: by the rule that they define, or by running their methods for all members."""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

from flambeau import _C, Tensor
from flambeau.func._vmap import RANDOMNESS, _add_axis, unwrap, vmap, wrap

from .function import Function

__all__ = ["apply_in_vmap", "innermost_level"]


class VmapInfo(NamedTuple):
    """What a rule is told: how many members there are, and what vmap was told of random numbers."""

    batch_size: int
    randomness: str


def innermost_level(args: tuple[Any, ...]) -> int | None:
    """The innermost level that hides an axis of an argument; None where none does."""
    return max((unwrap(arg)[1][0] for arg in args if _is_batched(arg)), default=None)


def _is_batched(arg: Any) -> bool:
    return isinstance(arg, Tensor) and bool(unwrap(arg)[1])


def _outside(arg: Any, level: int) -> tuple[Any, int | None]:
    """The argument out of the vmap of `level`: the axis of members is its first."""
    if not _is_batched(arg):
        return arg, None
    physical, levels = unwrap(arg)
    if levels[0] != level:
        return arg, None
    return wrap(physical.movedim(0, len(levels) - 1), levels[1:]), 0


def apply_in_vmap(cls: Any, args: tuple[Any, ...], kwargs: dict[str, Any], level: int) -> Any:
    """`cls.apply(*args, **kwargs)`, some of whose arguments are hidden by the vmap of `level`."""
    ruled = cls.vmap is not Function.vmap
    if ruled and cls.generate_vmap_rule:
        raise RuntimeError(
            f"You tried to vmap over {cls.__name__}, but it has both generate_vmap_rule=True and an "
            "overriden vmap staticmethod. Please set generate_vmap_rule=False or delete the overriden "
            "vmap staticmethod to avoid ambiguity."
        )
    if not ruled and not cls.generate_vmap_rule:
        raise RuntimeError(
            f"You tried to vmap over {cls.__name__}, but it does not have vmap support. Please override "
            "and implement the vmap staticmethod or set generate_vmap_rule=True."
        )
    if cls.setup_context is not Function.setup_context:
        bound = inspect.signature(cls.forward).bind(*args, **kwargs)
        bound.apply_defaults()
        args = bound.args
    elif kwargs:
        raise TypeError(f"{cls.__name__}.apply() takes no keyword arguments")
    operands, dims = zip(*(_outside(arg, level) for arg in args))
    size = dict(_C._vmap_levels())[level]
    randomness = RANDOMNESS[_C._vmap_randomness(level)]
    if not ruled:
        outputs = _over_members(cls, dims, randomness).apply(*operands)
        out_dims: Any = tuple(0 for _ in outputs) if isinstance(outputs, tuple) else 0
    else:
        answer = cls.vmap(VmapInfo(size, randomness), dims, *operands)
        if not isinstance(answer, tuple) or len(answer) != 2:
            raise RuntimeError(
                f"Expected the vmap staticmethod of {cls.__name__} to return a tuple of (output, out_dims)"
            )
        outputs, out_dims = answer
    if not isinstance(outputs, tuple):
        return _inside(outputs, out_dims, level)
    if not isinstance(out_dims, tuple):
        out_dims = (out_dims,) * len(outputs)
    return tuple(_inside(output, dim, level) for output, dim in zip(outputs, out_dims))


def _inside(output: Any, dim: int | None, level: int) -> Any:
    if not isinstance(output, Tensor) or dim is None:
        return output
    return _add_axis(output, dim % output.dim(), level)


class _Context:
    """What the methods of one member see as their context; what they keep stays here."""

    def __init__(self) -> None:
        self.saved_tensors: tuple[Any, ...] = ()
        self.needs_input_grad: tuple[bool, ...] = ()
        self._kept: tuple[Any, ...] = ()
        self._not_differentiable: tuple[Any, ...] = ()
        self._materialize = True

    def save_for_backward(self, *tensors: Any) -> None:
        self._kept = tensors

    save_for_forward = save_for_backward

    def mark_non_differentiable(self, *tensors: Any) -> None:
        self._not_differentiable = tensors

    def set_materialize_grads(self, value: bool) -> None:
        self._materialize = value

    def mark_dirty(self, *tensors: Any) -> None:
        raise NotImplementedError(
            "vmap: mark_dirty of an autograd.Function with generate_vmap_rule=True is not there"
        )


def _tuple_of(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _dims_of(values: tuple[Any, ...]) -> tuple[int | None, ...]:
    return tuple(0 if isinstance(value, Tensor) else None for value in values)


def _over_members(cls: Any, dims: tuple[int | None, ...], randomness: str) -> Any:
    """A Function whose methods are those of `cls` for all members of the first axes of the arguments where `dims` is 0."""

    def run(function: Any, in_dims: tuple[int | None, ...], values: tuple[Any, ...]) -> Any:
        return vmap(function, in_dims=in_dims, randomness=randomness)(*values)

    class Members(Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(ctx: Any, *operands: Any) -> Any:
            inner = ctx.inner = _Context()
            marked: list[int] = []

            def one(*args: Any) -> Any:
                if cls.setup_context is Function.setup_context:
                    output = cls.forward(inner, *args)
                else:
                    output = cls.forward(*args)
                    cls.setup_context(inner, args, output)
                outputs = _tuple_of(output)
                ctx.count = len(outputs) if isinstance(output, tuple) else 0
                marked[:] = [
                    i
                    for i, o in enumerate(outputs)
                    if any(o is m for m in inner._not_differentiable)
                ]
                ctx.kept = [isinstance(each, Tensor) for each in inner._kept]
                return (*outputs, *(each for each in inner._kept if isinstance(each, Tensor)))

            flat = run(one, dims, operands)
            outputs = flat[: ctx.count or 1]
            ctx.save_for_backward(*flat[ctx.count or 1 :])
            ctx.mark_non_differentiable(*(outputs[i] for i in marked))
            ctx.set_materialize_grads(inner._materialize)
            return tuple(outputs) if ctx.count else outputs[0]

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            return _run_saved(ctx, cls.backward, grads, dims)

        @staticmethod
        def jvp(ctx: Any, *tangents: Any) -> Any:
            results = _run_saved(ctx, cls.jvp, tangents, None)
            return results if ctx.count else results[0]

    def _run_saved(ctx: Any, method: Any, given: tuple[Any, ...], sums: Any) -> Any:
        saved = ctx.saved_tensors
        there: list[bool] = []

        def one(*values: Any) -> Any:
            inner, tensors = ctx.inner, iter(values[len(given) :])
            inner.saved_tensors = tuple(
                next(tensors) if is_tensor else None for is_tensor in ctx.kept
            )
            inner.needs_input_grad = ctx.needs_input_grad
            results = _tuple_of(method(inner, *values[: len(given)]))
            there[:] = [isinstance(result, Tensor) for result in results]
            return tuple(result for result in results if isinstance(result, Tensor))

        values = (*given, *saved)
        if not any(isinstance(value, Tensor) for value in values):
            return tuple(None for _ in dims)
        found = iter(run(one, _dims_of(values), values))
        results = [next(found) if is_there else None for is_there in there]
        if sums is None:
            return tuple(results)
        # The gradient of what is the same for all members is the sum of theirs.
        return tuple(
            result.sum(0) if result is not None and dim is None else result
            for result, dim in zip(results, sums)
        )

    Members.__name__ = Members.__qualname__ = f"{cls.__name__}OverMembers"
    return Members
