"""Jacobians, Hessians and their products with vectors, as functions of functions."""

from __future__ import annotations

from typing import Any, Callable

from .. import _C
from . import grad
from .grad_mode import enable_grad

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]

_Tensors = tuple[Any, ...]


def _tuple(values: Any, what: str, function: str) -> tuple[bool, _Tensors]:
    """Whether it was a tuple, and the tensors; TypeError for anything else."""
    is_tuple = isinstance(values, tuple)
    values = values if is_tuple else (values,)
    for i, value in enumerate(values):
        if isinstance(value, _C.Tensor):
            continue
        if is_tuple:
            raise TypeError(
                f"The {what} given to {function} must be either a Tensor or a tuple of Tensors but "
                f"the value at index {i} has type {type(value)}."
            )
        raise TypeError(
            f"The {what} given to {function} must be either a Tensor or a tuple of Tensors but the "
            f"given {what} has type {type(value)}."
        )
    return is_tuple, values


def _given_back(values: _Tensors, is_tuple: bool | tuple[bool, bool]) -> Any:
    """As the user gave or wants it: nested tuples or not."""
    if isinstance(is_tuple, tuple):
        outer, inner = is_tuple
        rows = tuple(_given_back(row, inner) for row in values)
        return rows if outer else rows[0]
    return values if is_tuple else values[0]


def _prepared(inputs: _Tensors, create_graph: bool, need_graph: bool = True) -> _Tensors:
    """Inputs of the function that is differentiated: of the user's graph only if one is made."""
    return tuple(
        value.view_as(value)
        if create_graph and value.requires_grad
        else value.detach().requires_grad_(need_graph)
        for value in inputs
    )


def _finished(values: _Tensors, create_graph: bool) -> _Tensors:
    return values if create_graph else tuple(value.detach() for value in values)


def _check_vector(v: _Tensors, like: _Tensors, is_tuple: bool) -> None:
    if len(v) != len(like):
        if is_tuple:
            raise RuntimeError(
                f"v is a tuple of invalid length: should be {len(like)} but got {len(v)}."
            )
        raise RuntimeError("The given v should contain a single Tensor.")
    for i, (vector, value) in enumerate(zip(v, like)):
        if vector.size() != value.size():
            place = f"Entry {i} in v" if is_tuple else "v"
            raise RuntimeError(
                f"{place} has invalid size: should be {value.size()} but got {vector.size()}."
            )


def _scalar_vector(outputs: _Tensors, what: str) -> None:
    if len(outputs) != 1 or outputs[0].numel() != 1:
        raise RuntimeError(f"The vector v can only be None if {what}.")


def _require(values: _Tensors, why: str) -> None:
    """For `strict`: each depends on the inputs."""
    for i, value in enumerate(values):
        if value is None or not value.requires_grad:
            raise RuntimeError(why.format(i=i))


_INDEPENDENT_OUTPUT = (
    "Output {{i}} of the user-provided function does not require gradients. The outputs must be "
    "computed in a differentiable manner from the input when running in strict mode ({})."
)
_INDEPENDENT_RESULT = (
    "The {} of the user-provided function is independent of input {{i}}. This is not allowed in "
    "strict mode."
)


def _gradients(
    outputs: _Tensors, inputs: _Tensors, vectors: Any, create_graph: bool = False
) -> tuple[Any, ...]:
    """As autograd.grad, with None also where nothing requires a gradient."""
    wanted = [i for i, out in enumerate(outputs) if out is not None and out.requires_grad]
    if not wanted:
        return (None,) * len(inputs)
    vectors = [None] * len(outputs) if vectors is None else vectors
    return grad(
        [outputs[i] for i in wanted],
        inputs,
        [vectors[i] for i in wanted],
        allow_unused=True,
        create_graph=create_graph,
        retain_graph=True,
    )


def _filled(values: tuple[Any, ...], like: _Tensors, strict: bool, what: str) -> _Tensors:
    """Zeros for None; for `strict`, RuntimeError."""
    result = []
    for i, (value, reference) in enumerate(zip(values, like)):
        if value is None:
            if strict:
                raise RuntimeError(_INDEPENDENT_RESULT.format(what).format(i=i))
            value = reference.new_zeros(reference.size())
        result.append(value)
    return tuple(result)


def vjp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """func(*inputs), and the product of `v` with its Jacobian."""
    with enable_grad():
        is_tuple, given = _tuple(inputs, "inputs", "vjp")
        points = _prepared(given, create_graph)
        outputs_tuple, outputs = _tuple(
            func(*points), "outputs of the user-provided function", "vjp"
        )
        if strict:
            _require(outputs, _INDEPENDENT_OUTPUT.format("vjp"))
        vectors: Any = None
        if v is None:
            _scalar_vector(
                outputs, "the user-provided function returns a single Tensor with a single element"
            )
        else:
            v_tuple, vectors = _tuple(v, "v", "vjp")
            vectors = _prepared(vectors, create_graph, need_graph=False)
            _check_vector(vectors, outputs, v_tuple)
        products = _gradients(outputs, points, vectors, create_graph)
        products = _filled(products, points, strict, "vjp")
        if strict and create_graph:
            _require(products, _INDEPENDENT_RESULT.format("vjp"))
    return (
        _given_back(_finished(outputs, create_graph), outputs_tuple),
        _given_back(_finished(products, create_graph), is_tuple),
    )


