"""The two streams a command writes to: results on stdout, progress and errors on stderr; and how an error ends it.

Knows how to write safely to a terminal, and nothing of what is written.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.text import Text

from xmguard.errors import XmguardError

EXIT_ERROR = 2

ABSENT = "-"
"""Stands for what is not known, so that it is never taken for 0 or for an empty text."""

_KEPT = "\n\t"
_DIRECTION = {*map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))}


def printable(text: str) -> str:
    """Text with control and direction-override characters made visible as U+FFFD.

    Spans and answers come from anywhere; shown raw they could move the cursor, recolour the verdict or reorder a line.
    """
    return "".join(
        "\N{REPLACEMENT CHARACTER}"
        if character in _DIRECTION or (unicodedata.category(character) == "Cc" and character not in _KEPT)
        else character
        for character in text
    )


def output() -> Console:
    """Console on stdout. Plain where stdout is no terminal or NO_COLOR is set; rich decides."""
    return Console(highlight=False, markup=False, emoji=False)


def print_json(text: str) -> None:
    """JSON on stdout: in UTF-8 as JSON is, whatever encoding the terminal has."""
    typer.echo(text.encode())


def errors() -> Console:
    """Console on stderr."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False)


@contextmanager
def progress(message: str) -> Iterator[Callable[[str], None]]:
    """Show a spinner on stderr while the block runs; the value changes its text.

    Shows nothing where stderr is no terminal, so that an error stays the only line there.
    """
    with errors().status(Text(printable(message))) as status:
        yield lambda step: status.update(Text(printable(step)))


def one_line(text: str) -> str:
    """The text as one safe line."""
    return printable(" ".join(text.split()))


@contextmanager
def stated_errors() -> Iterator[None]:
    """Turns every error xmguard raises on purpose into one line on stderr, and ends the process with status 2.

    Anything else is a bug and keeps its traceback and status 1.
    """
    try:
        yield
    except XmguardError as error:
        errors().print(Text(f"error: {one_line(str(error))}"), soft_wrap=True)
        raise SystemExit(EXIT_ERROR) from error
