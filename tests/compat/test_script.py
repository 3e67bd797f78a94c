"""`python -m flambeau script.py` and `flambeau enable-torch`: programs that say `import torch`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import flambeau as package
import pytest

OURS = Path(package.__file__).parent.parent


def run(
    *arguments: object, check: bool = True, python: object = sys.executable, **environment: str
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(python), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )
    if check:
        assert done.returncode == 0, done.stderr
    return done


def flambeau(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    return run("-m", "flambeau", *arguments, **options)  # type: ignore[arg-type]


def test_torch_and_its_submodules_are_flambeau(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, importlib.metadata, importlib.util\n"
        "import torch, torch.nn as nn\n"
        "import torch.nn.functional as F\n"
        "from torch.utils.data import DataLoader\n"
        "import flambeau, flambeau.optim\n"
        "assert flambeau is torch and flambeau.nn is nn and flambeau.nn.functional is F\n"
        "assert sys.modules['flambeau.optim'] is sys.modules['torch.optim'] is torch.optim\n"
        "assert importlib.import_module('flambeau.utils.data').DataLoader is DataLoader\n"
        "assert importlib.metadata.version('torch') == torch.__version__ == '2.7.1'\n"
        "assert 'torch' in importlib.metadata.packages_distributions()['torch']\n"
        "assert importlib.util.find_spec('torch').name == torch.__spec__.name == 'torch'\n"
        "assert importlib.util.find_spec('torch.nosuch') is None\n"
        "assert importlib.util.find_spec('flambeau.nosuch') is None\n"
        "print(torch.Tensor, nn.Linear, torch.relu, type(torch.ones(1).abs()), __name__, __file__, sys.argv[1:])\n"
    )
    done = flambeau(script, "--flag", "-m")
    assert done.stdout == (
        "<class 'torch.Tensor'> <class 'torch.nn.modules.linear.Linear'> <function torch.relu> "
        f"<class 'torch.Tensor'> __main__ {script} ['--flag', '-m']\n"
    )


def test_modules_and_code_run_too(tmp_path: Path) -> None:
    (tmp_path / "tool.py").write_text(
        "import sys, torch; print(torch.ones(2).sum().item(), sys.argv[1:])"
    )
    assert flambeau("-m", "tool", "x", PYTHONPATH=str(tmp_path)).stdout == "2.0 ['x']\n"
    assert flambeau("-c", "import torch; print(torch.__version__)").stdout == "2.7.1\n"


def test_a_traceback_is_the_scripts_own(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import torch\n\ntorch.ones(2) @ torch.ones(3)\n")
    failed = flambeau(script, check=False)
    assert failed.returncode == 1
    lines = failed.stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1] == f'  File "{script}", line 3, in <module>'
    assert [line for line in lines if line.startswith("  File")] == [lines[1]]
    missing = flambeau(tmp_path / "no.py", check=False)
    assert missing.returncode == 2
    assert "no.py" in missing.stderr


def test_child_processes_and_workers_see_it(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import multiprocessing, subprocess, sys\n"
        "import torch\n"
        "from torch.utils.data import DataLoader, TensorDataset\n"
        "def square(x):\n"
        "    assert type(x) is torch.Tensor\n"
        "    return x * x\n"
        "if __name__ == '__main__':\n"
        "    child = [sys.executable, '-c', 'import torch; print(torch.Tensor)']\n"
        "    print(subprocess.run(child, capture_output=True, text=True).stdout, end='')\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        print(pool.map(square, [torch.tensor([3.0])]))\n"
        "    for method in ('fork', 'spawn'):\n"
        "        data = TensorDataset(torch.arange(4))\n"
        "        loader = DataLoader(data, 2, num_workers=1, multiprocessing_context=method)\n"
        "        print([batch for (batch,) in loader])\n"
    )
    batches = "[tensor([0, 1]), tensor([2, 3])]\n"
    assert flambeau(script).stdout == f"<class 'torch.Tensor'>\n[tensor([9.])]\n{batches}{batches}"


def test_a_sitecustomize_that_was_there_still_runs(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('site')")
    done = flambeau("-c", "import torch; print(torch.__name__)", PYTHONPATH=str(tmp_path))
    assert done.stdout.endswith("site\ntorch\n")


def test_flambeau_that_was_there_first_keeps_its_name() -> None:
    code = (
        "import flambeau, flambeau._script._flambeau_torch\n"
        "import torch, torch.nn.functional, torch.optim as optim\n"
        "assert torch is flambeau and optim is flambeau.optim\n"
        "assert torch.nn.functional is flambeau.nn.functional\n"
        "print(torch.Tensor, torch.__spec__.name)"
    )
    assert run("-c", code).stdout == "<class 'flambeau.Tensor'> flambeau\n"


def test_explain_runs_a_script_that_imports_torch(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import torch\nprint(torch.compile(lambda x: x + 1)(torch.ones(1)).item())")
    assert "program 0: 1 runs" in flambeau("explain", script).stdout


def test_explain_ends_quietly_where_nobody_reads_on(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import torch\nprint(torch.compile(lambda x: x + 1)(torch.ones(1)).item())")
    command = [sys.executable, "-m", "flambeau", "explain", script]
    explain = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert explain.stdout is not None
    explain.stdout.close()
    assert explain.communicate()[1] == ""
    assert explain.returncode == 1


def test_the_command_says_what_it_is() -> None:
    assert flambeau("--version").stdout == f"flambeau {package.version.flambeau}\n"
    assert flambeau().stdout == flambeau("--help").stdout
    wrong = flambeau("wrong", check=False)
    assert wrong.returncode == 2
    assert "invalid choice: 'wrong'" in wrong.stderr


def test_options_that_hide_the_environment_are_refused() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(OURS)!r}); sys.argv = ['flambeau', '-c', '1']\n"
        "from flambeau.__main__ import main; sys.exit(main())"
    )
    refused = run("-I", "-c", code, check=False)
    assert refused.returncode == 2
    assert "-E and -I" in refused.stderr


def install(packages: Path) -> None:
    """Puts the package there as a wheel does: without what those who build wheels leave out."""

    def copy(source: str, target: str) -> None:
        if source.endswith((".so", ".pack")):
            os.symlink(source, target)
        else:
            shutil.copy(source, target)

    left_out = shutil.ignore_patterns("*.dist-info", "__pycache__")
    shutil.copytree(OURS / "flambeau", packages / "flambeau", ignore=left_out, copy_function=copy)


@pytest.fixture
def environment(tmp_path: Path) -> tuple[Path, Path]:
    """A new virtual environment that has Flambeau: its Python and its packages' folder."""
    venv.create(tmp_path / "venv", symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    packages = Path(
        run(
            "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", python=python
        ).stdout.strip()
    )
    install(packages)
    (packages / "libraries.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return python, packages


def test_enable_and_disable(environment: tuple[Path, Path]) -> None:
    python, packages = environment
    before = sorted(packages.iterdir())
    plain = ["-c", "import torch, flambeau; print(torch is flambeau, torch.Tensor)"]
    assert run(*plain, python=python, check=False).returncode == 1
    flambeau("enable-torch", python=python)
    flambeau("enable-torch", python=python)  # Twice is as once.
    assert run(*plain, python=python).stdout == "True <class 'torch.Tensor'>\n"
    first = ["-c", "import flambeau; import torch; print(torch is flambeau, torch.Tensor)"]
    assert run(*first, python=python).stdout == "True <class 'torch.Tensor'>\n"
    version = "import importlib.metadata as m; print(m.version('torch'), len([*m.distributions(name='torch')]))"
    assert run("-c", version, python=python).stdout == "2.7.1 1\n"
    pip = ["-m", "pip", "--python", python, "install", "--no-index", "torch>=2.6"]
    assert "Requirement already satisfied: torch>=2.6" in run(*pip).stdout
    flambeau("disable-torch", python=python)
    assert sorted(packages.iterdir()) == before
    again = flambeau("disable-torch", python=python, check=False)
    assert again.returncode == 2
    assert "not enabled" in again.stderr


def test_pip_can_take_it_back(environment: tuple[Path, Path]) -> None:
    python, packages = environment
    before = sorted(packages.iterdir())
    flambeau("enable-torch", python=python)
    run("-m", "pip", "--python", python, "uninstall", "--yes", "torch")
    left = [path for path in packages.iterdir() if path.name != "__pycache__"]
    assert sorted(left) == before


def test_an_installed_package_has_the_distribution_torch(environment: tuple[Path, Path]) -> None:
    code = "import importlib.metadata as m; print(m.version('torch'), m.packages_distributions()['torch'])"
    assert flambeau("-c", code, python=environment[0]).stdout == "2.7.1 ['torch']\n"


def test_enable_refuses_where_pytorch_is(environment: tuple[Path, Path]) -> None:
    python, packages = environment
    information = packages / "torch-2.4.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 2.4.0\n")
    refused = flambeau("enable-torch", python=python, check=False)
    assert refused.returncode == 2
    assert "PyTorch 2.4.0 is installed in this environment" in refused.stderr
    assert not [*packages.glob("*flambeau*torch*")]
