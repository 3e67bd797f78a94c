"""Operations on lists of tensors: the bits of one tensor after the other, whatever the lists are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import flambeau
import numpy
import pytest

SHAPES = [(0,), (), (1,), (3, 5), (64, 64), (1 << 20,), (7, 0), (1000, 300)]
OPTIONS: dict[str, Any] = {
    "lr": 0.1,
    "beta1": 0.9,
    "beta2": 0.99,
    "weight_decay": 0.1,
    "eps": 1e-8,
}
Lists = list[list[Any]]


def lists(shapes: list[tuple[int, ...]], dtypes: list[Any], seed: int = 0) -> Lists:
    """Parameters, gradients, and the two averages of AdamW."""
    flambeau.manual_seed(seed)
    return [
        [flambeau.randn(shape).abs().to(dtypes[i % len(dtypes)]) for i, shape in enumerate(shapes)]
        for _ in range(4)
    ]


def copies(of: Lists) -> Lists:
    return [[tensor.clone() for tensor in tensors] for tensors in of]


def adamw(tensors: Lists, step: int) -> None:
    steps = [flambeau.tensor(float(step)) for _ in tensors[0]]
    flambeau._fused_adamw_(*tensors, steps, **OPTIONS)


def one_by_one(tensors: Lists, step: int) -> None:
    for item in zip(*tensors):
        steps = [flambeau.tensor(float(step))]
        flambeau._fused_adamw_(*([tensor] for tensor in item), steps, **OPTIONS)


def assert_same(a: Lists, b: Lists) -> None:
    for mine, theirs in zip(a, b):
        for x, y in zip(mine, theirs):
            assert x.dtype == y.dtype
            assert x.float().numpy().tobytes() == y.float().numpy().tobytes()


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = flambeau.get_num_threads()
    flambeau.set_num_threads(request.param)
    yield request.param
    flambeau.set_num_threads(before)


@pytest.mark.parametrize(
    "dtypes",
    [[flambeau.float32], [flambeau.float32, flambeau.bfloat16, flambeau.float64, flambeau.float16]],
    ids=["one dtype", "mixed dtypes"],
)
def test_lists_have_the_bits_of_their_items(threads: int, dtypes: list[Any]) -> None:
    together = lists(SHAPES, dtypes)
    alone = copies(together)
    for step in range(1, 5):
        adamw(together, step)
        one_by_one(alone, step)
    assert_same(together, alone)


def test_any_layout() -> None:
    def strided(base: Any) -> list[Any]:
        views = [base[:, ::2], base.t(), base[1:3], base[:, 0]]
        # Each on memory of its own.
        places = [
            flambeau.zeros(100).as_strided(v.shape, [2 * s for s in v.stride()]) for v in views
        ]
        return [place.copy_(view) for place, view in zip(places, views)]

    together = [strided(flambeau.randn(6, 4).abs()) for _ in range(4)]
    alone = copies(together)
    for step in range(1, 4):
        adamw(together, step)
        one_by_one(alone, step)
    assert_same(together, [[tensor.contiguous() for tensor in tensors] for tensors in alone])


def test_parts_of_one_storage() -> None:
    flat = [flambeau.randn(1000).abs() for _ in range(4)]
    alone = [list(tensor.clone().split(100)) for tensor in flat]
    for step in range(1, 4):
        adamw([list(tensor.split(100)) for tensor in flat], step)
        one_by_one(alone, step)
    assert_same([list(tensor.split(100)) for tensor in flat], alone)


def test_a_tensor_that_is_given_twice_is_updated_twice(threads: int) -> None:
    once = lists([(300, 300)], [flambeau.float32])
    alone = copies(once)
    for step in range(1, 4):
        adamw([2 * tensors for tensors in once], step)
        one_by_one([2 * tensors for tensors in alone], step)
    assert_same(once, alone)


def test_tensors_that_overlap_are_updated_in_order(threads: int) -> None:
    def parts(base: Any) -> list[Any]:
        return [base[:60_000], base[40_000:]]

    flat = [flambeau.randn(100_000).abs() for _ in range(4)]
    alone = [tensor.clone() for tensor in flat]
    for step in range(1, 4):
        adamw([parts(tensor) for tensor in flat], step)
        one_by_one([parts(tensor) for tensor in alone], step)
    assert_same([flat], [alone])


def test_a_gradient_that_is_the_parameter() -> None:
    together = lists([(5,), (6,)], [flambeau.float32])
    together[1] = together[0]
    alone = copies(together)
    alone[1] = alone[0]
    for step in range(1, 4):
        adamw(together, step)
        one_by_one(alone, step)
    assert_same(together, alone)


def test_lists_that_change_between_calls() -> None:
    for shapes in ([(3,), (4,)], [(3,)], [(3,), (4,)], [(4,), (3,)]):
        for seed in range(3):
            together = lists(shapes, [flambeau.float32], seed)
            alone = copies(together)
            adamw(together, 1)
            one_by_one(alone, 1)
            assert_same(together, alone)


def test_numbers_that_change_between_calls() -> None:
    together = lists([(3,), (4,)], [flambeau.float32])
    alone = copies(together)
    for step, rate in enumerate((0.1, 0.2, 0.0, 0.3), 1):
        for tensors in (together, alone):
            options = {**OPTIONS, "lr": rate, "weight_decay": rate}
            calls = [tensors] if tensors is together else [[[t] for t in i] for i in zip(*tensors)]
            for call in calls:
                steps = [flambeau.tensor(float(step)) for _ in call[0]]
                flambeau._fused_adamw_(*call, steps, **options)
    assert_same(together, alone)


def test_every_write_counts() -> None:
    tensors = lists([(3,), (4,)], [flambeau.float32])
    for step in range(1, 4):
        adamw(tensors, step)
    versions = [[tensor._version for tensor in part] for part in tensors]
    assert versions == [[3, 3], [0, 0], [3, 3], [3, 3]]


@pytest.mark.parametrize("known", [False, True], ids=["first call", "third call"])
def test_nothing_is_written_if_one_item_is_refused(known: bool) -> None:
    tensors = lists([(3,), (4,)], [flambeau.float32])
    if known:
        for step in (1, 2):
            adamw(tensors, step)
    array = numpy.ones(4, numpy.float32)
    array.flags.writeable = False
    tensors[2][1] = flambeau.from_numpy(array)
    before = copies(tensors)
    with pytest.raises(RuntimeError, match="read-only"):
        adamw(tensors, 3)
    assert_same(tensors, before)
    assert tensors[0][0]._version == (2 if known else 0)


def test_shapes_that_do_not_fit_are_refused_before_anything_is_written() -> None:
    tensors = lists([(3,), (4,)], [flambeau.float32])
    tensors[1][1] = flambeau.ones(5)
    before = copies(tensors)
    with pytest.raises(RuntimeError, match=r"_fused_adamw_: .*\[4\].*\[5\]"):
        adamw(tensors, 1)
    assert_same(tensors, before)


def test_results_of_items(threads: int) -> None:
    tensors = [flambeau.randn(shape) for shape in SHAPES]
    alone = [flambeau._foreach_norm([tensor])[0] for tensor in tensors]
    for _ in range(3):
        norms = flambeau._foreach_norm(tensors)
        assert [x.item() for x in norms] == [x.item() for x in alone]
    scaled = [tensor.clone() for tensor in tensors]
    for _ in range(3):
        flambeau._foreach_mul_(scaled, flambeau.tensor(0.5))
    assert_same([scaled], [[tensor * 0.125 for tensor in tensors]])


def test_no_tensors() -> None:
    flambeau._fused_adamw_([], [], [], [], [], **OPTIONS)
    assert flambeau._foreach_norm([]) == ()
