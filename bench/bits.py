"""Train steps compiled and eager, compared to the bit: every loss, and at the end all parameters,
gradients, optimiser states, buffers and the state of the random numbers.

    bits.py                          the models of bench/models/ at full size, 50 steps each
    bits.py --small                  small ones of the same code, seconds
    bits.py --only GPT-2 --steps 5

Compiled runs happen with 1 and with 2 threads, twice in a row: with an empty kernel cache
(FLAMBEAU_CACHE_DIR) the first runs op by op while merged kernels compile, the second runs merged.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import flambeau
from models import bert, gpt, gpt2, mlp, training

MODELS: dict[str, tuple[ModuleType, dict[str, Any], dict[str, Any]]] = {
    # name: its module, arguments of build(), arguments of batch()
    "MLP": (mlp, {"dropout": 0.1}, {}),
    "GPT": (gpt, {"dropout": 0.1}, {"size": 2, "time": 128}),
    "GPT-2": (gpt2, {}, {}),
    "BERT": (bert, {}, {}),
}
SMALL = {"layers": 2, "width": 32, "heads": 4, "context": 24}
SMALL_MODELS: dict[str, tuple[ModuleType, dict[str, Any], dict[str, Any]]] = {
    "MLP": (mlp, {"dropout": 0.1, "width": 24}, {"size": 9, "width": 24}),
    "GPT": (gpt, {**SMALL, "dropout": 0.1}, {"size": 3, "time": 17}),
    "GPT-2": (gpt2, {**SMALL, "vocabulary": 101}, {"size": 2, "time": 19, "vocabulary": 101}),
    "BERT": (bert, {**SMALL, "vocabulary": 97}, {"size": 3, "time": 21, "vocabulary": 97}),
}

Wrap = Callable[[Any], Any]
Digests = dict[str, str]


def digest(tensor: Any) -> str:
    data = tensor.detach().contiguous().view(flambeau.uint8) if tensor.dim() else tensor.detach()
    return hashlib.blake2b(data.numpy(), digest_size=16).hexdigest()


def state_of(model: Any, optimizer: Any) -> Digests:
    """Everything that training changes, each by a digest of its bytes."""
    state = {}
    for name, parameter in model.named_parameters():
        state[name] = digest(parameter)
        state[f"{name}.grad"] = digest(parameter.grad)
        for key, value in optimizer.state[parameter].items():
            is_tensor = isinstance(value, flambeau.Tensor)
            state[f"{name}: {key}"] = digest(value) if is_tensor else repr(value)
    state.update({name: digest(buffer) for name, buffer in model.named_buffers()})
    state["random numbers"] = digest(flambeau.get_rng_state())
    return state


def train(
    kind: ModuleType,
    build: dict[str, Any],
    batch: dict[str, Any],
    steps: int,
    wrap: Wrap,
    after_step: Callable[[int, Any], None] = lambda step, model: None,
) -> tuple[list[str], Digests]:
    """The losses of `steps` steps, each on a batch of its own, and the state at the end."""
    flambeau.manual_seed(0)
    model = kind.build(flambeau, **build)
    optimizer = flambeau.optim.AdamW(model.parameters(), lr=3e-4, fused=True)
    inputs, targets = kind.batch(flambeau, **batch)
    step = training.train_step(flambeau, kind, model, inputs, targets, wrap, optimizer=optimizer)
    losses = []
    for number in range(steps):
        losses.append(step(*kind.batch(flambeau, **batch)).hex())
        after_step(number, model)
    return losses, state_of(model, optimizer)


def difference(a: tuple[list[str], Digests], b: tuple[list[str], Digests]) -> str:
    """What differs first; empty if nothing does."""
    for number, (x, y) in enumerate(zip(a[0], b[0], strict=True)):
        if x != y:
            return f"the loss of step {number}: {x} and {y}"
    wrong = [name for name in {**a[1], **b[1]} if a[1].get(name) != b[1].get(name)]
    return f"after the last step {len(wrong)} of {len(a[1])} differ: {wrong[:5]}" if wrong else ""


def counted(run: Callable[[], Any]) -> tuple[Any, int, int]:
    """What `run` gives; how many regions of several operations ran merged, and how many one by
    one."""
    before = flambeau.compiler.stats()
    result = run()
    flambeau.compiler.flush()
    after = flambeau.compiler.stats()
    merged, one_by_one = (
        after[key] - before[key] for key in ("regions_merged", "regions_one_by_one")
    )
    return result, merged, one_by_one


def compile_all(run: Callable[[int], Any]) -> None:
    """Until every region runs merged. One that lacks kernels asks for them one after the other."""
    for _ in range(20):
        flambeau._C._compile_wait()
        if counted(lambda: run(2))[2] == 0:
            return


def compare(name: str, models: dict[str, Any], steps: int) -> list[str]:
    """What differs between eager and compiled runs of a model; prints what it did."""
    kind, build, batch = models[name]

    def compiled(steps: int) -> Any:
        return train(kind, build, batch, steps, flambeau.compile)

    wanted = train(kind, build, batch, steps, lambda f: f)
    found = []
    for threads in (1, 2):
        flambeau.set_num_threads(threads)
        flambeau.compiler.reset()
        for which in ("first", "second"):
            got, merged, one_by_one = counted(lambda: compiled(steps))
            what = difference(wanted, got)
            print(
                f"{name}, {steps} steps, {threads} threads, {which} run: {merged} regions ran "
                f"merged, {one_by_one} one by one; {what or 'the same bits'}",
                flush=True,
            )
            if what:
                found.append(f"{name}, {threads} threads, {which} run: {what}")
            compile_all(compiled)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--only", choices=MODELS, help="one model")
    options = parser.parse_args()
    models = SMALL_MODELS if options.small else MODELS
    found = []
    for name in models:
        if options.only in (None, name):
            found += compare(name, models, options.steps)
    print("\n".join(found) or "no difference")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
