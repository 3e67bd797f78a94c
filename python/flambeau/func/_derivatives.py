"""Derivatives of functions, by the tape and forward mode; they nest in each other and in vmap.

A derivative is taken with respect to tensors of its own (`_fresh`), so that only what depends on these counts. Within
vmap these have the axes of all members, so that each member gets its own derivative.
"""

from __future__ import annotations

import functools
import threading
from typing import Any, Callable

import flambeau
from flambeau import _C, Tensor, autograd
from flambeau.autograd import forward_ad
from flambeau.func._vmap import unwrap, vmap, wrap
from flambeau.utils._pytree import tree_flatten, tree_map, tree_map_only, tree_unflatten

__all__ = ["grad", "grad_and_value", "hessian", "jacfwd", "jacrev", "jvp", "linearize", "vjp"]


class _Nesting(threading.local):
    depth = 0  # of derivatives that are being taken, to which results must have a history


_nesting = _Nesting()


def _over_all(tensor: Tensor, levels: list[tuple[int, int]]) -> Tensor:
    """The tensor behind, with the axes of members of all levels."""
    physical, has = unwrap(tensor)
    for place, (level, size) in enumerate(levels):
        if level not in has:
            shape = list(physical.shape)
            shape.insert(place, size)
            physical = physical.unsqueeze(place).expand(shape)
    return physical


def _fresh(tensor: Tensor, levels: list[tuple[int, int]]) -> Tensor:
    """Another view of the tensor, which a derivative is taken with respect to."""
    physical = _C._functions["_ops.alias"](_over_all(tensor, levels))
    if not physical.requires_grad:
        physical.requires_grad_()
    return wrap(physical, [level for level, _ in levels])


def _depends_on_others(roots: list[Tensor], own: set[int]) -> bool:
    """Whether the history of the roots leads to leaves other than those."""
    seen: set[Any] = set()
    todo = [root.grad_fn for root in roots if root.grad_fn is not None]
    while todo:
        node = todo.pop()
        if node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)
        if leaf is not None and id(leaf) not in own:
            return True
        todo.extend(next_node for next_node, _ in node.next_functions if next_node is not None)
    return False


class _Derivative:
    """What one derivative is taken of: results and arguments, behind what vmap hides."""

    def __init__(self, results: list[Tensor], arguments: list[Tensor], levels: Any) -> None:
        self.levels = [level for level, _ in levels]
        self.results = [_over_all(result, levels) for result in results]
        self.arguments = [unwrap(argument)[0] for argument in arguments]
        own = {id(argument) for argument in self.arguments if argument.is_leaf}
        self.create_graph = _nesting.depth > 1 or _depends_on_others(self.results, own)

    def products(self, cotangents: list[Tensor], keep: bool = False) -> list[Tensor]:
        """The sum of cotangent times derivative, per argument. Members of a vmap that was entered since are an
        axis in front of the cotangents.
        """
        now = _C._vmap_levels()
        batched = [pair for pair in now if any(pair[0] in unwrap(c)[1] for c in cotangents)]
        new = [pair for pair in batched if pair[0] not in self.levels]
        old = [pair for pair in now if pair[0] in self.levels]
        behind = [_over_all(cotangent, [*new, *old]) for cotangent in cotangents]
        counts = [size for _, size in new]
        if len(counts) > 1:
            behind = [c.reshape([-1, *c.shape[len(counts) :]]) for c in behind]
        roots = [(r, c) for r, c in zip(self.results, behind) if r.requires_grad]
        if roots:
            gradients = autograd.grad(
                [root for root, _ in roots],
                self.arguments,
                [cotangent for _, cotangent in roots],
                retain_graph=keep or self.create_graph,
                create_graph=self.create_graph,
                allow_unused=True,
                is_grads_batched=bool(counts),
            )
        else:
            gradients = (None,) * len(self.arguments)
        results = []
        for argument, gradient in zip(self.arguments, gradients):
            if gradient is None:
                shape = argument.shape[len(self.levels) :]
                results.append(argument.new_zeros(shape))
                continue
            if len(counts) > 1:
                gradient = gradient.reshape([*counts, *gradient.shape[1:]])
            results.append(wrap(gradient, [*(level for level, _ in new), *self.levels]))
        return results

    def value(self, result: Tensor) -> Tensor:
        """A result, without the history of this derivative's own arguments."""
        if self.create_graph:
            return result
        physical, levels = unwrap(result)
        return wrap(physical.detach(), levels)


