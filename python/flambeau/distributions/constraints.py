"""Sets of values: `constraint.check(value)` is a tensor of bools, one for each event of `value`."""

from __future__ import annotations

from typing import Any, Callable

import flambeau
from flambeau import Tensor

__all__ = [
    "Constraint", "boolean", "cat", "corr_cholesky", "dependent", "dependent_property",
    "greater_than", "greater_than_eq", "half_open_interval", "independent", "integer_interval",
    "interval", "is_dependent", "less_than", "lower_cholesky", "lower_triangular", "multinomial",
    "nonnegative", "nonnegative_integer", "one_hot", "positive", "positive_definite",
    "positive_integer", "positive_semidefinite", "real", "real_vector", "simplex", "square",
    "stack", "symmetric", "unit_interval",
]  # fmt: skip


class Constraint:
    """A set of values. Events have `event_dim` axes; discrete sets are marked."""

    is_discrete = False
    event_dim = 0

    def check(self, value: Tensor) -> Tensor:
        """True for each event of `value` that is in the set."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return type(self).__name__.lstrip("_") + "()"


class _Where(Constraint):
    """The set of values for which a function is true."""

    def __init__(
        self,
        text: str,
        test: Callable[[Tensor], Tensor],
        event_dim: int = 0,
        is_discrete: bool = False,
        **bounds: Any,
    ) -> None:
        self.__dict__.update(bounds)  # lower_bound, upper_bound
        self._text = text
        self._test = test
        self.event_dim = event_dim
        self.is_discrete = is_discrete

    def check(self, value: Tensor) -> Tensor:
        return self._test(value)

    def __repr__(self) -> str:
        return self._text


class _Dependent(Constraint):
    """A set that other variables determine."""

    def __init__(
        self, *, is_discrete: Any = NotImplemented, event_dim: Any = NotImplemented
    ) -> None:
        self._is_discrete = is_discrete
        self._event_dim = event_dim

    @property
    def is_discrete(self) -> bool:  # type: ignore[override]
        if self._is_discrete is NotImplemented:
            raise NotImplementedError(".is_discrete cannot be determined statically")
        return self._is_discrete

    @property
    def event_dim(self) -> int:  # type: ignore[override]
        if self._event_dim is NotImplemented:
            raise NotImplementedError(".event_dim cannot be determined statically")
        return self._event_dim

    def __call__(
        self, *, is_discrete: Any = NotImplemented, event_dim: Any = NotImplemented
    ) -> _Dependent:
        return _Dependent(
            is_discrete=self._is_discrete if is_discrete is NotImplemented else is_discrete,
            event_dim=self._event_dim if event_dim is NotImplemented else event_dim,
        )

    def check(self, value: Tensor) -> Tensor:
        raise ValueError("Cannot determine validity of dependent constraint")


def is_dependent(constraint: Any) -> bool:
    return isinstance(constraint, _Dependent)


class dependent_property(property, _Dependent):
    """A property of a distribution that gives a constraint which its parameters determine."""

    def __init__(
        self, fn: Any = None, *, is_discrete: Any = NotImplemented, event_dim: Any = NotImplemented
    ) -> None:
        super().__init__(fn)
        self._is_discrete = is_discrete
        self._event_dim = event_dim

    def __call__(self, fn: Any) -> Any:  # type: ignore[override]
        return dependent_property(fn, is_discrete=self._is_discrete, event_dim=self._event_dim)


class independent(Constraint):
    """The last axes of a set as one event."""

    def __init__(self, base_constraint: Constraint, reinterpreted_batch_ndims: int) -> None:
        self.base_constraint = base_constraint
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims

    @property
    def is_discrete(self) -> bool:  # type: ignore[override]
        return self.base_constraint.is_discrete

    @property
    def event_dim(self) -> int:  # type: ignore[override]
        return self.base_constraint.event_dim + self.reinterpreted_batch_ndims

    def check(self, value: Tensor) -> Tensor:
        result = self.base_constraint.check(value)
        count = self.reinterpreted_batch_ndims
        if result.dim() < count:
            raise ValueError(f"Expected value.dim() >= {self.event_dim} but got {value.dim()}")
        return result.reshape(*result.shape[: result.dim() - count], -1).all(-1)

    def __repr__(self) -> str:
        return f"IndependentConstraint({self.base_constraint!r}, {self.reinterpreted_batch_ndims})"


class cat(Constraint):
    """Parts along an axis, each in a set of its own."""

    def __init__(self, cseq: Any, dim: int = 0, lengths: Any = None) -> None:
        self.cseq = list(cseq)
        self.lengths = [1] * len(self.cseq) if lengths is None else list(lengths)
        self.dim = dim
        self.is_discrete = any(c.is_discrete for c in self.cseq)
        self.event_dim = max(c.event_dim for c in self.cseq)

    def check(self, value: Tensor) -> Tensor:
        parts = value.split(self.lengths, self.dim)
        return flambeau.cat([c.check(part) for c, part in zip(self.cseq, parts)], self.dim)


class stack(Constraint):
    """Slices along an axis, each in a set of its own."""

    def __init__(self, cseq: Any, dim: int = 0) -> None:
        self.cseq = list(cseq)
        self.dim = dim
        self.is_discrete = any(c.is_discrete for c in self.cseq)
        dim_count = max(c.event_dim for c in self.cseq)
        self.event_dim = dim_count + (self.dim + dim_count < 0)

    def check(self, value: Tensor) -> Tensor:
        parts = value.unbind(self.dim)
        return flambeau.stack([c.check(part) for c, part in zip(self.cseq, parts)], self.dim)


def greater_than(lower_bound: Any) -> Constraint:
    return _Where(
        f"GreaterThan(lower_bound={lower_bound})",
        lambda v: v > lower_bound,
        lower_bound=lower_bound,
    )


def greater_than_eq(lower_bound: Any) -> Constraint:
    return _Where(
        f"GreaterThanEq(lower_bound={lower_bound})",
        lambda v: v >= lower_bound,
        lower_bound=lower_bound,
    )


def less_than(upper_bound: Any) -> Constraint:
    return _Where(
        f"LessThan(upper_bound={upper_bound})", lambda v: v < upper_bound, upper_bound=upper_bound
    )


def interval(lower_bound: Any, upper_bound: Any) -> Constraint:
    return _Where(
        f"Interval(lower_bound={lower_bound}, upper_bound={upper_bound})",
        lambda v: (v >= lower_bound) & (v <= upper_bound),
        lower_bound=lower_bound,
        upper_bound=upper_bound,
    )


def half_open_interval(lower_bound: Any, upper_bound: Any) -> Constraint:
    return _Where(
        f"HalfOpenInterval(lower_bound={lower_bound}, upper_bound={upper_bound})",
        lambda v: (v >= lower_bound) & (v < upper_bound),
        lower_bound=lower_bound,
        upper_bound=upper_bound,
    )


def _is_whole(value: Tensor) -> Tensor:
    return value % 1 == 0


def integer_interval(lower_bound: Any, upper_bound: Any) -> Constraint:
    return _Where(
        f"IntegerInterval(lower_bound={lower_bound}, upper_bound={upper_bound})",
        lambda v: _is_whole(v) & (v >= lower_bound) & (v <= upper_bound),
        is_discrete=True,
        lower_bound=lower_bound,
        upper_bound=upper_bound,
    )


def _integer_greater_than_eq(lower_bound: int) -> Constraint:
    return _Where(
        f"IntegerGreaterThan(lower_bound={lower_bound})",
        lambda v: _is_whole(v) & (v >= lower_bound),
        is_discrete=True,
        lower_bound=lower_bound,
    )


def multinomial(upper_bound: Any) -> Constraint:
    return _Where(
        "Multinomial()",
        lambda v: (v >= 0).all(-1) & (v.sum(-1) <= upper_bound),
        event_dim=1,
        is_discrete=True,
        upper_bound=upper_bound,
    )


def _is_square(value: Tensor) -> Tensor:
    same = value.shape[-2] == value.shape[-1]
    return flambeau.full(value.shape[:-2], same, dtype=flambeau.bool)


def _is_symmetric(value: Tensor) -> Tensor:
    if value.shape[-2] != value.shape[-1]:
        return _is_square(value)
    return flambeau.isclose(value, value.mT, atol=1e-6).all(-2).all(-1)


def _is_positive_definite(value: Tensor) -> Tensor:
    symmetric = _is_symmetric(value)
    if not bool(symmetric.all()):
        return symmetric
    return flambeau.linalg.cholesky_ex(value).info.eq(0)


def _is_positive_semidefinite(value: Tensor) -> Tensor:
    symmetric = _is_symmetric(value)
    if not bool(symmetric.all()):
        return symmetric
    return flambeau.linalg.eigvalsh(value).ge(0).all(-1)


def _is_lower_triangular(value: Tensor) -> Tensor:
    return (value.tril() == value).view(*value.shape[:-2], -1).min(-1)[0]


def _is_lower_cholesky(value: Tensor) -> Tensor:
    positive = (value.diagonal(dim1=-2, dim2=-1) > 0).min(-1)[0]
    return _is_lower_triangular(value) & positive


def _is_corr_cholesky(value: Tensor) -> Tensor:
    tolerance = flambeau.finfo(value.dtype).eps * value.size(-1) * 10
    unit = (flambeau.linalg.norm(value.detach(), dim=-1) - 1).abs().le(tolerance).all(-1)
    return _is_lower_cholesky(value) & unit


def _is_one_hot(value: Tensor) -> Tensor:
    return ((value == 0) | (value == 1)).all(-1) & value.sum(-1).eq(1)


dependent = _Dependent()
boolean = _Where("Boolean()", lambda v: (v == 0) | (v == 1), is_discrete=True)
one_hot = _Where("OneHot()", _is_one_hot, event_dim=1, is_discrete=True)
nonnegative_integer = _integer_greater_than_eq(0)
positive_integer = _integer_greater_than_eq(1)
real = _Where("Real()", lambda v: v == v)  # noqa: PLR0124  (False for NaN)
real_vector = independent(real, 1)
positive = greater_than(0.0)
nonnegative = greater_than_eq(0.0)
unit_interval = interval(0.0, 1.0)
simplex = _Where(
    "Simplex()", lambda v: (v >= 0).all(-1) & ((v.sum(-1) - 1).abs() < 1e-6), event_dim=1
)
square = _Where("Square()", _is_square, event_dim=2)
symmetric = _Where("Symmetric()", _is_symmetric, event_dim=2)
positive_definite = _Where("PositiveDefinite()", _is_positive_definite, event_dim=2)
positive_semidefinite = _Where("PositiveSemidefinite()", _is_positive_semidefinite, event_dim=2)
lower_triangular = _Where("LowerTriangular()", _is_lower_triangular, event_dim=2)
lower_cholesky = _Where("LowerCholesky()", _is_lower_cholesky, event_dim=2)
corr_cholesky = _Where("CorrCholesky()", _is_corr_cholesky, event_dim=2)
