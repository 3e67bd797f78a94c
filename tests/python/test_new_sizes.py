"""What new sizes cost: no kernels, and no programs where an operation does not look at them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import flambeau as torch
import flambeau.nn.functional as F
import pytest

SCRIPT = """
import os, pathlib, sys
import flambeau as torch
F = torch.nn.functional
images, sound = torch.randn(2, 3, 64, 64), torch.randn(2, 3, 512)
square, line = torch.randn(4, 3, 3, 3), torch.randn(4, 3, 3)
calls = {
    "pad": lambda x, size: F.pad(x, (0, 96 - size, 1, 96 - size)),
    "conv2d": lambda x, size: F.conv2d(x, square, padding=1),
    "strided conv2d": lambda x, size: F.conv2d(x, square, padding=1, stride=2),
    "conv1d": lambda x, size: F.conv1d(sound[:, :, : 3 * size], line, padding=1),
    "nearest": lambda x, size: F.interpolate(x, size=(40, 40)),
    "nearest by a factor": lambda x, size: F.interpolate(x, scale_factor=1.5),
    "bilinear": lambda x, size: F.interpolate(x, size=(40, 40), mode="bilinear"),
    "aligned": lambda x, size: F.interpolate(x, size=(40, 40), mode="bilinear", align_corners=True),
    "bicubic": lambda x, size: F.interpolate(x, size=(40, 40), mode="bicubic"),
    "antialias": lambda x, size: F.interpolate(
        x, size=(24, 24), mode="bilinear", antialias=True
    ),
}

def kernels():
    torch._C._compile_wait()
    folder = pathlib.Path(os.environ["FLAMBEAU_CACHE_DIR"])
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())

call = calls[sys.argv[1]]
def run(sizes):
    for size in sizes:
        call(images[:, :, :size, :size], size)  # no copies: windows of the images
