"""Recurrent networks: Elman's, LSTM (Hochreiter & Schmidhuber, 1997), GRU (Cho et al., 2014).

Each step is a few operations; the inputs' products are one for all steps of a layer. The modules of
`nn` call these functions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from . import _C
from ._C import Tensor
from ._overridable import make_overridable

__all__ = [
    "gru",
    "gru_cell",
    "lstm",
    "lstm_cell",
    "rnn_relu",
    "rnn_relu_cell",
    "rnn_tanh",
    "rnn_tanh_cell",
]

_operations = _C._functions
_cat = _operations["cat"]
_linear = _operations["nn.functional.linear"]
_stack = _operations["stack"]

_Hidden = tuple[Tensor, ...]


# -- one step -----------------------------------------------------------------------------------


def _tanh_step(x: Tensor, h: Tensor, hidden: _Hidden) -> _Hidden:
    return ((x + h).tanh(),)


def _relu_step(x: Tensor, h: Tensor, hidden: _Hidden) -> _Hidden:
    return ((x + h).relu(),)


def _lstm_step(x: Tensor, h: Tensor, hidden: _Hidden) -> _Hidden:
    entry, forget, value, exit = (x + h).chunk(4, -1)
    kept = forget.sigmoid() * hidden[1]
    cell = kept + entry.sigmoid() * value.tanh()
    return exit.sigmoid() * cell.tanh(), cell


def _gru_step(x: Tensor, h: Tensor, hidden: _Hidden) -> _Hidden:
    x_reset, x_update, x_new = x.chunk(3, -1)
    h_reset, h_update, h_new = h.chunk(3, -1)
    new = (x_new + (x_reset + h_reset).sigmoid() * h_new).tanh()
    return (new + (x_update + h_update).sigmoid() * (hidden[0] - new),)


class _Kind(NamedTuple):
    """A kind of network."""

    rows: int  # of weights for each hidden unit
    parts: int  # of the hidden state
    step: Callable[[Tensor, Tensor, _Hidden], _Hidden]  # from both products and the hidden state


KINDS = {
    "rnn_tanh": _Kind(1, 1, _tanh_step),
    "rnn_relu": _Kind(1, 1, _relu_step),
    "lstm": _Kind(4, 2, _lstm_step),
    "gru": _Kind(3, 1, _gru_step),
}


def _check_rows(name: str, weight: Tensor) -> None:
    rows = KINDS[name].rows
    if weight.size(0) % rows != 0:
        raise RuntimeError(
            f"{name}: a weight should have {rows} rows for each hidden unit, but got a weight of "
            f"size {[*weight.shape]}"
        )


def _check_parts(name: str, function: str, hx: Any) -> _Hidden:
    """The parts of a hidden state."""
    if KINDS[name].parts == 1:
        return (hx,)
    if not isinstance(hx, (tuple, list)):
        raise TypeError(
            f"{function}(): argument 'hx' (position 2) must be tuple of Tensors, not "
            f"{type(hx).__name__}"
        )
    if len(hx) != KINDS[name].parts:
        raise RuntimeError(f"{function} expects two hidden states")
    return tuple(hx)


def _cell(
    name: str,
    input: Tensor,
    hx: Any,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None,
    b_hh: Tensor | None,
) -> _Hidden:
    hidden = _check_parts(name, f"{name}_cell", hx)
    if input.size(1) != w_ih.size(1):
        raise RuntimeError(
            f"input has inconsistent input_size: got {input.size(1)} expected {w_ih.size(1)}"
        )
    for i, part in enumerate(hidden):
        if part.size(0) != input.size(0):
            raise RuntimeError(
                f"Input batch size {input.size(0)} doesn't match hidden{i} batch size "
                f"{part.size(0)}"
            )
        if part.size(1) != w_hh.size(1):
            raise RuntimeError(
                f"hidden{i} has inconsistent hidden_size: got {part.size(1)}, expected "
                f"{w_hh.size(1)}"
            )
    _check_rows(name, w_ih)
    return KINDS[name].step(_linear(input, w_ih, b_ih), _linear(hidden[0], w_hh, b_hh), hidden)


def rnn_tanh_cell(
    input: Tensor,
    hx: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> Tensor:
    """tanh(w_ih input + b_ih + w_hh hx + b_hh)."""
    return _cell("rnn_tanh", input, hx, w_ih, w_hh, b_ih, b_hh)[0]


def rnn_relu_cell(
    input: Tensor,
    hx: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> Tensor:
    """relu(w_ih input + b_ih + w_hh hx + b_hh)."""
    return _cell("rnn_relu", input, hx, w_ih, w_hh, b_ih, b_hh)[0]


def lstm_cell(
    input: Tensor,
    hx: Sequence[Tensor],
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> tuple[Tensor, ...]:
    """One step of long short-term memory: the next (h, c) from hx, which is (h, c)."""
    return _cell("lstm", input, hx, w_ih, w_hh, b_ih, b_hh)


def gru_cell(
    input: Tensor,
    hx: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> Tensor:
    """One step of gated recurrent units."""
    return _cell("gru", input, hx, w_ih, w_hh, b_ih, b_hh)[0]


# -- layers -------------------------------------------------------------------------------------


def _run_direction(
    step: Callable[[Tensor, Tensor, _Hidden], _Hidden],
    inputs: list[Tensor],
    first: _Hidden,
    weights: Sequence[Tensor],
    has_biases: bool,
    reverse: bool,
) -> tuple[list[Tensor], _Hidden]:
    """Outputs and last hidden states of one direction. Step t has inputs[t].size(0) sequences, the
    longest first; the others end earlier, or (backward) begin later.
    """
    weight_ih, weight_hh, *rest = weights
    bias_ih, bias_hh = (rest.pop(0), rest.pop(0)) if has_biases else (None, None)
    projection = rest[0] if rest else None
    counts = [x.size(0) for x in inputs]
    products = _linear(_cat(inputs), weight_ih, bias_ih).split(counts)
    outputs: list[Any] = [None] * len(inputs)
    hidden = tuple(h[: counts[-1 if reverse else 0]] for h in first)
    ended: list[_Hidden] = []
    for t in reversed(range(len(inputs))) if reverse else range(len(inputs)):
        now, count = hidden[0].size(0), counts[t]
        if count < now:
            ended.append(tuple(h[count:] for h in hidden))
            hidden = tuple(h[:count] for h in hidden)
        elif count > now:
            hidden = tuple(_cat([h, f[now:count]]) for h, f in zip(hidden, first))
        hidden = step(products[t], _linear(hidden[0], weight_hh, bias_hh), hidden)
        if projection is not None:
            hidden = (_linear(hidden[0], projection), *hidden[1:])
        outputs[t] = hidden[0]
    for part in reversed(ended):
        hidden = tuple(_cat([h, p]) for h, p in zip(hidden, part))
    return outputs, hidden


def _run_layers(
    name: str,
    steps: list[Tensor],
    *,
    hx: Any,
    params: Sequence[Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
) -> tuple[list[Tensor], _Hidden]:
    """The last layer's output of each step, and the last hidden states of all layers."""
    first = _check_parts(name, name, hx)
    if not steps:
        raise RuntimeError("Expected sequence length to be larger than 0 in RNN")
    directions = 2 if bidirectional else 1
    count = num_layers * directions
    for part in first:
        if part.size(0) != count or part.size(1) != steps[0].size(0):
            raise RuntimeError(
                f"{name}: expected hidden states for {count} layers and directions and a batch of "
                f"{steps[0].size(0)}, got a hidden state of size {[*part.shape]}"
            )
    is_projected = len({part.size(2) for part in first}) > 1
    each = (4 if has_biases else 2) + (1 if is_projected else 0)
    if len(params) != each * count:
        raise RuntimeError(
            f"got an incorrect number of RNN parameters: {name} expected {each} for each of "
            f"{count} layers and directions, got {len(params)}"
        )
    last: list[_Hidden] = []
    for layer in range(num_layers):
        outputs: list[list[Tensor]] = []
        for k in range(layer * directions, (layer + 1) * directions):
            weights = params[k * each : (k + 1) * each]
            _check_rows(name, weights[0])
            hidden = tuple(part[k] for part in first)
            is_reverse = k % directions == 1
            result, hidden = _run_direction(
                KINDS[name].step, steps, hidden, weights, has_biases, is_reverse
            )
            outputs.append(result)
            last.append(hidden)
        steps = outputs[0]
        if directions == 2:
            steps = [_cat(both, -1) for both in zip(*outputs)]
        if dropout > 0 and train and layer < num_layers - 1:
            counts = [x.size(0) for x in steps]
            dropped = _operations["nn.functional.dropout"](_cat(steps), dropout)
            steps = [*dropped.split(counts)]
    return steps, tuple(_stack(parts) for parts in zip(*last))


