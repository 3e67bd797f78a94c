"""PEFT, Accelerate and Transformers' Trainer: adapters train, resume, save, load and merge."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

COMMON = """
import os, sys
import torch
from peft import AutoPeftModelForSequenceClassification, LoraConfig, PeftModel, get_peft_model
from transformers import (
    BertConfig, BertForSequenceClassification, Trainer, TrainingArguments, logging
)

logging.set_verbosity_error()
folder = sys.argv[1]
config = BertConfig(
    hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, vocab_size=40
)


class Rows(torch.utils.data.Dataset):
    def __init__(self, first):
        self.first = first

    def __len__(self):
        return 32

    def __getitem__(self, i):
        source = torch.Generator().manual_seed(self.first + i)
        ids = torch.randint(0, 40, (6,), generator=source)
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": int(ids[0] > 20)}


def base():
    torch.manual_seed(0)
    return BertForSequenceClassification(config)


def lora(model):
    torch.manual_seed(1)
    options = dict(r=4, lora_alpha=8, lora_dropout=0.1, target_modules=["query", "value"])
    return get_peft_model(model, LoraConfig(task_type="SEQ_CLS", **options))
"""

TRAINER = """
def trainer(name, **options):
    arguments = TrainingArguments(
        folder + "/" + name, num_train_epochs=3, per_device_train_batch_size=8, learning_rate=1e-2,
        eval_strategy="epoch", save_strategy="epoch", logging_steps=1, report_to=[], seed=3, **options
    )
    return Trainer(
        model=lora(base()), args=arguments, train_dataset=Rows(0), eval_dataset=Rows(100)
    )


def history(made):
    return [
        {key: row[key] for key in ("step", "loss", "grad_norm", "eval_loss") if key in row}
        for row in made.state.log_history
    ]


def weights(made):
    return {name: value.clone() for name, value in made.model.state_dict().items()}


whole = trainer("whole")
before = weights(whole)
whole.train()
assert whole.state.global_step == 12
changed = {name for name, value in weights(whole).items() if not torch.equal(value, before[name])}
assert changed and all("lora" in name or "classifier" in name for name in changed), changed
assert "checkpoint-12" in os.listdir(folder + "/whole")

# From the checkpoint after two thirds on: the same losses and weights as without the interruption.
resumed = trainer("resumed")
resumed.train(resume_from_checkpoint=folder + "/whole/checkpoint-8")
assert resumed.state.global_step == 12
assert history(resumed)[-6:] == history(whole)[-6:], (history(resumed), history(whole))
for name, value in weights(whole).items():
    assert torch.equal(value, resumed.model.state_dict()[name]), name

compiled = trainer("compiled", torch_compile=True)
compiled.train()
assert history(compiled) == history(whole)

best = trainer("best", load_best_model_at_end=True, metric_for_best_model="eval_loss")
best.train()
assert best.evaluate()["eval_loss"] == best.state.best_metric
"""

ADAPTERS = """
model = lora(base())
trainable, total = model.get_nb_trainable_parameters()
assert 0 < trainable < total / 4
ids = torch.arange(12).view(2, 6)
with torch.no_grad():
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.normal_(0, 0.5)
model.eval()
with torch.no_grad():
    wanted = model(ids).logits
    with model.disable_adapter():
        plain = model(ids).logits
    assert not torch.allclose(wanted, plain)
    assert torch.equal(plain, base().eval()(ids).logits)
    model.save_pretrained(folder + "/adapter")
    assert sorted(os.listdir(folder + "/adapter"))[1:] == [
        "adapter_config.json", "adapter_model.safetensors"
    ]
    loaded = PeftModel.from_pretrained(base(), folder + "/adapter").eval()
    assert torch.equal(loaded(ids).logits, wanted)
    base().save_pretrained(folder + "/base")
    merged = loaded.merge_and_unload()
    assert not [name for name, _ in merged.named_parameters() if "lora" in name]
    torch.testing.assert_close(merged(ids).logits, wanted, atol=1e-5, rtol=1e-5)
    merged.save_pretrained(folder + "/merged")
    again = BertForSequenceClassification.from_pretrained(folder + "/merged").eval()
    assert torch.equal(again(ids).logits, merged(ids).logits)
    # Two adapters on one model.
    model.add_adapter("other", LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["query"]))
    model.set_adapter("other")
    assert not torch.allclose(model(ids).logits, wanted)
    model.set_adapter("default")
    assert torch.equal(model(ids).logits, wanted)
