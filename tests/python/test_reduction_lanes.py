"""Which axis the lanes of a reduction lie along, seen in the loop programs that are written out."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

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
def test_lanes_are_along_unit_strides(
    expression: str, kernels_of: Callable[[str], pathlib.Path]
) -> None:
    body = (ALONG_KEPT | ALONG_REDUCED)[expression]
    script = f"""
import flambeau
wide, column = flambeau.randn(96, 80), flambeau.randn(96, 1)
places = flambeau.randint(0, 96, (33, 21))
flambeau.compiler.explain(lambda: {body})()"""
    texts = [path.read_text() for path in kernels_of(script).glob("*.loop")]
    # The longest is the whole chain; those of its operations may have been compiled, too.
    chain = max((text for text in texts if "reduce_sum" in text), key=len)
    (reduction,) = [line for line in chain.splitlines() if "reduce_sum" in line]
    assert (" vector " in reduction) == (expression in ALONG_REDUCED), chain
