"""Transformers' own models on Flambeau compute what they compute on PyTorch 2.7.1 (compare.py)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent
FAMILIES = list(json.loads((FOLDER / "golden.json").read_text()))

# Eager and compiled are the same bits, and a generation does not depend on its cache or its batch.
SAME_BITS = """
import sys
sys.path.insert(0, {folder!r})
import models, numpy, torch

family = sys.argv[1]
eager, compiled = models.run(family), models.run(family, compiled=True)
differ = [name for name in eager if not numpy.array_equal(eager[name], compiled[name])]
assert eager.keys() == compiled.keys() and not differ, differ

if models.FAMILIES[family][3] == "generate":
    model, prompt = models.build(family), models.inputs("generate")
    ids, mask = prompt["input_ids"], prompt["attention_mask"]
    greedy = dict(max_new_tokens=8, do_sample=False, output_logits=True, return_dict_in_generate=True)
    both = model.generate(ids, attention_mask=mask, **greedy)
    uncached = model.generate(ids, attention_mask=mask, use_cache=False, **greedy)
    static = model.generate(ids, attention_mask=mask, cache_implementation="static", **greedy)
    for other in (uncached, static):
        assert torch.equal(both.sequences, other.sequences)
    assert all(torch.equal(a, b) for a, b in zip(both.logits, uncached.logits))
    # Both prompts alone; the second is padded, as it is in the batch.
    for row in range(2):
        alone = model.generate(ids[row : row + 1], attention_mask=mask[row : row + 1], **greedy)
        length = alone.sequences.shape[1]  # Alone it ends with its own last token.
        assert torch.equal(both.sequences[row : row + 1, :length], alone.sequences)
        assert all(torch.equal(a[row : row + 1], b) for a, b in zip(both.logits, alone.logits))
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flambeau", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_computes_what_pytorch_computes(family: str) -> None:
    done = run(str(FOLDER / "compare.py"), "--json", family)
    assert done.stdout, done.stderr
    row: dict[str, Any] = json.loads(done.stdout)[family]
    assert row["agrees"], row
    assert row["arrays"] > 40


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_bits_are_the_same_compiled_uncached_and_alone(family: str) -> None:
    done = run("-c", SAME_BITS.format(folder=str(FOLDER)), family)
    assert done.returncode == 0, done.stderr
