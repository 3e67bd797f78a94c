"""Indexing, compared with NumPy's."""

from __future__ import annotations

import flambeau
import numpy as np
import pytest

ARRAY = np.arange(24.0).reshape(2, 3, 4)
MASK = ARRAY % 3 == 0
READS = {
    "int": 1,
    "negative": -1,
    "ints": (1, 2, 3),
    "slice": slice(1, None),
    "steps": (slice(None), slice(None, None, 2), slice(-3, -1)),
    "beyond": slice(5, 100),
    "backwards": slice(3, 1),
    "none": (None, 0, ..., None),
    "ellipsis": (..., 1),
    "empty": (),
    "list": [0, 1, 1],
    "lists": ([0, 1], [2, 0]),
    "list and slice": (slice(None), [2, 0, 2]),
    "apart": ([0, 1], slice(None), [1, 3]),
    "broadcast": ([[0], [1]], [0, 2]),
    "negative list": [-1, 0],
    "empty list": [],
    "array": (np.array([[0, 1], [1, 0]]),),
    "int and list": (0, [1, 2]),
    "mask": MASK,
    "mask of one axis": (slice(None), np.array([True, False, True])),
    "mask and slice": (MASK[:, :, 0], slice(1, 3)),
    "mask of nothing": np.zeros((2, 3, 4), bool),
    "true": True,
    "false": (False, 0),
    "numpy int": np.int64(1),
}


def as_ours(key):
    if isinstance(key, tuple):
        return tuple(as_ours(part) for part in key)
    return flambeau.from_numpy(key) if isinstance(key, np.ndarray) else key


@pytest.mark.parametrize("key", READS.values(), ids=READS.keys())
def test_read(key):
    result = flambeau.from_numpy(ARRAY)[as_ours(key)]
    expected = ARRAY[key]
    assert tuple(result.shape) == expected.shape
    np.testing.assert_array_equal(result.numpy(), expected)


@pytest.mark.parametrize("key", READS.values(), ids=READS.keys())
@pytest.mark.parametrize("value", ["number", "tensor", "row"])
def test_write(key, value):
    array = ARRAY.copy()
    ours = flambeau.from_numpy(ARRAY.copy())
    shape = array[key].shape
    source = {
        "number": -1.0,
        "tensor": -1 - np.arange(float(np.prod(shape))).reshape(shape),
        "row": -1 - np.arange(float(shape[-1] if shape else 1)).reshape(shape[-1:]),
    }[value]
    array[key] = source
    ours[as_ours(key)] = flambeau.tensor(source) if value != "number" else source
    np.testing.assert_array_equal(ours.numpy(), array)


def test_basic_indexing_gives_views():
    x = flambeau.from_numpy(ARRAY.copy())
    for key in (0, slice(1, 2), (..., 0), None, ...):
        part = x[key]
        part[...] = 9.0
        assert part.untyped_storage() is x.untyped_storage()
    assert x[...] is not x
    x[0].add_(1)
    assert x[0, 0, 0].item() == 10.0


def test_writes_are_converted():
    x = flambeau.tensor([0, 1, 2, 3])
    x[0] = 2.7
    x[x > 2] = 2.7
    assert x.tolist() == [2, 1, 2, 2]
    y = flambeau.zeros(2, 3)
    y[0] = flambeau.tensor([1, 2, 3])
    y[1] = flambeau.ones(1, 1, 3)
    assert y.tolist() == [[1, 2, 3], [1, 1, 1]]


def test_zero_dimensions():
    x = flambeau.tensor(5.0)
    assert x[...].shape == ()
    assert x[None].shape == (1,)
    x[()] = 7
    assert x.item() == 7


def test_iteration():
    x = flambeau.tensor([[1, 2], [3, 4]])
    assert [row.tolist() for row in x] == [[1, 2], [3, 4]]
    first, second = x
    assert (first.tolist(), second.tolist()) == ([1, 2], [3, 4])
    assert (3 in x, 9 in x) == (True, False)


@pytest.mark.parametrize(
    ("key", "error", "text"),
    [
        (2, IndexError, "index 2 is out of bounds for dimension 0 with size 2"),
        ((0, 5), IndexError, "index 5 is out of bounds for dimension 1 with size 3"),
        ((0, 0, 0, 0), IndexError, "too many indices for tensor of dimension 3"),
        (1.5, IndexError, "only integers, slices (`:`), ellipsis (`...`), None and long or byte"),
        ("a", TypeError, "new(): invalid data type 'str'"),
        (slice(None, None, -1), ValueError, "step must be greater than zero"),
        (slice(None, None, 0), ValueError, "slice step cannot be zero"),
        (slice(1.5, None), TypeError, "slice indices must be integers"),
        ([5], IndexError, "index 5 is out of bounds for dimension 0 with size 2"),
        ([0.5], IndexError, "tensors used as indices must be long, int, byte or bool tensors"),
        (([0, 1], [0, 1, 2]), IndexError, "shape mismatch"),
        (
            flambeau.tensor([True]),
            IndexError,
            "The shape of the mask [1] at index 0 does not match",
        ),
    ],
)
def test_refusals(key, error, text):
    x = flambeau.from_numpy(ARRAY.copy())
    with pytest.raises(error) as raised:
        x[key]
    assert text in str(raised.value)
    with pytest.raises(error) as raised:
        x[key] = 1.0
    assert text in str(raised.value)
    assert x.tolist() == ARRAY.tolist()


