"""Pruning: entries of a module's parameter are held at zero by a mask, until `remove` makes that final.

    prune.l1_unstructured(layer, "weight", amount=0.3)

The parameter becomes `weight_orig`, the mask the buffer `weight_mask`, and `weight` is their product, made anew before every
call of the module.
"""

from __future__ import annotations

import numbers
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any

import flambeau
from flambeau import Tensor

__all__ = [
    "BasePruningMethod",
    "CustomFromMask",
    "Identity",
    "L1Unstructured",
    "LnStructured",
    "PruningContainer",
    "RandomStructured",
    "RandomUnstructured",
    "custom_from_mask",
    "global_unstructured",
    "identity",
    "is_pruned",
    "l1_unstructured",
    "ln_structured",
    "random_structured",
    "random_unstructured",
    "remove",
]


class BasePruningMethod(ABC):
    """A way to choose what is pruned: `compute_mask` of a subclass, whose `PRUNING_TYPE` says whether it chooses single
    entries ("unstructured"), slices ("structured"), or entries of several parameters together ("global").
    """

    PRUNING_TYPE: str
    _tensor_name: str

    def __call__(self, module: Any, inputs: Any) -> None:
        setattr(module, self._tensor_name, self.apply_mask(module))

    @abstractmethod
    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """0 where `t` is pruned, also where `default_mask` says so, 1 elsewhere."""

    def apply_mask(self, module: Any) -> Tensor:
        """The parameter with its mask."""
        assert self._tensor_name is not None, f"Module {module} has to be pruned"
        mask = getattr(module, self._tensor_name + "_mask")
        original = getattr(module, self._tensor_name + "_orig")
        return mask.to(dtype=original.dtype) * original

    @classmethod
    def apply(
        cls,
        module: Any,
        name: str,
        *args: Any,
        importance_scores: Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """Prunes the parameter `name` of a module, in addition to what is pruned already."""
        earlier = _method_of(module, name)
        method: Any = cls(*args, **kwargs)
        method._tensor_name = name
        if earlier is not None:
            container = (
                PruningContainer(earlier) if not isinstance(earlier, PruningContainer) else earlier
            )
            container.add_pruning_method(method)
            _forget(module, earlier)
            method = container
        original = getattr(module, name + "_orig" if earlier is not None else name)
        scores = original if importance_scores is None else importance_scores
        if scores.shape != original.shape:
            raise AssertionError(
                f"importance_scores should have the same shape as parameter {name} of {module}"
            )
        if earlier is None:
            del module._parameters[name]
            module.register_parameter(name + "_orig", original)
            mask = flambeau.ones_like(original)
        else:
            mask = getattr(module, name + "_mask").detach().clone()
        try:
            mask = method.compute_mask(scores.detach(), default_mask=mask.detach())
        except Exception:
            if earlier is None:
                del module._parameters[name + "_orig"]
                module.register_parameter(name, original)
            raise
        module.register_buffer(name + "_mask", mask)
        setattr(module, name, method.apply_mask(module))
        module.register_forward_pre_hook(method)
        return method

    def prune(
        self, t: Tensor, default_mask: Tensor | None = None, importance_scores: Tensor | None = None
    ) -> Tensor:
        """A tensor of no module with what this method prunes at zero."""
        scores = t if importance_scores is None else importance_scores
        assert scores.shape == t.shape, "importance_scores should have the same shape as tensor t"
        mask = flambeau.ones_like(t) if default_mask is None else default_mask
        return t * self.compute_mask(scores, default_mask=mask)

    def remove(self, module: Any) -> None:
        """Makes the pruned parameter an ordinary one again."""
        name = self._tensor_name
        pruned = self.apply_mask(module)
        delattr(module, name)
        original = module._parameters[name + "_orig"]
        original.data = pruned.data
        del module._parameters[name + "_orig"]
        del module._buffers[name + "_mask"]
        setattr(module, name, original)


def _method_of(module: Any, name: str) -> Any:
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, BasePruningMethod) and hook._tensor_name == name:
            return hook
    return None


def _forget(module: Any, method: BasePruningMethod) -> None:
    for key, hook in list(module._forward_pre_hooks.items()):
        if hook is method:
            del module._forward_pre_hooks[key]


