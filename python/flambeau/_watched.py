"""State of this package's modules that changes what functions and modules do.

A program that is replayed holds for as long as this state is what it was.
"""

from __future__ import annotations

from typing import Any, TypeVar

#: (a dict, what it is to the user) of each.
states: list[tuple[dict[Any, Any], str]] = []

_State = TypeVar("_State", bound=dict[Any, Any])


def watched(state: _State, name: str) -> _State:
    """`state`, from now on watched. Its items may change, it may not be another dict."""
    states.append((state, name))
    return state


#: By what it is to the user: while there is one, calls are neither recorded to be replayed nor
#: replayed.
pauses: dict[str, bool] = watched({}, "this package")