"""

ACCELERATE = """
from accelerate import Accelerator
from accelerate.utils import set_seed

set_seed(0)
accelerator = Accelerator(gradient_accumulation_steps=2)
assert accelerator.device == torch.device("cpu")
model = base()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
loader = torch.utils.data.DataLoader(Rows(0), batch_size=8, shuffle=True)
scheduler = torch.optim.lr_scheduler.LinearLR(optimizer)
model, optimizer, loader, scheduler = accelerator.prepare(model, optimizer, loader, scheduler)
steps = 0
for epoch in range(2):
    for batch in loader:
        with accelerator.accumulate(model):
            loss = model(**batch).loss
            accelerator.backward(loss)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(model.parameters(), 1.0)
                steps += 1
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
assert steps == 4
assert accelerator.gather_for_metrics(loss.detach()).shape in ((), (1,))
accelerator.save_state(folder + "/state")
saved = {name: value.clone() for name, value in model.state_dict().items()}
with torch.no_grad():
    for parameter in model.parameters():
        parameter.zero_()
accelerator.load_state(folder + "/state")
for name, value in saved.items():
    assert torch.equal(model.state_dict()[name], value), name
assert accelerator.unwrap_model(model) is model
"""

EMPTY = """
from accelerate import init_empty_weights, load_checkpoint_and_dispatch
from transformers import AutoModel, BertModel

model = BertModel(config).eval()
model.save_pretrained(folder + "/model")
ids = torch.arange(12).view(2, 6)
with torch.no_grad():
    wanted = model(ids).last_hidden_state
    with init_empty_weights():
        empty = BertModel(config)
    assert all(parameter.is_meta for parameter in empty.parameters())
    filled = load_checkpoint_and_dispatch(empty, folder + "/model", device_map={"": "cpu"}).eval()
    assert torch.equal(filled(ids).last_hidden_state, wanted)
    for device_map in ("cpu", "auto", {"embeddings": "cpu", "encoder": "disk", "pooler": "cpu"}):
        loaded = AutoModel.from_pretrained(
            folder + "/model", device_map=device_map, offload_folder=folder + "/disk"
        )
        assert torch.equal(loaded(ids).last_hidden_state, wanted)
assert next(loaded.encoder.parameters()).is_meta
"""

METHODS = """
from peft import (
    AdaLoraConfig, FourierFTConfig, IA3Config, LoHaConfig, LoKrConfig, OFTConfig, PrefixTuningConfig,
    PromptTuningConfig, VeraConfig
)
from transformers import LlamaConfig, LlamaForCausalLM

small = LlamaConfig(
    hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, vocab_size=30
)
ids = torch.arange(12).view(2, 6)
places = dict(target_modules=["q_proj", "v_proj"])
methods = [
    LoraConfig(r=4, use_dora=True, **places), LoraConfig(r=4, init_lora_weights="pissa", **places),
    LoraConfig(r=4, target_modules="all-linear"), LoraConfig(r=4, target_modules=["embed_tokens"]),
    IA3Config(target_modules=["k_proj"], feedforward_modules=[]),
    AdaLoraConfig(total_step=10, init_r=4, target_r=2, **places), LoHaConfig(r=4, **places),
    LoKrConfig(r=4, **places), OFTConfig(r=0, oft_block_size=4, **places),
    VeraConfig(r=4, target_modules=["q_proj"]), FourierFTConfig(n_frequency=10, **places),
    PromptTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM"),
    PrefixTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM"),
]
for number, method in enumerate(methods):
    torch.manual_seed(0)
    model = get_peft_model(LlamaForCausalLM(small), method)
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1e-2)
    losses = []
    for _ in range(4):
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0], (method, losses)
    model.eval()
    wanted = model(input_ids=ids).logits
    model.save_pretrained(f"{folder}/{number}")
    torch.manual_seed(0)
    loaded = PeftModel.from_pretrained(LlamaForCausalLM(small), f"{folder}/{number}").eval()
    assert torch.equal(loaded(input_ids=ids).logits, wanted), method
    if hasattr(loaded.base_model, "merge_and_unload"):
        merged = loaded.merge_and_unload()
        torch.testing.assert_close(merged(input_ids=ids).logits, wanted, atol=1e-5, rtol=1e-4)
"""


PROGRAMS = {
    "trainer": TRAINER, "adapters": ADAPTERS, "accelerate": ACCELERATE, "empty": EMPTY,
    "methods": METHODS,
}  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_with_these_libraries_runs(program: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flambeau", "-c", COMMON + PROGRAMS[program], str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