class PruningContainer(BasePruningMethod):
    """Several methods, one after the other, each on what is left."""

    PRUNING_TYPE = "container"

    def __init__(self, *args: Any) -> None:
        self._pruning_methods: tuple[BasePruningMethod, ...] = ()
        methods = args[0] if len(args) == 1 and isinstance(args[0], Iterable) else args
        if len(args) == 1 and not isinstance(args[0], Iterable):
            self._tensor_name = args[0]._tensor_name
        for method in methods:
            self.add_pruning_method(method)

    def add_pruning_method(self, method: Any) -> None:
        if not isinstance(method, BasePruningMethod):
            raise TypeError(f"{type(method)} is not a BasePruningMethod subclass")
        if getattr(self, "_tensor_name", method._tensor_name) != method._tensor_name:
            raise ValueError(
                "Can only add pruning methods acting on the parameter named "
                f"'{self._tensor_name}' to PruningContainer {self}. Found '{method._tensor_name}'"
            )
        self._tensor_name = method._tensor_name
        self._pruning_methods += (method,)

    def __len__(self) -> int:
        return len(self._pruning_methods)

    def __iter__(self) -> Iterator[BasePruningMethod]:
        return iter(self._pruning_methods)

    def __getitem__(self, idx: int) -> BasePruningMethod:
        return self._pruning_methods[idx]

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        method = self._pruning_methods[-1]
        mask = default_mask.to(dtype=t.dtype)
        if method.PRUNING_TYPE == "unstructured":
            chosen: Any = mask == 1
        elif method.PRUNING_TYPE == "structured":
            # The slices that are not pruned as a whole.
            dim = method.dim % t.dim()  # type: ignore[attr-defined]
            others = [axis for axis in range(t.dim()) if axis != dim]
            kept = mask.sum(dim=others) != 0 if others else mask != 0
            chosen = (slice(None),) * dim + (kept,)
        elif method.PRUNING_TYPE == "global":
            chosen = (slice(None),) * t.dim()
        else:
            raise ValueError(f"Unrecognized PRUNING_TYPE {method.PRUNING_TYPE}")
        combined = mask.clone()
        combined[chosen] = method.compute_mask(t[chosen], default_mask=mask[chosen]).to(mask.dtype)
        return combined


# -- how much -------------------------------------------------------------------------------------


def _check_amount(amount: Any) -> None:
    if not isinstance(amount, numbers.Real):
        raise TypeError(f"Invalid type for amount: {amount}. Must be int or float.")
    whole = isinstance(amount, numbers.Integral)
    if (whole and amount < 0) or (not whole and not 0.0 <= float(amount) <= 1.0):
        raise ValueError(
            f"amount={amount} should either be a float in the range [0, 1] or a non-negative integer"
        )


def _count(amount: Any, size: int) -> int:
    """How many of `size` an amount is: a number of them, or a share."""
    if isinstance(amount, numbers.Integral):
        if int(amount) > size:
            raise ValueError(
                f"amount={amount} should be smaller than the number of parameters to prune={size}"
            )
        return int(amount)
    return round(amount * size)


def _check_slices(t: Tensor, dim: int) -> None:
    if t.dim() <= 1:
        raise ValueError(
            "Structured pruning can only be applied to multidimensional tensors. Found tensor of shape "
            f"{t.shape} with {t.dim()} dims"
        )
    if dim >= t.dim():
        raise IndexError(f"Invalid index {dim} for tensor of size {t.shape}")


def _slices_pruned(t: Tensor, default_mask: Tensor, dim: int, gone: Tensor) -> Tensor:
    mask = flambeau.ones_like(t)
    mask[(slice(None),) * (dim % t.dim()) + (gone,)] = 0
    return mask * default_mask.to(dtype=mask.dtype)


# -- methods --------------------------------------------------------------------------------------