def _tensors(tree: Any, what: str) -> tuple[list[Tensor], Any]:
    leaves, spec = tree_flatten(tree)
    for leaf in leaves:
        if not isinstance(leaf, Tensor):
            raise RuntimeError(f"{what}: Expected only Tensors, got {type(leaf)}")
    return leaves, spec


def _floating(leaves: list[Tensor], what: str) -> None:
    for leaf in leaves:
        if not leaf.is_floating_point() and not leaf.is_complex():
            raise RuntimeError(
                f"{what}: only Tensors of floating point dtype can require gradients, got {leaf.dtype}"
            )


def _picked(args: tuple[Any, ...], argnums: Any, what: str) -> tuple[Any, list[int]]:
    numbers = [argnums] if isinstance(argnums, int) else list(argnums)
    for i, number in enumerate(numbers):
        if not -len(args) <= number < len(args):
            raise RuntimeError(
                f"{what}: Got argnum={number}, but only {len(args)} positional inputs"
            )
        numbers[i] = number % len(args)
    picked = args[numbers[0]] if isinstance(argnums, int) else tuple(args[i] for i in numbers)
    return picked, numbers


def _put(args: tuple[Any, ...], argnums: Any, numbers: list[int], values: Any) -> tuple[Any, ...]:
    result = list(args)
    for number, value in zip(numbers, [values] if isinstance(argnums, int) else values):
        result[number] = value
    return tuple(result)


class _Taking:
    """While a function is called whose derivative is taken."""

    def __enter__(self) -> None:
        _nesting.depth += 1
        self._grad = flambeau.enable_grad()
        self._grad.__enter__()

    def __exit__(self, *exception: Any) -> None:
        self._grad.__exit__(*exception)
        _nesting.depth -= 1


def _split_aux(result: Any, has_aux: bool, what: str) -> tuple[Any, Any]:
    if not has_aux:
        return result, None
    if not isinstance(result, tuple) or len(result) != 2:
        raise RuntimeError(
            f"{what}: output of function f should be a tuple: (output, aux) if has_aux is True"
        )
    return result


def grad_and_value(func: Callable[..., Any], argnums: Any = 0, has_aux: bool = False) -> Any:
    """A function that gives the gradient of func's scalar result, and the result."""

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        picked, numbers = _picked(args, argnums, "grad")
        leaves, spec = _tensors(picked, "grad")
        _floating(leaves, "grad")
        levels = _C._vmap_levels()
        with _Taking():
            fresh = [_fresh(leaf, levels) for leaf in leaves]
            inside = _put(args, argnums, numbers, tree_unflatten(fresh, spec))
            output, aux = _split_aux(func(*inside, **kwargs), has_aux, "grad_and_value(f)(*args)")
            if not isinstance(output, Tensor):
                raise RuntimeError(
                    "grad_and_value(f)(*args): Expected f(*args) to return a Tensor, got "
                    f"{type(output)}"
                )
            if output.dim() != 0:
                raise RuntimeError(
                    "grad_and_value(f)(*args): Expected f(*args) to return a scalar tensor, got "
                    f"tensor with {output.dim()} dims. Maybe you wanted to use the vjp or jacrev "
                    "APIs instead?"
                )
            derivative = _Derivative([output], fresh, levels)
            gradients = derivative.products([_C._functions["ones_like"](output)])
        gradient = tree_unflatten(gradients, spec)
        value = derivative.value(output)
        if has_aux:
            return gradient, (value, tree_map_only(Tensor, derivative.value, aux))
        return gradient, value

    return wrapper


def grad(func: Callable[..., Any], argnums: Any = 0, has_aux: bool = False) -> Any:
    """A function that gives the gradient of func's scalar result with respect to its arguments `argnums`."""
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        gradient, value = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return wrapper


