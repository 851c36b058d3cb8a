"""Modality `image`: a PNG, JPEG or WebP file becomes one upright sRGB picture without transparency.

Takes bytes only, never a path or an address. Knows no engine: how many tokens a picture takes is the model's business.
Importing this loads no image library.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from xmguard.context import ContextSpan
from xmguard.contracts import Modality
from xmguard.errors import InvalidRequest
from xmguard.hookspecs import hookimpl
from xmguard.parts import ImagePart


class ImageModality:
    """Spans that carry a picture."""

    name = "image"
    media_types: tuple[str, ...] = ("image/jpeg", "image/png", "image/webp")

    def parts(self, span: ContextSpan) -> Sequence[ImagePart]:
        """The picture.

        Raises:
            InvalidRequest: it is not what its media type says, not within the limits, or damaged; fields `media`,
                `media.media_type` and `media.data`.
        """
        media = span.span.media
        if media is None:
            raise InvalidRequest.field("media", "must be set: the image modality reads no text")
        if media.media_type not in self.media_types:
            taken = ", ".join(self.media_types)
            raise InvalidRequest.field("media.media_type", f"is none that the image modality takes; taken: {taken}")
        from xmguard_image.decoding import decode

        return [decode(media.media_type, media.data)]


@hookimpl
def xmguard_modalities() -> Iterable[Modality]:
    """The modality of this plugin."""
    return [ImageModality()]
