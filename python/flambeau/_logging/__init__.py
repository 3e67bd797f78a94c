"""What PyTorch's compiler logs: its names are taken, and nothing is logged."""

from __future__ import annotations

import logging
from typing import Any

from flambeau._absent import attribute
from flambeau._compiler_settings import table

__all__ = ["set_logs"]

_LEVELS = (
    logging.CRITICAL, logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG, logging.NOTSET,
)  # fmt: skip


def set_logs(
    *, all: int | None = None, modules: dict[str, int | bool] | None = None, **kwargs: Any
) -> None:
    """Checks the names and values: a level for each log, a bool for each artifact.
    flambeau.compiler.explain tells what runs."""
    logs, artifacts = {"all", *table()["logs"]}, table()["artifacts"]
    for name in kwargs:
        if name not in logs and name not in artifacts:
            raise TypeError(f"set_logs() got an unexpected keyword argument {name!r}")
    for name, value in {"all": all, **kwargs, **(modules or {})}.items():
        if value is None:
            continue
        if name in artifacts:
            if not isinstance(value, bool):
                raise ValueError(f"Expected bool to enable artifact {name}, received {value}")
        elif name not in logs:
            raise ValueError(f"Unrecognized log or artifact name passed to set_logs: {name}")
        elif value not in _LEVELS:
            raise ValueError(
                f"Unrecognized log level for log {name}: {value}, valid level values are: "
                f"{','.join(map(str, _LEVELS))}"
            )


__getattr__ = attribute(__name__)
