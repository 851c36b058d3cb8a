"""Pictures as files named by their SHA-256, written whole or not at all. What is no picture is refused.

Knows neither who drew a picture nor what it shows.
"""

from __future__ import annotations

import os
import struct
import zlib
from base64 import b64decode
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from threading import get_ident

from PIL import Image

from xmguard import Media
from xmguard.response import Limits

MEDIA_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp"}
_SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp"}
MAX_BYTES = Limits().max_media_bytes
"""Of one file: no more can be asked about."""
MIN_SIDE = 64
MAX_PIXELS = 16_000_000
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)


@dataclass(frozen=True)
class Album:
    """A folder of pictures. Thread-safe."""

    folder: Path

    def keep(self, data: bytes, size: tuple[int, int] | None = None) -> str:
        """Name of the file that holds the picture, which is written unless it is there as it should be.

        Args:
            data: of a PNG, JPEG or WebP file.
            size: width and height that it has to have, in pixels; None for any.

        Raises:
            ValueError: it is too large or too small, cannot be decoded, is of one colour, or is not of that size.
        """
        name = sha256(data).hexdigest() + _suffix(data, size)
        path = self.folder / name
        if not path.is_file() or path.read_bytes() != data:
            self.folder.mkdir(parents=True, exist_ok=True)
            part = self.folder / f"{name}.{os.getpid()}-{get_ident()}.part"
            part.write_bytes(data)
            part.replace(path)
        return name

    def keep_base64(self, text: str, size: tuple[int, int] | None = None) -> str:
        """As `keep`, for base64."""
        try:
            data = b64decode(text, validate=True)
        except ValueError as error:
            raise ValueError(f"the picture is no base64: {error}") from None
        return self.keep(data, size)

    def there(self, name: str) -> str:
        """The name, if its file is there and holds what it should; as `media` otherwise."""
        self.media(name)
        return name

    def media(self, name: str) -> Media:
        """The picture of a name.

        Raises:
            ValueError: its file is not there, or another one.
        """
        path = self.folder / name
        if path.name != name or path.suffix not in MEDIA_TYPES or not path.is_file():
            raise ValueError(f"{path} is not there")
        data = path.read_bytes()
        if sha256(data).hexdigest() != path.stem:
            raise ValueError(f"{path} is not what was written: its SHA-256 is another one")
        return Media(MEDIA_TYPES[path.suffix], data)


def _suffix(data: bytes, size: tuple[int, int] | None) -> str:
    """Of the file's name, by the format; everything that makes a picture useless is a ValueError."""
    if len(data) > MAX_BYTES:
        raise ValueError(f"the picture has {len(data)} bytes, more than {MAX_BYTES}")
    with _undecoded(data) as picture:
        width, height = picture.size
        if min(width, height) < MIN_SIDE or width * height > MAX_PIXELS:
            raise ValueError(f"the picture is {width} x {height} pixels, not {MIN_SIDE} a side to {MAX_PIXELS} in all")
        if size is not None and (width, height) != size:
            raise ValueError(f"the picture is {width} x {height} pixels, not {size[0]} x {size[1]}")
        if _is_plain(picture):
            raise ValueError("the picture is of one colour")
        return _SUFFIXES[str(picture.format)]


def _undecoded(data: bytes) -> Image.Image:
    try:
        return Image.open(BytesIO(data), formats=tuple(_SUFFIXES))
    except _UNREADABLE as error:
        raise ValueError(f"the picture cannot be decoded: {error}") from None


def _is_plain(picture: Image.Image) -> bool:
    """Whether it is of one colour; to find out decodes all of it."""
    try:
        colours = picture.convert("RGBA").getcolors(1)
    except _UNREADABLE as error:
        raise ValueError(f"the picture cannot be decoded: {error}") from None
    return colours is not None
