"""Transformers' models with attn_implementation="flex_attention" compute what they compute without it."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import torch, sys, transformers
small = {"vocab_size": 96, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 2, "intermediate_size": 64, "max_position_embeddings": 64}
if sys.argv[1] == "Mistral":
    small["sliding_window"] = 4
torch.manual_seed(0)
config = getattr(transformers, sys.argv[1] + "Config")(**small)
model = getattr(transformers, sys.argv[1] + "ForCausalLM")(config).eval()
ids = torch.randint(3, 96, (2, 9))
mask = torch.ones_like(ids)
mask[1, :3] = 0
# What follows padding is no label: a query that is padding keeps no key, which the two answer differently.
labels = ids.masked_fill(mask == 0, -100)
labels[1, 3] = -100
found = []
for kind in ("eager", "flex_attention"):
    model.set_attn_implementation(kind)
    model.zero_grad()
    output = model(ids, attention_mask=mask, labels=labels)
    output.loss.backward()
    grads = [p.grad for p in model.parameters()]
    found.append([output.logits[mask.bool()], output.loss, *grads])
for a, b in zip(*found):
    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)
print("same")
"""


@pytest.mark.parametrize("family", ["Llama", "Mistral"])
def test_logits_and_gradients(family: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flambeau", "-c", PROGRAM, family],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.endswith("same\n")
