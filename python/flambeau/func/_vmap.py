"""vmap: a function of one member, on tensors of many.

Within it a tensor hides an axis of members; every operation runs its program batched by the primitives' rules, once
for all members.
"""

from __future__ import annotations

import functools
from typing import Any, Callable

from flambeau import _C, Tensor
from flambeau.random import get_rng_state, set_rng_state
from flambeau.utils._pytree import (
    _broadcast_to_and_flatten,
    tree_flatten,
    tree_map_only,
    tree_unflatten,
)

__all__ = ["unwrap", "vmap", "wrap"]


def unwrap(tensor: Tensor) -> tuple[Tensor, list[int]]:
    """The tensor behind one with hidden axes, which are its first, and their levels, descending."""
    return _C._unbatched(tensor)


def wrap(physical: Tensor, levels: list[int]) -> Tensor:
    """The tensor that hides the first axes, one per level."""
    return _C._batched(physical, levels) if levels else physical


def _name(func: Any) -> str:
    return getattr(func, "__name__", repr(func))


def _add_axis(tensor: Tensor, dim: int, level: int) -> Tensor:
    physical, levels = unwrap(tensor)
    return wrap(physical.movedim(len(levels) + dim, 0), [level, *levels])


def _take_axis(result: Any, dim: int | None, level: int, size: int, name: str) -> Any:
    if not isinstance(result, Tensor):
        raise ValueError(
            f"vmap({name}, ...): `{name}` must only return Tensors, got type {type(result)}. Did you "
            "mean to set out_dims= to None for output?"
        )
    physical, levels = unwrap(result)
    if level not in levels:
        if dim is None:
            return result
        shape = list(result.shape)
        place = dim if dim >= 0 else dim + len(shape) + 1
        shape.insert(place, size)
        return result.unsqueeze(place).expand(shape)
    if dim is None:
        raise ValueError(
            f"vmap({name}, ...): `{name}` can not return a BatchedTensor when out_dim is None"
        )
    rest = levels[1:]  # This level is the innermost.
    rank = physical.dim() - len(levels) + 1
    place = dim + rank if dim < 0 else dim
    if not 0 <= place < rank:
        raise IndexError(f"vmap({name}, ...): out_dim {dim} is not an axis of a {rank}-d result")
    return wrap(physical.movedim(0, len(rest) + place), rest)


def _members(
    func: Any, in_dims: Any, args: tuple[Any, ...]
) -> tuple[list[Any], list[Any], Any, int]:
    """The leaves of the arguments, the axis of members of each, their tree, and how many members."""
    name = _name(func)
    if not isinstance(in_dims, (int, tuple, list)):
        raise ValueError(
            f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): expected `in_dims` to be int or a "
            f"(potentially nested) tuple matching the structure of inputs, got: {type(in_dims)}."
        )
    if not args:
        raise ValueError(
            f"vmap({name})(<inputs>): got no inputs. Maybe you forgot to add inputs, or you are "
            "trying to vmap over a function with no inputs. The latter is unsupported."
        )
    leaves, spec = tree_flatten(args)
    dims = _broadcast_to_and_flatten(tuple(in_dims) if isinstance(in_dims, list) else in_dims, spec)
    if dims is None:
        raise ValueError(
            f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): in_dims is not compatible with the "
            f"structure of inputs. in_dims has structure {tree_flatten(in_dims)[1]} but inputs has "
            f"structure {spec}."
        )
    sizes = []
    for i, (leaf, dim) in enumerate(zip(leaves, dims)):
        if dim is None:
            continue
        if not isinstance(dim, int) or not isinstance(leaf, Tensor):
            raise ValueError(
                f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): Got in_dim={dim} for an input but "
                f"the input is of type {type(leaf)}. We cannot vmap over non-Tensor arguments, "
                "please use None as the respective in_dim"
            )
        if not -leaf.dim() <= dim < leaf.dim():
            raise ValueError(
                f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): Got in_dim={dim} for some input, "
                f"but that input is a Tensor of dimensionality {leaf.dim()} so expected in_dim to "
                f"satisfy -{leaf.dim()} <= in_dim < {leaf.dim()}."
            )
        dims[i] = dim % leaf.dim()
        sizes.append(leaf.shape[dims[i]])
    if not sizes:
        raise ValueError(
            f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): at least one input must be mapped "
            "over; all in_dims are None"
        )
    if any(size != sizes[0] for size in sizes):
        raise ValueError(
            f"vmap: Expected all tensors to have the same size in the mapped dimension, got sizes "
            f"{sizes} for the mapped dimension"
        )
    return leaves, dims, spec, sizes[0]


RANDOMNESS = ("error", "different", "same")


def _run(
    func: Any,
    leaves: list[Any],
    dims: list[Any],
    spec: Any,
    size: int,
    out_dims: Any,
    randomness: str,
    kwargs: Any,
) -> Any:
    level = _C._enter_vmap(size, RANDOMNESS.index(randomness))
    try:
        inside = [
            leaf if dim is None else _add_axis(leaf, dim, level) for leaf, dim in zip(leaves, dims)
        ]
        results = func(*tree_unflatten(inside, spec), **kwargs)
        flat, out_spec = tree_flatten(results)
        out = _broadcast_to_and_flatten(out_dims, out_spec)
        if out is None:
            raise ValueError(
                f"vmap({_name(func)}, ..., out_dims={out_dims})(<inputs>): out_dims is not compatible "
                f"with the structure of `outputs`, which has structure {out_spec}."
            )
        outside = [
            _take_axis(result, dim, level, size, _name(func)) for result, dim in zip(flat, out)
        ]
        return tree_unflatten(outside, out_spec)
    finally:
        _C._leave_vmap()


def vmap(
    func: Callable[..., Any],
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """The function over the axes `in_dims` of its arguments (None: the same for all members); the results have an
    axis of members at `out_dims`. `randomness` says what operations that draw random numbers do: they raise
    RuntimeError ("error"), or give members their own numbers ("different") or all the same ones ("same").
    """
    if randomness not in RANDOMNESS:
        raise RuntimeError(
            f"Only allowed values for randomness are 'error', 'different', or 'same'. Got {randomness}"
        )
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")

    @functools.wraps(func)
    def over_members(*args: Any, **kwargs: Any) -> Any:
        leaves, dims, spec, size = _members(func, in_dims, args)
        if chunk_size is None or chunk_size >= size:
            return _run(func, leaves, dims, spec, size, out_dims, randomness, kwargs)
        parts = []
        state = get_rng_state() if randomness == "same" else None
        for start in range(0, size, chunk_size):
            if state is not None:
                set_rng_state(state)
            count = min(chunk_size, size - start)
            chunk = [
                leaf if dim is None else leaf.narrow(dim, start, count)
                for leaf, dim in zip(leaves, dims)
            ]
            parts.append(
                tree_flatten(_run(func, chunk, dims, spec, count, out_dims, randomness, kwargs))
            )
        out_spec = parts[0][1]
        axes = _broadcast_to_and_flatten(out_dims, out_spec)
        joined = [
            column[0] if axis is None else _C._functions["cat"](list(column), axis)
            for column, axis in zip(zip(*(flat for flat, _ in parts)), axes or [])
        ]
        return tree_unflatten(joined, out_spec)

    return over_members


def physical_tree(tree: Any) -> Any:
    return tree_map_only(Tensor, lambda tensor: unwrap(tensor)[0], tree)
