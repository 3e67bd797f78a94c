"""Functions of the package whose arguments or results are not those of one operation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import _C
from ._C import Size, Tensor
from ._overridable import make_overridable

__all__ = [
    "broadcast_shapes",
    "broadcast_tensors",
    "cond",
    "detach",
    "einsum",
    "empty_strided",
    "equal",
    "is_complex",
    "is_conj",
    "is_floating_point",
    "is_neg",
    "is_nonzero",
    "nonzero",
    "normal",
    "result_type",
    "where",
]

_einsum = _C._functions["einsum"]
_empty = _C._functions["empty"]
_nonzero = _C._functions["nonzero"]
_where = _C._functions["where"]
_unbind = _C._functions["unbind"]


def nonzero(input: Tensor, *, out: Tensor | None = None, as_tuple: bool = False) -> Any:
    """The places of the elements that are not 0: one row each, or a tuple with a tensor an axis."""
    if not as_tuple:
        return _nonzero(input) if out is None else out.copy_(_nonzero(input))
    if input.dim() == 0:
        return _unbind(_nonzero(input.reshape(1)), 1)
    return _unbind(_nonzero(input), 1)


def where(condition: Tensor, *args: Any, **kwargs: Any) -> Any:
    """where(condition, input, other): input where condition holds, else other.

    where(condition) is nonzero(condition, as_tuple=True).
    """
    if not args and not kwargs:
        return nonzero(condition, as_tuple=True)
    return _where(condition, *args, **kwargs)


def broadcast_shapes(*shapes: Any) -> Size:
    """The shape to which tensors of these shapes broadcast."""
    result: list[int] = []
    for shape in shapes:
        sizes = [shape] if isinstance(shape, int) else list(shape)
        result = [1] * (len(sizes) - len(result)) + result
        for axis, size in enumerate(sizes, len(result) - len(sizes)):
            if size < 0:
                raise RuntimeError(
                    f"broadcast_shapes: Trying to create tensor with negative dimension ({size})"
                )
            if result[axis] == 1:
                result[axis] = size
            elif size not in (1, result[axis]):
                raise RuntimeError(
                    "broadcast_shapes: Shape mismatch: objects cannot be broadcast to a single "
                    f"shape, got {', '.join(str(tuple(s)) for s in shapes)}"
                )
    return Size(result)


def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """The tensors expanded to one shape."""
    given = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
    shape = broadcast_shapes(*(tensor.shape for tensor in given))
    return tuple(tensor.expand(shape) for tensor in given)


def equal(input: Tensor, other: Tensor) -> bool:
    """True if both have the same shape and the same elements."""
    if input.shape != other.shape:
        return False
    return bool((input == other).all().item())


def is_floating_point(input: Tensor) -> bool:
    """True for floating point dtypes."""
    return input.is_floating_point()


def is_complex(input: Tensor) -> bool:
    """True for complex dtypes."""
    return input.is_complex()


def is_conj(input: Tensor) -> bool:
    """False: conjugates are computed, never pending."""
    return input.is_conj()


def is_neg(input: Tensor) -> bool:
    """False: negatives are computed, never pending."""
    return input.is_neg()


def is_nonzero(input: Tensor) -> bool:
    """Whether the only element is not 0."""
    if input.numel() != 1:
        values = "no values" if input.numel() == 0 else "more than one value"
        raise RuntimeError(f"is_nonzero: Boolean value of Tensor with {values} is ambiguous")
    return bool(input)


def result_type(tensor1: Any, tensor2: Any) -> Any:
    """The dtype of an arithmetic result of the two, which are tensors or numbers."""
    first, second = (
        value.detach().reshape(-1)[:0] if isinstance(value, Tensor) and value.dim() else value
        for value in (tensor1, tensor2)
    )
    if not isinstance(first, Tensor):
        first, second = second, first
    if not isinstance(first, Tensor):
        first = _C._tensor(first, None, False)
    return (first + second).dtype


def einsum(*args: Any) -> Tensor:
    """The sum of products that an equation names: einsum("bij,bjk->bik", a, b).

    In place of letters the axes may be numbered: einsum(a, [0, 1, 2], b, [0, 2, 3], [0, 1, 3]).
    """
    if len(args) < 2:
        raise ValueError(
            "einsum(): must specify the equation string and at least one operand, "
            "or at least one operand and its subscripts list"
        )
    equation, *operands = args
    if isinstance(equation, Tensor):
        terms = [_subscripts(term) for term in args[1::2]]
        operands = list(args[: 2 * len(terms) : 2])
        output = "->" + _subscripts(args[-1]) if len(args) % 2 else ""
        equation = ",".join(terms) + output
    elif len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = list(operands[0])
    return _einsum(equation, operands)


def _subscripts(places: Any) -> str:
    """[0, ..., 27] as "A...b"."""
    letters = []
    for place in places:
        if place is not ... and not 0 <= place < 52:
            raise ValueError(
                "einsum(): subscript in subscript list is not within the valid range [0, 52)"
            )
        letters.append("..." if place is ... else chr(place + (65 if place < 26 else 71)))
    return "".join(letters)


def normal(
    mean: Tensor | float,
    std: Tensor | float = 1.0,
    size: Any = None,
    *,
    generator: Any = None,
    out: Tensor | None = None,
    **options: Any,
) -> Tensor:
    """Normally distributed numbers, a mean and a deviation for each, or `size` of one kind.

    The result has no gradient for them.
    """
    parts = [part.detach() for part in (mean, std) if isinstance(part, Tensor)]
    if isinstance(std, Tensor):
        if std.is_complex() or (std.numel() > 0 and bool((std < 0).any())):
            raise RuntimeError("normal: expects all elements of std >= 0.0, and real ones")
    elif std < 0:
        raise RuntimeError(f"normal: expects std >= 0.0, but found std {std}")
    if bool(parts) != (size is None):
        kinds = ", ".join(type(part).__name__ for part in (mean, std))
        raise TypeError(
            f"normal() received an invalid combination of arguments - got ({kinds}"
            f"{'' if size is None else ', size'}), but expected a tensor among mean and std, or a size"
        )
    if parts:
        dtype = parts[0].dtype if len(parts) == 1 else result_type(*parts)
        size, options = broadcast_shapes(*(part.shape for part in parts)), {"dtype": dtype}
    if out is not None and tuple(out.shape) != tuple(size):
        raise RuntimeError(f"normal: out has the shape {tuple(out.shape)}, expected {tuple(size)}")
    result = _empty(size, **options) if out is None else out.detach()
    if not isinstance(std, Tensor):
        result.normal_(0.0 if isinstance(mean, Tensor) else mean, std, generator=generator)
        if isinstance(mean, Tensor):
            result.add_(mean.detach())
    else:
        result.normal_(generator=generator).mul_(std.detach())
        result.add_(mean.detach() if isinstance(mean, Tensor) else mean)
    return result if out is None else out


def detach(input: Tensor) -> Tensor:
    """The tensor without its history."""
    return input.detach()


def empty_strided(
    size: Any,
    stride: Any,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A tensor of these sizes and strides whose elements mean nothing yet."""
    if len(size) != len(stride):
        raise RuntimeError(
            f"empty_strided: size and stride have different lengths, {len(size)} and {len(stride)}"
        )
    count = 0 if 0 in size else 1 + sum((n - 1) * step for n, step in zip(size, stride))
    memory = _empty((count,), dtype=dtype, layout=layout, device=device, pin_memory=pin_memory)
    made = _empty((0,), dtype=memory.dtype, device=memory.device)
    made.set_(memory.untyped_storage(), 0, tuple(size), tuple(stride))
    return made.requires_grad_() if requires_grad else made