def vjp(func: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """func's result, and a function that gives the product of a cotangent with func's Jacobian."""
    leaves, spec = _tensors(primals, "vjp")
    _floating(leaves, "vjp")
    levels = _C._vmap_levels()
    with _Taking():
        fresh = [_fresh(leaf, levels) for leaf in leaves]
        inside = tree_unflatten(fresh, spec)
        output, aux = _split_aux(func(*inside), has_aux, "vjp(f, *primals)")
        results, out_spec = _tensors(output, "vjp(f, *primals)")
        derivative = _Derivative(results, fresh, levels)

    def vjp_fn(
        *cotangents: Any, retain_graph: bool = True, create_graph: bool | None = None
    ) -> Any:
        given = cotangents[0] if len(cotangents) == 1 else cotangents
        flat, given_spec = _tensors(given, "vjp_fn")
        if given_spec != out_spec and len(flat) != len(results):
            raise RuntimeError(
                f"Expected pytree structure of cotangents to be the same as pytree structure of "
                f"outputs to the function. cotangents: {given_spec}, primal output: {out_spec}"
            )
        for cotangent, result in zip(flat, results):
            if cotangent.shape != result.shape:
                raise RuntimeError(
                    f"vjp_fn: a cotangent has shape {tuple(cotangent.shape)}, the result "
                    f"{tuple(result.shape)}"
                )
        if any(unwrap(cotangent)[0].requires_grad for cotangent in flat):
            derivative.create_graph = True
        return tree_unflatten(derivative.products(flat, keep=retain_graph), spec)

    value = tree_map_only(Tensor, derivative.value, output)
    if has_aux:
        return value, vjp_fn, tree_map_only(Tensor, derivative.value, aux)
    return value, vjp_fn


def _basis(tensors: list[Tensor]) -> list[Tensor]:
    """For each tensor, one row per element of all of them, in which this element is 1."""
    total = sum(tensor.numel() for tensor in tensors)
    rows, start = [], 0
    for tensor in tensors:
        count = tensor.numel()
        chunk = flambeau.zeros(total, count, dtype=tensor.dtype)
        chunk.diagonal(-start).fill_(1)
        rows.append(chunk.reshape(total, *tensor.shape))
        start += count
    return rows


def jacrev(
    func: Callable[..., Any],
    argnums: Any = 0,
    *,
    has_aux: bool = False,
    chunk_size: int | None = None,
    _preallocate_and_copy: bool = False,
) -> Any:
    """A function that gives func's Jacobian, row by row: one product with a cotangent per element of the result."""

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        picked, numbers = _picked(args, argnums, "jacrev")
        leaves, spec = tree_flatten(picked)

        def of_leaves(*values: Any) -> Any:
            inside = _put(args, argnums, numbers, tree_unflatten(values, spec))
            return func(*inside, **kwargs)

        got = vjp(of_leaves, *leaves, has_aux=has_aux)
        output, vjp_fn = got[0], got[1]
        results, out_spec = _tensors(output, "jacrev")

        def row(*cotangents: Tensor) -> Any:
            return vjp_fn(tree_unflatten(list(cotangents), out_spec))

        columns = vmap(row, chunk_size=chunk_size)(*_basis(results))
        jacobians, start = [], 0
        for result in results:
            count = result.numel()
            parts = [
                column.narrow(0, start, count).reshape(*result.shape, *leaf.shape)
                for column, leaf in zip(columns, leaves)
            ]
            jacobians.append(tree_unflatten(parts, spec))
            start += count
        jacobian = tree_unflatten(jacobians, out_spec)
        return (jacobian, got[2]) if has_aux else jacobian

    return wrapper


class _Level:
    """A forward level, if there is none yet; one that is there serves no second tangent."""

    def __enter__(self) -> None:
        forward_ad.enter_dual_level()

    def __exit__(self, *exception: object) -> None:
        forward_ad.exit_dual_level()


def _jvp_forward(func: Any, primals: Any, tangents: Any, spec: Any, levels: Any) -> Any:
    hidden = [level for level, _ in levels]
    with _Level():
        duals = [
            wrap(forward_ad.make_dual(_over_all(p, levels), _over_all(t, levels)), hidden)
            for p, t in zip(primals, tangents)
        ]
        output = func(*tree_unflatten(duals, spec))

        def parts(result: Tensor) -> tuple[Tensor, Tensor]:
            physical, has = unwrap(result)
            primal, tangent = forward_ad.unpack_dual(physical)
            tangent = _C._functions["zeros_like"](primal) if tangent is None else tangent
            return wrap(primal, has), wrap(tangent, has)

        results, out_spec = tree_flatten(output)
        both = [parts(r) if isinstance(r, Tensor) else (r, r) for r in results]
    return [a for a, _ in both], [b for _, b in both], out_spec


def _jvp_reverse(func: Any, primals: Any, tangents: Any, spec: Any) -> Any:
    """By the transpose of a transpose, which nests."""
    with _Taking():
        output, vjp_fn = vjp(lambda *inside: func(*tree_unflatten(list(inside), spec)), *primals)
        results, out_spec = tree_flatten(output)
        dummies = [_C._functions["zeros_like"](result) for result in results]

        def pulled(*cotangents: Tensor) -> Any:
            return vjp_fn(tree_unflatten(list(cotangents), out_spec))

        _, transposed = vjp(pulled, *dummies)
        products = transposed(tuple(tangents))
    return results, list(products), out_spec


def jvp(
    func: Callable[..., Any],
    primals: tuple[Any, ...],
    tangents: tuple[Any, ...],
    *,
    strict: bool = False,
    has_aux: bool = False,
) -> Any:
    """func's result, and its derivative in the direction of the tangents."""
    if not isinstance(primals, tuple):
        raise RuntimeError(
            f"jvp(f, primals, tangents): Expected primals to be a tuple, got {type(primals)}"
        )
    leaves, spec = _tensors(primals, "jvp(f, primals, tangents)")
    directions, tangent_spec = _tensors(tangents, "jvp(f, primals, tangents)")
    if spec != tangent_spec:
        raise RuntimeError(
            "jvp(f, primals, tangents): Expected primals and tangents to have the same python "
            f"structure. Got primals {spec}, tangents {tangent_spec}"
        )
    aux: list[Any] = []

    def inner(*args: Any) -> Any:
        output, more = _split_aux(func(*args), has_aux, "jvp(f, primals, tangents)")
        aux[:] = [more]
        return output

    if forward_ad._current_level < 0:
        levels = _C._vmap_levels()
        results, products, out_spec = _jvp_forward(inner, leaves, directions, spec, levels)
    else:
        results, products, out_spec = _jvp_reverse(inner, leaves, directions, spec)
    answer = tree_unflatten(results, out_spec), tree_unflatten(products, out_spec)
    return (*answer, aux[0]) if has_aux else answer


def jacfwd(
    func: Callable[..., Any],
    argnums: Any = 0,
    has_aux: bool = False,
    *,
    chunk_size: int | None = None,
    randomness: str = "error",
) -> Any:
    """A function that gives func's Jacobian, column by column: one derivative per element of the arguments."""

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        picked, numbers = _picked(args, argnums, "jacfwd")
        leaves, spec = _tensors(picked, "jacfwd")

        def of_leaves(*values: Any) -> Any:
            inside = _put(args, argnums, numbers, tree_unflatten(values, spec))
            return func(*inside, **kwargs)

        def column(*tangents: Tensor) -> Any:
            got = jvp(of_leaves, tuple(leaves), tangents, has_aux=has_aux)
            return got[1:] if has_aux else got[1]

        out_dims: Any = (0, None) if has_aux else 0
        got = vmap(column, out_dims=out_dims, randomness=randomness, chunk_size=chunk_size)(
            *_basis(leaves)
        )
        products, aux = got if has_aux else (got, None)
        flat, out_spec = tree_flatten(products)
        jacobians = []
        for product in flat:
            parts, start = [], 0
            for leaf in leaves:
                count = leaf.numel()
                part = product.narrow(0, start, count).movedim(0, -1)
                parts.append(part.reshape(*part.shape[:-1], *leaf.shape))
                start += count
            jacobians.append(tree_unflatten(parts, spec))
        jacobian = tree_unflatten(jacobians, out_spec)
        return (jacobian, aux) if has_aux else jacobian

    return wrapper


def hessian(func: Callable[..., Any], argnums: Any = 0) -> Any:
    """A function that gives the second derivatives of func's result."""
    return jacfwd(jacrev(func, argnums), argnums)


def linearize(func: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """func's result, and the function of tangents that is its derivative there."""
    output = func(*primals)

    def jvp_fn(*tangents: Any) -> Any:
        return jvp(func, primals, tangents)[1]

    return tree_map(lambda leaf: leaf, output), jvp_fn
