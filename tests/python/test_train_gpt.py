"""The example that trains a GPT: interrupted and resumed, and against its C++ twin."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import resource
import shlex
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import flambeau
import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHON = [sys.executable, str(ROOT / "examples" / "train_gpt.py")]
# Beside the library that the package uses.
BUILD = (Path(flambeau.__file__).parent / "libflambeau_core.so").resolve().parents[1]
CPP = [str(BUILD / "bin" / "train_gpt")]
TINY = ["--layers", "2", "--width", "32", "--heads", "2", "--context", "16", "--batch", "4"]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small corpus with nested and skipped folders."""
    folder = tmp_path_factory.mktemp("text")
    for i in range(25):
        place = folder / ("inner" if i % 3 else ".") / f"file{i}.py"
        place.parent.mkdir(exist_ok=True)
        place.write_text(f"def f{i}(x):\n    return x * {i} + {i * i}\n" * 8)
    (folder / "tests").mkdir()
    (folder / "tests" / "skipped.py").write_text("never read" * 100)
    return folder


def run(
    program: list[str],
    out: Path,
    text: Path,
    *arguments: str,
    code: int = 0,
    before: Callable[[], None] | None = None,
) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [*program, *TINY, "--text", text, "--out", out, *arguments],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=before,
    )
    assert result.returncode == code, result.stdout + result.stderr
    return result


def losses(out: Path) -> list[str]:
    return (out / "losses.txt").read_text().splitlines()