def cond(
    pred: bool | int | float | Tensor,
    true_fn: Callable[..., Any],
    false_fn: Callable[..., Any],
    operands: tuple[Any, ...] | list[Any] = (),
) -> Any:
    """true_fn(*operands) where `pred`, a number or a tensor of one, is not 0, else
    false_fn(*operands). Only that one runs, in what is compiled, too."""
    if not isinstance(pred, (bool, int, float, Tensor)):
        raise RuntimeError(f"Expected pred to be bool or tensor, but got {pred}.")
    if isinstance(pred, Tensor) and pred.numel() != 1:
        raise RuntimeError(f"Expected pred to be bool or single-element tensor, but got {pred}.")
    return (true_fn if pred else false_fn)(*operands)


def _softmax_backward_data(
    grad_output: Tensor, output: Tensor, dim: int, input_dtype: Any, *, out: Tensor | None = None
) -> Tensor:
    """The gradient of a softmax's argument, from its result and the gradient of that."""
    weighted = grad_output * output
    result = (weighted - output * weighted.sum(dim, keepdim=True)).to(input_dtype)
    return result if out is None else out.copy_(result)


def _assert(condition: Any, message: str) -> None:
    """`assert` as a function, which is a node in a trace."""
    assert condition, message


def _assert_async(input: Tensor, assert_msg: str | None = None) -> None:
    """Reads the one value that the tensor has, and raises RuntimeError where it is 0."""
    if input.numel() != 1:
        many = "no values" if input.numel() == 0 else "more than one value"
        raise RuntimeError(f"Boolean value of Tensor with {many} is ambiguous")
    if not input:
        raise RuntimeError(
            "Expected Tensor with single nonzero value, but got zero"
            if assert_msg is None
            else assert_msg
        )


make_overridable(globals(), [*__all__, "_assert", "_assert_async", "_softmax_backward_data"])
