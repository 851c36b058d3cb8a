"""Small pieces of the sentences that verdicts are told in. Knows nothing of verdicts."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

MAX_QUOTED = 80
"""Characters of an answer or a label that a sentence quotes; a longer one is cut at a word."""
MAX_NAMED = 5
"""Names that a list spells out; the rest is counted."""


def shorten(text: str) -> str:
    """The text on one line, cut to `MAX_QUOTED` characters."""
    line = " ".join(text.split())
    short = textwrap.shorten(line, MAX_QUOTED, placeholder=" …")
    # A single long word, or a script without spaces, leaves textwrap nothing but the placeholder.
    return short if short != "…" else line[: MAX_QUOTED - 1] + "…"


def quote(answer: str) -> str:
    """The answer in quotation marks, shortened, without its full stop: it stands inside a sentence."""
    return f"“{shorten(answer).removesuffix('.')}”"


def join_ids(names: Sequence[str]) -> str:
    """Names as a list for people: "s1, s2 and s3"; past `MAX_NAMED` the rest is counted."""
    shown = list(names[:MAX_NAMED])
    if len(names) > MAX_NAMED:
        shown.append(f"{len(names) - MAX_NAMED} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}" if shown else ""
