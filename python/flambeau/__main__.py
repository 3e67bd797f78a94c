"""The command line.

python -m flambeau script.py [arguments]      runs a program in which `torch` is Flambeau
python -m flambeau -m module [arguments]
python -m flambeau -c code [arguments]
flambeau explain script.py [arguments]        and other commands
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
from pathlib import Path
from typing import NoReturn

from . import _C, _script


def _explain(options: argparse.Namespace) -> NoReturn:
    _check_readable(options.script)
    page = os.path.abspath(options.html) if options.html else ""  # The script may go elsewhere.
    if page:
        _check_writable(page)
    _script.run([_script.EXPLAINED, page, options.script, *options.arguments])


def _check_readable(path: str) -> None:
    try:
        os.stat(path)
        if not os.access(path, os.R_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise RuntimeError(f"explain: '{path}' cannot be read: {error.strerror}") from None


def _check_writable(path: str) -> None:
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        return  # To open a pipe may say to its reader that it has ended.
    there = os.path.lexists(path)
    try:
        with open(path, "ab"):
            pass
    except OSError as error:
        raise RuntimeError(f"explain: '{path}' cannot be written: {error.strerror}") from None
    if not there:
        os.unlink(path)


def _enable(options: argparse.Namespace) -> int:
    print(_script.enable())
    return 0


def _disable(options: argparse.Namespace) -> int:
    print(_script.disable())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="flambeau",
        usage="flambeau script.py [arguments] | -m module [arguments] | command ...",
        description="Runs a program that imports torch on Flambeau: the program and every library "
        "that it imports see Flambeau as torch.",
    )
    parser.add_argument("--version", action="version", version=f"flambeau {_C.__version__}")
    commands = parser.add_subparsers(
        title="commands", metavar="command", prog="flambeau", required=True
    )
    explain = commands.add_parser(
        "explain",
        help="run a script and show the programs that flambeau.compile made of it",
        description="Runs a script, then prints its compiled programs: regions, kernels, bytes, "
        "time, memory, and why each region is apart from its neighbours.",
    )
    explain.add_argument(
        "--html", metavar="FILE", help="write a page with a timeline and the graph, too"
    )
    explain.add_argument("script")
    explain.add_argument("arguments", nargs=argparse.REMAINDER).required = False
    explain.set_defaults(run=_explain)
    enable = commands.add_parser(
        "enable-torch",
        help="make torch Flambeau for all programs of this Python environment",
        description="Makes `import torch` give Flambeau in every program that this environment's "
        "Python runs, and lets pip see the requirement torch as met.",
    )
    enable.set_defaults(run=_enable)
    disable = commands.add_parser("disable-torch", help="take enable-torch back")
    disable.set_defaults(run=_disable)
    return parser


def main() -> int:
    arguments = sys.argv[1:]
    first = arguments[0] if arguments else ""
    try:
        if first in ("-m", "-c") or first.endswith(".py") or Path(first or ".").is_file():
            _script.run(arguments)
        options = _parser().parse_args(arguments or ["--help"])
        code = options.run(options)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # who read has seen enough, as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except RuntimeError as error:
        print(f"flambeau: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