def test_write_refusals():
    x = flambeau.zeros(2, 3)
    with pytest.raises(TypeError, match="can't assign a list"):
        x[0] = [1, 2, 3]
    with pytest.raises(RuntimeError):
        x[0] = flambeau.ones(2)
    with pytest.raises(RuntimeError, match="without overflow"):
        flambeau.tensor([1])[0] = 1e30
    with pytest.raises(TypeError, match="deleting"):
        del x[0]
    with pytest.raises(IndexError, match="invalid index of a 0-dim tensor"):
        flambeau.tensor(1.0)[0]


def test_gradients_through_indexing():
    x = flambeau.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    (x[0] * 2 + x[[1, 1], [0, 1]]).sum().backward()
    assert x.grad.tolist() == [[2.0, 2.0], [1.0, 1.0]]


@pytest.mark.parametrize("dtype", ["int32", "int64"])
@pytest.mark.parametrize("place", [0, 4095, 4096, 5999])
def test_an_index_out_of_bounds_is_found_at_any_place(dtype, place):
    table = flambeau.arange(100.0)
    index = flambeau.zeros(6000, dtype=flambeau.int64)
    kind = getattr(flambeau, dtype)
    limits = flambeau.iinfo(kind)
    take = table.gather if dtype == "int64" else (lambda dim, i: table[i])
    for value in (100, -101, limits.max, limits.min):
        index[place] = value
        with pytest.raises((IndexError, RuntimeError), match=f"index {value} is out of bounds"):
            take(0, index.to(kind))
    index[place] = 99
    assert take(0, index.to(kind))[place] == 99


def test_ignored_targets_hide_no_other():
    logits, target = flambeau.zeros(5000, 3), flambeau.zeros(5000, dtype=flambeau.int64)
    target[::2] = -100
    loss = flambeau.nn.functional.cross_entropy(logits, target)
    assert abs(loss.item() - np.log(3)) < 1e-6
    target[4999] = 3
    with pytest.raises(IndexError, match="Target 3 is out of bounds"):
        flambeau.nn.functional.cross_entropy(logits, target)


def test_a_zero_among_many_integers_is_a_division_by_zero():
    ones = flambeau.ones(5000, dtype=flambeau.int32)
    divisor = ones.clone()
    assert (ones // divisor).sum() == 5000
    divisor[4998] = 0
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        ones // divisor


def test_views_of_equal_tensors_on_different_storages() -> None:
    large, small = flambeau.arange(8.0)[:4], flambeau.arange(4.0)
    for _ in range(2):
        assert large.as_strided((8,), (1,)).tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
        with pytest.raises(RuntimeError, match="^as_strided: .* out of bounds for storage of size"):
            small.as_strided((8,), (1,))
    parts = flambeau.arange(8.0)
    for part, first in ((parts[:4], 0.0), (parts[4:], 4.0), (parts[:4], 0.0)):
        assert part.view(2, 2)[1].tolist() == [first + 2, first + 3]
        assert part[1:].storage_offset() == first + 1


@pytest.mark.parametrize(
    "write",
    [
        lambda x, i, rows: x.index_add_(0, i, rows),
        lambda x, i, rows: x.index_copy_(0, i, rows),
        lambda x, i, rows: x.index_fill_(0, i, 2.0),
        lambda x, i, rows: x.scatter_(0, i[:, None], 2.0),
        lambda x, i, rows: x.__setitem__(i, rows),
        lambda x, i, rows: x.index_put_((i,), rows, accumulate=True),
    ],
)
@pytest.mark.parametrize("compiled", [False, True])
def test_writes_at_indices_copy_nothing(write, compiled) -> None:
    table = flambeau.arange(2.0**20).view(-1, 16)
    want = table.numpy().copy()
    i, rows = flambeau.tensor([3, 65535, 0]), flambeau.ones(3, 16)
    small = flambeau.zeros(65536, 16)
    write(small, i, rows)  # as a program of its own
    stats = flambeau._C._memory_stats()
    filler = flambeau.empty(stats["peak_bytes"] - stats["allocated_bytes"], dtype=flambeau.uint8)
    before = flambeau._C._memory_stats()["peak_bytes"]
    (flambeau.compile(write) if compiled else write)(table, i, rows)
    table[0, 0].item()
    assert flambeau._C._memory_stats()["peak_bytes"] - before < 2**20
    del filler
    others = [r for r in range(65536) if r not in (3, 65535, 0)]
    assert (table.numpy()[others] == want[others]).all()
    assert (table.numpy()[[3, 65535, 0]] != want[[3, 65535, 0]]).any()


@pytest.mark.parametrize("dtype", [flambeau.int64, flambeau.float32])
def test_an_index_without_elements_says_nothing_of_others(dtype) -> None:
    x = flambeau.arange(6).view(3, 2).to(flambeau.int16)
    assert x.gather(1, flambeau.zeros(3, 0, dtype=dtype)).shape == (3, 0)
    assert x.gather(1, flambeau.zeros(0, 9, dtype=dtype)).shape == (0, 9)
    assert x.gather(1, flambeau.zeros(0, dtype=dtype)).shape == (0,)
    assert x.gather(1, flambeau.ones(3, 2, dtype=flambeau.int64)).tolist() == [
        [1, 1],
        [3, 3],
        [5, 5],
    ]