def _padded(name: str, input: Tensor, batch_first: bool, **layers: Any) -> tuple[Tensor, ...]:
    axis = 1 if batch_first else 0
    outputs, last = _run_layers(name, [*input.unbind(axis)], **layers)
    return _stack(outputs, axis), *last


def _packed(name: str, data: Tensor, batch_sizes: Tensor, **layers: Any) -> tuple[Tensor, ...]:
    if batch_sizes.dtype != _C.int64:
        raise RuntimeError(f"{name}: expected batch_sizes of torch.int64, got {batch_sizes.dtype}")
    sizes = batch_sizes.tolist()
    if batch_sizes.dim() != 1 or sizes != sorted(sizes, reverse=True):
        raise RuntimeError(f"{name}: batch_sizes should be a vector that descends, but got {sizes}")
    outputs, last = _run_layers(name, [*data.split(sizes)], **layers)
    return _cat(outputs), *last


_LAYERS = ("hx", "params", "has_biases", "num_layers", "dropout", "train", "bidirectional")
_OVERLOADS: tuple[tuple[tuple[str, ...], Callable[..., tuple[Tensor, ...]]], ...] = (
    (("data", "batch_sizes", *_LAYERS), _packed),
    (("input", *_LAYERS, "batch_first"), _padded),
)


