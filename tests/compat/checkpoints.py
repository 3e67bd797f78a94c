#!/usr/bin/env python3
"""What checkpoints may hold, made by a program that imports `torch`.

python tests/compat/checkpoints.py        with PyTorch: writes checkpoints/*.pt
"""

from __future__ import annotations

import collections
from pathlib import Path
from typing import Any

import torch

FOLDER = Path(__file__).parent / "checkpoints"
DTYPES = "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool complex64 complex128".split()


def make() -> dict[str, Any]:
    """The same in PyTorch and in Flambeau."""
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            parameter.copy_(torch.arange(parameter.numel()).view(parameter.shape) + number / 8)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.125)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [1, 3])
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    scheduler.step()
    base = torch.arange(12.0).view(3, 4)
    noted, tagged = torch.ones(2), torch.nn.Parameter(torch.ones(2, 2), requires_grad=False)
    noted.note, tagged.tag = "x", 5
    shared = [1]
    shared.append(shared)
    return {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "views": [base, base[1], base.t(), base[:, ::2], base[3:]],
        "dtypes": {name: torch.tensor([0, 1, 2]).to(getattr(torch, name)) for name in DTYPES},
        "numbers": [
            0,
            -1,
            255,
            256,
            2**31,
            -(2**31) - 1,
            2**63,
            -(2**200),
            1.5,
            float("inf"),
            1 + 2j,
        ],
        "plain": [
            None,
            True,
            False,
            "text ü",
            b"\x00\xffbytes",
            bytearray(b"ab"),
            bytearray(),
            (1, 2),
            (),
            {1, 2},
        ],
        "nested": {"a": {1: [2, (3, {"b": 4})]}, (1, "k"): 5, None: 6, 2.5: 7},
        "itself": shared,
        "torch": [
            torch.float32,
            torch.float8_e5m2,
            torch.Size([1, 2]),
            torch.device("cpu"),
            torch.strided,
        ],
        "parameter": model[0].weight,
        "tagged": tagged,
        "noted": noted,
        "requires_grad": torch.ones(1, requires_grad=True),
        "empty": torch.empty(0, 3),
        "scalar": torch.tensor(3.5),
        "counter": collections.Counter("aab"),
        "ordered": collections.OrderedDict(b=1, a=2),
    }


def assert_equal(found: Any, wanted: Any, path: str = "") -> None:
    """The same types and values, tensors with their layout and attributes."""
    assert type(found) is type(wanted), path
    if isinstance(wanted, torch.Tensor):
        for name in ("dtype", "shape", "requires_grad", "__dict__"):
            assert getattr(found, name) == getattr(wanted, name), (path, name)
        assert found.stride() == wanted.stride(), path
        assert found.storage_offset() == wanted.storage_offset(), path
        assert torch.equal(found.detach(), wanted.detach()), path
    elif isinstance(wanted, dict):
        assert list(found) == list(wanted), path
        for key in wanted:
            assert_equal(found[key], wanted[key], f"{path}.{key}")
        assert getattr(found, "__dict__", None) == getattr(wanted, "__dict__", None), path
    elif isinstance(wanted, (list, tuple)) and path != ".itself":
        assert len(found) == len(wanted), path
        for number, (one, other) in enumerate(zip(found, wanted)):
            assert_equal(one, other, f"{path}.{number}")
    elif path == ".itself":
        assert found[0] == 1 and found[1] is found
    else:
        assert found == wanted, path


if __name__ == "__main__":
    assert torch.version.git_version and not hasattr(torch.version, "flambeau")
    FOLDER.mkdir(exist_ok=True)
    torch.save(make(), FOLDER / "zip.pt")
    torch.save(make(), FOLDER / "protocol4.pt", pickle_protocol=4)
    torch.save(make(), FOLDER / "legacy.pt", _use_new_zipfile_serialization=False)
    small = {"a": torch.arange(3.0), "b": [torch.ones(2, 2).t()]}
    seeds = FOLDER.parent.parent / "fuzz" / "seeds" / "torch_file_fuzz"
    torch.save(small, seeds / "zip")
    torch.save(small, seeds / "legacy", _use_new_zipfile_serialization=False)
