"""Token ids into text as they come, without ever showing half a character. Knows nothing of tokenizers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xmguard.contracts import Token

_HALF = "\N{REPLACEMENT CHARACTER}"
"""What decoders print for a character whose bytes are not complete yet."""


class TextStream:
    """The text of one branch so far."""

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []
        self.text = ""
        """What has been shown."""

    def push(self, token: Token) -> str:
        """Take a token; returns the text it completes, which may be empty."""
        if not token.is_end:
            self._ids.append(token.id)
        text = self._decode(self._ids).lstrip()
        if text.endswith(_HALF) and not token.last:
            return ""
        new = text[len(self.text) :]
        self.text = text
        return new