run((33, 34, 40, 41, 60, 61))
before = kernels()
run(range(35, 64))
print(kernels() - before)
"""


@pytest.mark.parametrize(
    "operation",
    [
        "pad",
        "conv2d",
        "strided conv2d",
        "conv1d",
        "nearest",
        "nearest by a factor",
        "bilinear",
        "aligned",
        "bicubic",
        "antialias",
    ],
)
def test_new_sizes_need_no_kernels(tmp_path: Path, operation: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, operation],
        env={**os.environ, "FLAMBEAU_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "0\n", done.stdout + done.stderr


def grown(table: torch.Tensor, row: torch.Tensor) -> torch.Tensor:
    """What generation does to the keys that it keeps."""
    return torch.cat([table, row]).softmax(-1)


def rotated(x: torch.Tensor) -> torch.Tensor:
    return x.cos() + torch.cat([-x[..., 4:], x[..., :4]], -1) * x.sin()


ONE_PROGRAM: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "cat": lambda x: grown(x, x[:1]),
    "cat of halves": rotated,
    "split": lambda x: torch.cat([part * 2 for part in x.split([3, 5], 1)], 1),
    "chunk": lambda x: x.chunk(2, -1)[0].tanh() * x.chunk(2, -1)[1],
    "unbind": lambda x: x.unbind(1)[0].tanh() * x.unbind(1)[1],
    "pad": lambda x: F.pad(x, (1, 2, 0, 3)) * 2,
    "max_pool1d": lambda x: F.max_pool1d(x[:, None], 2),
    "avg_pool1d": lambda x: F.avg_pool1d(x[:, None], 2),
    "interpolate": lambda x: F.interpolate(x[:, None], size=5, mode="linear"),
}


@pytest.mark.parametrize("operation", ONE_PROGRAM)
def test_new_sizes_need_no_passes(operation: str) -> None:
    """The extents that an operation does not look at are not part of its programs."""

    def step(x: torch.Tensor) -> torch.Tensor:
        x = x.detach().requires_grad_()
        ONE_PROGRAM[operation](x).square().sum().backward()
        assert x.grad is not None
        return x.grad

    compiled = torch.compile(step)
    made = []
    for rows in (4, 5, 6, 7, 11, 30):
        before = torch._C._compile_stats()["programs_made"]
        x = torch.randn(rows, 8)
        assert torch.equal(compiled(x), step(x))
        made.append(torch._C._compile_stats()["programs_made"] - before)
    assert made[0] > 0
    assert made[2:] == [0, 0, 0, 0]


def to(*shape: int) -> torch.Tensor:
    return torch.randn(*shape)


def pad(*widths: int) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda x: F.pad(x, widths)


def convolve(name: str, **options: object) -> Callable[..., torch.Tensor]:
    return lambda x, weight: getattr(F, name)(x, weight, **options)


def pool(name: str, *window: object, **options: object) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda x: getattr(F, name)(x, *window, **options)


def resize(mode: str, **sizes: object) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda x: F.interpolate(x, mode=mode, **sizes)


# What an operation does at size n, and its tensors. Other extents are larger than all of SIZES, as
# programs take for granted which of their sizes are equal.
SIZES = (4, 5, 6, 7, 9, 13, 20)
Case = tuple[Callable[..., torch.Tensor], tuple[torch.Tensor, ...]]
FREE: dict[str, Callable[[int], Case]] = {
    "roll: size": lambda n: (lambda x: x.roll(2, 0), (to(n, 40),)),
    "roll: shift": lambda n: (lambda x: x.roll((n, -n), (0, 1)), (to(41, 40),)),
    "roll: flat": lambda n: (lambda x: x.roll(n), (to(41, 40),)),
    "pad: width": lambda n: (pad(n, n + 1), (to(41, 40),)),
    "pad: one side": lambda n: (pad(0, n, n + 1, 0), (to(41, 40),)),
    "pad: cut": lambda n: (pad(-n, n + 1), (to(41, 40),)),
    "repeat": lambda n: (lambda x: x.repeat(n, n + 1), (to(41, 40),)),
    "tile": lambda n: (lambda x: x.tile(n), (to(41, 40),)),
    "repeat_interleave": lambda n: (lambda x: x.repeat_interleave(n, 0), (to(41, 40),)),
    "topk": lambda n: (lambda x: x.topk(n)[0], (to(41, 40),)),
    "kthvalue": lambda n: (lambda x: x.kthvalue(n)[0], (to(41, 40),)),
    "one_hot": lambda n: (
        lambda x: x * F.one_hot(torch.arange(4), n).to(x.dtype)[:, :1],
        (to(4, 40),),
    ),
    "diag: vector": lambda n: (torch.diag, (to(n),)),
    "diag: vector, offset": lambda n: (lambda x: x.diag(-n), (to(40),)),
    "diag: matrix": lambda n: (torch.diag, (to(n, 40),)),
    "diag: matrix, offset": lambda n: (lambda x: x.diag(n), (to(41, 40),)),
    "diag_embed": lambda n: (lambda x: torch.diag_embed(x, n), (to(41, 40),)),
    "diagflat": lambda n: (lambda x: torch.diagflat(x, -n), (to(7, 6),)),
    "diagonal: size": lambda n: (lambda x: x.diagonal() * 2, (to(n, 40),)),
    "diagonal: offset": lambda n: (lambda x: x.diagonal(n) * 2, (to(41, 40),)),
    "diagonal_scatter": lambda n: (torch.diagonal_scatter, (to(n, 40), to(n))),
    "slice_scatter": lambda n: (
        lambda x, y: torch.slice_scatter(x, y, 0, n, 40, 2),
        (to(41, 42), to((41 - n) // 2, 42)),
    ),
    "unfold: size": lambda n: (lambda x: x.unfold(0, 2, 1) * 2, (to(n, 40),)),
    "unfold: window": lambda n: (lambda x: x.unfold(0, n, n + 1) * 2, (to(41, 40),)),
    "linear: size": lambda n: (resize("linear", size=30), (to(2, 3, n),)),
    "linear: result": lambda n: (resize("linear", size=n), (to(2, 3, 30),)),
    "nearest": lambda n: (resize("nearest", scale_factor=2.0), (to(2, 3, n, 40),)),
    "bilinear": lambda n: (resize("bilinear", size=(n, 30)), (to(2, 3, 40, n + 1),)),
    "bilinear, corners": lambda n: (
        resize("bilinear", size=(n, 30), align_corners=True),
        (to(2, 3, 40, n + 1),),
    ),
    "bicubic": lambda n: (resize("bicubic", size=(n, 30)), (to(2, 3, 40, n + 1),)),
    "antialias": lambda n: (
        resize("bilinear", size=(n, 30), antialias=True),
        (to(2, 3, 40, n + 1),),
    ),
    "area": lambda n: (resize("area", size=(n, 30)), (to(2, 3, 40, n + 1),)),
    "adaptive_avg_pool2d": lambda n: (lambda x: F.adaptive_avg_pool2d(x, 2), (to(3, 4, n, 40),)),
    **{
        f"grid_sample: {padding}": lambda n, padding=padding: (
            lambda x, grid: F.grid_sample(x, grid, padding_mode=padding, align_corners=False),
            (to(3, 4, n, 40), to(3, n + 1, 41, 2)),
        )
        for padding in ("zeros", "border", "reflection")
    },
    **{
        f"cdist: {p}": lambda n, p=p: (
            lambda x, y: torch.cdist(x, y, p=p),
            (to(n, n + 1), to(40, n + 1)),
        )
        for p in (1.0, 2.0, 3.0, float("inf"))
    },
    "pdist": lambda n: (F.pdist, (to(n, 40),)),
    "diff": lambda n: (lambda x: x.diff(2, 0), (to(n, 40),)),
    "trapezoid": lambda n: (lambda y, x: torch.trapezoid(y, x, dim=0), (to(n, 40), to(n))),
    "cumulative_trapezoid": lambda n: (lambda y: torch.cumulative_trapezoid(y), (to(40, n),)),
    "tensordot": lambda n: (
        lambda x, y: torch.tensordot(x, y, dims=([1, 2], [0, 1])),
        (to(n, n + 1, 50), to(n + 1, 50, n + 30)),
    ),
    "cross": lambda n: (torch.linalg.cross, (to(n, 1, 3), to(1, n + 30, 3))),
    "masked_scatter": lambda n: (
        lambda x, mask, source: x.masked_scatter(mask > 0, source),
        (to(n, 40), to(n, 1), to(40 * n)),
    ),
    "conv2d: batch": lambda n: (convolve("conv2d"), (to(n, 3, 41, 40), to(8, 3, 3, 3))),
    "conv2d: in a chain": lambda n: (
        lambda x, w: F.max_pool2d(F.conv2d(x * 2, w).relu() + 1, 2),
        (to(n, 3, n + 40, n + 60), to(8, 3, 3, 3)),
    ),
    "conv2d: space": lambda n: (
        convolve("conv2d", padding=1),
        (to(2, 3, n + 40, n + 60), to(8, 3, 3, 3)),
    ),
    "conv2d: strided": lambda n: (
        convolve("conv2d", padding=1, stride=2),
        (to(2, 3, n + 40, n + 60), to(8, 3, 3, 3)),
    ),
    "conv2d: wide margins": lambda n: (
        convolve("conv2d", padding=3, stride=2),
        (to(2, 3, n + 40, n + 60), to(8, 3, 2, 2)),
    ),
    "conv2d: same, dilated, groups": lambda n: (
        convolve("conv2d", padding="same", dilation=2, groups=2),
        (to(2, 4, n + 40, n + 60), to(8, 2, 3, 3)),
    ),
    "conv2d: by channel": lambda n: (
        convolve("conv2d", padding=1, groups=3),
        (to(2, 3, n + 40, n + 60), to(3, 1, 3, 3)),
    ),
    "conv1d: no batch": lambda n: (convolve("conv1d"), (to(3, n + 40), to(8, 3, 3))),
    "conv3d": lambda n: (convolve("conv3d"), (to(2, 3, n + 2, 40, 41), to(4, 3, 2, 2, 2))),
    "conv_transpose2d": lambda n: (
        convolve("conv_transpose2d", stride=2, padding=1, output_padding=1),
        (to(n + 2, 3, n + 40, n + 60), to(3, 8, 3, 3)),
    ),
    "max_pool2d": lambda n: (pool("max_pool2d", 3, 2, 1), (to(n + 2, 3, n + 40, 3 * n + 60),)),
    "max_pool2d: up, dilated": lambda n: (
        pool("max_pool2d", 2, 2, 1, 2, ceil_mode=True),
        (to(2, 3, n + 40, n + 60),),
    ),
    "avg_pool2d: up": lambda n: (
        pool("avg_pool2d", 3, 2, 1, ceil_mode=True, count_include_pad=False),
        (to(n + 2, 3, n + 40, 3 * n + 60),),
    ),
    "avg_pool1d": lambda n: (pool("avg_pool1d", 2), (to(2, 3, n + 40),)),
    "unfold: patches": lambda n: (pool("unfold", 3, stride=2), (to(2, 3, n + 40, n + 60),)),
    "gradient": lambda n: (lambda x: torch.gradient(x, dim=0)[0], (to(n, 40),)),
}


@pytest.mark.parametrize("operation", FREE)
def test_sizes_are_no_constants(operation: str) -> None:
    """The sizes that an operation looks at, and those that it is given, are free."""

    def gradients(call: Callable[..., torch.Tensor], *tensors: torch.Tensor) -> list[torch.Tensor]:
        leaves = [x.detach().requires_grad_() for x in tensors]
        call(*leaves).square().sum().backward()
        return [x.grad for x in leaves if x.grad is not None]

    torch.compiler.reset()
    compiled = torch.compile(gradients)
    made = []
    for size in SIZES:
        call, tensors = FREE[operation](size)
        before = torch.compiler.stats()["programs_made"]
        results = compiled(call, *tensors)
        expected = gradients(call, *tensors)
        assert all(torch.equal(a, b) for a, b in zip(results, expected, strict=True))
        made.append(torch.compiler.stats()["programs_made"] - before)
    assert made[0] > 0
    assert made[3:] == [0, 0, 0, 0]


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize(
    ("size", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (2, 3, 0), (5, 3, 2)]
)
def test_one_program_has_the_windows_of_every_size(
    size: int, stride: int, padding: int, ceil_mode: bool
) -> None:
    """Which windows there are, and what is in them, follows from the extent at each call."""
    for n in range(size, 20):
        x = torch.randn(2, 3, n)
        line = [-torch.inf] * padding + [0.0] * n + [-torch.inf] * (padding + stride)
        starts = range(0, n + 2 * padding - size + 1, stride)
        if ceil_mode:
            starts = range(0, n + 2 * padding - size + stride, stride)
        windows = [range(a, a + size) for a in starts if a < n + padding]
        got = F.max_pool1d(x, size, stride, padding, ceil_mode=ceil_mode)
        assert got.shape == (2, 3, len(windows))
        for values, maxima in zip(x.flatten(0, 1).tolist(), got.flatten(0, 1).tolist()):
            line[padding : padding + n] = values
            assert maxima == [max(line[i] for i in window) for window in windows]
        if ceil_mode:
            continue
        weight = torch.randint(-3, 4, (4, 3, size)).float()
        x = x.round()
        got = F.conv1d(x, weight, stride=stride, padding=padding)
        padded = F.pad(x, (padding, padding))
        expected = [(padded[:, None, :, a : a + size] * weight).sum((2, 3)) for a in starts]
        assert torch.equal(got, torch.stack(expected, -1))


def test_sizes_of_nothing_are_looked_at() -> None:
    """Programs of axes that are empty are others."""
    assert torch.trapezoid(torch.ones(2, 3)).tolist() == [2, 2]
    assert torch.trapezoid(torch.ones(2, 0)).tolist() == [0, 0]
    assert torch.cumulative_trapezoid(torch.ones(2, 0)).shape == (2, 0)
    assert torch.arange(5.0).diff(4).tolist() == [0]
    assert torch.arange(5.0).diff(7).shape == (0,)
    assert torch.tensor([1.0, 4.0]).diff(1).tolist() == [3]
