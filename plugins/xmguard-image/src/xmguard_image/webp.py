"""Takes WebP files apart (RFC 9649, sections 2 and 3). Knows no other format and no image library."""

from __future__ import annotations

from collections.abc import Iterator

from xmguard_image.container import (
    Container,
    check_pieces,
    check_size,
    checked_profile,
    orientation,
    refuse,
    truncated,
)

_RIFF_HEADER = 12
_ANIMATED, _ALPHA = 0x02, 0x10
"""Flags of the VP8X chunk."""


def is_webp(data: bytes) -> bool:
    """Whether the bytes begin as a WebP file does."""
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def read(data: bytes) -> Container:
    """Take a WebP file apart; `is_webp(data)`.

    Raises:
        InvalidRequest: it is damaged, animated, or not within the limits.
    """
    found: dict[bytes, bytes] = {}
    frames = 0
    for kind, content in _chunks(data):
        frames += kind == b"ANMF"
        if kind == b"VP8X" and len(content) < 10:
            refuse("is damaged: its VP8X chunk has the wrong length")
        if kind in (b"VP8 ", b"VP8L"):
            check_size(*_frame_size(kind, content))
        found.setdefault(kind, content)
    extended = found.get(b"VP8X", b"")
    if frames or (extended and extended[0] & _ANIMATED):
        refuse(f"is an animation ({frames} pictures); send one still picture")
    kind = next((kind for kind in (b"VP8 ", b"VP8L") if kind in found), b"")
    if not kind:
        refuse("holds no pixels: the WebP file has neither a VP8 nor a VP8L chunk")
    width, height = _frame_size(kind, found[kind])
    if extended and _canvas(extended) != (width, height):
        refuse("is damaged: its canvas and its picture differ in size")
    core = _chunk(kind, found[kind])
    if kind == b"VP8 " and b"ALPH" in found:
        canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        core = _chunk(b"VP8X", bytes((_ALPHA, 0, 0, 0)) + canvas) + _chunk(b"ALPH", found[b"ALPH"]) + core
    return Container(
        width,
        height,
        3,
        b"RIFF" + (4 + len(core)).to_bytes(4, "little") + b"WEBP" + core,
        checked_profile(found[b"ICCP"]) if b"ICCP" in found else b"",
        orientation(found.get(b"EXIF", b"").removeprefix(b"Exif\0\0")),
    )


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        truncated()
    position, count = _RIFF_HEADER, 0
    while position + 8 <= end:
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        if position + 8 + length > end:
            refuse("is damaged: a chunk of the WebP file is longer than the file")
        count += 1
        check_pieces(count)
        yield data[position : position + 4], data[position + 8 : position + 8 + length]
        position += 8 + length + length % 2


def _frame_size(kind: bytes, frame: bytes) -> tuple[int, int]:
    """Width and height out of a frame's own header."""
    lossy = kind == b"VP8 "
    begins, length = (frame[3:6] == b"\x9d\x01\x2a", 10) if lossy else (frame[:1] == b"\x2f", 5)
    if not begins or len(frame) < length:
        refuse("is damaged: its WebP frame has no valid header")
    if lossy:
        return int.from_bytes(frame[6:8], "little") & 0x3FFF, int.from_bytes(frame[8:10], "little") & 0x3FFF
    packed = int.from_bytes(frame[1:5], "little")
    return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1


def _canvas(extended: bytes) -> tuple[int, int]:
    return int.from_bytes(extended[4:7], "little") + 1, int.from_bytes(extended[7:10], "little") + 1


def _chunk(kind: bytes, content: bytes) -> bytes:
    return kind + len(content).to_bytes(4, "little") + content + b"\0" * (len(content) % 2)
