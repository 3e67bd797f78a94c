"""Recurrent networks: Elman's, LSTM (Hochreiter & Schmidhuber, 1997), GRU (Cho et al., 2014).

Each step is a few operations; the inputs' products are one for all steps of a layer.
"""

from __future__ import annotations

import math
import numbers
import warnings
from collections.abc import Callable
from typing import Any

import flambeau
from flambeau import Tensor
from flambeau.nn import functional as F
from flambeau.nn import init
from flambeau.nn.modules.module import Module
from flambeau.nn.parameter import Parameter
from flambeau.nn.utils.rnn import PackedSequence

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNBase", "RNNCell", "RNNCellBase"]

_Hidden = tuple[Tensor, ...]


def _tanh_step(x: Tensor, h: Tensor, hidden: _Hidden) -> _Hidden:
    return (flambeau.tanh(x + h),)


def _relu_step(x: Tensor, h: Tensor, hidden: _Hidden) -> _Hidden:
    return (flambeau.relu(x + h),)


def _lstm_step(x: Tensor, h: Tensor, hidden: _Hidden) -> _Hidden:
    entry, forget, value, exit = (x + h).chunk(4, -1)
    kept = flambeau.sigmoid(forget) * hidden[1]
    cell = kept + flambeau.sigmoid(entry) * flambeau.tanh(value)
    return flambeau.sigmoid(exit) * flambeau.tanh(cell), cell


def _gru_step(x: Tensor, h: Tensor, hidden: _Hidden) -> _Hidden:
    x_reset, x_update, x_new = x.chunk(3, -1)
    h_reset, h_update, h_new = h.chunk(3, -1)
    new = flambeau.tanh(x_new + flambeau.sigmoid(x_reset + h_reset) * h_new)
    return (new + flambeau.sigmoid(x_update + h_update) * (hidden[0] - new),)


# Mode: rows of weights for each hidden unit, and a step from both products and the hidden state.
_MODES: dict[str, tuple[int, Callable[[Tensor, Tensor, _Hidden], _Hidden]]] = {
    "RNN_TANH": (1, _tanh_step),
    "RNN_RELU": (1, _relu_step),
    "LSTM": (4, _lstm_step),
    "GRU": (3, _gru_step),
}


def _run_direction(
    step: Callable[[Tensor, Tensor, _Hidden], _Hidden],
    inputs: list[Tensor],
    first: _Hidden,
    weights: list[Tensor],
    has_bias: bool,
    reverse: bool,
) -> tuple[list[Tensor], _Hidden]:
    """Outputs and last hidden states of one direction. Step t has inputs[t].size(0) sequences, the
    longest first; the others end earlier, or (backward) begin later.
    """
    weight_ih, weight_hh, *rest = weights
    bias_ih, bias_hh = (rest.pop(0), rest.pop(0)) if has_bias else (None, None)
    projection = rest[0] if rest else None
    counts = [x.size(0) for x in inputs]
    products = F.linear(flambeau.cat(inputs), weight_ih, bias_ih).split(counts)
    outputs: list[Any] = [None] * len(inputs)
    hidden = tuple(h[: counts[-1 if reverse else 0]] for h in first)
    ended: list[_Hidden] = []
    for t in reversed(range(len(inputs))) if reverse else range(len(inputs)):
        now, count = hidden[0].size(0), counts[t]
        if count < now:
            ended.append(tuple(h[count:] for h in hidden))
            hidden = tuple(h[:count] for h in hidden)
        elif count > now:
            hidden = tuple(flambeau.cat([h, f[now:count]]) for h, f in zip(hidden, first))
        hidden = step(products[t], F.linear(hidden[0], weight_hh, bias_hh), hidden)
        if projection is not None:
            hidden = (F.linear(hidden[0], projection), *hidden[1:])
        outputs[t] = hidden[0]
    for part in reversed(ended):
        hidden = tuple(flambeau.cat([h, p]) for h, p in zip(hidden, part))
    return outputs, hidden


