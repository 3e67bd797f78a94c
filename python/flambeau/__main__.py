"""The command line: `python -m flambeau explain script.py [arguments]`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="flambeau", description="Tools for programs that use Flambeau."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    explain = commands.add_parser(
        "explain",
        help="run a script and show the programs that flambeau.compile made of it",
        description="Runs a script, then prints its compiled programs: regions, kernels, bytes, "
        "time, memory, and why each region is apart from its neighbours.",
    )
    explain.add_argument("--html", metavar="FILE", help="write a page with a timeline, too")
    explain.add_argument("script")
    explain.add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    if not Path(options.script).is_file():
        parser.error(f"explain: there is no file '{options.script}'")
    from ._explain import explain_script

    explanation = explain_script([options.script, *options.arguments])
    if not explanation.programs:
        print("no compiled program ran: does the script call flambeau.compile?")
        return 1
    print(explanation)
    if options.html:
        explanation.save(options.html)
        print(f"wrote {options.html}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
