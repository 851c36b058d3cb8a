"""Measures the reliability targets and prints target, measured value and result.

    python -m tests.reliability [--short | --soak] [--only R3,R5] [--out FILE.json] [--readme deploy/README.md]

Exit status 1: in the long form whenever a bound is missed; in the short form when one is missed by more than its slack,
which is none for what is right or wrong on any machine. A part whose tool is missing says SKIPPED and never passes.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from rich.console import Console

from tests.reliability import table
from tests.reliability.stage import Stage
from tests.reliability.target import Target, run
from tests.reliability.targets import TARGETS


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability", description=__doc__.split("\n", 1)[0])
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--short", action="store_true", help="minutes; the default")
    form.add_argument("--soak", action="store_true", help="hours")
    parser.add_argument("--only", type=_named, default=list(TARGETS), metavar="R3,R5", help="these targets")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="where the numbers are written")
    parser.add_argument("--readme", type=Path, metavar="FILE.md", help="a document whose table is replaced")
    told = parser.parse_args()
    console, load, short = Console(width=160 if not sys.stdout.isatty() else None), os.getloadavg()[0], not told.soak
    with tempfile.TemporaryDirectory(prefix="xmguard-reliability-") as folder:
        stage = Stage(Path(folder), short, lambda line: console.print(line, highlight=False, markup=False))
        with closing(stage):
            results = [run(target, stage) for target in told.only]
    table.show(results, console)
    if told.out is not None:
        table.write(results, told.out, short=short, load=load)
    if told.readme is not None:
        table.put(results, told.readme, short=short, load=load)
    failed = [result.target.name for result in results if result.fails(short=short)]
    missed = [result.target.name for result in results if result.verdict in ("MISSED", "ERROR")]
    console.print(f"{sum(result.seconds for result in results):.0f} s; missed: {', '.join(missed) or 'none'}")
    if failed:
        console.print(f"the run fails by: {', '.join(failed)}")
    return int(bool(failed))


def _named(names: str) -> list[Target]:
    known = {target.name: target for target in TARGETS}
    unknown = [name for name in names.split(",") if name not in known]
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: there are {', '.join(known)}")
    return [known[name] for name in names.split(",")]


if __name__ == "__main__":
    sys.exit(main())
