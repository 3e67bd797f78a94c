"""Transformers' save_pretrained and from_pretrained: models come back to the bit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

MODELS = """
import json, os, sys
import torch
from transformers import (
    AutoModel, AutoModelForCausalLM, BertConfig, BertModel, GPT2Config, GPT2LMHeadModel, logging
)

logging.set_verbosity_error()
logging.disable_progress_bar()
folder = sys.argv[1]
ids = torch.arange(10).view(2, 5)
torch.manual_seed(0)
"""

BERT = """
config = BertConfig(
    hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, vocab_size=20
)
model = BertModel(config).eval()
with torch.no_grad():
    wanted = model(ids).last_hidden_state
    model.save_pretrained(folder)
    assert os.path.exists(folder + "/model.safetensors")
    for options in ({}, {"low_cpu_mem_usage": True}, {"dtype": "auto"}):
        for kind in (BertModel, AutoModel):
            loaded = kind.from_pretrained(folder, **options)
            assert type(loaded) is BertModel and not loaded.training
            assert not any(value.is_meta for value in loaded.state_dict().values())
            assert torch.equal(loaded(ids).last_hidden_state, wanted)
    half = AutoModel.from_pretrained(folder, dtype=torch.bfloat16)
    assert half.dtype == torch.bfloat16
    for name, value in model.state_dict().items():
        assert torch.equal(half.state_dict()[name], value.to(half.state_dict()[name].dtype)), name
    # What the file does not have is initialised.
    deeper = BertModel.from_pretrained(folder, num_hidden_layers=3)
    weight = deeper.encoder.layer[2].output.dense.weight
    assert not weight.is_meta and 0.01 < weight.std() < 0.03
    with torch.device("meta"):
        empty = BertModel(config)
    assert empty(ids.to("meta")).last_hidden_state.shape == (2, 5, 16)
    empty.load_state_dict(model.state_dict(), assign=True)
"""

GPT = """
config = GPT2Config(
    n_embd=16, n_layer=2, n_head=2, vocab_size=20, n_positions=16, bos_token_id=0, eos_token_id=1
)
model = GPT2LMHeadModel(config).eval()
wanted = model(ids).logits
model.save_pretrained(folder + "/whole")
model.save_pretrained(folder + "/shards", max_shard_size="5KB")
assert len([name for name in os.listdir(folder + "/shards") if "safetensors" in name]) > 3
config.save_pretrained(folder + "/bin")
torch.save(model.state_dict(), folder + "/bin/pytorch_model.bin")
config.save_pretrained(folder + "/bins")
index = {}
for i, (name, value) in enumerate(model.state_dict().items()):
    index[name] = f"pytorch_model-{i + 1}.bin"
    torch.save({name: value.clone()}, folder + "/bins/" + index[name])
with open(folder + "/bins/pytorch_model.bin.index.json", "w") as file:
    json.dump({"metadata": {}, "weight_map": index}, file)
for kept in ("whole", "shards", "bin", "bins"):
    loaded = AutoModelForCausalLM.from_pretrained(folder + "/" + kept)
    assert loaded.lm_head.weight is loaded.transformer.wte.weight
    assert torch.equal(loaded(ids).logits, wanted)
    loaded(ids, labels=ids).loss.backward()
    assert loaded.lm_head.weight.grad is not None
"""


def run(program: str, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flambeau", "-c", MODELS + program, str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_model_is_saved_and_loaded(tmp_path: Path) -> None:
    run(BERT, tmp_path)


def test_shards_pickles_and_tied_weights(tmp_path: Path) -> None:
    run(GPT, tmp_path)
