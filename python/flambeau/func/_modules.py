"""Modules as functions of their parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flambeau
from flambeau import Tensor, nn

__all__ = ["functional_call", "replace_all_batch_norm_modules_", "stack_module_state"]


def _holders(module: nn.Module) -> dict[str, tuple[nn.Module, str]]:
    """Where each parameter and buffer is, by its name."""
    found = {}
    for prefix, part in module.named_modules(remove_duplicate=False):
        for name in (*part._parameters, *part._buffers):
            found[f"{prefix}.{name}" if prefix else name] = (part, name)
    return found


def _tied(module: nn.Module, names: dict[str, tuple[nn.Module, str]]) -> dict[str, list[str]]:
    """The names that are one tensor."""
    by_tensor: dict[int, list[str]] = {}
    for name, (part, key) in names.items():
        tensor = part._parameters.get(key, part._buffers.get(key))
        if tensor is not None:
            by_tensor.setdefault(id(tensor), []).append(name)
    return {name: group for group in by_tensor.values() for name in group}


def functional_call(
    module: nn.Module,
    parameter_and_buffer_dicts: dict[str, Tensor] | Sequence[dict[str, Tensor]],
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """module(*args, **kwargs) with these tensors in the place of its parameters and buffers."""
    if isinstance(parameter_and_buffer_dicts, dict):
        given = dict(parameter_and_buffer_dicts)
    elif isinstance(parameter_and_buffer_dicts, Sequence):
        given = {}
        for part in parameter_and_buffer_dicts:
            if repeated := given.keys() & part.keys():
                raise ValueError(
                    f"{sorted(repeated)[0]} appears in multiple dictionaries; behavior of functional call is ambiguous"
                )
            given.update(part)
    else:
        raise ValueError(
            "Expected parameter_and_buffer_dicts to be a dict, or a list/tuple of dicts, but got "
            f"{type(parameter_and_buffer_dicts)}"
        )
    holders = _holders(module)
    if strict:
        missing, unexpected = holders.keys() - given.keys(), given.keys() - holders.keys()
        if missing or unexpected:
            raise RuntimeError(
                f"Error(s) in strict functional_call for {type(module).__name__}: missing keys "
                f"{sorted(missing)}, unexpected keys {sorted(unexpected)}"
            )
    if tie_weights:
        for name, group in _tied(module, holders).items():
            values = {id(given[other]): given[other] for other in group if other in given}
            if len(values) > 1:
                raise ValueError(
                    f"functional_call got multiple values for keys {sorted(group)}, which are tied. Consider using tie_weights=False"
                )
            if values and name not in given:
                given[name] = next(iter(values.values()))
    before = []
    try:
        for name, tensor in given.items():
            if name not in holders:
                raise KeyError(
                    f"functional_call: {type(module).__name__} has no parameter or buffer '{name}'"
                )
            holder, key = holders[name]
            place = holder._parameters if key in holder._parameters else holder._buffers
            before.append((place, key, place[key]))
            place[key] = tensor  # type: ignore[assignment]
        arguments = () if args is None else args if isinstance(args, tuple) else (args,)
        return module(*arguments, **(kwargs or {}))
    finally:
        for place, key, tensor in reversed(before):
            place[key] = tensor


def stack_module_state(
    models: Sequence[nn.Module] | nn.ModuleList,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters and buffers of models of one kind, each stacked along a first axis, for vmap."""
    every = list(models)
    if not every:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if len({model.training for model in every}) > 1:
        raise RuntimeError(
            "stack_module_state: Expected all models to have the same training/eval mode."
        )
    if len({type(model) for model in every}) > 1:
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")

    def stacked(name: str, tensors: list[Tensor]) -> Tensor:
        wanted = {tensor.requires_grad for tensor in tensors}
        if len(wanted) > 1:
            raise RuntimeError(f"Expected {name} from each model to have the same .requires_grad")
        if all(tensor.is_leaf for tensor in tensors):
            with flambeau.no_grad():
                result = flambeau.stack(tensors)
            return result.requires_grad_(wanted.pop())
        return flambeau.stack(tensors)

    parameters = [dict(model.named_parameters()) for model in every]
    buffers = [dict(model.named_buffers()) for model in every]
    return (
        {name: stacked(name, [each[name] for each in parameters]) for name in parameters[0]},
        {name: stacked(name, [each[name] for each in buffers]) for name in buffers[0]},
    )


def replace_all_batch_norm_modules_(root: nn.Module) -> nn.Module:
    """Batch norms keep no running statistics from now on, which vmap could not update."""
    for part in root.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.running_mean = part.running_var = part.num_batches_tracked = None
            part.track_running_stats = False
    return root
