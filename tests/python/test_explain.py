"""`flambeau explain`: the script runs as it does without, and what it did is told in any case."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flambeau as torch
import pytest

COMPILED = "import os, sys, torch\nf = torch.compile(lambda x: (x * 2).sum())\n"


def explain(
    tmp_path: Path, source: str, *options: str, name: str = "script.py", **settings: Any
) -> subprocess.CompletedProcess[str]:
    script = tmp_path / name
    script.write_text(source)
    return subprocess.run(
        [sys.executable, "-m", "flambeau", "explain", *options, name],
        cwd=tmp_path,
        env=os.environ | settings.pop("environment", {}),
        text=True,
        check=False,
        timeout=120,
        **({"capture_output": True} | settings),
    )


def test_a_script_runs_as_it_does_without_explain(tmp_path: Path) -> None:
    source = (
        "import atexit, multiprocessing, sys, threading\n"
        "import torch\n"
        "from torch.utils.data import DataLoader, TensorDataset\n"
        "f = torch.compile(lambda x: (x * 2).sum())\n"
        "class Mine: pass\n"
        "def work(i): return f(torch.full((3,), float(i))).item()\n"
        "def late():\n"
        "    import __main__\n"
        "    print('late', __main__.Mine is Mine)\n"
        "if __name__ == '__main__':\n"
        "    atexit.register(late)\n"
        "    print(sys.argv, sys.path[0], __file__, __spec__, vars(sys.modules['__main__']) is globals())\n"
        "    print(sorted(globals()), threading.active_count(), torch.Tensor)\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        print(pool.map(work, [1, 2]))\n"
        "    data = TensorDataset(torch.ones(4))\n"
        "    print(len([*DataLoader(data, 2, num_workers=1, multiprocessing_context='spawn')]))\n"
        "    print(work(3))\n"
    )
    done = explain(tmp_path, source)
    assert done.returncode == 0, done.stderr
    alone = subprocess.run(
        [sys.executable, "-m", "flambeau", "script.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    *own, _ = alone.stdout.splitlines(keepends=True)
    assert "[6.0, 12.0]\n" in own
    assert done.stdout.startswith("".join(own))
    assert done.stdout.endswith("\nlate True\n")
    assert "program 0: 2 runs" in done.stdout
    assert f"script.py:{source[: source.index('def work')].count(chr(10)) + 1}\n" in done.stdout


@pytest.mark.parametrize("how", ["sys.argv.pop()", "sys.argv[:] = []", "os.chdir('/')"])
def test_arguments_and_folder_may_change(tmp_path: Path, how: str) -> None:
    done = explain(
        tmp_path, COMPILED + how + "\nf(torch.ones(2)).item()\nraise ValueError('mine')\n"
    )
    assert done.returncode == 1
    assert "program 0: " in done.stdout
    assert done.stderr == (
        f'Traceback (most recent call last):\n  File "{tmp_path}/script.py", line 5, in <module>\n'
        "    raise ValueError('mine')\nValueError: mine\n"
    )


def test_how_a_script_ends(tmp_path: Path) -> None:
    for end, status, error in (
        ("sys.exit()", 0, ""),
        ("sys.exit('words')", 1, "words\n"),
        ("os._exit(4)", 4, ""),
        ("def (", 1, None),
        ("if os.fork() == 0: sys.exit(7)\nos.wait()", 0, ""),
    ):
        done = explain(tmp_path, f"{COMPILED}f(torch.ones(2)).item()\n{end}\n")
        assert done.returncode == status, end
        if error is None:
            lines = f'  File "{tmp_path}/script.py", line 4\n    def (\n        ^\n'
            assert done.stderr == lines + "SyntaxError: invalid syntax\n"
            assert done.stdout == ""
        else:
            assert done.stderr == error
            assert done.stdout.count("program 0: ") == (status != 4)


@pytest.mark.parametrize("source", ["", "pass", "import sys; sys.exit()", "x = 1\nif not x: y = 2"])
def test_a_script_without_compiled_programs_has_succeeded(tmp_path: Path, source: str) -> None:
    done = explain(tmp_path, source, "--html", "page")
    assert (done.returncode, done.stderr) == (0, "")
    told = "no compiled program ran: does the script call flambeau.compile?\n"
    assert done.stdout == f"{told}wrote {tmp_path}/page\n"
    assert "no compiled program ran" in (tmp_path / "page").read_text()


def test_what_cannot_begin_is_told_of_as_python_does(tmp_path: Path) -> None:
    for folder, source in (
        ("none", None),
        ("broken", "x = ("),
        ("good", "import sys; sys.exit(5)"),
    ):
        (tmp_path / folder).mkdir()
        if source is not None:
            (tmp_path / folder / "__main__.py").write_text(source)
    (tmp_path / "latin.py").write_bytes(b"x = 1\ny = '\xff'\n")
    (tmp_path / "broken.py").write_text("x = (\n")
    for name, status, last in (
        ("broken.py", 1, "SyntaxError: '(' was never closed"),
        ("latin.py", 1, "SyntaxError: "),
        ("none", 1, f"{sys.executable}: can't find '__main__' module in '{tmp_path}/none'"),
        ("broken", 1, "SyntaxError: '(' was never closed"),
        ("good", 5, ""),
        (
            "nowhere.py",
            2,
            "flambeau: explain: 'nowhere.py' cannot be read: No such file or directory",
        ),
    ):
        command = [sys.executable, "-m", "flambeau", "explain", "--html", "page", name]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == status, name
        lines = done.stderr.splitlines()
        assert (lines[-1] if lines else "").startswith(last), name
        assert "_explain" not in done.stderr, name
        assert ("no compiled program ran" in done.stdout) == (name == "good"), name
        assert (tmp_path / "page").exists() == (name == "good"), name
        (tmp_path / "page").unlink(missing_ok=True)


def test_a_script_may_be_read_once_only() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flambeau", "explain", "/dev/stdin"],
        input="print(3)",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("3\nno compiled program ran")


def test_interrupts_are_the_scripts(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        COMPILED + "x = torch.ones(2)\nprint(f(x).item(), flush=True)\nwhile True: f(x).item()\n"
    )
    command = [sys.executable, "-m", "flambeau", "explain", str(script)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        try:
            running.stdout.readline()
            running.send_signal(signal.SIGINT)
            out, error = running.communicate(timeout=60)
        finally:
            running.kill()
    assert running.returncode == -signal.SIGINT
    assert "program 0: " in out
    assert error.endswith("\nKeyboardInterrupt\n")
    assert "_explain_script" not in error


def test_the_page_is_checked_before_the_script_runs(tmp_path: Path) -> None:
    ran = COMPILED + "print('ran')\nf(torch.ones(2)).item()\n"
    (tmp_path / "folder").mkdir()
    for page, why in (("folder", "Is a directory"), ("none/page", "No such file or directory")):
        done = explain(tmp_path, ran, "--html", page)
        assert (done.returncode, done.stdout) == (2, "")
        path = tmp_path / page
        assert done.stderr == f"flambeau: explain: '{path}' cannot be written: {why}\n"
    done = explain(tmp_path, "import os; os._exit(3)", "--html", "page")
    assert done.returncode == 3
    assert not (tmp_path / "page").exists()


def test_a_page_that_cannot_be_written_costs_nothing_else(tmp_path: Path) -> None:
    ran = COMPILED + "f(torch.ones(2)).item()\n"
    line = "flambeau: explain: '/dev/full' is not written: No space left on device\n"
    for end, status, error in (
        ("", 1, line),
        ("sys.exit(3)", 3, line),
        ("raise ValueError('mine')", 1, line + "Traceback"),
    ):
        done = explain(tmp_path, ran + end, "--html", "/dev/full")
        assert done.returncode == status
        assert "program 0: " in done.stdout
        assert done.stderr.startswith(error)
        assert ("mine" in done.stderr) == ("mine" in end)


def test_the_report_is_written_somewhere(tmp_path: Path) -> None:
    ran = COMPILED + "f(torch.ones(2)).item()\n"
    closed = explain(tmp_path, ran + "sys.stdout.close()\n")
    assert (closed.returncode, closed.stdout) == (0, "")
    assert closed.stderr.startswith("program 0: ")
    other = explain(tmp_path, ran + "import io\nsys.stdout = io.StringIO()\n")
    assert other.stdout.startswith("program 0: ")
    with open("/dev/full", "w") as full:
        settings: dict[str, Any] = {"stdout": full, "stderr": subprocess.PIPE}
        done = explain(tmp_path, ran, capture_output=False, **settings)
    assert done.stderr.startswith("program 0: ")
    ascii_only = explain(
        tmp_path, ran, "--html", "page", name="é.py", environment={"PYTHONIOENCODING": "ascii"}
    )
    assert ascii_only.returncode == 0, ascii_only.stderr
    assert "\\xe9.py:3\n" in ascii_only.stdout
    assert "é.py:3" in (tmp_path / "page").read_text(encoding="utf-8")
    assert torch.compiler.Explanation([]).html()


def test_a_page_takes_any_name(tmp_path: Path) -> None:
    def named(x: Any) -> Any:
        return x + 1

    told = torch.compiler.explain(named)(torch.ones(2))
    told.programs[0]["ended"] = "read at \udcff.py"
    told.save(tmp_path / "page")
    assert "\\udcff.py" in (tmp_path / "page").read_text(encoding="utf-8")


def test_no_arguments_are_asked_for() -> None:
    command = [sys.executable, "-m", "flambeau", "explain"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.endswith("the following arguments are required: script\n")


def double(x: Any) -> Any:
    return x * 2


def test_collections_nest(tmp_path: Path) -> None:
    compiler = torch.compiler
    inner = []

    def outer(x: Any) -> Any:
        before = (x + 1).tolist()
        inner.append(compiler.explain(double)(x))
        assert compiler.bisect(double)(x) is None
        return before, (x + 3).tolist()

    told = compiler.explain(outer)(torch.ones(3))
    assert [each.graph_count for each in inner] == [1, 1]
    ops = [op for program in told.programs for region in program["regions"] for op in region["ops"]]
    assert set(ops) == {"add", "mul"}
    assert told.graph_count > 3  # those before, of the inner ones, and after
    assert compiler.explain(double)(torch.ones(3)).graph_count == 1
    source = (
        "import torch\nf = lambda x: x * 2\n"
        "told = torch.compiler.explain(f)(torch.ones(3))\n"
        "print(told.graph_count, torch.compile(lambda x: (x + 1).sum())(torch.ones(3)).item())\n"
    )
    done = explain(tmp_path, source)
    assert done.stdout.startswith("1 6.0\nprogram 0: 1 runs")
    assert "\n  ran 2 times: " in done.stdout
    assert "program 1: 2 runs" in done.stdout


def test_listeners_are_told_what_comes_while_they_listen() -> None:
    from flambeau import _collected

    told: list[list[dict[str, Any]]] = [[{"what": 1}], [{"what": 2}], [{"what": 3}]]
    source = _collected.Collected(lambda: None, lambda: told.pop(0) if told else [], lambda: None)
    outer: list[Any] = []
    inner: list[Any] = []
    with source.told_to(outer.extend), source.told_to(inner.extend):
        pass
    assert [each["what"] for each in outer] == [1, 2, 3]
    assert [each["what"] for each in inner] == [2]


STEPS = """
import resource, sys
import torch
model = torch.nn.Sequential(*[torch.nn.Linear(32, 32) for _ in range(6)])
step = torch.compile(model)
optimizer = torch.optim.Adam(model.parameters())
for _ in range({steps}):
    optimizer.zero_grad()
    loss = step(torch.ones(4, 32)).sum()
    loss.backward()
    optimizer.step()
    loss.item()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_steps_that_are_the_same_are_told_of_once(tmp_path: Path) -> None:
    peaks = []
    for steps in (100, 2000):
        done = explain(tmp_path, STEPS.format(steps=steps), "--html", "page")
        assert done.returncode == 0, done.stderr
        peak, *lines = done.stdout.splitlines()
        peaks.append(int(peak))
        assert len(lines) < 1000
        heads = [i for i, line in enumerate(lines) if line.startswith("program ")]
        times = [int(lines[i + 1].split()[1]) if "  ran " in lines[i + 1] else 1 for i in heads]
        assert sum(times) == steps  # none is lost
        assert len(times) < 15  # the first ones ran while kernels were compiled
        page = (tmp_path / "page").read_text()
        assert f"It ran {max(times)} times: " in page
        assert len(page) < 2e6
    assert peaks[1] < peaks[0] + 40, peaks


