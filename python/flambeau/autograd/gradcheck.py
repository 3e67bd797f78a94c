"""Gradients against finite differences."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Callable

from .. import _C
from . import forward_ad, grad
from .function import Function
from .grad_mode import enable_grad, no_grad

__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]

_ops = _C._functions
_rand, _randn_like, _stack, _zeros = (_ops[n] for n in ("rand", "randn_like", "stack", "zeros"))


class GradcheckError(RuntimeError):
    """A gradient is not what finite differences give."""


def _as_tuple(values: Any) -> tuple[Any, ...]:
    if isinstance(values, tuple):
        return values
    return tuple(values) if isinstance(values, list) else (values,)


def _differentiable(tensor: Any) -> bool:
    return isinstance(tensor, _C.Tensor) and tensor.requires_grad


class _Function:
    """`func` at `inputs`: its outputs that require a gradient, and the inputs that do."""

    def __init__(self, func: Callable[..., Any], inputs: tuple[Any, ...]) -> None:
        self.func = func
        self.inputs = inputs
        self.points = [value for value in inputs if _differentiable(value)]

    def outputs(self) -> tuple[Any, ...]:
        return tuple(out for out in _as_tuple(self.func(*self.inputs)) if _differentiable(out))

    def values(self, places: Sequence[int]) -> list[Any]:
        """Copies of the outputs at `places` of all."""
        with no_grad():
            outputs = _as_tuple(self.func(*self.inputs))
            return [outputs[place].detach().clone() for place in places]

    def places(self) -> list[int]:
        return [i for i, o in enumerate(_as_tuple(self.func(*self.inputs))) if _differentiable(o)]


def _check_inputs(inputs: tuple[Any, ...]) -> None:
    if not any(map(_differentiable, inputs)):
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, but none of the them "
            "have requires_grad=True."
        )
    for i, value in enumerate(inputs):
        if not _differentiable(value):
            continue
        if value.dtype is not _C.float64:
            warnings.warn(
                f"Input #{i} requires gradient and is not a double precision floating point or "
                "complex. This check will likely fail if all the inputs are not of double "
                "precision floating point or complex. ",
                stacklevel=4,
            )
        if any(s == 0 and n > 1 for s, n in zip(value.stride(), value.size())):
            raise RuntimeError(
                f"The {i}th input has a dimension with stride 0. gradcheck only supports inputs "
                "that are non-overlapping to be able to compute the numerical gradients "
                "correctly. You should call .contiguous on the input before passing it to "
                "gradcheck."
            )


def _difference(
    function: _Function, places: list[int], step: Callable[[float], None], eps: float
) -> list[Any]:
    """The central difference of the outputs as step(+eps) and step(-eps) move an input."""
    step(eps)
    above = function.values(places)
    step(-2 * eps)
    below = function.values(places)
    step(eps)
    return [(a - b) / (2 * eps) for a, b in zip(above, below)]


def _numerical_jacobians(function: _Function, places: list[int], eps: float) -> list[list[Any]]:
    """[input][output]: [elements of the input, elements of the output]."""
    result = []
    for point in function.points:
        data = point.data
        rows: list[list[Any]] = [[] for _ in places]
        for index in _indices(tuple(point.size())):
            original = data[index].item()

            def step(by: float, index: Any = index, data: Any = data) -> None:
                data[index] += by

            for row, difference in zip(rows, _difference(function, places, step, eps)):
                row.append(difference.reshape(-1).to(_C.float64))
            data[index] = original
        sizes = [value.numel() for value in function.values(places)]
        result.append(
            [_stack(row) if row else _zeros(0, n, dtype=_C.float64) for row, n in zip(rows, sizes)]
        )
    return result


def _indices(size: tuple[int, ...]) -> list[tuple[int, ...]]:
    indices: list[tuple[int, ...]] = [()]
    for extent in size:
        indices = [(*index, i) for index in indices for i in range(extent)]
    return indices


def _vjp(output: Any, points: list[Any], vector: Any) -> list[Any]:
    gradients = grad(output, points, vector, retain_graph=True, allow_unused=True)
    for point, gradient in zip(points, gradients):
        if gradient is not None and gradient.size() != point.size():
            raise GradcheckError("Analytical gradient has incorrect size")
    return list(gradients)


def _analytical_jacobian(output: Any, points: list[Any], check_dtypes: bool) -> list[Any]:
    """[input]: [elements of the input, elements of the output]."""
    columns: list[list[Any]] = [[] for _ in points]
    for j in range(output.numel()):
        vector = output.new_zeros(output.numel())
        vector[j] = 1
        gradients = _vjp(output, points, vector.reshape(output.size()))
        for column, point, gradient in zip(columns, points, gradients):
            if check_dtypes and gradient is not None and gradient.dtype != point.dtype:
                raise GradcheckError("Gradient has dtype mismatch")
            value = point.new_zeros(point.size()) if gradient is None else gradient
            column.append(value.detach().reshape(-1).to(_C.float64))
    return [
        _stack(column, 1) if column else _zeros(point.numel(), 0, dtype=_C.float64)
        for column, point in zip(columns, points)
    ]


_NOT_REENTRANT = (
    "Backward is not reentrant, i.e., running backward with same input and grad_output multiple "
    "times gives different values, although analytical gradient matches numerical gradient. The "
    "tolerance for nondeterminism was {}.\n"
)


def _mismatch(numerical: Any, analytical: Any, output: int, point: int) -> str:
    return (
        f"Jacobian mismatch for output {output} with respect to input {point},\n"
        f"numerical:{numerical}\nanalytical:{analytical}\n"
    )


class _Checker:
    def __init__(self, function: _Function, options: dict[str, Any]) -> None:
        self.function = function
        self.eps, self.atol, self.rtol = options["eps"], options["atol"], options["rtol"]
        self.nondet_tol = options["nondet_tol"]
        self.check_dtypes = options["check_grad_dtypes"]
        self.places = function.places()

    def run(self, options: dict[str, Any]) -> None:
        function = self.function
        outputs = function.outputs()
        if not outputs:
            self._check_no_outputs()
            return
        if options["check_forward_ad"]:
            self._check_forward()
        if options["check_backward_ad"]:
            if options["fast_mode"]:
                self._check_fast(outputs)
            else:
                self._check_slow(outputs)
            if options["check_batched_grad"]:
                self._check_batched(outputs)
            self._check_scaling(outputs)
            if options["check_undefined_grad"]:
                self._check_undefined()

    def _check_no_outputs(self) -> None:
        """Where nothing depends on the inputs, nothing may change with them."""
        everything = [
            i
            for i, out in enumerate(_as_tuple(self.function.func(*self.function.inputs)))
            if isinstance(out, _C.Tensor) and out.is_floating_point()
        ]
        for blocks in _numerical_jacobians(self.function, everything, self.eps):
            if any((block.abs() > self.eps).any() for block in blocks):
                raise GradcheckError("Numerical gradient for function expected to be zero")

    def _check_slow(self, outputs: tuple[Any, ...]) -> None:
        points = self.function.points
        numerical = _numerical_jacobians(self.function, self.places, self.eps)
        for o, output in enumerate(outputs):
            analytical = _analytical_jacobian(output, points, self.check_dtypes)
            for i in range(len(points)):
                if not _close(analytical[i], numerical[i][o], self.rtol, self.atol):
                    raise GradcheckError(_mismatch(numerical[i][o], analytical[i], o, i))
            again = _analytical_jacobian(output, points, self.check_dtypes)
            for first, second in zip(analytical, again):
                if not (first - second).abs().le(self.nondet_tol).all():
                    raise GradcheckError(_NOT_REENTRANT.format(self.nondet_tol))

    def _check_forward(self) -> None:
        """Tangents of the outputs, in the direction of each element of each input."""
        numerical = _numerical_jacobians(self.function, self.places, self.eps)
        for i, point in enumerate(self.function.points):
            rows: list[list[Any]] = [[] for _ in self.places]
            for index in _indices(tuple(point.size())):
                direction = point.detach().new_zeros(point.size())
                direction[index] = 1
                for row, tangent in zip(rows, self._tangents(point, direction)):
                    row.append(tangent.reshape(-1).to(_C.float64))
            for o, row in enumerate(rows):
                analytical = _stack(row) if row else numerical[i][o]
                if not _close(analytical, numerical[i][o], self.rtol, self.atol):
                    raise GradcheckError(
                        _mismatch(numerical[i][o], analytical, o, i).replace(
                            "Jacobian", "Jacobian computed with forward mode", 1
                        )
                    )

    def _tangents(self, point: Any, direction: Any) -> list[Any]:
        with forward_ad.dual_level():
            args = [
                forward_ad.make_dual(arg, direction) if arg is point else arg
                for arg in self.function.inputs
            ]
            outputs = _as_tuple(self.function.func(*args))
            duals = [forward_ad.unpack_dual(outputs[place]) for place in self.places]
            return [
                primal.detach().new_zeros(primal.size()) if tangent is None else tangent.detach()
                for primal, tangent in duals
            ]

    def _check_fast(self, outputs: tuple[Any, ...]) -> None:
        """u J v, for random vectors u of each output and v of each input."""
        points = self.function.points
        us = [_random_like(output) for output in outputs]
        vs = [_random_like(point) for point in points]
        for i, (point, v) in enumerate(zip(points, vs)):
            data = point.data

            def step(by: float, data: Any = data, v: Any = v) -> None:
                data += v * by

            differences = _difference(self.function, self.places, step, self.eps)
            for o, (output, u) in enumerate(zip(outputs, us)):
                gradient = _vjp(output, points, u)[i]
                if self.check_dtypes and gradient is not None and gradient.dtype != point.dtype:
                    raise GradcheckError("Gradient has dtype mismatch")
                analytical = 0.0 if gradient is None else (gradient * v).sum().item()
                numerical = (differences[o] * u).sum().item()
                atol = self.atol * float(u.sum()) * float(v.sum())
                if abs(analytical - numerical) <= atol + self.rtol * abs(numerical):
                    continue
                self._check_slow(outputs)  # Says which element.
                raise GradcheckError(
                    _mismatch(numerical, analytical, o, i)
                    + "The above quantities relating the numerical and analytical jacobians are "
                    "computed in fast mode."
                )

    def _check_batched(self, outputs: tuple[Any, ...]) -> None:
        points = self.function.points
        for output in outputs:
            vectors = [_randn_like(output) for _ in range(2)]
            expected = [_vjp(output, points, vector) for vector in vectors]
            batched = grad(
                output,
                points,
                _stack(vectors),
                retain_graph=True,
                allow_unused=True,
                is_grads_batched=True,
            )
            for i, gradient in enumerate(batched):
                if gradient is None:
                    continue
                if not _close(gradient, _stack([row[i] for row in expected]), 1e-5, 1e-8):
                    raise GradcheckError(
                        f"For input {i}, gradients of a batch of grad outputs differ from those "
                        "computed one by one"
                    )

    def _check_scaling(self, outputs: tuple[Any, ...]) -> None:
        """Gradients are linear in those of the outputs: zeros give zeros."""
        points = self.function.points
        gradients = grad(
            outputs,
            points,
            [output.new_zeros(output.size()) for output in outputs],
            allow_unused=True,
            retain_graph=True,
        )
        for point, gradient in zip(points, gradients):
            if gradient is None:
                continue
            if not gradient.eq(0).all():
                raise GradcheckError("backward not multiplied by grad_output")
            if gradient.dtype != point.dtype:
                raise GradcheckError("grad is incorrect type")
            if gradient.size() != point.size():
                raise GradcheckError("grad is incorrect size")

    def _check_undefined(self) -> None:
        """Outputs without gradient count as zero."""
        count = len(self.function.outputs())
        cases = [range(count)] + ([[i] for i in range(count)] if count > 1 else [])
        for hidden in cases:
            outputs = list(self.function.outputs())
            for i in hidden:
                outputs[i] = _NoGradient.apply(outputs[i])
            shown = [out.new_zeros(out.size()) for out in outputs]
            gradients = grad(outputs, self.function.points, shown, allow_unused=True)
            if any(g is not None and not g.eq(0).all() for g in gradients):
                raise GradcheckError(
                    "Expected all input grads to be undefined or zero when all output grads are "
                    "undefined or zero."
                    if len(hidden) == count
                    else "Expected backward function to handle undefined output grads: they count "
                    "as zero."
                )


def _close(value: Any, expected: Any, rtol: float, atol: float) -> bool:
    return bool(((value - expected).abs() <= atol + rtol * expected.abs()).all())


class _NoGradient(Function):
    """The identity, whose backward gives no gradient."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return None


