"""tools/check_layers.py catches every kind of violation that it names, and nothing else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import check_layers  # noqa: E402

# A tree without violations: two operations, a primitive, a core operation.
CLEAN = {
    "src/base/error.h": "#pragma once\n",
    "src/ir/emitter.h": "enum class CoreOp : uint8_t {\n  Add,  // softmax\n  Select,\n};\n",
    "src/prim/table.cpp": (
        '#include "ir/emitter.h"\nauto doc = "softmax of nothing";\n'
        'RegisterPrimitive kExp{float_row<"exp", f>("e^a")};\n'
        'RegisterPrimitive kErf{{\n    .name = "erf", .doc = "like softmax"}};\n'
    ),
    "src/ops/softmax.cpp": (
        '#include "ops/registry.h"\n#include "prim/table.h"\n'
        'Op a{.schema = "softmax(Tensor self, int dim, *, "\n'
        '               "ScalarType? dtype=None) -> Tensor"};\n'
    ),
    "src/ops/pointwise.cpp": (
        'Op b{.schema = "exp(Tensor self) -> Tensor"};\n'
        'Op c{.schema = R"(add.Scalar(Tensor self, Scalar other) -> Tensor)"};\n'
        'Op d{.schema = "any(Tensor self) -> Tensor"};\n'
        'auto text = "mean(dim): nothing to reduce";\n'
    ),
    "src/ops/registry.h": "#pragma once\n",
    "src/prim/row.h": "enum class Operands : uint8_t { Any, Numbers };\n",
    "src/lower/kernel.cpp": 'auto row = find_primitive("exp");\n',
    "src/eager/dispatch.cpp": (
        '#include <vector>\n#include "ops/registry.h"\n'
        '// ops::softmax is "softmax"\nauto text = "softmax: no"; auto op = ops::find(name);\n'
    ),
    "src/nn/functional.cpp": '#include "optim/sgd.h"\nauto op = find("softmax");\n',
    "include/flambeau/nn.h": '#include "tensor/tensor.h"\n',
    "src/io/save.cpp": '#include "flambeau/nn.h"\n',
    "tests/nn/test.cpp": '#include "ops/softmax.h"\nauto op = "softmax";\n',
    "docs/page.md": "softmax\n",
}


def messages(tmp_path: Path, **changes: str) -> list[str]:
    """What the check says of CLEAN with files replaced; `__` stands for `/` and `.`."""
    files = CLEAN | {
        name.replace("__", "/").replace("_dot_", "."): text for name, text in changes.items()
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return [str(violation) for violation in check_layers.check(tmp_path, sorted(files))]


def test_clean_tree_passes(tmp_path: Path) -> None:
    assert messages(tmp_path) == []


def test_names_come_from_schemas(tmp_path: Path) -> None:
    messages(tmp_path)
    tree = check_layers.Tree(tmp_path, sorted(CLEAN))
    assert tree.operation_names() == {"softmax", "exp", "add", "any"}
    assert tree.primitive_names() == {"exp", "erf", "add", "select"}


VIOLATIONS = {
    "later layer": (
        {"src__base__error_dot_h": '#pragma once\n#include "tensor/tensor.h"\n'},
        "src/base/error.h:2: layer base includes tensor/tensor.h of the later layer tensor",
    ),
    "public header from a lower layer": (
        {"src__ir__dim_dot_h": '#include "flambeau/nn.h"\n'},
        "src/ir/dim.h:1: layer ir includes flambeau/nn.h of the later layer nn",
    ),
    "include between front end and binding": (
        {"src__nn__functional_dot_cpp": '#include "bind/module.h"\n'},
        "src/nn/functional.cpp:1: layer nn includes bind/module.h of the later layer bind",
    ),
    "unknown layer": (
        {"src__misc__a_dot_cpp": "int a;\n"},
        "src/misc/a.cpp:1: src/misc is not in the list of layers (tools/check_layers.py)",
    ),
    "header of an operation": (
        {"src__eager__a_dot_cpp": '\n#include "ops/softmax.h"\n'},
        "src/eager/a.cpp:2: includes ops/softmax.h; only ops/registry.h is public",
    ),
    "call of an operation": (
        {"src__nn__a_dot_cpp": "auto y =\n    ops::softmax(x, 1);\n"},
        "src/nn/a.cpp:2: calls ops::softmax",
    ),
    "literal": (
        {"src__eager__a_dot_cpp": 'if (name == "softmax") {}\n'},
        "src/eager/a.cpp:1: the string literal 'softmax' names an operation outside src/ops",
    ),
    "raw literal": (
        {"src__bind__a_dot_cpp": 'auto x = R"(softmax)";\n'},
        "src/bind/a.cpp:1: the string literal 'softmax' names an operation outside src/ops",
    ),
    "adjacent literals": (
        {"src__codegen__a_dot_cpp": 'auto x = "soft" "max";\n'},
        "src/codegen/a.cpp:1: the string literal 'softmax' names an operation outside src/ops",
    ),
    "primitive's name where no primitive is named": (
        {"src__autograd__a_dot_cpp": 'auto x = "exp";\n'},
        "src/autograd/a.cpp:1: the string literal 'exp' names an operation outside src/ops",
    ),
    "another layer's word": (
        {"src__eager__a_dot_h": "enum class Operands { Any };\n"},
        "src/eager/a.h:1: the enumerator 'any' names an operation outside src/ops",
    ),
    "enumerator": (
        {"src__lower__a_dot_h": "enum class Kind : int {\n  Exp = 1,\n  Softmax,\n};\n"},
        "src/lower/a.h:3: the enumerator 'softmax' names an operation outside src/ops",
    ),
    "enumerator with a prefix": (
        {"src__compile__a_dot_h": "enum Kind { kOther, kSoftmax };\n"},
        "src/compile/a.h:1: the enumerator 'softmax' names an operation outside src/ops",
    ),
    "long file": (
        {"src__ops__long_dot_cpp": "int a;\n" * 801},
        "src/ops/long.cpp:800: 801 lines; a file has at most 800",
    ),
    "left over": (
        {"docs__page_dot_md": "text\nTO" "DO: write\n"},
        "docs/page.md:2: says TO" "DO",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", VIOLATIONS)
def test_violation(kind: str, tmp_path: Path) -> None:
    changes, expected = VIOLATIONS[kind]
    assert messages(tmp_path, **changes) == [expected]


def test_exit_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    messages(tmp_path)
    monkeypatch.setattr(check_layers, "tracked_files", lambda root: sorted(CLEAN))
    monkeypatch.setattr(sys, "argv", ["check_layers.py", str(tmp_path)])
    assert check_layers.main() == 0
    (tmp_path / "src/eager/dispatch.cpp").write_text('auto a = "softmax";\n')
    assert check_layers.main() == 1
