"""Importing this makes `torch` the package Flambeau, in this process.

Python then knows the package by the name `torch`: its modules are `torch.nn`, its types print and pickle as
`torch.Tensor`, and `flambeau.X` is the same module object as `torch.X`. Where `flambeau` was imported
before this, it keeps that name and `torch.X` is the alias. There is no list of names: any module of the
package is found under both.

This file stands alone (a `.pth` file imports it whenever Python starts), so it imports only what Python has
loaded by then.
"""

from __future__ import annotations

import sys
from types import ModuleType

_NAMES = ("torch", "flambeau")


class _Alias:
    """Loads a module by importing it under its other name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def create_module(self, spec: object) -> ModuleType:
        import importlib

        module = importlib.import_module(self.name)
        self.spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        # Import has given the module the alias's specification; it is the real one's.
        module.__spec__ = self.spec


class Finder:
    """Finds `torch`, and each name under which the package is not loaded as an alias."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> object:
        head, dot, rest = name.partition(".")
        if head not in _NAMES:
            return None
        loaded = sys.modules.get("flambeau")
        native = "torch" if loaded is None else loaded.__name__
        if head != native:
            return _alias(name, native + dot + rest)
        return _package(native) if not rest else None


def _alias(name: str, real: str) -> object:
    """`name` for the module `real`; None if there is none."""
    from importlib.machinery import ModuleSpec
    from importlib.util import find_spec, spec_from_file_location

    found = find_spec(real)
    if found is None:
        return None
    if name.endswith(".__main__"):  # `python -m flambeau` runs this file and imports nothing.
        return spec_from_file_location(name, found.origin)
    package = found.submodule_search_locations is not None
    return ModuleSpec(name, _Alias(real), is_package=package)  # type: ignore[arg-type]


def _package(name: str) -> object:
    """The package Flambeau as `name`; None if it is not installed."""
    from importlib.machinery import PathFinder
    from importlib.util import spec_from_file_location

    found = PathFinder.find_spec("flambeau")
    if found is None or found.origin is None:
        return None
    places = list(found.submodule_search_locations or ())
    return spec_from_file_location(name, found.origin, submodule_search_locations=places)


def install() -> None:
    if not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, Finder())  # type: ignore[arg-type]


install()