def _call(name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[Tensor, ...]:
    """Runs the overload that the arguments are of."""
    for names, overload in _OVERLOADS:
        given = {**kwargs, **dict(zip(names, args))}
        if len(args) + len(kwargs) != len(names) or given.keys() != {*names}:
            continue
        hidden = Tensor if KINDS[name].parts == 1 else (tuple, list)
        if isinstance(given["hx"], hidden) and isinstance(given["params"], (tuple, list)):
            return overload(name, **given)
    got = [type(arg).__name__ for arg in args]
    got += [f"{key}={type(arg).__name__}" for key, arg in kwargs.items()]
    wanted = " or ".join(f"({', '.join(names)})" for names, _ in _OVERLOADS)
    raise TypeError(
        f"{name}() received an invalid combination of arguments - got ({', '.join(got)}), but "
        f"expected {wanted}"
    )


def rnn_tanh(*args: Any, **kwargs: Any) -> tuple[Tensor, ...]:
    """rnn_tanh(input, hx, params, has_biases, num_layers, dropout, train, bidirectional,
    batch_first) -> (output, hidden): layers of rnn_tanh_cell, in one or both directions.

    rnn_tanh(data, batch_sizes, hx, params, ...) takes a packed sequence. `params` are the weights
    and biases of each layer and direction.
    """
    return _call("rnn_tanh", args, kwargs)


def rnn_relu(*args: Any, **kwargs: Any) -> tuple[Tensor, ...]:
    """rnn_tanh with relu for tanh."""
    return _call("rnn_relu", args, kwargs)


def lstm(*args: Any, **kwargs: Any) -> tuple[Tensor, ...]:
    """lstm(input, (h, c), params, ...) -> (output, h, c): layers of lstm_cell, with the arguments
    of rnn_tanh. Each layer may have a projection of h as its last parameter.
    """
    return _call("lstm", args, kwargs)


def gru(*args: Any, **kwargs: Any) -> tuple[Tensor, ...]:
    """gru(input, hx, params, ...) -> (output, hidden): layers of gru_cell, with the arguments of
    rnn_tanh.
    """
    return _call("gru", args, kwargs)


make_overridable(globals(), __all__)
