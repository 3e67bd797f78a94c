#!/usr/bin/env python3
"""Compares the public names and signatures of PyTorch with ours, and writes docs/compatibility.md.

usage: compare_names.py --dump NAMES.json            with PyTorch's Python: its names and signatures
       compare_names.py NAMES.json [--usage COUNTS]  with ours: writes the page

COUNTS is a tab-separated file of a count and a dotted name a line ("37738  torch.Tensor"): how often libraries use
it. A name that PyTorch has and we lack counts as missing, unless it belongs to hardware or a part that says itself
that it is not available.
"""

from __future__ import annotations

import argparse
import collections
import importlib
import inspect
import json
import pathlib
import types
from typing import Any

NAMESPACES = """torch torch.Tensor torch.nn torch.nn.Module torch.nn.functional torch.nn.init torch.nn.utils
torch.nn.utils.rnn torch.nn.utils.parametrize torch.nn.parameter torch.optim torch.optim.Optimizer torch.optim.lr_scheduler
torch.optim.swa_utils torch.autograd torch.autograd.functional torch.autograd.forward_ad torch.autograd.graph torch.linalg
torch.fft torch.special torch.func torch.amp torch.overrides torch.distributions torch.utils.data torch.utils.checkpoint
torch.utils._pytree torch.utils.hooks torch.utils.dlpack torch.library torch.fx torch.jit torch.serialization torch.random
torch.multiprocessing torch.testing torch.profiler torch.compiler torch.backends torch.masked torch.sparse torch.hub
torch.export torch.onnx torch.distributed torch.cuda torch.mps torch.xpu""".split()
# Of hardware, or of a part that answers that it is not available.
NOT_AVAILABLE = {"torch.distributed", "torch.cuda", "torch.mps", "torch.xpu", "torch.onnx"}
PAGE = pathlib.Path(__file__).parent.parent / "docs" / "compatibility.md"


def holder_of(path: str, root: str) -> Any:
    """The module or class of a dotted path, imported where that is needed; None if there is none."""
    *folders, last = path.split(".")
    if not folders:
        return importlib.import_module(root)
    holder = holder_of(".".join(folders), root)
    if hasattr(holder, last):
        return getattr(holder, last)
    try:
        return importlib.import_module(f"{holder.__name__}.{last}")
    except (AttributeError, ImportError):
        return None


def parameters_of(value: Any) -> list[str] | None:
    """The names of a function's parameters; None where Python does not know them."""
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return None
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    if any(p.kind in kinds for p in signature.parameters.values()):
        return None
    return [name for name in signature.parameters if not name.startswith("_")]


def public_names(holder: Any) -> list[str]:
    listed = getattr(holder, "__all__", None) if isinstance(holder, types.ModuleType) else None
    names = listed if listed is not None else [n for n in dir(holder) if not n.startswith("_")]
    found = []
    for name in sorted(set(names)):
        value = getattr(holder, name, None)
        if isinstance(value, types.ModuleType) or not hasattr(holder, name):
            continue
        module = getattr(value, "__module__", None)
        imported = isinstance(module, str) and not module.startswith("torch")
        if isinstance(holder, types.ModuleType) and listed is None and imported:
            continue
        found.append(name)
    return found


def dump(path: pathlib.Path) -> None:
    table = {}
    for namespace in NAMESPACES:
        holder = holder_of(namespace, "torch")
        if holder is not None:
            table[namespace] = {n: parameters_of(getattr(holder, n)) for n in public_names(holder)}
    path.write_text(
        json.dumps({"version": importlib.import_module("torch").__version__, "names": table})
    )


def usage_of(path: pathlib.Path | None) -> dict[str, int]:
    counts: dict[str, int] = collections.Counter()
    for line in path.read_text().splitlines() if path else []:
        count, _, rest = line.partition("\t")
        if count.isdigit():
            counts[rest.split("\t")[0]] += int(count)
    return counts


def row(namespace: str, names: dict[str, Any], counts: dict[str, int]) -> dict[str, Any]:
    holder = holder_of(namespace, "flambeau")
    missing = [name for name in names if holder is None or not hasattr(holder, name)]
    differing = []
    for name, expected in names.items():
        if expected is None or name in missing:
            continue
        ours = parameters_of(getattr(holder, name))
        if ours is not None and ours[: len(expected)] != expected:
            differing.append(name)
    used = {name: counts.get(f"{namespace}.{name}", 0) for name in names}
    total = sum(used.values())
    return {
        "namespace": namespace,
        "names": len(names),
        "missing": sorted(missing, key=lambda name: (-used[name], name)),
        "differing": differing,
        "absent": namespace in NOT_AVAILABLE,
        "share": 1 - sum(used[name] for name in missing) / total if total else None,
    }


def page(version: str, rows: list[dict[str, Any]]) -> str:
    lines = [
        "# Compatibility",
        "",
        f"The public names of PyTorch {version}, and which of them are here; `tools/compare_names.py` writes this page. *Used* is the",
        "share of the uses in the sources of Transformers, PEFT, timm, Accelerate, Lightning, torchmetrics, Sentence-Transformers and safetensors that",
        "are of names that are here. *Signatures* counts functions whose parameters have other names or another order. What is missing raises",
        "an AttributeError that names it; a name that is here may still raise NotImplementedError with its name when it is used. Of what belongs to hardware or a part that is not there (*not available*), the names that libraries",
        "ask for answer as PyTorch does without it.",
        "",
        "| namespace | names | present | missing | not available | signatures | used |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        missing = len(r["missing"])
        share = "" if r["share"] is None else f"{100 * r['share']:.1f} %"
        lines.append(
            f"| `{r['namespace']}` | {r['names']} | {r['names'] - missing} | "
            f"{0 if r['absent'] else missing} | {missing if r['absent'] else 0} | "
            f"{len(r['differing'])} | {share} |"
        )
    lines += ["", "## Missing", ""]
    for r in rows:
        if r["missing"] and not r["absent"]:
            shown = ", ".join(f"`{name}`" for name in r["missing"][:40])
            more = len(r["missing"]) - 40
            lines.append(f"* `{r['namespace']}`: {shown}{f' and {more} more' if more > 0 else ''}.")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="?", type=pathlib.Path)
    parser.add_argument("--dump", type=pathlib.Path)
    parser.add_argument("--usage", type=pathlib.Path)
    arguments = parser.parse_args()
    if arguments.dump:
        return dump(arguments.dump)
    given = json.loads(arguments.names.read_text())
    counts = usage_of(arguments.usage)
    rows = [row(namespace, names, counts) for namespace, names in given["names"].items()]
    PAGE.write_text(page(given["version"].split("+")[0], rows))
    return None


if __name__ == "__main__":
    main()
