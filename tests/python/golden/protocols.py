"""Tensors as text, as copies and pickles, as arrays and buffers."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy
import torch
from common import case, kind_of, values

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool]


@case
def every_dtype() -> Any:
    return [repr((values(2, 3).abs() * 100).to(d)) for d in DTYPES] + [repr(torch.zeros(0, dtype=d)) for d in DTYPES] + [repr(torch.tensor(1).to(d)) for d in DTYPES]


@case
def shapes() -> Any:
    shown = [repr(torch.arange(n)) for n in (1, 7, 30, 1001)]
    shown += [repr(torch.zeros(2, 0, 3)), repr(torch.ones(1, 1, 1)), repr(values(3, 2, 2)), repr(values(1100, 2)), repr(values(2, 1100)), repr(values(12, 10, 10)[:, :, :2])]
    shown += [repr(values(40) * 1e6), repr(values(4) * 1e-6), repr(torch.tensor([1e8, 1.0, float("nan")])), repr(torch.tensor([float("inf"), -1.5]))]
    shown += [repr(values(2, 2).t()), repr(values(3).expand(2, 3)), str(values(2)), f"{torch.tensor(2.5):.3f}", f"{torch.tensor([1])}"]
    return shown


@case
def graphs() -> Any:
    x = values(2).requires_grad_()
    return [repr(x), repr(x * 2), repr((x * 2).sum()), repr(x.detach()), repr(torch.nn.Parameter(values(2)))]


@case
def options() -> Any:
    result: list[Any] = []
    x = values(3, 12) * 1000
    for given in (
        {"precision": 2}, {"threshold": 5}, {"edgeitems": 1, "threshold": 5}, {"linewidth": 40}, {"sci_mode": True}, {"sci_mode": False}, {"profile": "short"},
        {"profile": "full"}, {"profile": "default"}, {"precision": 8, "linewidth": 120},
    ):
        torch.set_printoptions(**given)
        result += [repr(x), repr(x[0] * 1e-7), repr(torch.arange(12))]
        torch.set_printoptions(profile="default")
    return [*result, repr(x)]


@case
def copies() -> Any:
    x = values(4, 3)
    view = x[1:3]
    result: list[Any] = []
    for tensor in (x, view, x.t(), values(3).requires_grad_(), torch.tensor(3), torch.zeros(0, 2)):
        for twin in (copy.deepcopy(tensor), pickle.loads(pickle.dumps(tensor)), copy.copy(tensor)):
            result.append([twin, twin.stride(), twin.requires_grad, twin.storage_offset(), twin.data_ptr() == tensor.data_ptr()])
    pair = copy.deepcopy([x, view])
    pair[0].zero_()
    result.append(pair[1])
    for dtype in DTYPES:
        result.append(pickle.loads(pickle.dumps((values(3).abs() * 10).to(dtype))))
    leaf = values(2).requires_grad_()
    (leaf * 2).sum().backward()
    twin = copy.deepcopy(leaf)
    result.append([twin.grad, twin.grad is not leaf.grad])
    leaf.note = "here"
    result.append([copy.deepcopy(leaf).note, pickle.loads(pickle.dumps(leaf)).note])
    return [*result, kind_of(lambda: copy.deepcopy(leaf * 2))]


@case
def arrays() -> Any:
    x = values(2, 3)
    a = numpy.asarray(x)
    a[0, 0] = 7
    result: list[Any] = [x, a.dtype, numpy.array(x, dtype=numpy.float64).dtype, numpy.sin(x).__class__.__name__, x.numpy() is not None]
    b = numpy.arange(4.0)[::2]
    t = torch.from_numpy(b)
    t[0] = 5
    result += [b.tolist(), t.stride(), torch.as_tensor(b).data_ptr() == t.data_ptr(), torch.tensor(b).data_ptr() == t.data_ptr()]
    result += [[str(torch.zeros(1, dtype=d).numpy().dtype) for d in DTYPES if d is not torch.bfloat16], kind_of(lambda: torch.zeros(1, dtype=torch.bfloat16).numpy())]
    result += [kind_of(lambda: values(1).requires_grad_().numpy()), kind_of(lambda: numpy.asarray(values(1).requires_grad_())), kind_of(lambda: torch.from_numpy(numpy.array(["a"])))]
    result += [numpy.from_dlpack(x).tolist(), torch.from_dlpack(x).data_ptr() == x.data_ptr(), torch.utils.dlpack.from_dlpack(torch.utils.dlpack.to_dlpack(x)).shape, x.__dlpack_device__()[1]]
    buffer = bytearray(8)
    f = torch.frombuffer(buffer, dtype=torch.int32)
    f[1] = 258
    result += [list(buffer), torch.frombuffer(buffer, dtype=torch.uint8, count=2, offset=4), kind_of(lambda: torch.frombuffer(bytearray(3), dtype=torch.int32)), kind_of(lambda: torch.frombuffer(b"", dtype=torch.int32))]
    result += [x.tolist(), torch.tensor(3).tolist(), [float(v) for v in x[0]], float(torch.tensor(2.5)), int(torch.tensor(3)), bool(torch.tensor(0)), kind_of(lambda: float(x)), kind_of(lambda: bool(x))]
    result += [len(x), 7.0 in x, x.__array_priority__, hash(x) == hash(x), kind_of(lambda: len(torch.tensor(1))), [i for i in torch.arange(3)], kind_of(lambda: [i for i in torch.tensor(1)])]
    return result
