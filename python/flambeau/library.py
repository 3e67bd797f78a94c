"""Operations that a library defines: `custom_op("ns::name", ...)` makes a function that is also
`torch.ops.ns.name`, with a gradient if one is registered.
"""

from __future__ import annotations

import inspect
from typing import Any, Callable

import flambeau
from flambeau._absent import attribute, feature

__all__ = [
    "CustomOpDef", "Library", "custom_op", "define", "fallthrough_kernel", "impl", "impl_abstract",
    "infer_schema", "opcheck", "register_autocast", "register_autograd", "register_fake",
    "register_kernel", "register_torch_dispatch", "register_vmap", "triton_op", "wrap_triton",
]  # fmt: skip

_definitions: dict[str, CustomOpDef] = {}


class CustomOpDef:
    """An operation that is a function of Python's, under its name "ns::name"."""

    def __init__(
        self, name: str, function: Callable[..., Any], signature: inspect.Signature
    ) -> None:
        self._qualname = name
        self._namespace, _, self._name = name.partition("::")
        self._function = function
        self._signature = signature
        self._backward: Callable[..., Any] | None = None
        self._setup_context: Callable[..., Any] | None = None
        self._differentiable: Any = None
        self._abstract: Callable[..., Any] | None = None
        self.__name__ = self._name
        self.__doc__ = function.__doc__

    def __repr__(self) -> str:
        return f"<CustomOpDef({self._qualname})>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._backward is None:
            with flambeau.no_grad():
                return self._function(*args, **kwargs)
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return self._differentiable.apply(*bound.arguments.values())

    def register_kernel(self, device_types: Any, func: Any = None, /) -> Any:
        """The function for some devices; that for the CPU is what calls run."""
        if func is None:
            return lambda function: self.register_kernel(device_types, function)
        given = [device_types] if isinstance(device_types, str) else device_types
        if given is None or "cpu" in given:
            self._function = func
        return func

    def register_fake(self, fn: Any, /) -> Any:
        """What infers shapes without computing. Kept: nothing here asks for it, as Python always really runs."""
        self._abstract = fn
        return fn

    def register_autograd(self, backward: Any, /, *, setup_context: Any = None) -> None:
        """The gradient: `backward(ctx, *grads)`, with what `setup_context(ctx, inputs, output)` saved."""
        self._backward = backward
        self._setup_context = setup_context
        operation = self

        def forward(*args: Any) -> Any:
            return operation._function(*args)

        def save(ctx: Any, inputs: Any, output: Any) -> None:
            if operation._setup_context is not None:
                operation._setup_context(ctx, inputs, output)

        self._differentiable = type(
            self._name,
            (flambeau.autograd.Function,),
            {
                "forward": staticmethod(forward),
                "setup_context": staticmethod(save),
                "backward": staticmethod(lambda ctx, *grads: operation._backward(ctx, *grads)),  # type: ignore[misc]
            },
        )

    def register_vmap(self, func: Any = None) -> Any:
        raise feature("library.register_vmap")

    def register_autocast(self, device_type: str, cast_inputs: Any) -> None:
        """Kept for autocast."""

    def set_kernel_enabled(self, device_type: str, enabled: bool = True) -> Any:
        raise feature("library.CustomOpDef.set_kernel_enabled")


def _names_of_schema(schema: str) -> inspect.Signature:
    """The parameters of "(Tensor x, int n=1, *, float y) -> Tensor"."""
    depth, quoted, start, parts = 0, "", 1, []
    end = schema.rindex(")", 0, schema.index("->") if "->" in schema else None)
    text = schema[schema.index("(") : end]
    for position, letter in enumerate(text):
        if letter in "\"'" and quoted in ("", letter):
            quoted = "" if quoted else letter
        if quoted:
            continue
        depth += letter in "([" and position > 0
        depth -= letter in ")]"
        if letter == "," and depth == 0:
            parts.append(text[start:position])
            start = position + 1
    parts.append(text[start:])
    kind: Any = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = []
    for part in filter(None, map(str.strip, parts)):
        if part == "*":
            kind = inspect.Parameter.KEYWORD_ONLY
            continue
        declaration, equals, default = part.partition("=")
        value = _default(default.strip()) if equals else inspect.Parameter.empty
        parameters.append(inspect.Parameter(declaration.split()[-1], kind, default=value))
    return inspect.Signature(parameters)


def _default(text: str) -> Any:
    words = {"None": None, "True": True, "False": False}
    if text in words:
        return words[text]
    if text[:1] in "\"'":
        return text[1:-1]
    if text.startswith("["):
        return [_default(part.strip()) for part in text[1:-1].split(",") if part.strip()]
    return float(text) if any(letter in text for letter in ".e") else int(text)