class RNNBase(Module):
    """Layers of one kind, in one or both directions."""

    __constants__ = [
        "mode",
        "input_size",
        "hidden_size",
        "num_layers",
        "bias",
        "batch_first",
        "dropout",
        "bidirectional",
        "proj_size",
    ]

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if (
            not isinstance(dropout, numbers.Number)
            or isinstance(dropout, bool)
            or not 0 <= dropout <= 1
        ):
            raise ValueError(
                "dropout should be a number in range [0, 1] representing the probability of an "
                "element being zeroed"
            )
        if dropout > 0 and num_layers == 1:
            warnings.warn(
                "dropout option adds dropout after all but last recurrent layer, so non-zero "
                f"dropout expects num_layers greater than 1, but got dropout={dropout} and "
                f"num_layers={num_layers}",
                stacklevel=3,
            )
        if not isinstance(hidden_size, int):
            raise TypeError(f"hidden_size should be of type int, got: {type(hidden_size).__name__}")
        if hidden_size <= 0:
            raise ValueError("hidden_size must be greater than zero")
        if num_layers <= 0:
            raise ValueError("num_layers must be greater than zero")
        if proj_size < 0:
            raise ValueError(
                "proj_size should be a positive integer or zero to disable projections"
            )
        if proj_size >= hidden_size:
            raise ValueError("proj_size has to be smaller than hidden_size")
        if mode not in _MODES:
            raise ValueError("Unrecognized RNN mode: " + mode)
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        rows = _MODES[mode][0] * hidden_size
        width = proj_size if proj_size > 0 else hidden_size
        self._all_weights: list[list[str]] = []
        for layer in range(num_layers):
            for direction in range(2 if bidirectional else 1):
                layer_input = input_size if layer == 0 else width * (2 if bidirectional else 1)
                shapes = {"weight_ih": (rows, layer_input), "weight_hh": (rows, width)}
                if bias:
                    shapes.update(bias_ih=(rows,), bias_hh=(rows,))  # type: ignore[arg-type]
                if proj_size > 0:
                    shapes["weight_hr"] = (proj_size, hidden_size)
                suffix = f"_l{layer}" + ("_reverse" if direction else "")
                self._all_weights.append([name + suffix for name in shapes])
                for name, shape in shapes.items():
                    empty = flambeau.empty(shape, device=device, dtype=dtype)
                    self.register_parameter(name + suffix, Parameter(empty))
        self.reset_parameters()

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def reset_parameters(self) -> None:
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def flatten_parameters(self) -> None:
        """Nothing: parameters need not lie together here."""

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        defaults = {
            "proj_size": 0,
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0.0,
            "bidirectional": False,
        }
        for name, default in defaults.items():
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name)}"
        return text

    def _hidden_widths(self) -> list[int]:
        """The widths of the parts of the hidden state."""
        first = self.proj_size if self.proj_size > 0 else self.hidden_size
        return [first, self.hidden_size] if self.mode == "LSTM" else [first]

    def _first_hidden(self, hx: Any, like: Tensor, batch: int, batched: bool) -> _Hidden:
        count = self.num_layers * (2 if self.bidirectional else 1)
        widths = self._hidden_widths()
        if hx is None:
            return tuple(like.new_zeros([count, batch, width]) for width in widths)
        parts = tuple(hx) if self.mode == "LSTM" else (hx,)
        rank = 3 if batched else 2
        if any(part.dim() != rank for part in parts):
            ranks = " and ".join(f"{part.dim()}-D" for part in parts)
            what = "(h_0, c_0)" if len(parts) > 1 else "hx"
            raise RuntimeError(
                f"For {'batched 3' if batched else 'unbatched 2'}-D input, {what} should also be "
                f"{rank}-D but got {ranks} tensor{'s' if len(parts) > 1 else ''}"
            )
        parts = parts if batched else tuple(part.unsqueeze(1) for part in parts)
        for i, (part, width) in enumerate(zip(parts, widths)):
            wanted = (count, batch, width)
            if tuple(part.shape) != wanted:
                name = "hidden" if len(parts) == 1 else f"hidden[{i}]"
                raise RuntimeError(f"Expected {name} size {wanted}, got {[*part.shape]}")
        return parts

    def _steps(self, input: Any) -> tuple[list[Tensor], bool]:
        """The input of each step, and whether there is a batch."""
        if isinstance(input, PackedSequence):
            return [*input.data.split(input.batch_sizes.tolist())], True
        if input.dim() not in (2, 3):
            name = type(self).__name__
            raise ValueError(f"{name}: Expected input to be 2D or 3D, got {input.dim()}D instead")
        batched = input.dim() == 3
        if not batched:
            input = input.unsqueeze(1)
        elif self.batch_first:
            input = input.transpose(0, 1)
        return [*input.unbind(0)], batched

    def forward(self, input: Any, hx: Any = None) -> Any:
        packed = isinstance(input, PackedSequence)
        steps, batched = self._steps(input)
        if not steps:
            raise RuntimeError("Expected sequence length to be larger than 0 in RNN")
        if steps[0].size(-1) != self.input_size:
            raise RuntimeError(
                "input.size(-1) must be equal to input_size. Expected "
                f"{self.input_size}, got {steps[0].size(-1)}"
            )
        first = self._first_hidden(hx, steps[0], steps[0].size(0), batched)
        if packed and hx is not None and input.sorted_indices is not None:
            first = tuple(part.index_select(1, input.sorted_indices) for part in first)
        directions = 2 if self.bidirectional else 1
        step = _MODES[self.mode][1]
        last: list[_Hidden] = []
        for layer in range(self.num_layers):
            outputs: list[list[Tensor]] = []
            for direction in range(directions):
                k = layer * directions + direction
                result, hidden = _run_direction(
                    step,
                    steps,
                    tuple(part[k] for part in first),
                    [getattr(self, name) for name in self._all_weights[k]],
                    self.bias,
                    direction == 1,
                )
                outputs.append(result)
                last.append(hidden)
            steps = outputs[0]
            if directions == 2:
                steps = [flambeau.cat(both, -1) for both in zip(*outputs)]
            if self.dropout > 0 and self.training and layer < self.num_layers - 1:
                counts = [x.size(0) for x in steps]
                steps = [*F.dropout(flambeau.cat(steps), self.dropout).split(counts)]
        final = tuple(flambeau.stack(parts) for parts in zip(*last))
        if packed:
            if input.unsorted_indices is not None:
                final = tuple(part.index_select(1, input.unsorted_indices) for part in final)
            output: Any = input._with(flambeau.cat(steps))
        else:
            output = flambeau.stack(steps, 1 if self.batch_first and batched else 0)
            if not batched:
                output = output.squeeze(1)
                final = tuple(part.squeeze(1) for part in final)
        return output, (final if self.mode == "LSTM" else final[0])


