"""What a function may use: everything that it can get at through Python's objects.

From a function these are its closure, the globals that its code names and its defaults; from a
class its members, from an object its attributes and its class. Functions and classes of this
package, of NumPy and of the standard library are not looked into: they take what they use as
arguments. Nor are those of other installed packages that the code of such packages names: of these,
what the user's code and the used objects' methods name is looked at.
"""

from __future__ import annotations

import array
import contextlib
import contextvars
import dis
import functools
import importlib.util
import os
import sys
import threading
import types
import warnings
import weakref
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import _C, _watched
from .utils._pytree import take_apart

_PACKAGE = __name__.partition(".")[0]
#: What has no parts that could change.
_PLAIN = (int, float, complex, str, bytes, bool, type(None))
_MAX_BYTES = 16 << 20
#: With these, code asks for names that are texts.
_BY_TEXT = {"getattr", "globals", "hasattr", "import_module", "vars", "__import__", "__dict__"}
_IS_PYTHONS = 1 << 9  # of a class's flags: it can change
#: What instances of these modules' classes hold does not matter to tensors.
_STATELESS = ("abc", "dataclasses", "importlib", "inspect", "logging", "typing")


class Reachable:
    """`holders`: (object, what it is to the user) of all whose parts may change, as
    _C's ObjectState takes them; the rest by kind."""

    def __init__(self) -> None:
        self.holders: list[tuple[Any, str]] = []
        self.tensors: dict[int, Any] = {}
        self.generators: list[Any] = []  # of random numbers, NumPy's
        self.iterators: list[tuple[Any, str]] = []
        self.too_large = ""  # an array whose bytes cannot be compared at each call
        self._seen: dict[int, Any] = {}
        self._modules: dict[int, types.ModuleType] = {}  # that are no globals of who uses them
        self._names: set[str] = set()  # of all code of the user's
        self._looked_at: dict[tuple[int, bool], set[str]] = {}  # names, by namespace
        self._held: set[Any] = set()  # classes of this package, names that are not there
        self._waiting: deque[tuple[Any, str]] = deque()
        self._hold(_watched.states, "this package")
        for state, where in _watched.states:
            self.visit(state, where)

    def visit(self, value: Any, where: str) -> None:
        self._waiting.append((value, where))

    def visit_argument(self, value: Any, where: str, inside: tuple[int, ...] = ()) -> None:
        """Tensors, and what else has a structure, may be others in each call."""
        if id(value) in inside:
            raise RuntimeError(f"compile: replay=True: {where} holds itself, which no argument may")
        if isinstance(value, _C.Tensor):
            for hook in _C._hooks_of(value):
                self.visit(hook, f"a hook of {where}")
            parts = [(f".{name}", attribute) for name, attribute in vars(value).items()]
        else:
            of_value = _parts_of_argument(value)
            if of_value is None:
                self.visit(value, where)
            parts = [(f"[{name!r}]", part) for name, part in of_value or ()]
        for name, part in parts:
            self.visit_argument(part, where + name, (*inside, id(value)))

    def finish(self) -> None:
        while self._waiting or self._look_at_modules():
            value, where = self._waiting.popleft()
            if type(value) in _PLAIN or id(value) in self._seen:
                continue
            self._seen[id(value)] = value
            self._look(value, where)

    def _hold(self, holder: Any, where: str) -> None:
        self.holders.append((holder, where))

    def _look(self, value: Any, where: str) -> None:
        if isinstance(value, type):
            self._look_at_class(value, where)
        elif isinstance(value, types.FunctionType):
            self._look_at_function(value, where)
        elif isinstance(value, types.MethodType):
            self.visit(value.__func__, where)
            self.visit(value.__self__, where)
        elif isinstance(value, (types.MethodWrapperType, types.BuiltinMethodType)):
            if not isinstance(value.__self__, types.ModuleType):
                self.visit(value.__self__, where)
        elif isinstance(value, (staticmethod, classmethod)):
            self.visit(value.__func__, where)
        elif isinstance(value, functools.cached_property):
            self.visit(value.func, where)
        elif isinstance(value, property):
            self.visit((value.fget, value.fset), where)
        elif isinstance(value, weakref.ref):
            self._hold(value, where)
            self.visit(value(), where)
        elif _is_iterator(value):
            self.iterators.append((value, where))
            self.visit(_reduced(value), where)
        elif _is_of(type(value), "numpy") or isinstance(value, (bytearray, array.array)):
            self._look_at_buffer(value, where)
        elif isinstance(value, types.ModuleType):  # what of it is used, code says
            self._modules[id(value)] = value
        else:
            self._look_at_parts(value, where)
            self._look_at_instance(value, where)

    def _look_at_parts(self, value: Any, where: str) -> None:
        """Those that there are: subclasses of dict may make others when they are asked."""
        if isinstance(value, _C.Tensor):
            self.tensors[id(value)] = value
            for hook in _C._hooks_of(value):
                self.visit(hook, f"a hook of {where}")
        elif isinstance(value, (dict, types.MappingProxyType)):
            self._hold(value, where)
            items = dict.items(value) if isinstance(value, dict) else value.items()
            for key, item in list(items):
                if not isinstance(key, _PLAIN):
                    self.visit(key, where)
                self.visit(item, f"{where}.{key}" if isinstance(key, str) else where)
        elif isinstance(value, (list, set, deque, tuple, frozenset)):
            if not isinstance(value, (tuple, frozenset)):
                self._hold(value, where)
            for i, item in enumerate(list(value)):
                self.visit(item, f"{where}[{i}]")
        elif isinstance(value, (functools.partial, functools.partialmethod)):
            self.visit((value.func, value.args, value.keywords), where)
        elif isinstance(value, contextvars.ContextVar):
            self._hold(value, where)
            self.visit(value.get(None), where)
        elif isinstance(value, functools._lru_cache_wrapper):
            self._hold(value, where)

    def _look_at_modules(self) -> bool:
        """What any code names of them. True if there is more to look at."""
        for module in self._modules.values():
            shallow = _is_library(module.__name__) or _is_installed(module.__name__)
            self._look_at_names(vars(module), self._names, shallow, libraries=False)
        return bool(self._waiting)

    def _look_at_class(self, kind: type, where: str) -> None:
        for base in kind.__mro__:
            is_ours = _is_of(base, _PACKAGE) and base.__flags__ & _IS_PYTHONS
            if is_ours and id(base) not in self._held:
                self._held.add(id(base))
                self._hold(base, where if base is kind else f"{where}'s base {base.__name__}")
        if _is_library(kind.__module__) or not kind.__flags__ & _IS_PYTHONS:
            return
        self._hold(kind, where)
        for name, member in list(vars(kind).items()):
            if not _is_special(name) or isinstance(member, types.FunctionType):
                self.visit(member, f"{where}.{name}")
        for base in kind.__bases__:
            self.visit(base, f"{where}'s base {base.__name__}")

    def _look_at_function(self, function: types.FunctionType, where: str) -> None:
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
            self._hold(cell, name)
            with contextlib.suppress(ValueError):  # an empty cell
                self.visit(cell.cell_contents, name)
        self.visit((function.__defaults__, function.__kwdefaults__), where)
        self.visit(getattr(function, "__wrapped__", None), where)
        module = function.__module__ or "__main__"  # None: of code that is in no module (exec)
        if _is_library(module):
            return
        self._hold(function, where)
        self.visit(function.__dict__, where)
        uses, shallow = _uses_of(function.__code__), _is_installed(module)
        asked_for = uses.texts if uses.names & _BY_TEXT else set()
        names = uses.names | asked_for
        namespace = function.__globals__
        if not shallow:
            self._names |= names
            imported = uses.imports(namespace.get("__package__"))
            # What is not there may be later.
            for holder, wanted in ((namespace, uses.globals), (sys.modules, imported)):
                for name in wanted - holder.keys():
                    self._hold_absent(holder, name)
            for name in (imported | asked_for) & sys.modules.keys():
                self.visit(sys.modules[name], name)
        self._look_at_names(namespace, names, shallow)

    def _hold_absent(self, namespace: dict[str, Any], name: str) -> None:
        if (id(namespace), name) not in self._held:
            self._held.add((id(namespace), name))
            self._hold((namespace, name), name)

    def _look_at_names(
        self, namespace: dict[str, Any], names: set[str], shallow: bool, libraries: bool = True
    ) -> None:
        """What code with these names may use of a module, and of the modules that this has."""
        known = self._looked_at.setdefault((id(namespace), shallow), set())
        fresh = names - known
        if not fresh:
            return
        known |= fresh
        if "getenv" in fresh and namespace is vars(os):
            self.visit(os.environ, "os.environ")
        for name in names & namespace.keys():
            value = namespace[name]
            if isinstance(value, types.ModuleType):
                if libraries or not _is_library(value.__name__):
                    self._look_at_names(vars(value), names, shallow, libraries)
            elif name in fresh:
                self._hold((namespace, name), name)
                if not shallow or not isinstance(value, (type, types.FunctionType)):
                    self.visit(value, name)

    def _look_at_buffer(self, value: Any, where: str) -> None:
        if hasattr(value, "bit_generator") or hasattr(value, "_bit_generator"):
            self.generators.append(value)
            return
        with contextlib.suppress(TypeError, BufferError, ValueError):
            view = memoryview(value)
            if view.readonly and not _is_written_elsewhere(value):
                return
            if view.nbytes > _MAX_BYTES:
                self.too_large = f"{where}, {view.nbytes} bytes"
            else:
                self._hold(value, where)

    def _look_at_instance(self, value: Any, where: str) -> None:
        kind = type(value)
        if any(_is_of(kind, package) for package in _STATELESS):
            return
        self.visit(kind, where)
        for base in kind.__mro__:
            slots = vars(base).get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else tuple(slots):
                if name in ("__dict__", "__weakref__"):
                    continue
                if name.startswith("__") and not _is_special(name):
                    name = f"_{base.__name__.lstrip('_')}{name}"
                self._hold((value, name), f"{where}.{name}")
                with contextlib.suppress(AttributeError):
                    self.visit(object.__getattribute__(value, name), f"{where}.{name}")
        if isinstance(value, threading.local):
            self._hold(value, where)
            for name, attribute in list(vars(value).items()):
                self.visit(attribute, f"{where}.{name}")
            return
        try:
            attributes = object.__getattribute__(value, "__dict__")
        except AttributeError:
            return
        if isinstance(attributes, dict):
            self.visit(attributes, where)


