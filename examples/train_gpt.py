#!/usr/bin/env python3
"""Trains a small GPT, byte by byte, on the source of Python's standard library.

    python examples/train_gpt.py                 about three minutes on two AVX-512 cores
    python examples/train_gpt.py --resume        goes on after Ctrl-C, kill or power failure

Writes OUT/checkpoint.safetensors, OUT/losses.txt and OUT/loss.png. examples/cpp/train_gpt.cpp is the
same program in C++, with the same losses to the bit; each goes on from the other's checkpoint.
"""

from __future__ import annotations

import argparse
import math
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import corpus
import flambeau
from flambeau import Tensor, nn
from flambeau.io import load_checkpoint, save_checkpoint
from flambeau.nn import functional as F
from flambeau.optim import AdamW
from flambeau.optim.lr_scheduler import LambdaLR
from flambeau.utils.data import DataLoader, Dataset

VOCABULARY = 256  # bytes


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = nn.CausalSelfAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class GPT(nn.Module):
    def __init__(self, layers: int, width: int, heads: int, context: int) -> None:
        super().__init__()
        self.context = context
        self.tokens = nn.Embedding(VOCABULARY, width)
        self.positions = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, VOCABULARY, bias=False)
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.tokens(tokens) + self.positions(flambeau.arange(tokens.size(1)))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class Windows(Dataset):
    """Item i: `context` bytes, and the bytes that follow each of them."""

    def __init__(self, text: bytes, context: int) -> None:
        self.text = flambeau.frombuffer(bytearray(text), dtype=flambeau.uint8)
        self.context = context

    def __len__(self) -> int:
        return (len(self.text) - 1) // self.context

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        window = self.text[i * self.context : (i + 1) * self.context + 1].long()
        return window[:-1], window[1:]


