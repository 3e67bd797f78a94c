"""Recurrent layers and cells, and packed sequences."""

from __future__ import annotations

from typing import Any

import torch
from common import case, error_of, fill, kind_of, run_with_gradients, values
from torch import nn
from torch.nn.utils import rnn


def lengths_of(packed: Any) -> Any:
    return [packed.data, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices]


@case
def prints() -> Any:
    modules = [
        nn.RNN(2, 3), nn.RNN(2, 3, 2, "relu", bias=False), nn.RNN(2, 3, nonlinearity="relu", dropout=0.5, num_layers=2, batch_first=True),
        nn.LSTM(2, 3, 2, bidirectional=True), nn.LSTM(2, 3, proj_size=2, bias=False), nn.GRU(2, 3, 2, True, True, 0.1, True),
        nn.RNNCell(2, 3), nn.RNNCell(2, 3, False, "relu"), nn.LSTMCell(2, 3), nn.GRUCell(2, 3, bias=False),
    ]  # fmt: skip
    return [[repr(m), [*m.state_dict()]] for m in modules]


@case
def first_values() -> Any:
    result = []
    for make in (lambda: nn.LSTM(2, 3, 2, bidirectional=True), lambda: nn.GRU(2, 3), lambda: nn.RNN(2, 3), lambda: nn.GRUCell(2, 3)):
        torch.manual_seed(1)
        result.append([p.sum() for p in make().parameters()])
    return result


@case
def runs() -> Any:
    x = values(4, 2, 2)
    first = values(1, 2, 3, scale=0.5)
    return [
        run_with_gradients(fill(nn.RNN(2, 3)), x),
        run_with_gradients(fill(nn.RNN(2, 3, 2, nonlinearity="relu", bias=False)), x),
        run_with_gradients(fill(nn.RNN(2, 3)), x, first),
        run_with_gradients(fill(nn.LSTM(2, 3, 2, bidirectional=True)), x),
        run_with_gradients(fill(nn.LSTM(2, 3, proj_size=2, batch_first=True)), x),
        fill(nn.LSTM(2, 3))(x, (first, first * 2)),
        run_with_gradients(fill(nn.GRU(2, 3, 2, batch_first=True, bidirectional=True, dropout=0.0)), x),
        run_with_gradients(fill(nn.GRU(2, 3)), x, first),
        run_with_gradients(fill(nn.GRU(2, 3)), x[:, 0]),
        run_with_gradients(fill(nn.RNNCell(2, 3)), x[0]),
        run_with_gradients(fill(nn.GRUCell(2, 3)), x[0], first[0]),
        run_with_gradients(fill(nn.GRUCell(2, 3, bias=False)), x[0, 0]),
        run_with_gradients(fill(nn.LSTMCell(2, 3)), x[0]),
        fill(nn.LSTMCell(2, 3))(x[0], (first[0], first[0] * 2)),
    ]


@case
def packed_runs() -> Any:
    x = values(4, 3, 2)
    result: list[Any] = []
    for sizes, ordered in (([4, 2, 1], True), ([2, 4, 3], False)):
        packed = rnn.pack_padded_sequence(x, sizes, enforce_sorted=ordered)
        result.append(lengths_of(packed))
        for module in (nn.GRU(2, 3, 2, bidirectional=True), nn.LSTM(2, 3), nn.RNN(2, 3, bidirectional=True)):
            output, hidden = fill(module)(packed)
            result.append([rnn.pad_packed_sequence(output), hidden])
        first = values(1, 3, 3)
        result.append(fill(nn.GRU(2, 3))(packed, first)[1])
    return result


@case
def packing() -> Any:
    parts = [values(3, 2), values(1, 2), values(2, 2)]
    packed = rnn.pack_sequence(parts, enforce_sorted=False)
    return [
        lengths_of(packed),
        rnn.pad_sequence(parts),
        rnn.pad_sequence(parts, batch_first=True, padding_value=7.0),
        rnn.pad_sequence(parts, True, padding_side="left"),
        rnn.unpack_sequence(packed),
        rnn.unpad_sequence(rnn.pad_sequence(parts), torch.tensor([3, 1, 2])),
        rnn.pad_packed_sequence(packed, True, -1.0, 5),
        packed.to(torch.float64).data.dtype,
        isinstance(packed, rnn.PackedSequence),
        rnn.invert_permutation(torch.tensor([2, 0, 1])),
        kind_of(lambda: rnn.pack_sequence(parts)),
        kind_of(lambda: rnn.pack_padded_sequence(values(2, 2, 1), [1, 2])),
        kind_of(lambda: rnn.pack_padded_sequence(values(2, 2, 1), [2, 0])),
        kind_of(lambda: rnn.pack_padded_sequence(values(2, 2, 1), [2])),
        kind_of(lambda: rnn.pad_packed_sequence(packed, total_length=1)),
        kind_of(lambda: rnn.pad_sequence(3)),
    ]


