"""Optimisers and schedules: steps, state, text, errors."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import torch
from common import case, error_of, fill, kind_of, values, warnings_of
from torch import nn, optim
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

S = optim.lr_scheduler


def parameters() -> list[Any]:
    return [nn.Parameter(values(3, scale=1.0)), nn.Parameter(values(2, 2, scale=0.5)), nn.Parameter(torch.ones(2))]


def trained(make: Any, steps: int = 4, zero: bool = False) -> Any:
    """Parameters after some steps with gradients that change, and the state."""
    params = parameters()
    optimizer = make(params)
    for i in range(steps):
        for k, p in enumerate(params[:2]):
            p.grad = values(*p.shape, scale=1.0 + i) * (-1 if i % 2 and k else 1) + 0.1 * i
            if zero and i == 1:
                p.grad = torch.zeros_like(p)
        optimizer.step()
    state = optimizer.state_dict()
    return [params, state["state"], sorted(state["param_groups"][0]), [*state["param_groups"][0]]]


MAKERS = {
    "sgd": lambda p: optim.SGD(p, 0.1),
    "sgd_decay": lambda p: optim.SGD(p, lr=0.1, weight_decay=0.1, maximize=True),
    "sgd_momentum": lambda p: optim.SGD(p, 0.1, 0.9, 0.1, 0.01),
    "sgd_nesterov": lambda p: optim.SGD(p, 0.1, momentum=0.9, nesterov=True),
    "adam": lambda p: optim.Adam(p),
    "adam_options": lambda p: optim.Adam(p, 0.1, (0.8, 0.9), 1e-3, 0.1, maximize=True),
    "adam_amsgrad": lambda p: optim.Adam(p, 0.1, weight_decay=0.1, amsgrad=True),
    "adamw": lambda p: optim.AdamW(p, 0.1),
    "adamw_amsgrad": lambda p: optim.AdamW(p, 0.1, weight_decay=0.1, amsgrad=True),
    "adagrad": lambda p: optim.Adagrad(p, 0.1, 0.1, 0.1, 0.5),
    "adadelta": lambda p: optim.Adadelta(p, weight_decay=0.1),
    "rmsprop": lambda p: optim.RMSprop(p),
    "rmsprop_all": lambda p: optim.RMSprop(p, 0.1, momentum=0.9, centered=True, weight_decay=0.1),
    "adamax": lambda p: optim.Adamax(p, 0.1, weight_decay=0.1),
    "nadam": lambda p: optim.NAdam(p, 0.1, weight_decay=0.1),
    "nadam_decoupled": lambda p: optim.NAdam(p, 0.1, weight_decay=0.1, decoupled_weight_decay=True),
    "radam": lambda p: optim.RAdam(p, 0.1, weight_decay=0.1),
    "radam_decoupled": lambda p: optim.RAdam(p, 0.1, weight_decay=0.1, decoupled_weight_decay=True, maximize=True),
    "asgd": lambda p: optim.ASGD(p, 0.1, t0=1, weight_decay=0.1),
    "rprop": lambda p: optim.Rprop(p, 0.1),
}


@case
def steps() -> Any:
    return [[name, trained(make, 8 if name == "radam" else 4)] for name, make in MAKERS.items()]


@case
def defaults() -> Any:
    return [repr(make(parameters())) for make in MAKERS.values()]


@case
def state_goes_on() -> Any:
    result = []
    for name, make in MAKERS.items():
        params = parameters()
        first = make(params)
        for p in params:
            p.grad = values(*p.shape)
        first.step()
        twin = [nn.Parameter(p.detach().clone()) for p in params]
        second = make(twin)
        second.load_state_dict(copy.deepcopy(first.state_dict()))
        for p, q in zip(params, twin):
            p.grad = q.grad = values(*p.shape, scale=0.5)
        first.step()
        second.step()
        result.append([name, all(torch.equal(p, q) for p, q in zip(params, twin)), [*first.state_dict()["state"]]])
    return result


@case
def differentiable() -> Any:
    result: list[Any] = []
    for make in (
        lambda p: optim.SGD(p, 0.1, 0.9, differentiable=True),
        lambda p: optim.Adam(p, 0.1, differentiable=True),
        lambda p: optim.AdamW(p, 0.1, differentiable=True),
    ):
        start = values(3).requires_grad_()
        moved = start.clone()
        optimizer = make([moved])
        moved.grad = start * 2
        optimizer.step()
        (moved * values(3)).sum().backward()
        result.append([moved, start.grad])
    return result


@case
def groups() -> Any:
    a, b, c = parameters()
    optimizer = optim.SGD([{"params": a, "lr": 0.5}, {"params": [b], "momentum": 0.5}], lr=0.1)
    optimizer.add_param_group({"params": c, "weight_decay": 1.0})
    for p in (a, b, c):
        p.grad = torch.ones_like(p)
    optimizer.step()
    result: list[Any] = [a, b, c, repr(optimizer), [g["params"] for g in optimizer.state_dict()["param_groups"]]]
    optimizer.zero_grad(set_to_none=False)
    result.append([p.grad for p in (a, b, c)])
    optimizer.zero_grad()
    result.append([p.grad for p in (a, b, c)])
    named = optim.Adam([("first", a), ("second", b)])
    result += [named.param_groups[0]["param_names"], named.state_dict()["param_groups"][0]["param_names"]]
    return [
        *result,
        error_of(lambda: optim.SGD(a, 0.1)),
        error_of(lambda: optim.SGD([], 0.1)),
        error_of(lambda: optim.SGD([3], 0.1)),
        error_of(lambda: optim.SGD([a * 2], 0.1)),
        error_of(lambda: optim.SGD({a, b}, 0.1)),
        error_of(lambda: optim.SGD([{"params": {a, b}}], 0.1)),
        error_of(lambda: optimizer.add_param_group({"params": [a]})),
        error_of(lambda: optimizer.add_param_group([a])),
        error_of(lambda: optim.SGD([a], -1)),
        error_of(lambda: optim.SGD([a], 0.1, momentum=-1)),
        error_of(lambda: optim.SGD([a], 0.1, weight_decay=-1)),
        error_of(lambda: optim.SGD([a], 0.1, nesterov=True)),
        error_of(lambda: optim.Adam([a], betas=(1.0, 0.9))),
        error_of(lambda: optim.Adam([a], betas=(0.9, -1))),
        error_of(lambda: optim.Adam([a], eps=-1)),
        error_of(lambda: optim.Adagrad([a], lr_decay=-1)),
        error_of(lambda: optim.RMSprop([a], alpha=-1)),
        error_of(lambda: optim.Adadelta([a], rho=2)),
        error_of(lambda: optim.NAdam([a], momentum_decay=-1)),
        error_of(lambda: optim.Adam([("a", a), b])),
        error_of(lambda: named.add_param_group({"params": [c]})),
        error_of(lambda: optimizer.load_state_dict(named.state_dict())),
        error_of(lambda: optim.SGD([a, b], 0.1).load_state_dict(optim.SGD([a], 0.1).state_dict())),
        [w.split(";")[0] for w in warnings_of(lambda: optim.SGD([a, a], 0.1))],
    ]


@case
def optimizer_hooks() -> Any:
    p = nn.Parameter(torch.ones(1))
    p.grad = torch.ones(1)
    log: list[Any] = []
    optimizer = optim.SGD([p], 0.1)
    handles = [
        optimizer.register_step_pre_hook(lambda o, args, kwargs: log.append(["pre", args, kwargs])),
        optimizer.register_step_post_hook(lambda o, args, kwargs: log.append(["post", args, kwargs])),
        optimizer.register_state_dict_pre_hook(lambda o: log.append("state pre")),
        optimizer.register_state_dict_post_hook(lambda o, s: {**s, "more": 1}),
        optimizer.register_load_state_dict_pre_hook(lambda o, s: log.append(sorted(s))),
        optimizer.register_load_state_dict_post_hook(lambda o: log.append("loaded")),
        register_optimizer_step_pre_hook(lambda o, args, kwargs: log.append("global pre")),
        register_optimizer_step_post_hook(lambda o, args, kwargs: log.append("global post")),
    ]
    optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
    for handle in handles:
        handle.remove()
    optimizer.step(lambda: log.append("closure"))
    with optimizer.register_step_pre_hook(lambda o, args, kwargs: 3):
        log.append(kind_of(optimizer.step))
    again = pickle.loads(pickle.dumps(optimizer))
    return [log, p, type(again).__name__, again.param_groups[0]["lr"], kind_of(lambda: again.step())]


@case
def tensor_rates() -> Any:
    p = nn.Parameter(values(3))
    optimizer = optim.SGD([p], lr=torch.tensor(0.1))
    p.grad = torch.ones(3)
    scheduler = S.ExponentialLR(optimizer, 0.5)
    optimizer.step()
    scheduler.step()
    optimizer.step()
    return [p, optimizer.param_groups[0]["lr"], kind_of(lambda: optim.Adam([p], lr=torch.tensor([0.1, 0.2])))]


@case
def lbfgs() -> Any:
    result: list[Any] = []
    for options in ({}, {"line_search_fn": "strong_wolfe"}, {"history_size": 2, "max_iter": 6}, {"lr": 0.5, "tolerance_change": 1e-3}):
        x = nn.Parameter(torch.tensor([-1.0, 1.5]))
        optimizer = optim.LBFGS([x], **options)

        def closure() -> Any:
            optimizer.zero_grad()
            loss = (1 - x[0]) ** 2 + 5 * (x[1] - x[0] ** 2) ** 2
            loss.backward()
            return loss

        for _ in range(2):
            loss = optimizer.step(closure)
            result.append([loss, x, optimizer.state[x]["func_evals"], optimizer.state[x]["n_iter"]])
    two = [nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))]
    return [*result, error_of(lambda: optim.LBFGS([{"params": two[0]}, {"params": two[1]}])), kind_of(lambda: optim.LBFGS(two).step())]


def rates(make: Any, steps: int = 12, optimizer: Any = None) -> Any:
    p = nn.Parameter(torch.ones(1))
    q = nn.Parameter(torch.ones(1))
    optimizer = optim.SGD([{"params": p}, {"params": q, "lr": 0.5}], lr=1.0, momentum=0.9)
    scheduler = make(optimizer)
    shown = [[g["lr"] for g in optimizer.param_groups]]
    for _ in range(steps):
        optimizer.step()
        scheduler.step()
        shown.append([g["lr"] for g in optimizer.param_groups])
    return [shown, scheduler.get_last_lr(), sorted(k for k in scheduler.state_dict() if not k.startswith("_") and k != "anneal_func"), getattr(scheduler, "last_epoch", None)]


SCHEDULES = {
    "lambda": lambda o: S.LambdaLR(o, lambda t: 0.9**t),
    "lambdas": lambda o: S.LambdaLR(o, [lambda t: 0.9**t, lambda t: 1 / (t + 1)]),
    "multiplicative": lambda o: S.MultiplicativeLR(o, lambda t: 0.5 if t % 3 == 0 else 1.1),
    "step": lambda o: S.StepLR(o, 3, 0.5),
    "multistep": lambda o: S.MultiStepLR(o, [2, 5, 5, 9], 0.5),
    "constant": lambda o: S.ConstantLR(o, 0.5, 4),
    "linear": lambda o: S.LinearLR(o, 0.25, 0.75, 6),
    "exponential": lambda o: S.ExponentialLR(o, 0.8),
    "polynomial": lambda o: S.PolynomialLR(o, 8, 2.0),
    "cosine": lambda o: S.CosineAnnealingLR(o, 5, 0.1),
    "restarts": lambda o: S.CosineAnnealingWarmRestarts(o, 3, 2, 0.1),
    "cyclic": lambda o: S.CyclicLR(o, 0.1, 1.0, 3, 2),
    "cyclic2": lambda o: S.CyclicLR(o, [0.1, 0.2], [1.0, 2.0], 2, mode="triangular2", cycle_momentum=False),
    "cyclic_exp": lambda o: S.CyclicLR(o, 0.1, 1.0, 2, mode="exp_range", gamma=0.9),
    "cyclic_custom": lambda o: S.CyclicLR(o, 0.1, 1.0, 2, scale_fn=lambda x: 0.5**x, scale_mode="iterations"),
    "one_cycle": lambda o: S.OneCycleLR(o, 1.0, 12),
    "one_cycle_linear": lambda o: S.OneCycleLR(o, [1.0, 2.0], epochs=4, steps_per_epoch=3, anneal_strategy="linear", three_phase=True),
    "sequential": lambda o: S.SequentialLR(o, [S.ConstantLR(o, 0.1, 3), S.ExponentialLR(o, 0.9)], [4]),
    "warm_up": lambda o: S.SequentialLR(o, [S.LinearLR(o, 0.1, 1.0, 4), S.CosineAnnealingLR(o, 8)], [4]),
    "chained": lambda o: S.ChainedScheduler([S.ConstantLR(o, 0.1, 3), S.ExponentialLR(o, 0.9)]),
    "swalr": lambda o: optim.swa_utils.SWALR(o, 0.05, 4),
    "swalr_linear": lambda o: optim.swa_utils.SWALR(o, [0.05, 0.1], 4, "linear"),
}


@case
def schedules() -> Any:
    return [[name, rates(make)] for name, make in SCHEDULES.items()]


@case
def momenta() -> Any:
    result = []
    for make in (SCHEDULES["cyclic"], SCHEDULES["one_cycle"]):
        for kind in (lambda p: optim.SGD(p, 0.1, momentum=0.9), lambda p: optim.Adam(p, 0.1)):
            optimizer = kind([nn.Parameter(torch.ones(1))])
            scheduler = make(optimizer)
            shown = []
            for _ in range(5):
                optimizer.step()
                scheduler.step()
                group = optimizer.param_groups[0]
                shown.append(group["betas"] if "betas" in group else group["momentum"])
            result.append(shown)
    return result


@case
def schedules_go_on() -> Any:
    result = []
    for name, make in SCHEDULES.items():
        shown = []
        optimizer = optim.SGD([nn.Parameter(torch.ones(1)), ], lr=1.0, momentum=0.9) if name not in ("lambdas", "cyclic2", "one_cycle_linear", "swalr_linear") else None
        if optimizer is None:
            continue
        scheduler = make(optimizer)
        for _ in range(5):
            optimizer.step()
            scheduler.step()
        second = optim.SGD([nn.Parameter(torch.ones(1))], lr=1.0, momentum=0.9)
        other = make(second)
        second.load_state_dict(optimizer.state_dict())
        other.load_state_dict(copy.deepcopy(scheduler.state_dict()))
        for _ in range(5):
            for o, s in ((optimizer, scheduler), (second, other)):
                o.step()
                s.step()
            shown.append(optimizer.param_groups[0]["lr"] == second.param_groups[0]["lr"])
        result.append([name, shown])
    return result


@case
def plateau() -> Any:
    optimizer = optim.SGD([nn.Parameter(torch.ones(1))], lr=1.0)
    result: list[Any] = []
    for options in ({}, {"patience": 1, "cooldown": 2, "factor": 0.5}, {"mode": "max", "patience": 0, "threshold_mode": "abs", "threshold": 0.5}, {"patience": 0, "min_lr": 0.3}):
        optimizer.param_groups[0]["lr"] = 1.0
        scheduler = S.ReduceLROnPlateau(optimizer, **options)
        shown = []
        for metric in (1.0, 0.9, 0.95, 0.96, 0.97, 0.5, 0.6, torch.tensor(0.6), 0.7, 0.8):
            scheduler.step(metric)
            shown.append(optimizer.param_groups[0]["lr"])
        result.append([shown, scheduler.best, scheduler.num_bad_epochs, sorted(k for k in scheduler.state_dict() if not k.startswith("_"))])
    return [*result, error_of(lambda: S.ReduceLROnPlateau(optimizer, factor=1.0)), error_of(lambda: S.ReduceLROnPlateau(optimizer, mode="up")), kind_of(lambda: S.ReduceLROnPlateau(3))]


@case
def schedule_errors() -> Any:
    def make() -> Any:
        return optim.SGD([nn.Parameter(torch.ones(1))], lr=1.0)

    o = make()
    return [
        error_of(lambda: S.StepLR(3, 1)),
        error_of(lambda: S.StepLR(make(), 1, last_epoch=2)),
        error_of(lambda: S.LambdaLR(make(), [lambda t: 1, lambda t: 2])),
        error_of(lambda: S.ConstantLR(make(), 2.0)),
        error_of(lambda: S.LinearLR(make(), 0.0)),
        error_of(lambda: S.LinearLR(make(), 0.5, 2.0)),
        error_of(lambda: S.CosineAnnealingWarmRestarts(make(), 0)),
        error_of(lambda: S.CosineAnnealingWarmRestarts(make(), 2, 0)),
        error_of(lambda: S.OneCycleLR(make(), 1.0)),
        error_of(lambda: S.OneCycleLR(make(), 1.0, -1)),
        error_of(lambda: S.CyclicLR(optim.Adagrad([nn.Parameter(torch.ones(1))]), 0.1, 1.0)),
        error_of(lambda: S.SequentialLR(o, [S.StepLR(o, 1)], [3])),
        error_of(lambda: S.SequentialLR(o, [S.StepLR(o, 1), S.StepLR(make(), 1)], [3]))[:60],
        error_of(lambda: S.ChainedScheduler([]))[:60],
        len(warnings_of(lambda: S.StepLR(make(), 1).step())),
        len(warnings_of(lambda: S.StepLR(make(), 1).get_lr())),
        [w[:60] for w in warnings_of(lambda: S.ExponentialLR(o, 0.5).step(7))],
        o.param_groups[0]["lr"],
    ]


@case
def averages() -> Any:
    result: list[Any] = []
    U = optim.swa_utils
    for options in ({}, {"avg_fn": U.get_ema_avg_fn(0.9)}, {"multi_avg_fn": U.get_ema_multi_avg_fn(0.9)}, {"use_buffers": True}):
        model = fill(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))
        average = U.AveragedModel(model, **options)
        for i in range(3):
            with torch.no_grad():
                for p in model.parameters():
                    p.add_(i + 1.0)
                model[1].running_mean.add_(1.0)
            average.update_parameters(model)
        result.append([[*average.state_dict()], average.n_averaged, [*average.module.parameters()], average.module[1].running_mean, average(values(3, 2))])
    model = fill(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))
    U.update_bn([values(4, 2), values(3, 2, scale=2.0)], model)
    result.append([model[1].running_mean, model[1].running_var, model[1].momentum, model[1].num_batches_tracked])
    return result