def custom_op(
    name: str,
    fn: Any = None,
    /,
    *,
    mutates_args: Any,
    device_types: Any = None,
    schema: str | None = None,
    tags: Any = None,
) -> Any:
    """Makes a function of Python's the operation "ns::name". A decorator if there is no `fn`."""
    if fn is None:
        return lambda function: custom_op(
            name, function, mutates_args=mutates_args, device_types=device_types, schema=schema
        )
    if name.count("::") != 1:
        raise ValueError(f"custom_op: the name must be 'namespace::name', got '{name}'")
    signature = inspect.signature(fn) if schema is None else _names_of_schema(schema)
    operation = CustomOpDef(name, fn, signature)
    _definitions[name] = operation
    return operation


triton_op = custom_op


def _definition(op: Any) -> CustomOpDef:
    name = op if isinstance(op, str) else getattr(op, "_qualname", None)
    if name not in _definitions:
        raise RuntimeError(f"torch.library: there is no operation '{name}'; define it first")
    return _definitions[name]


def register_kernel(op: Any, device_types: Any, func: Any = None, /, *, lib: Any = None) -> Any:
    return _definition(op).register_kernel(device_types, func)


def register_fake(
    op: Any,
    func: Any = None,
    /,
    *,
    lib: Any = None,
    _stacklevel: int = 1,
    allow_override: bool = False,
) -> Any:
    if func is None:
        return lambda function: register_fake(op, function)
    return _definition(op).register_fake(func)


impl_abstract = register_fake


def register_autograd(
    op: Any, backward: Any, /, *, setup_context: Any = None, lib: Any = None
) -> None:
    _definition(op).register_autograd(backward, setup_context=setup_context)


def register_vmap(op: Any, func: Any = None, /, *, lib: Any = None) -> Any:
    raise feature("library.register_vmap")


def register_autocast(op: Any, device_type: str, cast_inputs: Any, /, *, lib: Any = None) -> None:
    _definition(op).register_autocast(device_type, cast_inputs)


def register_torch_dispatch(
    op: Any, torch_dispatch_class: Any, func: Any = None, /, *, lib: Any = None
) -> Any:
    raise feature("library.register_torch_dispatch")


def opcheck(op: Any, *args: Any, **kwargs: Any) -> Any:
    raise feature("library.opcheck")


def infer_schema(
    prototype_function: Any, /, *, mutates_args: Any, op_name: str | None = None
) -> str:
    raise feature("library.infer_schema")


def wrap_triton(triton_kernel: Any, /) -> Any:
    raise feature("library.wrap_triton")


def fallthrough_kernel() -> None:
    raise NotImplementedError("fallthrough_kernel() should never be called.")


def _missing(name: str) -> Callable[..., Any]:
    def missing(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{name}: no function was given for the CPU (torch.library.impl)")

    return missing


def define(qualname: str, schema: str, *, lib: Any = None, tags: Any = ()) -> None:
    """Declares the operation "ns::name" with a schema; `impl` gives its function."""
    _definitions[qualname] = CustomOpDef(qualname, _missing(qualname), _names_of_schema(schema))


def impl(qualname: Any, types: Any, func: Any = None, *, lib: Any = None) -> Any:
    """Gives a declared operation its function for devices ("cpu", "CPU", "default", ...)."""
    if func is None:
        return lambda function: impl(qualname, types, function, lib=lib)
    given = [types] if isinstance(types, str) else list(types)
    if any(
        kind.lower() in ("cpu", "default", "compositeexplicitautograd", "compositeimplicitautograd")
        for kind in given
    ):
        _definition(qualname).register_kernel(None, func)
    return func


class Library:
    """Operations of one namespace: `define` declares them, `impl` gives their functions."""

    def __init__(self, ns: str, kind: str, dispatch_key: str = "") -> None:
        if kind not in ("DEF", "IMPL", "FRAGMENT"):
            raise ValueError(f"Unsupported kind: {kind}")
        self.ns = ns
        self.kind = kind
        self.dispatch_key = dispatch_key

    def define(self, schema: str, alias_analysis: str = "", *, tags: Any = ()) -> str:
        name = schema[: schema.index("(")].strip()
        define(f"{self.ns}::{name}", schema)
        return name

    def impl(
        self, op_name: Any, fn: Any, dispatch_key: str = "", *, with_keyset: bool = False
    ) -> None:
        name = op_name if isinstance(op_name, str) else op_name._name
        qualified = name if "::" in name else f"{self.ns}::{name}"
        impl(qualified, dispatch_key or self.dispatch_key or "default", fn)


__getattr__ = attribute(__name__)