def _random_like(tensor: Any) -> Any:
    """A random vector of length one, as a tensor."""
    vector = _rand(tensor.size(), dtype=_C.float64)
    norm = float((vector * vector).sum()) ** 0.5
    return (vector / norm if norm > 0 else vector).to(tensor.dtype)


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Compares the gradients of `func` at `inputs` with central differences of step `eps`.

    Inputs that require grad should be float64. True if all agree within `atol + rtol * |value|`;
    otherwise GradcheckError, or False unless `raise_exception`.
    """
    if not check_forward_ad and not check_backward_ad:
        raise AssertionError("Expected at least one of check_forward_ad or check_backward_ad")
    if check_batched_grad and not check_backward_ad:
        raise AssertionError(
            "Setting check_batched_grad=True requires check_backward_ad to be True"
        )
    if check_batched_forward_grad and not check_forward_ad:
        raise AssertionError(
            "Setting check_batched_forward_grad=True requires check_forward_ad to be True"
        )
    options = dict(locals())
    values = _as_tuple(inputs)
    try:
        _check_inputs(values)
        _Checker(_Function(func, values), options).run(options)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """gradcheck of the gradients of `func`, as functions of `inputs` and of `grad_outputs` (random
    where none are given)."""
    if not check_fwd_over_rev and not check_rev_over_rev:
        raise AssertionError("Expected at least one of check_fwd_over_rev or check_rev_over_rev")
    if check_batched_grad and not check_rev_over_rev:
        raise AssertionError(
            "Setting check_batched_grad=True requires check_rev_over_rev to be True"
        )
    values = _as_tuple(inputs)
    if grad_outputs is None:
        vectors = tuple(
            _cotangent(output, gen_non_contig_grad_outputs)
            for output in _Function(func, values).outputs()
        )
    else:
        vectors = _as_tuple(grad_outputs)
    count = len(vectors)

    def gradients(*args: Any) -> tuple[Any, ...]:
        arguments, cotangents = args[: len(args) - count], args[len(args) - count :]
        function = _Function(func, arguments)
        result = grad(
            function.outputs(), function.points, cotangents, create_graph=True, allow_unused=True
        )
        return tuple(gradient for gradient in result if gradient is not None)

    return gradcheck(
        _InGradMode(gradients),
        (*values, *vectors),
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        nondet_tol=nondet_tol,
        check_undefined_grad=check_undefined_grad,
        check_grad_dtypes=check_grad_dtypes,
        check_batched_grad=check_batched_grad,
        check_forward_ad=check_fwd_over_rev,
        check_backward_ad=check_rev_over_rev,
        fast_mode=fast_mode,
        masked=masked,
    )


class _InGradMode:
    """Gradients are computed in grad mode also where only their values are wanted."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *args: Any) -> Any:
        with enable_grad():
            return self.function(*args)


def _cotangent(output: Any, strided: bool) -> Any:
    dtype = output.dtype if output.dtype is _C.float64 else _C.float64
    if not strided:
        return _randn_like(output, dtype=dtype).requires_grad_()
    padded = _rand((*output.size(), 2), dtype=dtype)
    return padded.select(-1, 0).detach().requires_grad_()