class Identity(BasePruningMethod):
    """Prunes nothing."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        return default_mask


class _Unstructured(BasePruningMethod):
    PRUNING_TYPE = "unstructured"

    def __init__(self, amount: Any) -> None:
        _check_amount(amount)
        self.amount = amount

    def _order(self, t: Tensor) -> Tensor:
        """The entries with the largest of these numbers stay."""
        raise NotImplementedError

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        count = _count(self.amount, t.nelement())
        mask = default_mask.clone(memory_format=flambeau.contiguous_format)
        if count != 0:
            gone = flambeau.topk(self._order(t).view(-1), k=count, largest=False)[1]
            mask.view(-1)[gone] = 0
        return mask


class RandomUnstructured(_Unstructured):
    """Prunes `amount` entries, drawn at random."""

    def _order(self, t: Tensor) -> Tensor:
        return flambeau.rand_like(t)


class L1Unstructured(_Unstructured):
    """Prunes the `amount` entries that are smallest."""

    def _order(self, t: Tensor) -> Tensor:
        return flambeau.abs(t).contiguous()


class RandomStructured(BasePruningMethod):
    """Prunes `amount` slices along `dim`, drawn at random."""

    PRUNING_TYPE = "structured"

    def __init__(self, amount: Any, dim: int = -1) -> None:
        _check_amount(amount)
        self.amount = amount
        self.dim = dim

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        _check_slices(t, self.dim)
        size = t.shape[self.dim]
        count = _count(self.amount, size)
        if count == 0:
            return default_mask
        gone = flambeau.topk(flambeau.rand(size), k=count, largest=False)[1]
        return _slices_pruned(t, default_mask, self.dim, gone)


class LnStructured(BasePruningMethod):
    """Prunes the `amount` slices along `dim` whose `n`-norms are smallest."""

    PRUNING_TYPE = "structured"

    def __init__(self, amount: Any, n: Any, dim: int = -1) -> None:
        _check_amount(amount)
        self.amount = amount
        self.n = n
        self.dim = dim

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        _check_slices(t, self.dim)
        count = _count(self.amount, t.shape[self.dim])
        if count == 0:
            return default_mask
        others = [axis for axis in range(t.dim()) if axis != self.dim % t.dim()]
        norms = flambeau.norm(t, p=self.n, dim=others)
        gone = flambeau.topk(norms, k=count, largest=False)[1]
        return _slices_pruned(t, default_mask, self.dim, gone)


class CustomFromMask(BasePruningMethod):
    """Prunes what a mask says."""

    PRUNING_TYPE = "global"

    def __init__(self, mask: Tensor) -> None:
        self.mask = mask

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        assert default_mask.shape == self.mask.shape
        return default_mask * self.mask.to(dtype=default_mask.dtype)


# -- functions ------------------------------------------------------------------------------------


def identity(module: Any, name: str) -> Any:
    """Masks the parameter `name` of a module with ones; returns the module, as all of these do."""
    Identity.apply(module, name)
    return module


def random_unstructured(module: Any, name: str, amount: Any) -> Any:
    """Prunes `amount` (a number, or a share) entries, drawn at random."""
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(
    module: Any, name: str, amount: Any, importance_scores: Tensor | None = None
) -> Any:
    """Prunes the `amount` entries that are smallest, or whose scores are."""
    L1Unstructured.apply(module, name, amount=amount, importance_scores=importance_scores)
    return module


def random_structured(module: Any, name: str, amount: Any, dim: int) -> Any:
    """Prunes `amount` slices along `dim`, drawn at random."""
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(
    module: Any, name: str, amount: Any, n: Any, dim: int, importance_scores: Tensor | None = None
) -> Any:
    """Prunes the `amount` slices along `dim` whose `n`-norms are smallest."""
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def custom_from_mask(module: Any, name: str, mask: Tensor) -> Any:
    """Prunes what `mask` says."""
    CustomFromMask.apply(module, name, mask)
    return module


def global_unstructured(
    parameters: Iterable[tuple[Any, str]],
    pruning_method: Any,
    importance_scores: dict[tuple[Any, str], Tensor] | None = None,
    **kwargs: Any,
) -> None:
    """Prunes the (module, name) pairs as if they were one vector."""
    if not isinstance(parameters, Iterable):
        raise TypeError("global_unstructured(): parameters is not an Iterable")
    parameters = list(parameters)
    scores = {} if importance_scores is None else importance_scores
    if not isinstance(scores, dict):
        raise TypeError("global_unstructured(): importance_scores must be of type dict")
    values = [scores.get(each, getattr(*each)).detach().reshape(-1) for each in parameters]
    masks = [
        getattr(module, name + "_mask", flambeau.ones_like(getattr(module, name))).reshape(-1)
        for module, name in parameters
    ]
    container = PruningContainer()
    container._tensor_name = "temp"
    method = pruning_method(**kwargs)
    method._tensor_name = "temp"
    container.add_pruning_method(method)
    if method.PRUNING_TYPE != "unstructured":
        raise TypeError(
            'Only "unstructured" PRUNING_TYPE supported for the `pruning_method`. Found method '
            f"{pruning_method} of type {method.PRUNING_TYPE}"
        )
    mask = container.compute_mask(flambeau.cat(values), flambeau.cat(masks))
    start = 0
    for module, name in parameters:
        parameter = getattr(module, name)
        part = mask[start : start + parameter.numel()].view(parameter.shape)
        custom_from_mask(module, name, mask=part)
        start += parameter.numel()


def remove(module: Any, name: str) -> Any:
    """Makes what is pruned final: the parameter is an ordinary one again."""
    method = _method_of(module, name)
    if method is None:
        raise ValueError(
            f"Parameter '{name}' of module {module} has to be pruned before pruning can be removed"
        )
    method.remove(module)
    _forget(module, method)
    return module


def is_pruned(module: Any) -> bool:
    """Whether a parameter of the module, or of one in it, is pruned."""
    return any(
        isinstance(hook, BasePruningMethod)
        for each in module.modules()
        for hook in each._forward_pre_hooks.values()
    )
