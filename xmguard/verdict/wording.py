"""Small pieces of the sentences that verdicts are told in.

What they quote comes from models and callers, so nothing quoted can end its own quotation. Knows nothing of verdicts.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Sequence

MAX_QUOTED = 80
"""Characters of an answer or a label that a sentence quotes; a longer one is cut at a word."""
MAX_NAMED = 5
"""Names that a list spells out; the rest is counted."""


# Marks that look like the ones `quote` sets, and controls of writing direction, which could show words out of order.
_FORGING = dict.fromkeys(map(ord, "“”„‟〝〞〟＂❝❞"), "'") | dict.fromkeys(
    map(ord, "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"), " "
)


def shorten(text: str) -> str:
    """The text on one line, cut to `MAX_QUOTED` characters, without control characters and double quotation marks."""
    visible = "".join(" " if unicodedata.category(character) == "Cc" else character for character in text)
    line = " ".join(visible.translate(_FORGING).split())
    short = textwrap.shorten(line, MAX_QUOTED, placeholder=" …")
    # A single long word, or a script without spaces, leaves textwrap nothing but the placeholder.
    return short if short != "…" else line[: MAX_QUOTED - 1] + "…"


def label(span_id: str, source: str) -> str:
    """A span as a person knows it: its id, and the caller's name for it where there is one."""
    return f"{shorten(span_id)} ({shorten(source)})" if source.strip() else shorten(span_id)


def quote(answer: str) -> str:
    """The answer in quotation marks, shortened, without its full stop: it stands inside a sentence."""
    return f"“{shorten(answer).removesuffix('.')}”"


def join_ids(names: Sequence[str]) -> str:
    """Span ids as a list for people, each shortened."""
    return join_list([shorten(name) for name in names])


def join_list(parts: Sequence[str]) -> str:
    """A list for people: "s1, s2 and s3"; past `MAX_NAMED` the rest is counted."""
    shown = list(parts[:MAX_NAMED])
    if len(parts) > MAX_NAMED:
        shown.append(f"{len(parts) - MAX_NAMED} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}" if shown else ""