class RNN(RNNBase):
    """h = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu of it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if "proj_size" in kwargs:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        if len(args) > 3:
            nonlinearity, args = args[3], (*args[:3], *args[4:])
        else:
            nonlinearity = kwargs.pop("nonlinearity", "tanh")
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(
                f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'."
            )
        self.nonlinearity = nonlinearity
        super().__init__("RNN_" + nonlinearity.upper(), *args, **kwargs)


class LSTM(RNNBase):
    """Long short-term memory; hx is (h, c)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("LSTM", *args, **kwargs)


class GRU(RNNBase):
    """Gated recurrent units."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if "proj_size" in kwargs:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        super().__init__("GRU", *args, **kwargs)


class RNNCellBase(Module):
    """One step of one layer."""

    __constants__ = ["input_size", "hidden_size", "bias"]
    mode: str

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        rows = num_chunks * hidden_size
        shapes = {"weight_ih": (rows, input_size), "weight_hh": (rows, hidden_size)}
        for name, shape in shapes.items():
            empty = flambeau.empty(shape, device=device, dtype=dtype)
            self.register_parameter(name, Parameter(empty))
        for name in ("bias_ih", "bias_hh"):
            empty = flambeau.empty(rows, device=device, dtype=dtype)
            self.register_parameter(name, Parameter(empty) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        if getattr(self, "nonlinearity", "tanh") != "tanh":
            text += f", nonlinearity={self.nonlinearity}"
        return text

    def _step(self, input: Tensor, hx: Any, parts: int) -> _Hidden:
        name = type(self).__name__
        if input.dim() not in (1, 2):
            raise ValueError(f"{name}: Expected input to be 1D or 2D, got {input.dim()}D instead")
        given: _Hidden = () if hx is None else tuple(hx) if parts > 1 else (hx,)
        for i, part in enumerate(given):
            if part.dim() not in (1, 2):
                which = "hidden" if parts == 1 else f"hx[{i}]"
                raise ValueError(
                    f"{name}: Expected {which} to be 1D or 2D, got {part.dim()}D instead"
                )
        batched = input.dim() == 2
        rows = input if batched else input.unsqueeze(0)
        if hx is None:
            zeros = rows.new_zeros([rows.size(0), self.hidden_size])
            given = (zeros,) * parts
        elif not batched:
            given = tuple(part.unsqueeze(0) for part in given)
        if rows.size(1) != self.input_size:
            raise RuntimeError(
                f"input has inconsistent input_size: got {rows.size(1)} expected {self.input_size}"
            )
        for part in given:
            if part.size(1) != self.hidden_size or part.size(0) != rows.size(0):
                raise RuntimeError(
                    f"{name}: Expected hidden of shape {(rows.size(0), self.hidden_size)}, got "
                    f"{tuple(part.shape)}"
                )
        result = _MODES[self.mode][1](
            F.linear(rows, self.weight_ih, self.bias_ih),
            F.linear(given[0], self.weight_hh, self.bias_hh),
            given,
        )
        return result if batched else tuple(part.squeeze(0) for part in result)


class RNNCell(RNNCellBase):
    """One step of RNN."""

    __constants__ = ["input_size", "hidden_size", "bias", "nonlinearity"]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    @property
    def mode(self) -> str:  # type: ignore[override]
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        return "RNN_" + self.nonlinearity.upper()

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return self._step(input, hx, 1)[0]


class LSTMCell(RNNCellBase):
    """One step of LSTM: (h, c)."""

    mode = "LSTM"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, ...]:
        return self._step(input, hx, 2)


class GRUCell(RNNCellBase):
    """One step of GRU."""

    mode = "GRU"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return self._step(input, hx, 1)[0]
