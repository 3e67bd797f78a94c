"""Functions made of several operations, against NumPy."""

from __future__ import annotations

import itertools
from typing import Any

import flambeau
import numpy as np
import pytest


def data(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize(
    "name", ["add", "sub", "mul", "div", "true_divide", "floor_divide", "remainder", "float_power"]
)
def test_a_number_may_come_first(name: str) -> None:
    x = flambeau.tensor([1.0, 2.0, 4.0])
    function = getattr(flambeau, name)
    expected = function(flambeau.full((3,), 3.0), x)
    assert function(3, x).tolist() == expected.tolist()


def test_numbers_alone() -> None:
    assert flambeau.add(2, 3).item() == 5
    assert flambeau.div(1, 2).item() == 0.5
    for name in ("remainder", "bitwise_and", "xlogy", "float_power"):
        with pytest.raises(TypeError):
            getattr(flambeau, name)(2, 3)


def test_a_bool_is_not_subtracted() -> None:
    with pytest.raises(RuntimeError, match="bool"):
        flambeau.tensor([True]) - flambeau.tensor([1.0])


@pytest.mark.parametrize("kind", ["linear", "lower", "higher", "midpoint", "nearest"])
def test_quantile(kind: str) -> None:
    x = data(4, 7)
    q = [0.0, 0.3, 0.5, 1.0]
    got = flambeau.quantile(
        flambeau.from_numpy(x), flambeau.tensor(q, dtype=flambeau.float64), 1, interpolation=kind
    )
    np.testing.assert_allclose(got.numpy(), np.quantile(x, q, axis=1, method=kind), rtol=1e-12)
    x[1, 2] = np.nan
    assert flambeau.quantile(flambeau.from_numpy(x), 0.5, 1)[1].isnan().item()
    got = flambeau.nanquantile(flambeau.from_numpy(x), 0.4, 1, keepdim=True)
    np.testing.assert_allclose(got.numpy(), np.nanquantile(x, 0.4, axis=1, keepdims=True))


def test_quantile_has_a_gradient() -> None:
    x = flambeau.from_numpy(data(5)).requires_grad_()
    flambeau.quantile(x, 0.3).backward()
    order = np.argsort(x.detach().numpy())
    expected = np.zeros(5)
    expected[order[1]], expected[order[2]] = 0.8, 0.2
    np.testing.assert_allclose(x.grad.numpy(), expected)


def test_unique() -> None:
    x = np.array([[3, 1, 2], [1, 3, 3]])
    values, inverse, counts = flambeau.unique(
        flambeau.from_numpy(x), return_inverse=True, return_counts=True
    )
    expected = np.unique(x, return_inverse=True, return_counts=True)
    assert values.tolist() == expected[0].tolist()
    assert inverse.tolist() == expected[1].reshape(x.shape).tolist()
    assert counts.tolist() == expected[2].tolist()
    rows = flambeau.tensor([[2, 1], [0, 5], [2, 1]])
    assert rows.unique(dim=0).tolist() == [[0, 5], [2, 1]]
    values, counts = flambeau.unique_consecutive(flambeau.tensor([1, 1, 2, 1]), return_counts=True)
    assert values.tolist() == [1, 2, 1] and counts.tolist() == [2, 1, 1]


def test_tensordot() -> None:
    a, b = data(3, 4, 5), data(4, 5, 2, seed=1)
    x, y = flambeau.from_numpy(a), flambeau.from_numpy(b)
    np.testing.assert_allclose(flambeau.tensordot(x, y).numpy(), np.tensordot(a, b))
    got = flambeau.tensordot(x, y, dims=([1], [0]))
    np.testing.assert_allclose(got.numpy(), np.tensordot(a, b, axes=([1], [0])))
    with pytest.raises(RuntimeError, match="dims >= 0"):
        flambeau.tensordot(x, y, dims=-1)


def test_combinations_and_products() -> None:
    x = flambeau.tensor([4, 5, 6])
    assert flambeau.combinations(x).tolist() == [
        list(c) for c in itertools.combinations([4, 5, 6], 2)
    ]
    pairs = itertools.product([4, 5, 6], [1, 2])
    assert flambeau.cartesian_prod(x, flambeau.tensor([1, 2])).tolist() == [list(p) for p in pairs]
    blocks = flambeau.block_diag(flambeau.ones(1, 2), flambeau.tensor(3.0))
    assert blocks.tolist() == [[1, 1, 0], [0, 0, 3]]
    grids = flambeau.meshgrid(x, flambeau.tensor([1, 2]), indexing="ij")
    assert [g.shape for g in grids] == [(3, 2), (3, 2)]


def test_masks_as_indices() -> None:
    x = flambeau.zeros(3)
    mask = flambeau.tensor([True, False, True])
    assert flambeau.index_put(x, (mask,), flambeau.tensor([1.0, 2.0])).tolist() == [1, 0, 2]
    x.index_put_((mask,), flambeau.tensor(5.0))
    assert x.tolist() == [5, 0, 5]


def test_splitting_at_a_tensor() -> None:
    x = flambeau.arange(6)
    assert [p.tolist() for p in x.tensor_split(flambeau.tensor([1, 4]))] == [[0], [1, 2, 3], [4, 5]]
    assert len(flambeau.tensor_split(x, flambeau.tensor(3))) == 3


def test_unravel_index() -> None:
    places = np.array([[0, 7], [11, 3]])
    got = flambeau.unravel_index(flambeau.from_numpy(places), (3, 4))
    for axis, expected in zip(got, np.unravel_index(places, (3, 4))):
        assert axis.tolist() == expected.tolist()


def test_an_index_beyond_an_axis_is_refused() -> None:
    with pytest.raises(RuntimeError, match="index 9 is out of bounds"):
        flambeau.take_along_dim(flambeau.zeros(2, 3), flambeau.tensor([[9]]), 0)


@pytest.mark.parametrize("weights", [[0.0, 0.0], [1.0, float("inf")], [-1.0, 2.0]])
def test_multinomial_refuses_what_is_no_distribution(weights: list[float]) -> None:
    with pytest.raises(RuntimeError, match="multinomial"):
        flambeau.multinomial(flambeau.tensor(weights), 1)


def test_repeats_of_each_element() -> None:
    x = flambeau.tensor([[1, 2], [3, 4]])
    assert x.repeat_interleave(flambeau.tensor([0, 2]), 0).tolist() == [[3, 4], [3, 4]]
    assert flambeau.repeat_interleave(x, 2, 1).tolist() == np.repeat(x.numpy(), 2, 1).tolist()


def test_histograms() -> None:
    x = data(50)
    for bins in (5, np.array([-1.0, 0.0, 0.5, 2.0])):
        given = bins if isinstance(bins, int) else flambeau.from_numpy(bins)
        hist, edges = flambeau.histogram(flambeau.from_numpy(x), given, density=True)
        expected = np.histogram(x, bins, density=True)
        np.testing.assert_allclose(hist.numpy(), expected[0])
        np.testing.assert_allclose(edges.numpy(), expected[1])
    points = data(30, 2)
    hist, edges = flambeau.histogramdd(flambeau.from_numpy(points), [3, 4])
    np.testing.assert_allclose(hist.numpy(), np.histogramdd(points, [3, 4])[0])
    assert flambeau.histc(flambeau.from_numpy(x), 4).tolist() == np.histogram(x, 4)[0].tolist()


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_bags_of_rows(mode: str) -> None:
    table = data(6, 3)
    index = np.array([1, 2, 4, 5, 4])
    bags = [[1, 2], [], [4, 5, 4]]
    reduce = {"sum": np.sum, "mean": np.mean, "max": np.max}[mode]
    expected = [reduce(table[bag], 0) if bag else np.zeros(3) for bag in bags]
    weight = flambeau.from_numpy(table).requires_grad_()
    got = flambeau.nn.functional.embedding_bag(
        flambeau.from_numpy(index), weight, flambeau.tensor([0, 2, 2]), mode=mode
    )
    np.testing.assert_allclose(got.detach().numpy(), expected)
    got.sum().backward()
    assert weight.grad[0].tolist() == [0, 0, 0]


def test_bags_of_a_matrix_of_indices() -> None:
    table, index = data(9, 40), np.random.default_rng(1).integers(0, 9, (5, 7))
    weights = data(5, 7)
    kept = index != 4
    for mode, factor in [
        ("sum", kept),
        ("sum", kept * weights),
        ("mean", kept / kept.sum(1, keepdims=True)),
    ]:
        weight = flambeau.from_numpy(table).requires_grad_()
        each = (
            flambeau.from_numpy(weights).requires_grad_()
            if factor.dtype != bool and mode == "sum"
            else None
        )
        got = flambeau.nn.functional.embedding_bag(
            flambeau.from_numpy(index), weight, mode=mode, padding_idx=-5, per_sample_weights=each
        )
        np.testing.assert_allclose(got.detach(), np.einsum("bl,blw->bw", factor, table[index]))
        got.square().sum().backward()
        expected = np.zeros_like(table)
        np.add.at(expected, index, 2 * got.detach().numpy()[:, None] * factor[..., None])
        np.testing.assert_allclose(weight.grad, expected)
        if each is not None:
            by_weight = 2 * np.einsum("bw,blw->bl", got.detach().numpy(), table[index]) * kept
            np.testing.assert_allclose(each.grad, by_weight)


def test_bags_refuse_rows_that_are_not_there() -> None:
    weight = flambeau.ones(3, 2)
    with pytest.raises(IndexError, match="index 3 for a table of 3 rows"):
        flambeau.nn.functional.embedding_bag(flambeau.tensor([[0, 3]]), weight)
    with pytest.raises(AssertionError, match="Padding_idx must be within"):
        flambeau.nn.functional.embedding_bag(flambeau.tensor([[0]]), weight, padding_idx=3)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
@pytest.mark.parametrize(
    "pad", [(2, 1), (0, 3), (1, -2), (-3, -2), (-6, 2), (1, 2, 2, 1), (0, 0, 3, -1)]
)
def test_margins_repeat_what_is_inside(mode: str, pad: tuple[int, ...]) -> None:
    x = data(2, 5, 7)
    pairs = [(0, 0), (0, 0), (0, 0)]
    pairs[2] = pad[:2]
    if len(pad) == 4:
        pairs[1] = pad[2:]

    def cut(array: Any) -> Any:
        return array[
            tuple(
                slice(max(-low, 0), n - max(-high, 0)) for (low, high), n in zip(pairs, array.shape)
            )
        ]

    def grown(array: Any) -> Any:
        name = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}[mode]
        return np.pad(array, [(max(low, 0), max(high, 0)) for low, high in pairs], name)

    def padded(array: Any) -> Any:  # what is cut does not come back round the circle
        return grown(cut(array)) if mode == "circular" else cut(grown(array))

    given = flambeau.from_numpy(x).requires_grad_()
    if mode == "circular" and cut(x).shape[2] < max(pad[:2]):
        with pytest.raises(RuntimeError, match="Padding size should be less"):
            flambeau.nn.functional.pad(given, pad, mode)
        return
    got = flambeau.nn.functional.pad(given, pad, mode)
    np.testing.assert_array_equal(got.detach(), padded(x))
    got.sum().backward()
    places = padded(np.arange(x.size).reshape(x.shape))
    np.testing.assert_array_equal(
        given.grad, np.bincount(places.reshape(-1), minlength=x.size).reshape(x.shape)
    )


