"""What is measured of libraries' own models: programs with `import torch`, run by worker.py as
`worker.py torch THREADS library_cases` on either side. A name is "WHAT, HOW" with HOW eager or compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cases import Case

CASES: dict[str, Case] = {}
LORA_SHAPE = (1, 256)
GENERATED = 128


def compiled(torch: Any, how: str, function: Any) -> Any:
    return torch.compile(function) if how == "compiled" else function


def bert(torch: Any) -> tuple[Any, dict[str, Any]]:
    """BERT-base with its masked language model's head, and a batch of 2 x 128."""
    from transformers import BertConfig, BertForMaskedLM

    torch.manual_seed(0)
    model = BertForMaskedLM(BertConfig()).train()
    ids = torch.randint(0, model.config.vocab_size, (2, 128))
    return model, {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids}


def llama_lora(torch: Any) -> tuple[Any, dict[str, Any]]:
    """A Llama of 110 M parameters with adapters of rank 8, and a text of 256 tokens."""
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=768, intermediate_size=2048, num_hidden_layers=12, num_attention_heads=12,
        vocab_size=32000, tie_word_embeddings=True, use_cache=False,
    )  # fmt: skip
    options = LoraConfig(
        r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"
    )
    model = get_peft_model(LlamaForCausalLM(config), options).train()
    ids = torch.randint(0, config.vocab_size, LORA_SHAPE)
    return model, {"input_ids": ids, "labels": ids}


MODELS = {"BERT-base": bert, "LoRA of Llama 110 M": llama_lora}


def train_step(torch: Any, name: str, how: str) -> Callable[[], float]:
    """Forward, backward, AdamW; gives the loss."""
    model, batch = MODELS[name](torch)
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1e-4, fused=True)
    forward = compiled(torch, how, model)

    def step() -> float:
        loss = forward(**batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def generate(torch: Any, how: str) -> Callable[[], Any]:
    """Greedy tokens of GPT-2 124 M after a prompt of 16, batch 1."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config()).eval()
    ids = torch.randint(0, model.config.vocab_size, (1, 16))
    options = {"max_new_tokens": GENERATED, "min_new_tokens": GENERATED, "do_sample": False}
    mask = torch.ones_like(ids)
    return lambda: model.generate(ids, attention_mask=mask, pad_token_id=0, **options)


def read(torch: Any, how: str) -> Callable[[], Any]:
    x = torch.randn(2**28)
    return lambda: x.sum().item()


def _add() -> None:
    def case(what: str, make: Callable[..., Any], *arguments: Any) -> None:
        for how in ("eager", "compiled"):
            setup = lambda torch, how=how: make(torch, *arguments, how)  # noqa: E731
            CASES[f"{what}, {how}"] = Case(setup)

    for name in MODELS:
        case(f"{name} train step", train_step, name)
    case("GPT-2 generate", generate)
    case("read of 1 GB", read)


_add()
