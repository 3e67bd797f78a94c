"""Train steps of every bench model and every example: compiled they give eager's bits, while kernels
compile and merged, with 1 and 2 threads."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import flambeau as torch
import pytest
from flambeau import nn

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "bench"), str(ROOT / "examples")]

import bits  # noqa: E402
import train_gpt  # noqa: E402


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before, state = torch.get_num_threads(), torch.get_rng_state()
    yield
    torch.set_num_threads(before)
    torch.set_rng_state(state)


@pytest.mark.parametrize("name", bits.SMALL_MODELS)
def test_bench_models(name: str, tmp_path: Path) -> None:
    """In a process without kernels, so that the first run goes op by op."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench" / "bits.py"), "--small", "--only", name],
        env=os.environ | {"FLAMBEAU_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    runs = re.findall(r"(\d) threads, (\w+) run: (\d+) .* merged, (\d+) one by one", done.stdout)
    assert [run[:2] for run in runs[:4]] == [(t, w) for t in "12" for w in ("first", "second")]
    assert int(runs[0][3]) > 0, "some regions ran one by one"
    assert int(runs[1][2]) > 0, "some regions ran merged"
    assert all(int(run[3]) == 0 for run in runs[1:]), "and all from then on"


def test_every_bench_model_is_there() -> None:
    files = {path.stem for path in (ROOT / "bench" / "models").glob("*.py")} - {"training"}
    assert {kind.__name__.split(".")[-1] for kind, _, _ in bits.MODELS.values()} == files
    assert bits.SMALL_MODELS.keys() == bits.MODELS.keys()


def moved_by_an_ulp(parameter: Any, count: int = 1) -> None:
    """The first elements, of which one may be rounded back by a later update."""
    with torch.no_grad():
        parameter.view(-1)[:count].view(torch.int32).add_(1)


@pytest.mark.parametrize("when", [2, 9])
@pytest.mark.parametrize("name", ["MLP", "BERT"])
def test_a_single_ulp_is_seen(name: str, when: int) -> None:
    kind, build, batch = bits.SMALL_MODELS[name]

    def run(after_step: Callable[[int, Any], None]) -> Any:
        return bits.train(kind, build, batch, 10, torch.compile, after_step)

    def perturb(step: int, model: Any) -> None:
        if step == when:
            moved_by_an_ulp(next(iter(model.parameters())), 4)

    wanted = run(lambda step, model: None)
    assert bits.difference(wanted, run(lambda step, model: None)) == ""
    assert bits.difference(wanted, run(perturb)) != ""


def test_an_ulp_of_an_optimiser_state_is_seen() -> None:
    net = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(net.parameters())
    net(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    before = bits.state_of(net, optimizer)
    moved_by_an_ulp(optimizer.state[net.bias]["exp_avg_sq"])
    after = bits.state_of(net, optimizer)
    assert [name for name in before if before[name] != after[name]] == ["bias: exp_avg_sq"]


def train_the_gpt(wrap: Callable[..., Any], text: bytes) -> Any:
    config = {"layers": 2, "width": 32, "heads": 2, "context": 16, "batch": 4}
    run = train_gpt.Run({**config, "steps": 50, "seed": 0, "lr": 1e-3}, text)
    model = run.model
    run.model = wrap(model)
    losses = [loss.hex() for loss in run.steps()]
    validation = train_gpt.validation_loss(run.model, text[:2000], 4)
    return [*losses, validation.hex()], bits.state_of(model, run.optimizer)


def classify_digits(wrap: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script for 3 epochs, 69 steps, as if it called `wrap` on its model."""
    script = runpy.run_path(str(ROOT / "examples" / "digits.py"))
    seen: list[Any] = []

    class Layers:
        def __getattr__(self, name: str) -> Any:
            return getattr(nn, name)

        def Sequential(self, *layers: Any) -> Any:
            seen.append(nn.Sequential(*layers))
            return wrap(seen[0])

    def optimizer(*arguments: Any, **options: Any) -> Any:
        seen.append(torch.optim.AdamW(*arguments, **options))
        return seen[1]

    losses: list[str] = []

    def cross_entropy(*arguments: Any) -> Any:
        loss = nn.functional.cross_entropy(*arguments)
        losses.append(loss.item().hex())
        return loss

    class Functions:
        pass

    functions = Functions()
    functions.cross_entropy = cross_entropy  # type: ignore[attr-defined]
    scope = script["main"].__globals__
    for name, value in {
        "EPOCHS": 3, "nn": Layers(), "AdamW": optimizer, "F": functions,
    }.items():  # fmt: skip
        monkeypatch.setitem(scope, name, value)
    script["main"]()
    assert len(losses) >= 50
    return losses, bits.state_of(*seen)


@pytest.mark.parametrize("example", ["digits", "train_gpt"])
@pytest.mark.parametrize("threads", [1, 2])
def test_examples(example: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "examples" / "train_gpt.py").read_bytes()

    def run(wrap: Callable[..., Any]) -> Any:
        if example == "digits":
            return classify_digits(wrap, monkeypatch)
        return train_the_gpt(wrap, text)

    wanted = run(lambda model: model)
    torch.set_num_threads(threads)
    torch.compiler.reset()
    for _ in range(2):
        assert bits.difference(wanted, run(torch.compile)) == ""
        torch.compiler.flush()
        torch._C._compile_wait()


def test_every_example_is_there() -> None:
    scripts = {
        path.stem
        for path in (ROOT / "examples").glob("*.py")
        if "__main__" in path.read_text(encoding="utf-8")
    }
    assert scripts == {"digits", "lora", "train_gpt"}