def loss_of(model: GPT, x: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(model(x).view(-1, VOCABULARY), y.view(-1))


def write_whole(path: Path, write: Callable[[Path], Any]) -> None:
    """Has `write` make the file under another name, so that a full disk leaves the old one."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        write(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


class Run:
    """Everything that training needs and a checkpoint holds."""

    def __init__(self, config: dict[str, Any], train: bytes) -> None:
        flambeau.manual_seed(config["seed"])
        self.config = config
        self.model = GPT(config["layers"], config["width"], config["heads"], config["context"])
        self.optimizer = AdamW(
            self.model.parameters(),
            lr=config["lr"],
            betas=(0.9, 0.95),
            weight_decay=0.1,
            fused=True,
        )
        warm_up = max(1, config["steps"] // 20)
        self.scheduler = LambdaLR(
            self.optimizer,
            lambda t: (
                min(1, (t + 1) / warm_up)
                * (0.55 + 0.45 * math.cos(math.pi * min(1, t / config["steps"])))
            ),
        )
        windows = Windows(train, config["context"])
        if len(windows) < config["batch"]:
            raise ValueError(
                f"the text has {len(train):,} bytes, too few for a batch of {config['batch']} "
                f"windows of {config['context']}"
            )
        self.loader = DataLoader(windows, config["batch"], shuffle=True, drop_last=True)
        self.losses: list[float] = []

    def batches(self) -> Any:
        while True:
            yield from self.loader

    def steps(self) -> Any:
        """Trains; gives each step's loss."""
        batches = self.batches()
        for _ in range(len(self.losses), self.config["steps"]):
            x, y = next(batches)
            self.optimizer.zero_grad()
            loss = loss_of(self.model, x, y)
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            self.scheduler.step()
            self.losses.append(loss.item())
            yield self.losses[-1]

    def save(self, out: Path) -> None:
        state = {
            "config": self.config,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "data": self.loader.state_dict(),
            "random": flambeau.get_rng_state(),
            "losses": self.losses,
        }
        save_checkpoint(state, out / "checkpoint.safetensors")
        text = "".join(f"{step} {loss:.9g}\n" for step, loss in enumerate(self.losses, 1))
        write_whole(out / "losses.txt", lambda path: path.write_text(text))

    def load(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.loader.load_state_dict(state["data"])
        self.losses = state["losses"]
        flambeau.set_rng_state(state["random"])


@flambeau.no_grad()
def validation_loss(model: GPT, text: bytes, batch: int, most_batches: int = 40) -> float:
    model.eval()
    losses = []
    for x, y in DataLoader(Windows(text, model.context), batch):
        losses.append(loss_of(model, x, y).item())
        if len(losses) == most_batches:
            break
    return sum(losses) / max(1, len(losses))


@flambeau.no_grad()
def sample(model: GPT, prompt: str, count: int, temperature: float = 0.8) -> str:
    model.eval()
    tokens = [*prompt.encode()]
    for _ in range(count):
        logits = model(flambeau.tensor([tokens[-model.context :]]))[0, -1]
        chances = F.softmax(logits / temperature, dim=-1)
        tokens.append(int(flambeau.multinomial(chances, 1).item()))
    return bytes(tokens).decode(errors="replace")


def draw_curve(losses: list[float], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    width = max(1, len(losses) // 50)
    smooth = [
        sum(losses[max(0, i - width) : i + 1]) / len(losses[max(0, i - width) : i + 1])
        for i in range(len(losses))
    ]
    figure, axes = pyplot.subplots(figsize=(8, 4.5))
    axes.plot(losses, color="0.8", label="each step")
    axes.plot(smooth, color="C1", label=f"mean of {width}")
    axes.set(xlabel="step", ylabel="loss (nats per byte)", title="Training a GPT with Flambeau")
    axes.legend()
    figure.tight_layout()
    write_whole(path, lambda temporary: figure.savefig(temporary, dpi=120, format="png"))
    pyplot.close(figure)


class Progress:
    """A bar with step, loss, tokens/s and time left; plain lines where the output is no terminal."""

    def __init__(self, done: int, total: int, tokens_per_step: int) -> None:
        from tqdm import tqdm

        self.on_terminal = sys.stderr.isatty()
        self.total, self.tokens_per_step = total, tokens_per_step
        self.first, self.begin = done, time.monotonic()
        self.mean = math.nan
        form = "step {n_fmt}/{total_fmt}{postfix} |{bar}| {remaining} left"
        self.bar = tqdm(
            total=total,
            initial=done,
            dynamic_ncols=True,
            bar_format=form,
            disable=not self.on_terminal,
        )

    def show(self, step: int, loss: float) -> None:
        self.mean = loss if math.isnan(self.mean) else 0.95 * self.mean + 0.05 * loss
        seconds = max(time.monotonic() - self.begin, 1e-9)
        steps_per_second = (step - self.first) / seconds
        speed = steps_per_second * self.tokens_per_step
        self.bar.set_postfix_str(f"loss {self.mean:.3f}, {speed:,.0f} tokens/s", refresh=False)
        self.bar.update(1)
        every = max(1, self.total // 20)
        if not self.on_terminal and (step % every == 0 or step in (1, self.total)):
            left = (self.total - step) / steps_per_second
            print(
                f"step {step}/{self.total}  loss {self.mean:.3f}  {speed:,.0f} tokens/s  "
                f"{left:.0f} s left",
                flush=True,
            )

    def close(self) -> None:
        self.bar.close()


class Interrupt:
    """Turns the first Ctrl-C (or SIGTERM) into a wish to stop after the step; a second one stops at
    once."""

    def __init__(self) -> None:
        self.wanted = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: Any) -> None:
        self.wanted = True
        signal.signal(number, signal.SIG_DFL)


def positive(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a positive integer, got '{text}'")
    return int(text)


MODEL = {
    "layers": 4,
    "width": 192,
    "heads": 6,
    "context": 128,
    "batch": 16,
    "steps": 1800,
    "seed": 0,
}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Trains a small GPT on the source of Python's standard library."
    )
    whats = {
        "layers": "number of blocks",
        "width": "width of the model",
        "heads": "attention heads",
        "context": "bytes that the model sees",
        "batch": "windows in a step",
        "steps": "training steps",
    }
    for name, what in whats.items():
        parser.add_argument(f"--{name}", type=positive, metavar="N", help=f"{what} ({MODEL[name]})")
    parser.add_argument("--seed", type=int, metavar="N", help=f"random seed ({MODEL['seed']})")
    parser.add_argument("--lr", type=float, help="highest learning rate (0.001)")
    parser.add_argument("--seconds", type=float, help="stop after so much time, as Ctrl-C does")
    parser.add_argument("--out", type=Path, default=Path("runs/gpt"), help="folder (runs/gpt)")
    parser.add_argument("--text", type=Path, help="folder of .py files (the standard library)")
    parser.add_argument("--resume", action="store_true", help="go on from OUT's checkpoint")
    parser.add_argument("--every", type=positive, default=50, help="steps between checkpoints (50)")
    parser.add_argument("--sample", type=int, default=400, help="bytes generated at the end (400)")
    options = parser.parse_args()
    given = {name: getattr(options, name) for name in (*MODEL, "lr")}
    options.config = {name: value for name, value in given.items() if value is not None}
    return options


def start(options: argparse.Namespace, train: bytes) -> Run:
    """A fresh run, or that of the checkpoint."""
    path = options.out / "checkpoint.safetensors"
    config = {**MODEL, "lr": 1e-3, **options.config}
    if not options.resume:
        if config["width"] % config["heads"] != 0:
            raise ValueError(
                f"--width {config['width']} is no multiple of --heads {config['heads']}"
            )
        if path.exists():
            print(f"{path} is from an earlier run and will be replaced (--resume would go on)")
        return Run(config, train)
    if not path.exists():
        raise ValueError(f"there is no {path} to resume from; leave --resume out to begin")
    state = load_checkpoint(path)
    for name, value in options.config.items():
        if state["config"][name] != value:
            raise ValueError(
                f"{path} was made with --{name} {state['config'][name]}, not {value}; leave --{name} "
                "out to go on, or --resume to begin again"
            )
    run = Run(state["config"], train)
    run.load(state)
    print(f"going on after step {len(run.losses)}")
    return run


def main() -> int:
    options = parse()
    train, held_out = corpus.load(options.text)
    options.out.mkdir(parents=True, exist_ok=True)
    run = start(options, train)
    config = run.config
    count = sum(parameter.numel() for parameter in run.model.parameters())
    print(f"{count:,} parameters, {len(train):,} bytes to learn from, {len(held_out):,} held out")
    interrupt = Interrupt()
    progress = Progress(len(run.losses), config["steps"], config["batch"] * config["context"])
    begin = time.monotonic()
    for loss in run.steps():
        step = len(run.losses)
        progress.show(step, loss)
        out_of_time = options.seconds is not None and time.monotonic() - begin >= options.seconds
        stop = (interrupt.wanted or out_of_time) and step < config["steps"]
        if stop or step % options.every == 0 or step == config["steps"]:
            run.save(options.out)
        if stop:
            progress.close()
            print(f"\nStopped after step {step}; all of it is saved. To go on:")
            arguments = [a for a in sys.argv[1:] if a != "--resume"]
            python = os.path.relpath(sys.executable) if sys.executable else "python"
            print("  " + shlex.join([python, sys.argv[0], *arguments, "--resume"]))
            return 130 if interrupt.wanted else 0
    progress.close()
    seconds = time.monotonic() - begin
    draw_curve(run.losses, options.out / "loss.png")
    loss = validation_loss(run.model, held_out, config["batch"])
    print(f"trained for {seconds:.0f} s; validation loss {loss:.4f} nats per byte")
    print(f"\n{sample(run.model, 'def ', options.sample)}\n")
    print(f"{options.out}/: checkpoint.safetensors, losses.txt, loss.png")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, ValueError) as error:
        sys.exit(f"train_gpt: {error}")
