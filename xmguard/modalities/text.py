"""The text modality: a span's text is its one part, word for word.

Does not clean, cut or escape: engines encode parts as plain text, so nothing in them can act as a template token.
"""

from __future__ import annotations

from collections.abc import Sequence

from xmguard.context import ContextSpan
from xmguard.errors import InvalidRequest
from xmguard.parts import TextPart


class TextModality:
    """Spans that carry `text`. Text sent as media bytes is left to plugins, which know its encoding."""

    name = "text"
    media_types: tuple[str, ...] = ()

    def parts(self, span: ContextSpan) -> Sequence[TextPart]:
        """The text, unchanged.

        Raises:
            InvalidRequest: if the span carries media instead of text.
        """
        if span.span.text is None:
            raise InvalidRequest.field("text", "must be set: the text modality reads no media")
        return [TextPart(span.span.text, start=0)]
