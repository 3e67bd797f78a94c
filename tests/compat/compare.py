#!/usr/bin/env python3
"""Compares what the models of models.py compute with what PyTorch 2.7.1 computed (golden.json).

    python -m flambeau tests/compat/compare.py [--json] [family ...]     prints the table of differences
    python tests/compat/compare.py --write                               with PyTorch: writes golden.json

Arrays are kept as a digest: shape, a few of their values, and sums with random signs, in which any
difference shows. Tokens are kept whole.
"""

from __future__ import annotations

import argparse
import json
import sys
import zlib
from pathlib import Path
from typing import Any

import models
import numpy as np

GOLDEN = Path(__file__).parent / "golden.json"
# The largest difference that is allowed of each kind of array. Losses and trained weights have gone through 20
# steps, in which rounding adds up.
BARS = {"logits": 1e-4, "loss": 1e-5, "gradient": 1e-5, "losses": 3e-5, "trained": 1e-4}
SAMPLES = {"logits": 48, "gradient": 4, "trained": 4}
SUMS = 2


def digest(name: str, array: np.ndarray) -> dict[str, Any]:
    kind = name.partition(" ")[0]
    flat = array.reshape(-1)
    result: dict[str, Any] = {"shape": list(array.shape)}
    if array.dtype.kind in "iu" or kind not in SAMPLES or flat.size <= SAMPLES[kind]:
        return result | {"values": [_short(value) for value in flat.tolist()]}
    draw = np.random.default_rng(zlib.crc32(name.encode()))
    places = draw.integers(0, flat.size, SAMPLES[kind])
    values = [flat[places].astype(np.float64)]
    # Divided by the root of their number, a sum is as far off as an element is.
    signs = draw.choice([-1.0, 1.0], (SUMS, flat.size)) / flat.size**0.5
    values.append(signs @ flat.astype(np.float64))
    return result | {"values": [_short(value) for value in np.concatenate(values).tolist()]}


def _short(value: Any) -> Any:
    return float(f"{value:.7g}") if isinstance(value, float) else value


def difference(found: dict[str, Any], wanted: dict[str, Any]) -> float:
    if found["shape"] != wanted["shape"]:
        return float("inf")
    ours, theirs = np.array(found["values"], float), np.array(wanted["values"], float)
    return float(np.abs(ours - theirs).max()) if ours.size else 0.0


def compare(family: str, wanted: dict[str, Any]) -> dict[str, Any]:
    """The largest difference of each kind, and whether everything agrees."""
    found = {name: digest(name, array) for name, array in models.run(family).items()}
    row: dict[str, Any] = {"arrays": len(wanted), "agrees": found.keys() == wanted.keys()}
    for name in found.keys() & wanted.keys():
        kind = name.partition(" ")[0]
        off = difference(found[name], wanted[name])
        row[kind] = max(row.get(kind, 0.0), off)
        row["agrees"] &= off <= BARS.get(kind, 0.0)
    return row


def table(rows: dict[str, dict[str, Any]]) -> str:
    """Differences from PyTorch 2.7.1 as a table; tokens agree or not."""
    tokens = ("greedy", "uncached", "beam", "sampled")
    lines = [
        "| model | logits | gradients | 20 steps: losses | weights | tokens: greedy, uncached, beam, sampled |",
        "|---|---|---|---|---|---|",
    ]
    for family, row in rows.items():
        numbers = [f"{row[kind]:.1e}" for kind in ("logits", "gradient", "losses", "trained")]
        same = ", ".join("same" if row[kind] == 0 else "DIFFER" for kind in tokens if kind in row)
        lines.append(f"| {family} | {' | '.join(numbers)} | {same or 'none'} |")
    bars = ", ".join(f"{kind} {bar:g}" for kind, bar in BARS.items())
    return "\n".join([*lines, f"Allowed: {bars}; tokens: none."])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="write golden.json (with PyTorch)")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument("families", nargs="*", default=list(models.FAMILIES))
    options = parser.parse_args()
    if options.write:
        if hasattr(models.torch.version, "flambeau"):
            parser.error("--write: golden outputs are PyTorch's, but torch is Flambeau here")
        arrays = {
            family: {name: digest(name, array) for name, array in models.run(family).items()}
            for family in models.FAMILIES
        }
        lines = [
            f"  {json.dumps(name)}: {json.dumps(value)}"
            for family in arrays
            for name, value in [(family, arrays[family])]
        ]
        GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n")
        return 0
    golden = json.loads(GOLDEN.read_text())
    rows = {family: compare(family, golden[family]) for family in options.families}
    print(json.dumps(rows) if options.json else table(rows))
    return 0 if all(row["agrees"] for row in rows.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
