"""Flattening by a known structure, as generated functions do it with their arguments."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Callable

from flambeau.utils._pytree import TreeSpec

__all__ = ["register_pytree_flatten_spec", "tree_flatten_spec"]

SUPPORTED_NODES: dict[type, Callable[[Any, TreeSpec], Iterable[Any]]] = {}
SUPPORTED_NODES_EXACT_MATCH: dict[type, Callable[[Any, TreeSpec], bool] | None] = {}


def register_pytree_flatten_spec(
    cls: type,
    flatten_fn_spec: Callable[[Any, TreeSpec], Iterable[Any]],
    flatten_fn_exact_match_spec: Callable[[Any, TreeSpec], bool] | None = None,
) -> None:
    """Says how to take the children of a `cls` that a structure asks for."""
    SUPPORTED_NODES[cls] = flatten_fn_spec
    SUPPORTED_NODES_EXACT_MATCH[cls] = flatten_fn_exact_match_spec


def tree_flatten_spec(pytree: Any, spec: TreeSpec) -> list[Any]:
    """The leaves of `pytree` where `spec` has them; RuntimeError for types that are not registered."""
    if spec.is_leaf():
        return [pytree]
    if spec.type not in SUPPORTED_NODES:
        raise RuntimeError(
            f"{type(pytree)} does not have a flatten_fn_spec associated with it. Please register one with "
            "torch.fx._pytree.register_pytree_flatten_spec. If you have serialized your model, make sure "
            "that any custom pytrees have been registered before loading it."
        )
    matches = SUPPORTED_NODES_EXACT_MATCH[spec.type]
    if matches is not None and not matches(pytree, spec):
        raise RuntimeError(f"Cannot flatten pytree {pytree}, given spec: {spec}")
    leaves: list[Any] = []
    for child, child_spec in zip(SUPPORTED_NODES[spec.type](pytree, spec), spec.children_specs):
        leaves += tree_flatten_spec(child, child_spec)
    return leaves


def _same_count(value: Any, spec: TreeSpec) -> bool:
    return len(value) == spec.num_children


register_pytree_flatten_spec(dict, lambda d, spec: [d[key] for key in spec.context], _same_count)
for _kind in (list, tuple):
    register_pytree_flatten_spec(
        _kind, lambda values, spec: [values[i] for i in range(spec.num_children)], _same_count
    )
