"""What a caller hands over: spans of text or media, before anything is known about tokens.

Pure values. Knows nothing of languages, modalities or models; `xmguard.context` holds what those add.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Media:
    """Bytes of some media type. Never a URL: fetching is the caller's business."""

    media_type: str
    """IANA media type, for example `image/png`."""
    data: bytes


@dataclass(frozen=True)
class Span:
    """One source of evidence. Exactly one of `text` and `media` is set in a valid request."""

    id: str = ""
    """Unique in the request; empty ids become the first free of `s1`, `s2`, ..."""
    text: str | None = None
    media: Media | None = None
    language: str = ""
    """BCP-47 tag; detected when empty."""
    source: str = ""
    """Label for people ("zh news"). Never enters the prompt."""
