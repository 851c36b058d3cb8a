"""What a picture's file says of itself, read without decoding anything, and the file cut down to what makes pixels.

Texts, thumbnails, previews, comments and whatever follows the picture's end never reach a decoder, so nothing in them
can cost time or memory. Knows no image library; `png`, `jpeg` and `webp` each know their format.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import NoReturn

from xmguard.errors import InvalidRequest

MIN_SIDE = 32
MAX_PIXELS = 16_000_000
MAX_ASPECT = 20
"""The longer side over the shorter one."""
MAX_PIECES = 10_000
"""Chunks of a PNG or WebP file, segments of a JPEG file. Writers of PNG files use 8 KiB a chunk or more."""
MAX_PROFILE = 4 * 2**20
"""Bytes of a colour profile, decompressed. Those of printing presses take up to 3 MB."""
_ORIENTATION = 0x0112
_SHORT = 3


@dataclass(frozen=True)
class Container:
    """A picture's file, taken apart."""

    width: int
    height: int
    """In pixels, as stored: before the orientation is applied."""
    channels: int
    """Of colour: 1, 3, or 4 for CMYK. Transparency does not count, and a palette has 3."""
    core: bytes
    """A file of the same format that holds the pixels and nothing else."""
    profile: bytes = b""
    """ICC profile, empty if there is none."""
    orientation: int = 1
    """1 to 8, as Exif counts; 1 is upright."""


def refuse(description: str) -> NoReturn:
    """Refuse the picture's bytes.

    Raises:
        InvalidRequest: always.
    """
    raise InvalidRequest.field("media.data", description)


def check_size(width: int, height: int) -> None:
    """Refuse a picture that is too small, too large or too long.

    Raises:
        InvalidRequest: with the limit.
    """
    size = f"is {width} x {height} pixels"
    if min(width, height) < MIN_SIDE:
        refuse(f"{size}; at least {MIN_SIDE} x {MIN_SIDE} are needed")
    if width * height > MAX_PIXELS:
        refuse(f"{size}, {width * height:,} in all; at most {MAX_PIXELS:,} are taken, so scale it down")
    if max(width, height) > MAX_ASPECT * min(width, height):
        refuse(f"{size}; one side may be at most {MAX_ASPECT} times the other, so cut it into several spans")


def check_pieces(count: int) -> None:
    """Refuse a file of too many pieces: walking through millions of empty ones takes seconds."""
    if count > MAX_PIECES:
        refuse(f"is cut into more than {MAX_PIECES:,} pieces; save it anew")


def check_frames(count: int) -> None:
    """Refuse an animation."""
    if count > 1:
        refuse(f"is an animation of {count} pictures; send one still picture")


def truncated() -> NoReturn:
    """Refuse a file that ends too early."""
    refuse("is cut off: the file ends before the picture does; send all of it")


def orientation(tiff: bytes) -> int:
    """The orientation in Exif data, which is a TIFF file; 1 where it says none, or nothing that can be read."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (entries,) = struct.unpack_from(f"{order}H", tiff, start)
        for entry in range(entries):
            tag, kind, count, value = struct.unpack_from(f"{order}HHIH", tiff, start + 2 + 12 * entry)
            if tag == _ORIENTATION:
                return int(value) if (kind, count) == (_SHORT, 1) and 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


def inflated_profile(packed: bytes) -> bytes:
    """A colour profile out of its zlib stream, never more than the limit.

    Raises:
        InvalidRequest: it is too large or empty, or no whole zlib stream.
    """
    stream = zlib.decompressobj()
    try:
        profile = checked_profile(stream.decompress(packed, MAX_PROFILE + 1))
    except zlib.error:
        refuse_profile()
    if not stream.eof:
        refuse_profile()
    return profile


def checked_profile(profile: bytes) -> bytes:
    """The same profile, unless it is too large, or a file has room for one that holds nothing."""
    if not profile:
        refuse_profile()
    if len(profile) > MAX_PROFILE:
        refuse(f"holds a colour profile of more than {MAX_PROFILE:,} bytes; convert the picture to sRGB")
    return profile


def refuse_profile() -> NoReturn:
    """Refuse a picture whose profile cannot be used: without it nobody knows its colours."""
    refuse("holds a colour profile that is damaged or does not fit it; convert the picture to sRGB")