def _parts_of_argument(value: Any) -> list[tuple[Any, Any]] | None:
    if type(value) in (tuple, list):
        return list(enumerate(value))
    if type(value) is dict:
        return list(value.items())
    apart = None if isinstance(value, _PLAIN) else take_apart(value)
    return None if apart is None else list(enumerate(apart[0]))


def _is_written_elsewhere(array: Any) -> bool:
    """True of an array that is read-only itself, but a view of what may be written."""
    while (base := getattr(array, "base", None)) is not None:
        array = base
    with contextlib.suppress(TypeError, BufferError, ValueError):
        return not memoryview(array).readonly
    return True


def _is_iterator(value: Any) -> bool:
    kind = type(value)
    return kind.__module__ in ("builtins", "itertools") and hasattr(kind, "__next__")


def _reduced(iterator: Any) -> Any:
    """What an iterator that is no generator would be made of where it is; None: nothing says so."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with contextlib.suppress(TypeError):
            return iterator.__reduce__()[1:]
    return None


def iterator_state(iterator: Any) -> Any:
    """What tells whether an iterator has gone on; of generators always the same."""
    return _numbers(_reduced(iterator))


def _numbers(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_numbers(item) for item in value)
    if _is_iterator(value):
        return iterator_state(value)
    return value if isinstance(value, (int, float, complex)) else id(value)


def _is_special(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _is_of(kind: type, package: str) -> bool:
    name = kind.__module__
    return isinstance(name, str) and name.partition(".")[0] == package


def _is_library(module: Any) -> bool:
    """True of what is not looked into. Only some objects have a module's name; those of code that
    has none (exec) are in builtins."""
    name = module.partition(".")[0] if isinstance(module, str) else _PACKAGE
    return name in (_PACKAGE, "numpy") or (name in sys.stdlib_module_names and name != "builtins")


@functools.cache
def _is_installed_package(name: str) -> bool:
    paths = getattr(sys.modules.get(name), "__path__", None) or [
        getattr(sys.modules.get(name), "__file__", None) or ""
    ]
    return any(part in ("site-packages", "dist-packages") for p in paths for part in Path(p).parts)


def _is_installed(module: str) -> bool:
    # What is __main__ may be an installed program that runs the user's code: notebooks, pytest.
    return module != "__main__" and _is_installed_package(module.partition(".")[0])


_IMPORT, _EXTENDED = dis.opmap["IMPORT_NAME"], dis.opmap["EXTENDED_ARG"]
#: Operations that load a name from the globals, and how far left its number is shifted.
_LOADS = {dis.opmap["LOAD_NAME"]: 0, dis.opmap["LOAD_GLOBAL"]: int(sys.version_info >= (3, 11))}


def _globals(code: types.CodeType) -> Iterator[str]:
    """As dis finds them, which takes thirty times as long."""
    extended = 0
    for operation, argument in zip(code.co_code[::2], code.co_code[1::2]):
        number = argument | extended
        extended = number << 8 if operation == _EXTENDED else 0
        if operation in _LOADS:
            yield code.co_names[number >> _LOADS[operation]]


class _Uses:
    """What a function's code may use, its inner functions' included."""

    def __init__(self, code: types.CodeType) -> None:
        self.names: set[str] = set()  # of globals, attributes and modules
        self.globals: set[str] = set()
        self.texts: set[str] = set()  # that may be names
        self._imports: set[tuple[str, int, tuple[str, ...]]] = set()
        self._add(code)

    def _add(self, code: types.CodeType) -> None:
        self.names.update(code.co_names)
        self.globals.update(_globals(code))
        if _IMPORT in code.co_code[::2]:
            steps = list(dis.get_instructions(code))
            for level, of_it, step in zip(steps, steps[1:], steps[2:]):
                if step.opname == "IMPORT_NAME":
                    self._imports.add((step.argval, level.argval, of_it.argval or ()))
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self._add(constant)
            elif isinstance(constant, str) and all(p.isidentifier() for p in constant.split(".")):
                self.texts.add(constant)

    def imports(self, package: str | None) -> set[str]:
        """Names of modules that code of `package` imports."""
        found = set()
        for name, level, of_it in self._imports:
            with contextlib.suppress(ImportError, TypeError):  # there is no such package
                module = importlib.util.resolve_name("." * level + name, package)
                found |= {module, module.partition(".")[0]}
                found |= {f"{module}.{part}" for part in of_it if f"{module}.{part}" in sys.modules}
        return found


_uses_of = functools.lru_cache(4096)(_Uses)
