"""The Markdown pages are true: their links lead somewhere and their Python code runs.

The ```python blocks of a page run in order in one namespace, in an empty folder. A block that is
only to be read says so: ```python notest.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flambeau import compiler

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
)
LINK = re.compile(r"\[[^\]]*\]\((?!\w+:)([^)#\s]*)(#[^)\s]*)?\)")
BLOCK = re.compile(r"^```python *$\n(.*?)^```", re.M | re.S)


def without_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)


def anchors(page: Path) -> set[str]:
    """The anchors of the headings, as the usual renderers make them."""
    headings = re.findall(r"^#+ +(.*)", without_blocks(page.read_text()), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links(page: str) -> None:
    path = ROOT / page
    text = without_blocks(path.read_text())
    for target, anchor in LINK.findall(re.sub(r"`[^`\n]*`", "", text)):
        file = path.parent / target if target else path
        assert file.exists(), f"{page} links to {target}"
        if anchor and file.suffix == ".md":
            assert anchor[1:] in anchors(file), f"{page} links to {target}{anchor}"


@pytest.mark.parametrize("page", [p for p in PAGES if BLOCK.search((ROOT / p).read_text())])
def test_code(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    compiler.synchronize()  # what earlier tests left to be run
    text = (ROOT / page).read_text()
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in BLOCK.finditer(text):
        # Empty lines before the code give its tracebacks the page's line numbers.
        line = text.count("\n", 0, block.start(1))
        exec(compile("\n" * line + block[1], str(ROOT / page), "exec"), namespace)
