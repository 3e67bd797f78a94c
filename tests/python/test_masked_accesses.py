"""Where masked accesses go of which no lane is wanted, seen in the kernels that are written out.

A CPU takes hundreds of cycles over a masked load of memory that is not mapped: a join whose last
part is short would read so for every row of the others.
"""

from __future__ import annotations

import pathlib
import re
from collections.abc import Callable

import pytest

PROGRAMS = {
    "rows": "flambeau.cat([table, row]).softmax(-1)",
    "columns": "flambeau.cat([table, table[:, :3]], 1).softmax(0)",
    "descending": "flambeau.cat([table.flip(1), row.flip(1)]).softmax(-1)",
}


@pytest.mark.parametrize("expression", PROGRAMS)
def test_masked_loads_stay_in_memory(
    expression: str, kernels_of: Callable[[str], pathlib.Path]
) -> None:
    script = f"""
import flambeau
table, row = flambeau.randn(96, 80), flambeau.randn(1, 80)
flambeau.compiler.explain(lambda: {PROGRAMS[expression]})()"""
    masked = 0
    for path in kernels_of(script).glob("*.loop"):
        if not re.search(r" load .* if %", path.read_text()):
            continue
        text = path.with_suffix(".ll").read_text()
        for pointer, mask in re.findall(
            r"@llvm\.masked\.load\.\S+\(ptr (%\S+), i32 \d+, <\d+ x i1> (%\S+),", text
        ):
            # Those of a loop's last lanes alone begin with one that is wanted.
            if not re.search(rf"{mask} = (icmp ult|trunc)", text):
                masked += 1
                assert re.search(rf"{pointer} = select ", text), path.read_text()
    assert masked > 0