@case
def errors() -> Any:
    gru, lstm, cell = nn.GRU(2, 3), nn.LSTM(2, 3), nn.GRUCell(2, 3)
    return [
        error_of(lambda: nn.GRU(2, 0)),
        error_of(lambda: nn.GRU(2, 3.0)),
        error_of(lambda: nn.GRU(2, 3, 0)),
        error_of(lambda: nn.GRU(2, 3, dropout=2)),
        error_of(lambda: nn.LSTM(2, 3, proj_size=3)),
        error_of(lambda: nn.LSTM(2, 3, proj_size=-1)),
        error_of(lambda: nn.GRU(2, 3, proj_size=1)),
        error_of(lambda: nn.RNN(2, 3, nonlinearity="gelu")),
        error_of(lambda: gru(values(2))),
        error_of(lambda: gru(values(2, 2, 5))),
        error_of(lambda: gru(values(2, 2, 2), values(1, 3))),
        error_of(lambda: gru(values(2, 2), values(1, 3, 3))),
        kind_of(lambda: gru(values(2, 2, 2), values(1, 5, 3))),
        kind_of(lambda: lstm(values(2, 2, 2), (values(1, 2, 3), values(1, 2, 4)))),
        error_of(lambda: cell(values(2, 2, 2))),
        error_of(lambda: cell(values(2, 2), values(1, 2, 3))),
        kind_of(lambda: cell(values(2, 5))),
        kind_of(lambda: cell(values(2, 2), values(3, 3))),
    ]


def _weights(rows: int, width: int, hidden: int) -> list[Any]:
    shapes = [(rows, width), (rows, hidden), (rows,), (rows,)]
    return [values(*shape, scale=0.4 + 0.1 * i).requires_grad_() for i, shape in enumerate(shapes)]


@case
def cell_functions() -> Any:
    x, h, c = values(2, 4), values(2, 3, scale=0.5), values(2, 3, scale=0.7)
    result: list[Any] = []
    for function, rows in ((torch.rnn_tanh_cell, 3), (torch.rnn_relu_cell, 3), (torch.gru_cell, 9)):
        weights = _weights(rows, 4, 3)
        result.append(run_with_gradients(function, x, h, *weights))
        result.append(function(x, h, *weights[:2]))
        result.append(function(x, hx=h, w_ih=weights[0], w_hh=weights[1], b_hh=weights[3]))
    weights = _weights(12, 4, 3)
    result.append(torch.lstm_cell(x, (h, c), *weights))
    result.append(torch.lstm_cell(x, [h, c], *weights[:2]))
    return result


@case
def layer_functions() -> Any:
    x, data, sizes = values(4, 2, 3), values(6, 3), torch.tensor([3, 2, 1])
    result: list[Any] = []
    for function, rows in ((torch.rnn_tanh, 2), (torch.rnn_relu, 2), (torch.gru, 6), (torch.lstm, 8)):
        weights = [w for width in (3, 3, 4, 4) for w in _weights(rows, width, 2)]
        for layers, batch, run in (
            (4, 2, lambda h: function(x, h, weights, True, 2, 0.0, False, True, False)),
            (1, 4, lambda h: function(x, h, weights[:2], False, 1, 0.5, True, False, batch_first=True)),
            (4, 3, lambda h: function(data, sizes, h, weights, True, 2, 0.0, True, True)),
            (1, 3, lambda h: function(data=data, batch_sizes=sizes, hx=h, params=weights[:4], has_biases=True, num_layers=1, dropout=0.0, train=False, bidirectional=False)),
        ):
            first = values(layers, batch, 2, scale=0.5)
            output = run((first, first * 2) if function is torch.lstm else first)
            result.append([output, torch.autograd.grad(output[0].square().sum(), weights[:2])])
    projected = [*_weights(8, 3, 1), values(1, 2)]
    hx = (values(1, 2, 1), values(1, 2, 2))
    result.append(torch.lstm(x, hx, projected, True, 1, 0.0, False, False, False))
    return result


@case
def function_errors() -> Any:
    x, h, weights = values(2, 4), values(2, 3), _weights(12, 4, 3)
    rows, state = values(5, 2, 4), values(1, 2, 3)
    gru, more = [weight[:9] for weight in weights], (True, 1, 0.0, False, False)
    return [
        error_of(lambda: torch.lstm_cell(x, (h,), *weights)),
        error_of(lambda: torch.lstm_cell(x, h, *weights)),
        error_of(lambda: torch.lstm_cell(x[:, :2], (h, h), *weights)),
        error_of(lambda: torch.lstm_cell(x, (values(3, 3), h), *weights)),
        error_of(lambda: torch.lstm_cell(x, (h, values(2, 5)), *weights)),
        error_of(lambda: torch.gru_cell(x, values(3, 3), *gru)),
        error_of(lambda: torch.rnn_tanh_cell(x, values(2, 2), *(weight[:3] for weight in weights))),
        kind_of(lambda: torch.gru_cell(x, h, *(weight[:8] for weight in weights))),
        kind_of(lambda: torch.gru_cell(x[0], h[0], *gru)),
        kind_of(lambda: torch.gru_cell(x, h, *gru[:2], gru[2].double())),
        error_of(lambda: torch.lstm(rows, (state,), weights, *more, False)),
        error_of(lambda: torch.gru(rows[:0], state, gru, *more, False)),
        kind_of(lambda: torch.gru(rows, (state,), gru, *more, False)),
        kind_of(lambda: torch.lstm(rows, state, weights, *more, False)),
        kind_of(lambda: torch.gru(rows, state, gru, *more)),
        kind_of(lambda: torch.gru(rows, state, [*gru, *gru], *more, False)),
        kind_of(lambda: torch.gru(rows, values(2, 2, 3), gru, *more, False)),
        kind_of(lambda: torch.gru(rows, values(1, 3, 3), gru, *more, False)),
        kind_of(lambda: torch.lstm(rows, (state, state), weights[:3], *more, False)),
        kind_of(lambda: torch.lstm(rows, (state, values(1, 2, 4)), weights, *more, False)),
        kind_of(lambda: torch.gru(values(5, 4), torch.tensor([2, 2, 1.0]), state, gru, *more)),
        kind_of(lambda: torch.gru(values(5, 4), torch.tensor([2, 2, 2]), state, gru, *more)),
    ]