def test_a_view_beyond_the_memory_is_refused() -> None:
    with pytest.raises(RuntimeError, match="as_strided: sizes.*out of bounds"):
        flambeau.zeros(3).as_strided((10,), (1,))


def test_normal_draws_as_pytorch() -> None:
    tensor, manual_seed = flambeau.tensor, flambeau.manual_seed
    steps = flambeau.arange(3.0)
    # From PyTorch 2.7.1 after manual_seed(0).
    for call, expected in [
        (lambda: flambeau.normal(0.0, 1.0, (3,)), [1.5410, -0.2934, -2.1788]),
        (lambda: flambeau.normal(steps, steps), [0.0000, 0.7066, -2.3576]),
        (lambda: flambeau.normal(flambeau.arange(20.0), 2.0)[:3], [-2.2517, -1.3047, 1.4988]),
        (lambda: flambeau.normal(2.0, flambeau.arange(20.0))[:3], [2.0000, 0.8476, 1.4988]),
    ]:
        manual_seed(0)
        np.testing.assert_allclose(call().numpy(), expected, atol=6e-5)
    wide = flambeau.normal(flambeau.zeros(2, 1, dtype=flambeau.float64), flambeau.ones(3))
    assert (wide.dtype, tuple(wide.shape)) == (flambeau.float64, (2, 3))
    out = flambeau.empty(3)
    assert flambeau.normal(steps, 1.0, out=out) is out
    mean = flambeau.zeros(2, requires_grad=True)
    assert not flambeau.normal(mean, 1.0).requires_grad
    assert flambeau.normal(1, 2, size=(2,), dtype=flambeau.float64).dtype == flambeau.float64
    for wrong in (lambda: flambeau.normal(0.0, -1.0, (2,)), lambda: flambeau.normal(steps, -steps)):
        with pytest.raises(RuntimeError, match="expects"):
            wrong()
    with pytest.raises(TypeError, match="invalid combination of arguments"):
        flambeau.normal(0.0, 1.0)
    with pytest.raises(RuntimeError, match="match"):
        flambeau.normal(tensor([1.0, 2.0]), steps)


