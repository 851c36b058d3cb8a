"""Takes PNG files apart (PNG, third edition, sections 5 and 11). Knows no other format and no image library."""

from __future__ import annotations

import zlib
from typing import NoReturn

from xmguard_image.container import (
    Container,
    check_frames,
    check_pieces,
    check_size,
    inflated_profile,
    orientation,
    refuse,
    truncated,
)

MAGIC = b"\x89PNG\r\n\x1a\n"
_GRAY, _COLOUR, _PALETTE, _GRAY_ALPHA, _COLOUR_ALPHA = 0, 2, 3, 4, 6
_DEPTHS = {
    _GRAY: (1, 2, 4, 8, 16),
    _COLOUR: (8, 16),
    _PALETTE: (1, 2, 4, 8),
    _GRAY_ALPHA: (8, 16),
    _COLOUR_ALPHA: (8, 16),
}
"""Colour type to the bits a channel may have."""
_READ_ONCE = (b"IHDR", b"PLTE", b"tRNS", b"iCCP", b"eXIf", b"acTL")


def read(data: bytes) -> Container:
    """Take a PNG file apart; `data` begins with its magic number.

    Raises:
        InvalidRequest: it is damaged, animated, or not within the limits.
    """
    found = _chunks(data)
    header = found[b"IHDR"]
    width, height = int.from_bytes(header[:4]), int.from_bytes(header[4:8])
    depth, colour = header[8], header[9]
    check_frames(int.from_bytes(found.get(b"acTL", b"")[:4]))
    if b"IDAT" not in found:
        refuse("holds no pixels: the PNG file has no IDAT chunk")
    if colour == _PALETTE and b"PLTE" not in found:
        refuse("has no palette: a PNG file of colour type 3 needs a PLTE chunk")
    if depth == 16 and b"tRNS" in found:
        # The decoder compares upper bytes only, so it would make other colours transparent too.
        refuse("has a transparent colour of 16 bits; save it with 8 bits a channel")
    if colour == _GRAY and b"tRNS" in found:
        found[b"tRNS"] = _widened(found[b"tRNS"], depth)
    return Container(
        width,
        height,
        1 if colour in (_GRAY, _GRAY_ALPHA) else 3,
        MAGIC + b"".join(_chunk(kind, found[kind]) for kind in _CORE if kind in found),
        # A name, a zero byte, the method of compression (there is only one), then the stream.
        inflated_profile(found[b"iCCP"].partition(b"\0")[2][1:]) if b"iCCP" in found else b"",
        orientation(found.get(b"eXIf", b"")),
    )


_CORE = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
"""Chunks that make pixels, in the order that the format wants."""


def _chunks(data: bytes) -> dict[bytes, bytes]:
    """The content of the chunks that matter, by kind, their sums checked; that of several IDAT chunks is joined."""
    found: dict[bytes, bytes] = {}
    pixels: list[bytes] = []
    position, count = len(MAGIC), 0
    while b"IEND" not in found:
        if position + 12 > len(data):
            truncated()
        length, kind = int.from_bytes(data[position : position + 4]), data[position + 4 : position + 8]
        end = position + 12 + length
        if end > len(data):
            truncated()
        count += 1
        check_pieces(count)
        if (kind == b"IHDR") != (count == 1):
            refuse("is damaged: a PNG file begins with one IHDR chunk")
        if kind in (*_READ_ONCE, b"IDAT", b"IEND"):
            content = data[position + 8 : end - 4]
            if zlib.crc32(content, zlib.crc32(kind)) != int.from_bytes(data[end - 4 : end]):
                _damaged(kind, "does not match its checksum")
            if kind == b"IHDR":
                _check_header(content)
            if kind == b"IDAT":
                pixels.append(content)
            elif kind in found:
                _damaged(kind, "is there twice")
            else:
                found[kind] = content
        elif kind[:1].isupper():  # an upper-case letter says that a reader may not skip the chunk
            refuse("holds a chunk that may not be skipped and that PNG does not define; save it anew")
        position = end
    if pixels:
        found[b"IDAT"] = b"".join(pixels)
    return found


def _check_header(header: bytes) -> None:
    if len(header) != 13:
        _damaged(b"IHDR", "has the wrong length")
    check_size(int.from_bytes(header[:4]), int.from_bytes(header[4:8]))
    depth, colour, *methods = header[8:]
    if depth not in _DEPTHS.get(colour, ()) or methods[:2] != [0, 0] or methods[2] > 1:
        _damaged(b"IHDR", "names a kind of pixels that PNG does not define")


def _widened(transparent: bytes, depth: int) -> bytes:
    """A transparent gray of `depth` bits as one of 8: the decoder widens samples, but not what it compares them with.

    Of its two bytes the lowest `depth` bits count (section 11.3.2.1).
    """
    if len(transparent) != 2:
        _damaged(b"tRNS", "has the wrong length")
    white = 2**depth - 1
    return ((int.from_bytes(transparent) & white) * 255 // white).to_bytes(2)


def _damaged(kind: bytes, how: str) -> NoReturn:
    refuse(f"is damaged: its {kind.decode('ascii')} chunk {how}")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4) + kind + content + zlib.crc32(content, zlib.crc32(kind)).to_bytes(4)
