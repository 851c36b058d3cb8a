"""Texts as token ids: an API tells texts and no ids, so an id here is the text, its UTF-8 bytes read as one number.

A piece may end inside a character, as tokens do.
"""

from __future__ import annotations

from collections.abc import Sequence


def piece(content: str | bytes) -> int:
    """The id of a piece."""
    # The leading byte keeps zero bytes, and the empty piece, apart from nothing.
    return int.from_bytes(b"\x01" + (content.encode() if isinstance(content, str) else content), "big")


def text(ids: Sequence[int]) -> str:
    """What the pieces say together; bytes that are no character yet are the replacement character."""
    return b"".join(_content(one) for one in ids).decode(errors="replace")


def _content(one: int) -> bytes:
    return one.to_bytes((one.bit_length() + 7) // 8, "big")[1:]
