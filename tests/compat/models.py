"""Small models of the families that must agree with PyTorch, made, trained and asked by Transformers' own code.

A program like any user's: it says `import torch`, and knows nothing of Flambeau. `run(name)` gives what a
family's model computes as arrays: logits, loss, gradients, the losses of 20 steps of AdamW, tokens.
"""

from __future__ import annotations

import zlib

import numpy as np
import torch
import transformers

transformers.logging.set_verbosity_error()

VOCABULARY = 96
SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}
GROUPED = SMALL | {"num_key_value_heads": 2, "head_dim": 8}
SPECIAL = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}

# Family: configuration, model, its options, and what it is asked: "classify", "generate" or "image".
FAMILIES = {
    "bert": ("BertConfig", "BertForSequenceClassification", SMALL, "classify"),
    "roberta": ("RobertaConfig", "RobertaForSequenceClassification", SMALL | SPECIAL, "classify"),
    "distilbert": (
        "DistilBertConfig",
        "DistilBertForSequenceClassification",
        {"vocab_size": VOCABULARY, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64},
        "classify",
    ),
    "gpt2": (
        "GPT2Config",
        "GPT2LMHeadModel",
        {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
        | SPECIAL,
        "generate",
    ),
    "gpt_neox": ("GPTNeoXConfig", "GPTNeoXForCausalLM", SMALL | SPECIAL, "generate"),
    "llama": ("LlamaConfig", "LlamaForCausalLM", GROUPED | SPECIAL, "generate"),
    "mistral": (
        "MistralConfig",
        "MistralForCausalLM",
        GROUPED | SPECIAL | {"sliding_window": 6},
        "generate",
    ),
    "qwen3": ("Qwen3Config", "Qwen3ForCausalLM", GROUPED | SPECIAL, "generate"),
    "gemma3": (
        "Gemma3TextConfig",
        "Gemma3ForCausalLM",
        GROUPED
        | SPECIAL
        | {
            "sliding_window": 6,
            "layer_types": ["sliding_attention", "full_attention"],
            "query_pre_attn_scalar": 8,
        },
        "generate",
    ),
    "t5": (
        "T5Config",
        "T5ForConditionalGeneration",
        {
            "vocab_size": VOCABULARY,
            "d_model": 32,
            "d_kv": 8,
            "d_ff": 64,
            "num_layers": 2,
            "num_heads": 4,
            "decoder_start_token_id": 0,
            "eos_token_id": 2,
            "pad_token_id": 0,
        },
        "translate",
    ),
    "vit": (
        "ViTConfig",
        "ViTForImageClassification",
        {
            "image_size": 16,
            "patch_size": 4,
            "num_channels": 3,
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 64,
            "num_labels": 3,
        },
        "image",
    ),
}
STEPS = 20


def build(family: str) -> torch.nn.Module:
    """The family's model without dropout, with weights that no library's generator has drawn."""
    config_name, model_name, options, _ = FAMILIES[family]
    config = getattr(transformers, config_name)(**options)
    torch.manual_seed(0)
    model = getattr(transformers, model_name)(config)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            draw = np.random.default_rng(zlib.crc32(name.encode()))
            values = draw.standard_normal(tuple(parameter.shape)) * 0.08
            values += parameter.ndim == 1 and "norm" in name.lower() and name.endswith("weight")
            parameter.copy_(torch.from_numpy(values.astype(np.float32)))
    return model.eval()


def inputs(task: str) -> dict[str, torch.Tensor]:
    draw = np.random.default_rng(7)
    if task == "image":
        pixels = draw.standard_normal((2, 3, 16, 16)).astype(np.float32)
        return {"pixel_values": torch.from_numpy(pixels), "labels": torch.tensor([2, 0])}
    ids = torch.from_numpy(draw.integers(3, VOCABULARY, (2, 9)))
    mask = torch.ones_like(ids)
    padding = slice(0, 3) if task == "generate" else slice(6, None)
    mask[1, padding] = 0
    ids[1, padding] = 0
    if task == "classify":
        return {"input_ids": ids, "attention_mask": mask, "labels": torch.tensor([1, 0])}
    if task == "translate":
        labels = torch.from_numpy(draw.integers(3, VOCABULARY, (2, 5)))
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}
    labels = ids.masked_fill(mask == 0, -100)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def run(family: str, compiled: bool = False) -> dict[str, np.ndarray]:
    """Everything that has to agree, by name."""
    task = FAMILIES[family][3]
    model = build(family)
    given = inputs(task)
    found: dict[str, np.ndarray] = {}

    output = model(**given)
    found["logits"] = output.logits.detach().numpy()
    found["loss"] = output.loss.detach().numpy()
    output.loss.backward()
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            found["gradient " + name] = parameter.grad.numpy().copy()

    if task in ("generate", "translate"):
        prompt = {key: value for key, value in given.items() if key != "labels"}
        greedy = {"max_new_tokens": 12, "do_sample": False}
        found["greedy"] = model.generate(**prompt, **greedy).numpy()
        found["uncached"] = model.generate(**prompt, **greedy, use_cache=False).numpy()
        found["beam"] = model.generate(**prompt, **greedy, num_beams=3).numpy()
        torch.manual_seed(3)
        sampled = {"max_new_tokens": 12, "do_sample": True, "top_k": 20, "top_p": 0.9}
        found["sampled"] = model.generate(**prompt, **sampled, temperature=0.8).numpy()

    # With the usual epsilon, parameters whose gradient is zero up to rounding would walk at random.
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, eps=1e-5, weight_decay=0.01)

    def step() -> torch.Tensor:
        optimizer.zero_grad()
        loss = model(**given).loss
        loss.backward()
        optimizer.step()
        return loss.detach()

    call = torch.compile(step) if compiled else step
    found["losses"] = np.array([float(call()) for _ in range(STEPS)])
    for name, parameter in model.named_parameters():
        found["trained " + name] = parameter.detach().numpy().copy()
    return found