@pytest.fixture(scope="module")
def whole(text: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The losses of an uninterrupted run of 60 steps, more than one epoch."""
    out = tmp_path_factory.mktemp("whole")
    result = run(PYTHON, out, text, "--steps", "60", "--sample", "20")
    assert "validation loss" in result.stdout
    assert "\ndef " in result.stdout
    assert (out / "loss.png").read_bytes().startswith(b"\x89PNG")
    numbers = [float(line.split()[1]) for line in losses(out)]
    assert len(numbers) == 60
    assert sum(numbers[-5:]) < 0.8 * sum(numbers[:5])
    return losses(out)


def test_cpp_gives_the_same_losses_to_the_bit(whole: list[str], text: Path, tmp_path: Path) -> None:
    run(CPP, tmp_path, text, "--steps", "60")
    assert losses(tmp_path) == whole


def test_one_thread_gives_the_same_losses(
    whole: list[str], text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import sys, runpy, flambeau; flambeau.set_num_threads(1); "
        "sys.argv = sys.argv[1:]; sys.path.insert(0, sys.argv[0].rpartition('/')[0]); "
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    run([sys.executable, "-c", code, PYTHON[1]], tmp_path, text, "--steps", "60", "--sample", "1")
    assert losses(tmp_path) == whole


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_resumes_after_a_signal(
    number: signal.Signals, whole: list[str], text: Path, tmp_path: Path
) -> None:
    command = [*PYTHON, *TINY, "--text", text, "--out", tmp_path, "--steps", "60", "--every", "7"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as training:
        assert training.stdout is not None
        # Past the first checkpoint, and far from the end.
        for line in training.stdout:
            if line.startswith("step 15/"):
                break
        training.send_signal(number)
        rest = training.stdout.read()
    if number == signal.SIGKILL:
        assert training.returncode == -number
    else:
        assert training.returncode == 130
        assert "To go on:" in rest
        assert rest.rstrip().endswith("--resume")
        program, script, *_ = shlex.split(rest.rstrip().splitlines()[-1])
        assert Path(program).samefile(sys.executable)
        assert Path(script).exists()
    done = len(losses(tmp_path))
    assert 7 <= done < 60
    result = run(PYTHON, tmp_path, text, "--resume", "--sample", "1")
    assert f"going on after step {done}" in result.stdout
    assert losses(tmp_path) == whole


def test_cpp_resumes(whole: list[str], text: Path, tmp_path: Path) -> None:
    command = [*CPP, *TINY, "--text", text, "--out", tmp_path, "--steps", "60"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as training:
        assert training.stdout is not None
        training.stdout.readline()  # step 50
        training.kill()
    assert len(losses(tmp_path)) >= 50
    run(CPP, tmp_path, text, "--steps", "60", "--resume")
    assert losses(tmp_path) == whole


def test_each_program_resumes_the_others_checkpoint(
    whole: list[str], text: Path, tmp_path: Path
) -> None:
    for first, second in ((PYTHON, CPP), (CPP, PYTHON)):
        out = tmp_path / Path(first[-1]).name
        command = [*first, *TINY, "--text", text, "--out", out, "--steps", "60"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as training:
            assert training.stdout is not None
            for line in training.stdout:
                if line.startswith(("step 51/", "step 50/")):
                    break
            training.kill()
        done = len(losses(out))
        assert 50 <= done < 60
        run(second, out, text, "--steps", "60", "--resume")
        assert losses(out) == whole


def test_stops_when_its_time_is_over(text: Path, tmp_path: Path) -> None:
    result = run(PYTHON, tmp_path, text, "--steps", "100000", "--seconds", "0")
    assert "Stopped after step 1;" in result.stdout
    assert len(losses(tmp_path)) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--resume", "to resume from; leave --resume out to begin"),
        ("--heads 3", "--width 32 is no multiple of --heads 3"),
        ("--steps 0", "expected a positive integer, got '0'"),
        ("--context 1000000", "too few for a batch of 4 windows of 1000000"),
        ("--text /nonexistent", "there are no .py files in /nonexistent"),
    ],
)
def test_bad_options(arguments: str, message: str, text: Path, tmp_path: Path) -> None:
    code = 2 if "positive" in message else 1
    result = run(PYTHON, tmp_path, text, *arguments.split(), code=code)
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_checkpoints_that_do_not_fit(text: Path, tmp_path: Path) -> None:
    run(PYTHON, tmp_path, text, "--steps", "2", "--sample", "1")
    result = run(PYTHON, tmp_path, text, "--resume", "--steps", "9", code=1)
    assert "was made with --steps 2, not 9" in result.stderr
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    result = run(PYTHON, tmp_path, text, "--resume", code=1)
    assert "not a valid safetensors file" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("program", [PYTHON, CPP], ids=["python", "cpp"])
def test_a_full_disk_leaves_what_was_there(program: list[str], text: Path, tmp_path: Path) -> None:
    def fill_disk() -> None:
        """A limit on the size of files fails writes as a full disk does."""
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    def contents() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    run(program, tmp_path, text, "--steps", "20", "--seed", "1")
    before = contents()
    result = run(program, tmp_path, text, "--steps", "20", code=1, before=fill_disk)
    assert "train_gpt: save_file: cannot write" in result.stderr
    assert "File too large; what was there is unchanged" in result.stderr
    assert "Traceback" not in result.stderr
    assert contents() == before


@pytest.mark.parametrize("program", [PYTHON, CPP], ids=["python", "cpp"])
def test_a_folder_that_cannot_be_made(program: list[str], text: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run(program, tmp_path / "file" / "run", text, "--steps", "2", code=1)
    assert "Not a directory" in result.stderr
    assert str(tmp_path / "file") in result.stderr
    assert "Traceback" not in result.stderr


def test_a_file_that_could_not_be_written_whole_is_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    import train_gpt

    def write_half(path: Path) -> None:
        path.write_text("ha")
        raise OSError("no room")

    (tmp_path / "x").write_text("old")
    with pytest.raises(OSError, match="no room"):
        train_gpt.write_whole(tmp_path / "x", write_half)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("x", "old")]


@pytest.mark.parametrize("columns", [20, 80])
def test_the_progress_fits_the_terminal(columns: int, text: Path, tmp_path: Path) -> None:
    terminal, end = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    command = [*PYTHON, *TINY, "--text", text, "--out", tmp_path, "--steps", "20", "--sample", "1"]
    with subprocess.Popen(command, stdin=end, stdout=end, stderr=end) as training:
        os.close(end)
        output = b""
        with contextlib.suppress(OSError):  # what a terminal gives at its end
            while piece := os.read(terminal, 4096):
                output += piece
    os.close(terminal)
    assert training.returncode == 0
    shown = [line for line in re.split(r"[\r\n]+", output.decode()) if line.startswith("step ")]
    assert max(map(len, shown)) <= columns
    assert shown[-1].startswith("step 20/20, loss ")
    if columns == 80:
        assert re.fullmatch(
            r"step 20/20, loss [\d.]+, [\d,]+ tokens/s \|█+\| 00:00 left", shown[-1]
        )