def test_runs_of_one_call_are_counted() -> None:
    def often(x: Any) -> list[float]:
        return [(x * 2).sum().item() for _ in range(300)]

    told = torch.compiler.explain(often)(torch.ones(3))
    assert told.graph_count == 300
    assert sum(program["times"] for program in told.programs) == 300
    assert len(told.programs) < 5
    assert told.launches == 300
    for program in told.programs:
        (region,) = program["regions"]
        assert 0 < region["seconds"] <= region["total_seconds"]
        assert region["seconds"] * program["times"] < 1000 * region["total_seconds"]
        (step,) = region["steps"]
        assert 0 < step["seconds"] <= step["total_seconds"] < region["total_seconds"]


def test_a_bar_leads_to_its_region() -> None:
    page = torch.compiler.explain(double)(torch.ones(3)).html()
    assert "href='#r0-0'" in page
    assert "id='r0-0'>" in page
    assert ".open = true" in page
    assert ".bar a:target" not in page


def test_costly_values_are_not_computed_again_for_each_user() -> None:
    def launches(values: Callable[[Any], Any]) -> int:
        def shifted(x: Any) -> Any:
            y = values(x)
            return y[:, 2:] + y[:, 1:-1] * 2 + y[:, :-2]

        return int(torch.compiler.explain(shifted)(torch.ones(300, 300)).launches)

    assert launches(lambda x: x * x + 1) == 1
    assert launches(lambda x: (x + 1).lgamma()) > 1


def test_async_functions_are_explained_by_what_runs_them() -> None:
    async def double(x: torch.Tensor) -> torch.Tensor:
        await asyncio.sleep(0)
        return (x * 2).sin()

    with pytest.raises(TypeError, match=r"double is async; .* asyncio.run"):
        torch.compiler.explain(double)
    told = torch.compiler.explain(lambda x: asyncio.run(double(x)))(torch.ones(4))
    assert [region["ops"] for region in told.programs[0]["regions"]] == [["mul", "sin"]]
