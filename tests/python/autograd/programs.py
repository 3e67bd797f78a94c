"""Runs the programs of this folder. What PyTorch 2.7.1 printed for NAME.py is in NAME.txt:

    python tests/python/autograd/programs.py NAME...   # with PyTorch's Python: writes NAME.txt

A program finds `torch` among its globals, what prints its lines (`case`, `show`, `attempt`), `leaf`
and `custom`.
"""

from __future__ import annotations

import contextlib
import io
import runpy
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any, Callable

FOLDER = Path(__file__).parent


def run(name: str, torch: ModuleType) -> list[str]:
    """The lines that FOLDER/NAME.py prints where `torch` is that module."""

    def text(value: Any) -> str:
        if isinstance(value, torch.Tensor):
            return str(value.detach().tolist())
        if isinstance(value, (tuple, list)):
            return "(" + ", ".join(map(text, value)) + ")"
        return str(value)

    def show(label: str, *values: Any) -> None:
        print(label, "|", *map(text, values))

    def attempt(label: str, function: Callable[[], Any]) -> None:
        """Shows what the function gives, or the exception's type; and how many warnings came."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                values = function()
            except Exception as error:
                values = type(error).__name__
        warned = [f"{len(caught)} warned"] if caught else []
        show(label, *(values if isinstance(values, tuple) else (values,)), *warned)

    def case(function: Callable[[], Any]) -> None:
        """Runs the function at once, under its name."""
        attempt(function.__name__.replace("_", " "), function)

    def leaf(*values: float) -> Any:
        return torch.tensor(values, requires_grad=True)

    def custom(forward: Callable[..., Any], backward: Callable[..., Any]) -> Any:
        """A Function named Custom."""
        methods = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
        return type("Custom", (torch.autograd.Function,), methods)

    output = io.StringIO()
    helpers = (show, attempt, case, leaf, custom)
    names = {"torch": torch, **{helper.__name__: helper for helper in helpers}}
    with contextlib.redirect_stdout(output):
        runpy.run_path(str(FOLDER / f"{name}.py"), init_globals=names)
    return output.getvalue().splitlines()


if __name__ == "__main__":
    import torch as pytorch

    for program in sys.argv[1:]:
        (FOLDER / f"{program}.txt").write_text("\n".join(run(program, pytorch)) + "\n")
