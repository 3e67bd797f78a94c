"""Modules of recurrent networks: parameters and hidden states for the functions of _recurrent."""

from __future__ import annotations

import math
import numbers
import warnings
from typing import Any

import flambeau
from flambeau import Tensor
from flambeau._recurrent import KINDS
from flambeau.nn import init
from flambeau.nn.modules.module import Module
from flambeau.nn.parameter import Parameter
from flambeau.nn.utils.rnn import PackedSequence

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNBase", "RNNCell", "RNNCellBase"]

_Hidden = tuple[Tensor, ...]


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
        if mode.lower() not in KINDS:
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
        rows = KINDS[mode.lower()].rows * hidden_size
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

    @property
    def _flat_weights(self) -> list[Parameter]:
        return [weight for weights in self.all_weights for weight in weights]

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

    def forward(self, input: Any, hx: Any = None) -> Any:
        is_packed = isinstance(input, PackedSequence)
        data = input.data if is_packed else input
        name = type(self).__name__
        if not is_packed and data.dim() not in (2, 3):
            raise ValueError(f"{name}: Expected input to be 2D or 3D, got {data.dim()}D instead")
        batched = is_packed or data.dim() == 3
        batch_axis = 0 if self.batch_first else 1
        if not batched:
            data = data.unsqueeze(batch_axis)
        if data.size(-1) != self.input_size:
            raise RuntimeError(
                "input.size(-1) must be equal to input_size. Expected "
                f"{self.input_size}, got {data.size(-1)}"
            )
        batch = int(input.batch_sizes[0]) if is_packed else data.size(batch_axis)
        first = self._first_hidden(hx, data, batch, batched)
        if is_packed and hx is not None and input.sorted_indices is not None:
            first = tuple(part.index_select(1, input.sorted_indices) for part in first)
        output, *last = getattr(flambeau, self.mode.lower())(
            data,
            *((input.batch_sizes,) if is_packed else ()),
            first if self.mode == "LSTM" else first[0],
            self._flat_weights,
            self.bias,
            self.num_layers,
            self.dropout,
            self.training,
            self.bidirectional,
            *(() if is_packed else (self.batch_first,)),
        )
        if is_packed:
            output = input._with(output)
            if input.unsorted_indices is not None:
                last = [part.index_select(1, input.unsorted_indices) for part in last]
        elif not batched:
            output = output.squeeze(batch_axis)
            last = [part.squeeze(1) for part in last]
        return output, (tuple(last) if self.mode == "LSTM" else last[0])


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
        result = getattr(flambeau, f"{self.mode.lower()}_cell")(
            rows,
            given if parts > 1 else given[0],
            self.weight_ih,
            self.weight_hh,
            self.bias_ih,
            self.bias_hh,
        )
        result = result if parts > 1 else (result,)
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
