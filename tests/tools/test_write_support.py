"""docs/bring_your_script.md says what the tests and the code say (tools/write_support.py)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import write_support  # noqa: E402


def test_the_page_is_current() -> None:
    command = [sys.executable, str(ROOT / "tools" / "write_support.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_refusals_are_found(tmp_path: Path) -> None:
    files = {
        "python/flambeau/part.py": (
            'def f(x):\n    raise feature("part.f")\n'
            'def g(x):\n    raise feature(f"part.g({x})")\n'
            'def h(x):\n    raise NotImplementedError("subclasses define it")\n'
        ),
        "src/autograd/tape.cpp": (
            "void f() {\n  check<NotImplementedError>(ok(a, b), [&] {\n"
            '    return concat("tape: ", name, " has no "\n                  "second \\"run\\"; use another");\n  });\n'
            '  check(ok(c), "tape: not a refusal");\n}\n'
        ),
        "src/ops/pool.cpp": 'auto f = NotImplementedError("pool: takes 3-d input");\n',
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert write_support.refusals(tmp_path) == {
        "python/flambeau/part.py": ["`torch.part.f`", "`torch.part.g(...)`"],
        "src/autograd/tape.cpp": ['*tape: ... has no second "run"; use another*'],
    }


def test_names_of_tests_are_sentences() -> None:
    def test_what_pytorch_wrote() -> None: ...

    assert write_support.sentence(test_what_pytorch_wrote) == "what PyTorch wrote"
    assert write_support.paragraph("One\nline.\n\nMore.") == "One line"