def test_tensors_like_another() -> None:
    x = flambeau.ones(2, dtype=flambeau.int32)
    assert x.type_as(flambeau.ones(1)).dtype == flambeau.float32
    assert x.type_as(x) is x
    assert x.new_tensor([1.5]).tolist() == [1]
    made = flambeau.ones(2).new_tensor([1], dtype=flambeau.float64, requires_grad=True)
    assert (made.dtype, made.requires_grad) == (flambeau.float64, True)


def test_statistics_of_a_batch_norm_are_constants() -> None:
    x = flambeau.arange(12.0).reshape(3, 4).requires_grad_()
    result, mean, rstd = flambeau.native_batch_norm(x, None, None, None, None, True, 0.1, 1e-5)
    assert result.requires_grad
    assert not mean.requires_grad
    assert not rstd.requires_grad


def test_losses_of_margins_have_no_slope_where_they_are_met() -> None:
    x = flambeau.tensor([[0.0, 1.0, 0.5]], requires_grad=True)
    flambeau.nn.functional.multi_margin_loss(x, flambeau.tensor([1])).backward()
    assert x.grad[0].tolist() == pytest.approx([0.0, -1 / 3, 1 / 3])
    listed = flambeau.tensor([[1, -1, 0]])
    y = flambeau.tensor([[0.0, 1.0, 0.5]], requires_grad=True)
    flambeau.nn.functional.multilabel_margin_loss(y, listed).backward()
    assert y.grad[0].tolist() == pytest.approx([0.0, -1 / 3, 1 / 3])


