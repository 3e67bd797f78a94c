"""The tool that writes docs/compatibility.md."""

from __future__ import annotations

import importlib.util
import pathlib
from typing import Any

TOOL = pathlib.Path(__file__).parents[2] / "tools" / "compare_names.py"


def tool() -> Any:
    spec = importlib.util.spec_from_file_location("compare_names", TOOL)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_names_and_signatures_are_compared() -> None:
    compare = tool()
    names = {
        "vmap": None,
        "nosuch": ["x"],
        "grad": ["func", "argnums", "has_aux"],
        "vjp": ["other"],
    }
    row = compare.row("torch.func", names, {"torch.func.vmap": 3, "torch.func.nosuch": 1})
    assert row["missing"] == ["nosuch"] and row["differing"] == [] and row["share"] == 0.75
    page = compare.page("2.7.1", [row])
    assert "| `torch.func` | 4 | 3 | 1 | 0 | 0 | 75.0 % |" in page
    assert "* `torch.func`: `nosuch`." in page


def test_the_page_has_every_namespace() -> None:
    compare = tool()
    page = compare.PAGE.read_text()
    for namespace in compare.NAMESPACES:
        assert f"| `{namespace}` |" in page
