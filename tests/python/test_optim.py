"""Optimisers and schedules. Expected numbers are PyTorch 2.7.1's."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import flambeau
import pytest
from flambeau import nn, optim
from flambeau.optim import SGD, Adam, AdamW, lr_scheduler


def trajectory(make: Callable[[list[Any]], Any], steps: int = 5) -> list[float]:
    """The parameters after steps on two tensors with gradients that change."""
    p = flambeau.tensor([1.0, -2.0, 3.0], requires_grad=True)
    q = flambeau.tensor([[0.5]], requires_grad=True)
    optimizer = make([p, q])
    for i in range(steps):
        optimizer.zero_grad()
        ((p**2).sum() * (i + 1) / 3 + (q * p[0]).sum()).backward()
        optimizer.step()
    return p.tolist() + q.flatten().tolist()


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (
            lambda ps: AdamW(ps, lr=0.1, weight_decay=0.2, betas=(0.8, 0.9)),
            [0.42199575901031494, -1.33397376537323, 2.2389612197875977, -0.01717914640903473],
        ),
        (
            lambda ps: Adam(ps, lr=0.1, weight_decay=0.2),
            [0.4988189935684204, -1.5067189931869507, 2.507908344268799, 0.009252332150936127],
        ),
        (
            lambda ps: AdamW(ps, lr=0.1, amsgrad=True),
            [0.4956066608428955, -1.5019911527633667, 2.498307704925537, 0.006638921797275543],
        ),
        (
            lambda ps: Adam(ps, lr=0.1, maximize=True),
            [1.4872477054595947, -2.481534004211426, 3.4826786518096924, 1.0021648406982422],
        ),
        (
            lambda ps: SGD(ps, lr=0.1, weight_decay=0.1),
            [0.2189425379037857, -0.5936232805252075, 0.8904348611831665, 0.1368235945701599],
        ),
        (
            lambda ps: SGD(ps, lr=0.1, momentum=0.9, dampening=0.1),
            [-0.4124237596988678, 0.5437793731689453, -0.8156689405441284, -0.3757126033306122],
        ),
        (
            lambda ps: SGD(ps, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
            [-0.23995010554790497, 0.6072404980659485, -0.9108607769012451, -0.40612512826919556],
        ),
    ],
    ids=["adamw", "adam", "amsgrad", "maximize", "sgd", "momentum", "nesterov"],
)
def test_trajectories_are_pytorchs(make: Any, expected: list[float]) -> None:
    assert trajectory(make) == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("amsgrad", [False, True])
def test_parameters_that_joined_later_count_their_own_steps(amsgrad: bool) -> None:
    def run(together: bool) -> list[list[float]]:
        params = [nn.Parameter(flambeau.tensor([1.0, -2.0])) for _ in range(3)]
        groups = [params] if together else [[p] for p in params]
        optimizers = [AdamW(group, lr=0.1, amsgrad=amsgrad) for group in groups]
        for step in range(6):
            for i, p in enumerate(params):
                p.grad = flambeau.tensor([0.5 + step, -1.0 - i]) if step >= 2 * i else None
            for optimizer in optimizers:
                optimizer.step()
        return [p.tolist() for p in params]

    assert run(together=True) == run(together=False)


def rates(make: Callable[[Any], Any], count: int = 8) -> list[float]:
    optimizer = SGD([nn.Parameter(flambeau.zeros(1))], lr=1.0)
    schedule = make(optimizer)
    result = []
    for _ in range(count):
        result.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return result


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (
            lambda o: lr_scheduler.CosineAnnealingLR(o, 5, 0.1),
            [1.0, 0.9140576474687263, 0.6890576474687263, 0.41094235253127365, 0.1859423525312737,
             0.1, 0.18594235253127367, 0.41094235253127387],
        ),
        (
            lambda o: lr_scheduler.StepLR(o, 3),
            [1.0, 1.0, 1.0, 0.1, 0.1, 0.1, 0.010000000000000002, 0.010000000000000002],
        ),
        (
            lambda o: lr_scheduler.LinearLR(o),
            [0.3333333333333333, 0.4666666666666667, 0.6000000000000001, 0.7333333333333335,
             0.8666666666666669, 1.0000000000000002, 1.0000000000000002, 1.0000000000000002],
        ),
        (
            lambda o: lr_scheduler.SequentialLR(
                o,
                [lr_scheduler.LinearLR(o, 0.25, total_iters=3), lr_scheduler.CosineAnnealingLR(o, 5)],
                [3],
            ),
            [0.25, 0.5, 0.75, 1.0, 0.9045084971874737, 0.6545084971874737, 0.3454915028125263,
             0.09549150281252632],
        ),
        (
            lambda o: lr_scheduler.PolynomialLR(o, 5, 2.0),
            [1.0, 0.64, 0.36, 0.16, 0.04, 0.0, 0.0, 0.0],
        ),
        (lambda o: lr_scheduler.ExponentialLR(o, 0.9), [0.9**i for i in range(8)]),
        (
            lambda o: lr_scheduler.MultiStepLR(o, [2, 5]),
            [1.0, 1.0, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01],
        ),
        (lambda o: lr_scheduler.LambdaLR(o, lambda t: 1 / (t + 1)), [1 / (t + 1) for t in range(8)]),
        (lambda o: lr_scheduler.MultiplicativeLR(o, lambda _: 0.5), [0.5**t for t in range(8)]),
        (lambda o: lr_scheduler.ConstantLR(o, 0.5, 2), [0.5, 0.5, *[1.0] * 6]),
    ],
)  # fmt: skip
def test_schedules_are_pytorchs(make: Any, expected: list[float]) -> None:
    assert rates(make) == pytest.approx(expected, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize(
    "make",
    [
        lambda ps: AdamW(ps, lr=0.1),
        lambda ps: SGD(ps, lr=0.1, momentum=0.9),
        lambda ps: Adam(ps, lr=0.1, amsgrad=True),
    ],
)
def test_state_dict_resumes_to_the_bit(make: Any) -> None:
    def loss(p: Any) -> Any:
        return (p * p * flambeau.tensor([1.0, 2.0])).sum()

    def train(p: Any, optimizer: Any, steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            loss(p).backward()
            optimizer.step()

    p = nn.Parameter(flambeau.tensor([1.0, -1.0]))
    optimizer = make([p])
    train(p, optimizer, 3)
    q = nn.Parameter(p.detach().clone())
    other = make([q])
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    train(p, optimizer, 3)
    train(q, other, 3)
    assert p.tolist() == q.tolist()
    assert other.state_dict()["param_groups"] == optimizer.state_dict()["param_groups"]


def test_parameters_that_join_late_count_their_own_steps() -> None:
    """Two parameters with equal gradients, one of which misses the first step."""
    p, q = (nn.Parameter(flambeau.tensor([1.0])) for _ in range(2))
    optimizer = AdamW([p, q], lr=0.1, weight_decay=0.0)
    p.grad = flambeau.ones(1)
    optimizer.step()
    q.grad = flambeau.ones(1)
    optimizer.step()
    assert optimizer.state[p]["step"].item() == 2
    assert optimizer.state[q]["step"].item() == 1
    assert q.item() == pytest.approx(0.9, rel=1e-6)


def test_groups_have_their_own_options() -> None:
    p, q = (nn.Parameter(flambeau.tensor([1.0])) for _ in range(2))
    optimizer = SGD([{"params": [p]}, {"params": [q], "lr": 1.0}], lr=0.25)
    for parameter in (p, q):
        parameter.grad = flambeau.ones(1)
    optimizer.step()
    assert (p.item(), q.item()) == (0.75, 0.0)
    assert "Parameter Group 1" in repr(optimizer)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: AdamW([]), ValueError, "empty parameter list"),
        (lambda: AdamW([nn.Parameter(flambeau.ones(1))], lr=-1.0), ValueError, "learning rate: -1"),
        (
            lambda: AdamW([nn.Parameter(flambeau.ones(1))], betas=(1.0, 0.9)),
            ValueError,
            "beta parameter at index 0",
        ),
        (lambda: SGD(flambeau.ones(1)), TypeError, "iterable of Tensors or dicts"),
        (lambda: SGD([1]), TypeError, "can only optimize Tensors"),
        (lambda: SGD([nn.Parameter(flambeau.ones(1)) * 2]), ValueError, "non-leaf"),
        (lambda: optim.lr_scheduler.StepLR(1, 2), TypeError, "is not an Optimizer"),
    ],
)
def test_bad_arguments(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_closures_and_hooks() -> None:
    p = nn.Parameter(flambeau.tensor([3.0]))
    optimizer = SGD([p], lr=0.5)
    seen: list[str] = []
    optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
    handle = optimizer.register_step_post_hook(lambda *_: seen.append("after"))

    def closure() -> Any:
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 9
    handle.remove()
    assert optimizer.step(closure).item() == 0
    assert seen == ["before", "after", "before"]


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}])
def test_sgd_takes_a_gradient_without_axes(options: dict[str, Any]) -> None:
    """As a leaf has one that got an axis in place after its gradient."""
    weight = flambeau.tensor(2.0, requires_grad=True)
    (weight * weight).backward()
    with flambeau.no_grad():
        weight.unsqueeze_(0)
    SGD([weight], lr=0.25, **options).step()
    assert weight.tolist() == pytest.approx([0.1 if options.get("nesterov") else 1.0])


@pytest.mark.parametrize(
    "make",
    [
        lambda ps: SGD(ps, lr=0.1),
        lambda ps: SGD(ps, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
        lambda ps: Adam(ps, lr=0.1, amsgrad=True, maximize=True, weight_decay=0.1),
        lambda ps: AdamW(ps, lr=0.1),
        lambda ps: optim.Adagrad(ps, lr=0.1, initial_accumulator_value=0.5),
        lambda ps: optim.Adadelta(ps),
        lambda ps: optim.RMSprop(ps, lr=0.1, centered=True, momentum=0.5),
        lambda ps: optim.Adamax(ps, lr=0.1),
        lambda ps: optim.ASGD(ps, lr=0.1),
        lambda ps: optim.Rprop(ps, lr=0.1),
        lambda ps: optim.NAdam(ps, lr=0.1),
        lambda ps: optim.RAdam(ps, lr=0.1),
        lambda ps: optim.LBFGS(ps, lr=0.1, max_iter=3, line_search_fn="strong_wolfe"),
    ],
)
def test_complex_parameters_are_pairs_of_numbers(make: Callable[[list[Any]], Any]) -> None:
    """The updates are those of the real tensors that the complex ones are."""
    start = flambeau.tensor([[1.0, -2.0], [0.5, 3.0]])
    pairs = start.clone().requires_grad_()
    both = flambeau.view_as_complex(start.clone()).requires_grad_()
    of_pairs, of_both = make([pairs]), make([both])
    for i in range(8):

        def loss(values: Any, optimizer: Any, i: int = i) -> Any:
            optimizer.zero_grad()
            result = ((values[..., 0] * values[..., 1] - i) ** 2).sum()
            result.backward()
            return result

        of_pairs.step(lambda: loss(pairs, of_pairs))
        of_both.step(lambda: loss(flambeau.view_as_real(both), of_both))
    assert flambeau.equal(flambeau.view_as_real(both.detach()), pairs.detach())
    for name, value in of_pairs.state[pairs].items():
        if isinstance(value, flambeau.Tensor) and value.shape == pairs.shape:
            assert of_both.state[both][name].shape == both.shape


def test_adafactor_refuses_complex_parameters() -> None:
    with pytest.raises(RuntimeError, match="Adafactor does not support complex parameters"):
        optim.Adafactor([flambeau.ones(2, dtype=flambeau.complex64, requires_grad=True)])