def test_losses_of_margins_of_one_class_and_without_reduction() -> None:
    for name in ("multi_margin_loss", "multilabel_margin_loss"):
        function = getattr(flambeau.nn.functional, name)
        assert function(flambeau.tensor(1.5), flambeau.tensor(0)).item() == 0
        with pytest.raises(ValueError, match="abc is not a valid value"):
            function(flambeau.zeros(2, 3), flambeau.zeros(5), reduction="abc")


def test_ranking_loss_of_integers() -> None:
    a, b, target = flambeau.tensor([3, 1]), flambeau.tensor([1, 2]), flambeau.tensor([1, 1])
    loss = flambeau.nn.functional.margin_ranking_loss(a, b, target, margin=0.5)
    assert loss.item() == 0.75
    # As a clamp has it, the slope where the loss starts is 1.
    x = flambeau.zeros(1, requires_grad=True)
    flambeau.nn.functional.margin_ranking_loss(x, flambeau.zeros(1), flambeau.ones(1)).backward()
    assert x.grad.item() == -1


def test_evenly_spaced_between_tensors() -> None:
    assert flambeau.linspace(flambeau.tensor(1), flambeau.tensor(2.0), 3).tolist() == [
        1.0,
        1.5,
        2.0,
    ]
    assert flambeau.linspace(flambeau.tensor(0.0), 4, 3).tolist() == [0.0, 2.0, 4.0]
    assert flambeau.logspace(flambeau.tensor(0.0), flambeau.tensor(2.0), 3).tolist() == [
        1.0,
        10.0,
        100.0,
    ]
    for function in (flambeau.linspace, flambeau.logspace):
        with pytest.raises(RuntimeError, match="0-dimensional"):
            function(flambeau.zeros(2), flambeau.ones(2), 3)


def test_quotients_of_halves_are_rounded_before_they_are_truncated() -> None:
    a = flambeau.tensor([3.53125], dtype=flambeau.bfloat16)
    b = flambeau.tensor([1.1796875], dtype=flambeau.bfloat16)
    assert (a.float() / b.float()).item() < 3
    assert flambeau.div(a, b, rounding_mode="trunc").item() == 3


def test_vander_is_numpys() -> None:
    x = np.array([1.0, 2.0, -3.0])
    for n, increasing in itertools.product((None, 0, 1, 2, 5), (False, True)):
        got = flambeau.vander(flambeau.from_numpy(x), n, increasing)
        assert got.numpy().tolist() == np.vander(x, n, increasing).tolist()
    assert flambeau.vander(flambeau.tensor([True, False])).tolist() == [[1, 1], [0, 1]]
    with pytest.raises(RuntimeError, match="one-dimensional"):
        flambeau.vander(flambeau.ones(2, 2))
    with pytest.raises(RuntimeError, match="non-negative"):
        flambeau.vander(flambeau.ones(2), -1)


def test_places_repeat_as_often_as_they_are_told() -> None:
    counts = flambeau.tensor([1, 0, 2])
    assert flambeau.repeat_interleave(counts).tolist() == [0, 2, 2]
    assert flambeau.repeat_interleave(counts.int()).dtype == flambeau.int32
    with pytest.raises(RuntimeError, match="only accept 1D vector"):
        flambeau.repeat_interleave(counts[0])
    with pytest.raises(RuntimeError, match="repeats must be integers"):
        flambeau.repeat_interleave(counts, counts.float())
