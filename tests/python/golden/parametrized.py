"""Parametrizations, weight and spectral norm, and the initialisers that draw matrices."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import torch
from common import case, error_of, fill, kind_of, run_with_gradients, values, warnings_of
from torch import nn
from torch.nn.utils import parametrizations, parametrize


class Symmetric(nn.Module):
    def forward(self, x: Any) -> Any:
        return x.triu() + x.triu(1).transpose(-1, -2)

    def right_inverse(self, x: Any) -> Any:
        return x.triu()


class Double(nn.Module):
    def forward(self, x: Any) -> Any:
        return x * 2


@case
def own() -> Any:
    m = fill(nn.Linear(3, 3))
    weight = m.weight
    parametrize.register_parametrization(m, "weight", Symmetric())
    result: list[Any] = [repr(m), [*m.state_dict()], m.weight, m.parametrizations.weight.original is weight]
    result += [type(m).__name__, isinstance(m, nn.Linear), parametrize.is_parametrized(m), parametrize.is_parametrized(m, "bias")]
    m.weight = torch.eye(3)
    result += [m.weight, m(values(2, 3))]
    (m.weight * values(3, 3)).sum().backward()
    result += [m.parametrizations.weight.original.grad]
    twin = copy.deepcopy(m)
    result += [twin.weight, twin.parametrizations.weight.original is not m.parametrizations.weight.original]
    with parametrize.cached():
        result += [m.weight is m.weight]
    result += [m.weight is m.weight, kind_of(lambda: pickle.dumps(m))]
    parametrize.register_parametrization(m, "bias", Double())
    result += [m.bias, [*m.state_dict()], parametrize.type_before_parametrizations(m).__name__]
    parametrize.remove_parametrizations(m, "weight")
    result += [m.weight, isinstance(m.weight, nn.Parameter), [*m.state_dict()]]
    parametrize.remove_parametrizations(m, "bias", leave_parametrized=False)
    result += [type(m).__name__, m.bias, hasattr(m, "parametrizations")]
    result += [kind_of(lambda: parametrize.register_parametrization(m, "nothing", Double())), kind_of(lambda: parametrize.remove_parametrizations(m, "weight"))]
    return result


@case
def weight_norms() -> Any:
    result: list[Any] = []
    for make, x in ((lambda: nn.Linear(3, 2), values(2, 3)), (lambda: nn.Conv1d(2, 3, 2), values(1, 2, 4))):
        for dim in (0, 1, None):
            m = parametrizations.weight_norm(fill(make()), dim=dim)
            result.append([*m.state_dict()])
            result.append(run_with_gradients(m, x))
            parametrize.remove_parametrizations(m, "weight")
            result.append([m.weight, [*m.state_dict()]])
    old = torch.nn.utils.weight_norm(fill(nn.Linear(3, 2)))
    result.append([[*old.state_dict()], old(values(2, 3)), old.weight_g])
    new = parametrizations.weight_norm(nn.Linear(3, 2))
    new.load_state_dict(old.state_dict())
    result.append(new(values(2, 3)))
    torch.nn.utils.remove_weight_norm(old)
    result.append([[n for n, _ in old.named_parameters()], old.weight])
    result.append([kind_of(lambda: torch.nn.utils.remove_weight_norm(old)), [w.split(":")[0] for w in warnings_of(lambda: torch.nn.utils.weight_norm(nn.Linear(1, 1)))]])
    return result


@case
def spectral_norms() -> Any:
    result: list[Any] = []
    for make in (lambda: nn.Linear(3, 2), lambda: nn.Conv2d(2, 3, 2), lambda: nn.ConvTranspose1d(2, 3, 2)):
        torch.manual_seed(0)
        m = parametrizations.spectral_norm(fill(make()), n_power_iterations=20)
        for _ in range(3):
            weight = m.weight
        result.append([[*m.state_dict()], weight, m.eval().weight])
    return [*result, kind_of(lambda: parametrizations.spectral_norm(nn.Linear(1, 1), n_power_iterations=0)), kind_of(lambda: parametrizations.spectral_norm(nn.Linear(1, 1), "w"))]


@case
def matrices() -> Any:
    result: list[Any] = []
    for shape in ((3, 3), (2, 4), (4, 2), (3, 2, 2)):
        torch.manual_seed(0)
        result.append(nn.init.orthogonal_(torch.empty(shape), 1.5))
    torch.manual_seed(0)
    sparse = nn.init.sparse_(torch.empty(5, 4), 0.3, 0.1)
    return [*result, (sparse == 0).sum(0), error_of(lambda: nn.init.orthogonal_(torch.empty(3))), error_of(lambda: nn.init.sparse_(torch.empty(3), 0.1))]


@case
def prints() -> Any:
    modules = [nn.Upsample(3), nn.Upsample(scale_factor=2, mode="bilinear"), nn.Upsample((2, 3)), nn.UpsamplingNearest2d(4), nn.UpsamplingBilinear2d(scale_factor=2), nn.EmbeddingBag(3, 2), nn.EmbeddingBag(3, 2, 1.0, 1.0, True, "sum", padding_idx=-1), nn.Unfold(2), nn.Unfold((2, 3), padding=1)]
    return [repr(m) for m in modules]


@case
def orthogonals() -> Any:
    result: list[Any] = []
    for name in ("matrix_exp", "cayley", "householder"):
        for shape in ((3, 3), (2, 3), (3, 2), (2, 3, 2)):
            for trivial in (True, False):
                torch.manual_seed(0)
                m = nn.Module()
                m.weight = nn.Parameter(values(*shape))
                parametrizations.orthogonal(m, "weight", name, use_trivialization=trivial)
                weight = m.weight
                (weight * values(*shape)).sum().backward()
                gradient = m.parametrizations.weight.original.grad.clone()
                with torch.no_grad():
                    m.parametrizations.weight.original.add_(values(*shape).mT.reshape(shape) * 0.1 * (name != "householder"))
                result.append([[*m.state_dict()], m.weight, weight, gradient, repr(m)])
    return result


@case
def orthogonal_assignments() -> Any:
    result: list[Any] = []
    for map in (None, "cayley", "householder"):
        m = parametrizations.orthogonal(nn.Linear(3, 4), orthogonal_map=map)
        m.weight = torch.eye(4, 3)
        result += [m.weight, m.parametrizations.weight[0].base.shape]
        m.weight = values(4, 3)
        result.append(m.weight)
    m = parametrizations.orthogonal(nn.Linear(3, 4), use_trivialization=False)
    for value in (torch.eye(4, 3), -torch.eye(4, 3), values(4, 3)):
        m.weight = value
        result.append(m.weight)
    m = parametrizations.orthogonal(nn.Linear(2, 2, dtype=torch.complex64))
    m.weight = torch.tensor([[0, 1j], [1, 0]])
    result.append([torch.view_as_real(m.weight), m.weight.dtype])
    fixed = parametrizations.orthogonal(nn.Linear(2, 2), use_trivialization=False)
    return [
        *result,
        error_of(lambda: setattr(fixed, "weight", torch.eye(2))),
        error_of(lambda: setattr(m, "weight", torch.ones(2, 3, dtype=torch.complex64))),
        error_of(lambda: parametrizations.orthogonal(nn.Linear(3, 4), "w")),
        error_of(lambda: parametrizations.orthogonal(nn.Linear(3, 4), "bias")),
        error_of(lambda: parametrizations.orthogonal(nn.Linear(3, 4), orthogonal_map="polar")),
        error_of(lambda: parametrizations.orthogonal(nn.Linear(2, 2, dtype=torch.complex64), orthogonal_map="householder")),
    ]
