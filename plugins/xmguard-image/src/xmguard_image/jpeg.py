"""Takes JPEG files apart (ITU-T T.81, annex B). Knows no other format and no image library."""

from __future__ import annotations

import re
from collections.abc import Iterator

from xmguard_image.container import (
    Container,
    check_pieces,
    check_size,
    checked_profile,
    orientation,
    refuse,
    refuse_profile,
    truncated,
)

MAGIC = b"\xff\xd8\xff"
MAX_SCANNED = 24 * 16_000_000
"""Pixels times scans: a decoder goes through the whole picture once a scan, however little a scan holds."""
_SOI, _EOI, _SOS, _TEM = 0xD8, 0xD9, 0xDA, 0x01
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_READ_FRAMES = (0xC0, 0xC1, 0xC2)
"""Baseline, extended and progressive, all with Huffman codes."""
_TABLES = (0xC4, 0xDB, 0xDD)
"""Huffman codes, quantization, restart interval."""
_JFIF, _EXIF, _ICC, _ADOBE = 0xE0, 0xE1, 0xE2, 0xEE
_JFIF_LENGTH = 14
"""Without the thumbnail that may follow."""
_ICC_HEADER = 14
"""A name, the number of this part, and how many there are (ICC.1, annex B.4)."""
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""0xFF is data when 0 follows, fills space when another 0xFF does, and 0xD0 to 0xD7 restart the codes within a scan."""


def read(data: bytes) -> Container:
    """Take a JPEG file apart; `data` begins with its magic number.

    What follows the picture's end is left alone: phones store gain maps, depth and films there.

    Raises:
        InvalidRequest: it is damaged, of a kind that is not read, or not within the limits.
    """
    core = [data[:2]]
    frame, scans, turned = b"", 0, 1
    profiles: dict[int, bytes] = {}
    profile_parts = 0
    for code, content, coded in _segments(data):
        if code in _FRAMES:
            if frame:
                refuse("is damaged: a JPEG file holds one frame")
            frame = content
            _check_frame(code, frame)
        elif code == _SOS:
            scans += 1
            if not frame:
                refuse("is damaged: its JPEG data begins before its size is told")
            if scans * _pixels(frame) > MAX_SCANNED:
                refuse(f"is stored in more than {scans - 1} scans, too many for its size; save it anew")
        elif code == _EXIF and content.startswith(b"Exif\0\0"):
            turned = orientation(content[6:]) if turned == 1 else turned
            continue
        elif code == _ICC and content.startswith(b"ICC_PROFILE\0"):
            if len(content) < _ICC_HEADER:
                refuse_profile()
            profiles[content[12]] = content[_ICC_HEADER:]
            profile_parts = content[13]
            continue
        elif code == _JFIF and content.startswith(b"JFIF\0") and len(content) >= _JFIF_LENGTH:
            content = content[:_JFIF_LENGTH]
        # Both markers tell in which colour space the channels are.
        elif code not in _TABLES and not (code == _ADOBE and content.startswith(b"Adobe") and len(content) >= 12):
            continue
        core += [bytes((0xFF, code)), (len(content) + 2).to_bytes(2), content, coded]
    if not scans:
        refuse("holds no pixels: the JPEG file has no scan")
    if sorted(profiles) != list(range(1, profile_parts + 1)):
        refuse_profile()
    return Container(
        int.from_bytes(frame[3:5]),
        int.from_bytes(frame[1:3]),
        frame[5],
        b"".join([*core, bytes((0xFF, _EOI))]),
        checked_profile(b"".join(profiles[number] for number in sorted(profiles))) if profiles else b"",
        turned,
    )


def _segments(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Marker code, content, and for a scan the coded pixels after it, up to the picture's end."""
    position, count = len(MAGIC) - 1, 0
    while True:
        marker = _MARKER.search(data, position)
        if marker is None:
            truncated()
        start = marker.end()
        code = data[start - 1]
        count += 1
        check_pieces(count)
        if code == _EOI:
            return
        if code == _SOI:
            refuse("is damaged: another JPEG file begins before this one ends")
        if code == _TEM:  # stands alone
            position = start
            continue
        length = int.from_bytes(data[start : start + 2])
        end = start + max(length, 2)
        if end > len(data):
            truncated()
        position = end
        coded = b""
        if code == _SOS:
            following = _MARKER.search(data, end)
            if following is None:
                truncated()
            position = following.start()
            coded = data[end:position]
        yield code, data[start + 2 : end], coded


def _check_frame(code: int, frame: bytes) -> None:
    if len(frame) < 6 or len(frame) != 6 + 3 * frame[5]:
        refuse("is damaged: its frame header has the wrong length")
    if code not in _READ_FRAMES:
        refuse("is a kind of JPEG that is not read (lossless, hierarchical or arithmetic); save it as a common one")
    if frame[0] != 8:
        refuse(f"has {frame[0]} bits a channel, and JPEG files of 8 are read; save it with 8")
    if frame[5] not in (1, 3, 4):
        refuse(f"has {frame[5]} channels; JPEG files of 1, 3 or 4 are read")
    check_size(int.from_bytes(frame[3:5]), int.from_bytes(frame[1:3]))


def _pixels(frame: bytes) -> int:
    return int.from_bytes(frame[1:3]) * int.from_bytes(frame[3:5])
