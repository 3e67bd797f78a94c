"""Which axis the lanes of a reduction lie along, seen in the loop programs that are written out."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

ALONG_KEPT = {
    "weighted columns": "(wide * column).sum(0)",
    "weighted transposed rows": "(wide.t() * column[:, 0]).sum(1)",
    "rows of a table": "wide[places].sum(1)",
}
ALONG_REDUCED = {
    "weighted rows": "(wide * wide[0] - 3).sum(1)",
    "rows": "(wide * 2).sum(1)",
}


@pytest.mark.parametrize("expression", [*ALONG_KEPT, *ALONG_REDUCED])
def test_lanes_are_along_unit_strides(expression: str, tmp_path: pathlib.Path) -> None:
    body = (ALONG_KEPT | ALONG_REDUCED)[expression]
    environment = {
        **os.environ,
        "FLAMBEAU_DUMP": str(tmp_path / "dump"),
        "FLAMBEAU_CACHE_DIR": str(tmp_path / "cache"),
        "FLAMBEAU_KERNEL_PACK": "none",  # what is found there is not written out
    }
    script = f"""
import flambeau
wide, column = flambeau.randn(96, 80), flambeau.randn(96, 1)
places = flambeau.randint(0, 96, (33, 21))
flambeau.compiler.explain(lambda: {body})()"""
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)
    texts = [path.read_text() for path in (tmp_path / "dump").glob("*.loop")]
    # The longest is the whole chain; those of its operations may have been compiled, too.
    chain = max((text for text in texts if "reduce_sum" in text), key=len)
    (reduction,) = [line for line in chain.splitlines() if "reduce_sum" in line]
    assert (" vector " in reduction) == (expression in ALONG_REDUCED), chain
