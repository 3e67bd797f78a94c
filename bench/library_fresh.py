"""What libraries' models need a process of their own for; prints JSON.

library_fresh.py THREADS memory MODEL HOW    the rise of peak memory in train steps
library_fresh.py THREADS script              a short script: tiny BERT, one forward
"""

from __future__ import annotations

import gc
import json
import pathlib
import sys

import torch
from library_cases import MODELS, train_step


def status(field: str) -> int:
    """A line of /proc/self/status in bytes."""
    text = pathlib.Path("/proc/self/status").read_text()
    return int(text.split(field + ":")[1].split()[0]) * 1024


def memory(name: str, how: str) -> dict[str, int]:
    """From a process that has the libraries, but no model yet."""
    import peft  # noqa: F401
    import transformers  # noqa: F401

    before = status("VmRSS")
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    step = train_step(torch, name, how)
    for _ in range(3):
        step()
        gc.collect()  # outputs of models are in cycles
    return {"bytes": status("VmHWM") - before}


def script() -> dict[str, float]:
    from transformers import BertConfig, BertModel

    config = BertConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
    )
    model = BertModel(config).eval()
    with torch.no_grad():
        return {"sum": model(torch.arange(8).view(1, 8)).last_hidden_state.sum().item()}


def main() -> None:
    torch.set_num_threads(int(sys.argv[1]))
    measure = {"memory": memory, "script": script}[sys.argv[2]]
    print(json.dumps(measure(*sys.argv[3:])))


if __name__ == "__main__":
    assert set(MODELS)
    main()