def _jacobian_times(
    outputs: _Tensors, inputs: _Tensors, v: Any, create_graph: bool, strict: bool
) -> _Tensors:
    """J v, as the derivative of u J, which is linear, with respect to u."""
    u = tuple(output.new_zeros(output.size()).requires_grad_() for output in outputs)
    rows = _gradients(outputs, inputs, u, create_graph=True)
    if strict:
        _require(rows, _INDEPENDENT_RESULT.format("jvp"))
    products = _gradients(rows, u, v, create_graph)
    return _filled(products, outputs, strict, "jvp")


def jvp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """func(*inputs), and the product of its Jacobian with `v`."""
    with enable_grad():
        _, given = _tuple(inputs, "inputs", "jvp")
        points = _prepared(given, create_graph)
        vectors: Any = None
        if v is None:
            _scalar_vector(
                points,
                "the input to the user-provided function is a single Tensor with a single element",
            )
            vectors = (points[0].new_ones(points[0].size()),)
        else:
            v_tuple, vectors = _tuple(v, "v", "jvp")
            vectors = _prepared(vectors, create_graph, need_graph=False)
            _check_vector(vectors, points, v_tuple)
        outputs_tuple, outputs = _tuple(
            func(*points), "outputs of the user-provided function", "jvp"
        )
        if strict:
            _require(outputs, _INDEPENDENT_OUTPUT.format("jvp"))
        products = _jacobian_times(outputs, points, vectors, create_graph, strict)
    return (
        _given_back(_finished(outputs, create_graph), outputs_tuple),
        _given_back(_finished(products, create_graph), outputs_tuple),
    )


def _rows(output: Any, inputs: _Tensors, create_graph: bool, strict: bool) -> list[list[Any]]:
    """For each element of an output, its gradients."""
    flat = output.reshape(-1)
    rows = []
    for j in range(flat.numel()):
        products = _gradients((flat[j],), inputs, None, create_graph)
        filled = _filled(products, inputs, strict, "jacobian")
        if strict and create_graph:
            _require(filled, _INDEPENDENT_RESULT.format("jacobian"))
        rows.append(list(filled))
    return rows


def _batched_rows(output: Any, inputs: _Tensors, create_graph: bool) -> list[Any]:
    """The same for all elements at once."""
    count = output.numel()
    if not output.requires_grad:
        return [value.new_zeros((count, *value.size())) for value in inputs]
    basis = _one_hots(output)
    products = grad(
        output,
        inputs,
        basis,
        retain_graph=True,
        create_graph=create_graph,
        allow_unused=True,
        is_grads_batched=True,
    )
    return [
        value.new_zeros((count, *value.size())) if product is None else product
        for product, value in zip(products, inputs)
    ]


def _one_hots(value: Any) -> Any:
    """[n, ...]: all tensors like `value` with one 1."""
    count = value.numel()
    return _C._functions["eye"](count, dtype=value.dtype).reshape(count, *value.size())


def _columns(output: Any, inputs: _Tensors) -> list[Any]:
    """The same by each element of the inputs: products with all unit vectors."""
    blocks = []
    for i, value in enumerate(inputs):
        columns = []
        for direction in _one_hots(value):
            vectors = [other.new_zeros(other.size()) for other in inputs]
            vectors[i] = direction
            columns.append(_jacobian_times((output,), inputs, tuple(vectors), False, False)[0])
        blocks.append(_C._functions["stack"](columns, -1))
    return blocks


def jacobian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """The derivatives of each output of `func` by each input: a tensor, or tuples of them, of the
    output's size followed by the input's."""
    if strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError(
            'Expected strategy to be either "forward-mode" or "reverse-mode". Hint: If your '
            'function has more outputs than inputs, "forward-mode" tends to be more performant. '
            'Otherwise, prefer to use "reverse-mode".'
        )
    if strategy == "forward-mode" and create_graph:
        raise NotImplementedError(
            "torch.autograd.functional.jacobian: `create_graph=True` and "
            "`strategy='forward-mode'` are not supported together (yet). Please either set "
            "`create_graph=False` or `strategy='reverse-mode'`."
        )
    if strategy == "forward-mode" and not vectorize:
        raise NotImplementedError(
            "torch.autograd.functional.jacobian: `vectorize=False` and `strategy='forward-mode'` "
            "are not supported together (yet). Please either set `vectorize=True` or "
            "`strategy='reverse-mode'`."
        )
    if vectorize and strict:
        raise RuntimeError(
            "torch.autograd.functional.jacobian: `strict=True` and `vectorized=True` are not "
            "supported together. Please either set `strict=False` or `vectorize=False`."
        )
    with enable_grad():
        is_tuple, given = _tuple(inputs, "inputs", "jacobian")
        points = _prepared(given, create_graph)
        outputs_tuple, outputs = _tuple(
            func(*points), "outputs of the user-provided function", "jacobian"
        )
        if strict:
            _require(outputs, _INDEPENDENT_OUTPUT.format("jacobian"))
        result = []
        for output in outputs:
            if strategy == "forward-mode":
                per_input = _columns(output, points)
            elif vectorize:
                per_input = _batched_rows(output, points, create_graph)
            elif output.numel() == 0:
                per_input = [value.new_zeros((0, *value.size())) for value in points]
            else:
                per_input = [
                    _C._functions["stack"](column)
                    for column in zip(*_rows(output, points, create_graph, strict))
                ]
            blocks = tuple(
                block.reshape(*output.size(), *value.size())
                for block, value in zip(per_input, points)
            )
            result.append(_finished(blocks, create_graph))
    return _given_back(tuple(result), (outputs_tuple, is_tuple))


