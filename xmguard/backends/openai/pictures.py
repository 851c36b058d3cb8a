"""Pictures as an API takes them: PNG, in a URL that holds its data."""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode

from xmguard.parts import ImagePart

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_DEPTH, _RGB = 8, 2


def data_url(part: ImagePart) -> str:
    """The picture, lossless."""
    row = 3 * part.width
    # Every row begins with its filter; 0 is none.
    rows = b"".join(b"\0" + part.rgb[start : start + row] for start in range(0, len(part.rgb), row))
    header = struct.pack(">IIBBBBB", part.width, part.height, _DEPTH, _RGB, 0, 0, 0)
    chunks = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")
    return f"data:image/png;base64,{b64encode(_SIGNATURE + chunks).decode()}"


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
