"""Transforms from all reals to a set of values."""

from __future__ import annotations

from typing import Any, Callable

from flambeau.distributions import constraints, transforms
from flambeau.distributions.constraints import Constraint

__all__ = ["ConstraintRegistry", "biject_to", "transform_to"]

_Factory = Callable[[Any], transforms.Transform]


class ConstraintRegistry:
    """Finds a transform by the set: `registry(constraint)`."""

    def __init__(self) -> None:
        self._of_type: dict[type, _Factory] = {}
        self._of_name: dict[str, _Factory] = {}
        super().__init__()

    def register(self, constraint: Any, factory: _Factory | None = None) -> Any:
        """Takes the factory of a set, or of all sets of a type; usable as a decorator."""
        if factory is None:
            return lambda given: self.register(constraint, given)
        if isinstance(constraint, Constraint):
            self._of_name[repr(constraint).partition("(")[0]] = factory
        elif isinstance(constraint, type) and issubclass(constraint, Constraint):
            self._of_type[constraint] = factory
        else:
            raise TypeError(
                "Expected constraint to be either a Constraint subclass or instance, but got "
                f"{constraint}"
            )
        return factory

    def __call__(self, constraint: Constraint) -> transforms.Transform:
        factory = self._of_type.get(type(constraint))
        factory = factory or self._of_name.get(repr(constraint).partition("(")[0])
        if factory is None:
            raise NotImplementedError(f"Cannot transform {type(constraint).__name__} constraints")
        return factory(constraint)


#: Bijections.
biject_to = ConstraintRegistry()
#: Transforms that optimisers like; they need not be bijections.
transform_to = ConstraintRegistry()


def _identity(constraint: Any) -> transforms.Transform:
    return transforms.identity_transform


def _above(constraint: Any) -> transforms.Transform:
    return transforms.ComposeTransform(
        [transforms.ExpTransform(), transforms.AffineTransform(constraint.lower_bound, 1)]
    )


def _below(constraint: Any) -> transforms.Transform:
    return transforms.ComposeTransform(
        [transforms.ExpTransform(), transforms.AffineTransform(constraint.upper_bound, -1)]
    )


def _between(constraint: Any) -> transforms.Transform:
    low, high = constraint.lower_bound, constraint.upper_bound
    if isinstance(low, (int, float)) and isinstance(high, (int, float)) and (low, high) == (0, 1):
        return transforms.SigmoidTransform()
    return transforms.ComposeTransform(
        [transforms.SigmoidTransform(), transforms.AffineTransform(low, high - low)]
    )


for _registry in (biject_to, transform_to):
    _registry.register(constraints.real, _identity)
    _registry.register(constraints.greater_than(0), _above)
    _registry.register(constraints.greater_than_eq(0), _above)
    _registry.register(constraints.less_than(0), _below)
    _registry.register(constraints.interval(0, 1), _between)
    _registry.register(constraints.half_open_interval(0, 1), _between)
    _registry.register(constraints.corr_cholesky, lambda _: transforms.CorrCholeskyTransform())
    _registry.register(constraints.lower_cholesky, lambda _: transforms.LowerCholeskyTransform())
    _registry.register(
        constraints.positive_definite, lambda _: transforms.PositiveDefiniteTransform()
    )
biject_to.register(constraints.simplex, lambda _: transforms.StickBreakingTransform())
transform_to.register(constraints.simplex, lambda _: transforms.SoftmaxTransform())


def _independent(registry: ConstraintRegistry) -> _Factory:
    return lambda constraint: transforms.IndependentTransform(
        registry(constraint.base_constraint), constraint.reinterpreted_batch_ndims
    )


biject_to.register(constraints.independent, _independent(biject_to))
transform_to.register(constraints.independent, _independent(transform_to))
