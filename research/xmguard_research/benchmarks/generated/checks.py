"""Whether a model's reply holds together, whatever protocol asked. A ValueError says why it does not."""

from __future__ import annotations

from typing import Any

from xmguard_research.benchmarks.clqa.paragraphs import words


def text(value: Any, what: str) -> str:
    """The value without blanks around it.

    Raises:
        ValueError: it is no text, or blank, or nothing that a file can hold.
    """
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{what} is no text")
    value.encode()  # half of a surrogate pair is a ValueError too: no file can hold it
    return value.strip()


def quoted(reply: dict[str, Any], what: str) -> tuple[str, str]:
    """The text of a reply and the words in it that answer.

    Raises:
        ValueError: the words do not stand in the text.
    """
    told, quote = text(reply[what], f"the {what}"), text(reply["quote"], "the quote")
    if quote not in told:
        raise ValueError(f"the quote does not stand in the {what}: {quote[:60]!r}")
    return told, quote


def within(told: str, bounds: tuple[int, int], what: str) -> None:
    """Refuse a text of fewer or more words.

    Raises:
        ValueError: with both bounds.
    """
    fewest, most = bounds
    if not fewest <= words(told) <= most:
        raise ValueError(f"the {what} has {words(told):.0f} words, not {fewest} to {most}")


def letters(answer: str) -> str:
    """An answer in the form in which two are compared: without case, blanks and full stops around it."""
    return answer.casefold().strip(" .")