def _one_element(output: Any, function: str) -> Any:
    if not isinstance(output, _C.Tensor):
        raise RuntimeError(
            f"The function given to {function} should return a single Tensor"
            if function != "hessian"
            else "The function given to hessian should return a single Tensor with a single element"
        )
    if output.numel() != 1:
        raise RuntimeError(
            f"The Tensor returned by the function given to {function} should contain a single "
            "element"
        )
    return output.reshape(())


def hessian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """The second derivatives of a function with one element as its result."""
    is_tuple, given = _tuple(inputs, "inputs", "hessian")
    if outer_jacobian_strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError('Expected strategy to be either "forward-mode" or "reverse-mode".')

    def gradient(*points: Any) -> _Tensors:
        if outer_jacobian_strategy == "forward-mode":
            points = tuple(p if p.requires_grad else p.requires_grad_() for p in points)

        def value(*args: Any) -> Any:
            output = _one_element(func(*args), "hessian")
            if strict and not output.requires_grad:
                raise RuntimeError(_INDEPENDENT_OUTPUT.format("hessian").format(i=0))
            return output

        rows = jacobian(value, points, create_graph=True)
        if strict:
            _require(
                rows,
                "The jacobian of the user-provided function with respect to input {i} is "
                "independent of the input. This is not allowed in strict mode when "
                "create_graph=True.",
            )
        return rows

    blocks = jacobian(
        gradient,
        given,
        create_graph=create_graph,
        strict=strict,
        vectorize=vectorize,
        strategy=outer_jacobian_strategy,
    )
    return _given_back(blocks, (is_tuple, is_tuple))


def _second_order(
    func: Callable[..., Any], inputs: Any, v: Any, create_graph: bool, strict: bool, name: str
) -> tuple[bool, _Tensors, Any, Any, tuple[Any, ...]]:
    """What hvp and vhp share: points, the vectors, the result and its gradient."""
    is_tuple, given = _tuple(inputs, "inputs", name)
    points = _prepared(given, create_graph)
    if v is None:
        _scalar_vector(
            points,
            "the input to the user-provided function is a single Tensor with a single element",
        )
        vectors: Any = (points[0].new_ones(points[0].size()),)
    else:
        v_tuple, vectors = _tuple(v, "v", name)
        vectors = _prepared(vectors, create_graph, need_graph=False)
        _check_vector(vectors, points, v_tuple)
    output = func(*points)
    if not isinstance(output, _C.Tensor) or output.numel() != 1:
        raise RuntimeError(
            f"The function given to {name} should return a single Tensor with a single element"
        )
    if strict:
        _require((output,), _INDEPENDENT_OUTPUT.format(name))
    rows = _gradients((output.reshape(()),), points, None, create_graph=True)
    if strict:
        _require(rows, _INDEPENDENT_RESULT.format("jacobian"))
    return is_tuple, points, vectors, output, rows


def vhp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """func(*inputs), and the product of `v` with its Hessian."""
    with enable_grad():
        is_tuple, points, vectors, output, rows = _second_order(
            func, inputs, v, create_graph, strict, "vhp"
        )
        products = _gradients(rows, points, vectors, create_graph)
        products = _filled(products, points, strict, "vhp")
    return (
        _finished((output,), create_graph)[0],
        _given_back(_finished(products, create_graph), is_tuple),
    )


def hvp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """func(*inputs), and the product of its Hessian with `v`."""
    with enable_grad():
        is_tuple, points, vectors, output, rows = _second_order(
            func, inputs, v, create_graph, strict, "hvp"
        )
        gradients = tuple(
            value.new_zeros(value.size()) if row is None else row
            for row, value in zip(rows, points)
        )
        products = _jacobian_times(gradients, points, vectors, create_graph, strict)
    return (
        _finished((output,), create_graph)[0],
        _given_back(_finished(products, create_graph), is_tuple),
    )
