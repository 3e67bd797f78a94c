#!/usr/bin/env python3
"""Writes the names that PyTorch's compiler takes: settings, backends, what can be logged.

usage: dump_compiler_settings.py    with PyTorch's Python

Of a setting it writes the type that `options=` asks for, null for any, and the value that it has
from the start, null where that is none of JSON's or belongs to the machine; or the name of the
setting that it is another name of.
"""

from __future__ import annotations

import importlib
import json
import os
import pathlib
import re
from typing import Any

FILE = pathlib.Path(__file__).parent.parent / "python" / "flambeau" / "_compiler_settings.json"
CONFIGS = ("torch._dynamo.config", "torch._functorch.config", "torch._inductor.config")


def entry_of(config: Any, name: str) -> Any:
    alias = config._config[name].alias
    if alias is not None:
        return alias.removeprefix(config.__name__ + ".")
    kind = config.get_type(name)
    plain = kind in (bool, int, float, str, list, dict, tuple)
    value = getattr(config, name)
    anywhere = isinstance(value, (bool, int, float)) or (
        isinstance(value, str) and os.sep not in value
    )
    return [kind.__name__ if plain else None, value if anywhere else None]


def main() -> None:
    # Its own value would be the number of this machine's processors.
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
    configs = {}
    for path in CONFIGS:
        config = importlib.import_module(path)
        configs[path] = {name: entry_of(config, name) for name in sorted(config._config)}
    registry = importlib.import_module("torch._dynamo.backends.registry")
    backends = {
        name: list(registry.lookup_backend(name)._tags) for name in registry.list_backends(())
    }
    logs = importlib.import_module("torch._logging._internal").log_registry
    table = {
        "backends": backends,
        "configs": configs,
        "logs": sorted(logs.log_alias_to_log_qnames),
        "artifacts": sorted(logs.artifact_names),
    }
    text = json.dumps(table, indent=1)
    # What is innermost takes one line.
    text = re.sub(r"\[[^\[\]]*\]", lambda match: " ".join(match[0].split()), text)
    FILE.write_text(text + "\n")


if __name__ == "__main__":
    main()
